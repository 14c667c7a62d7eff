"""Methods of explanation for one encoder: options by name become a `Method` that fits its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from chinspect.encoders.encoder import Encoder
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.files import read_json
from chinspect.images import AnyImage
from chinspect.relevance import Composite, Method, MethodName, Reference, ReferenceName, check_reference, composite

USUAL: MethodName = "rescale"
"""The method of encoders whose card records none: of those that take one pass a component the most faithful."""
MethodChoice = MethodName | Literal["auto"] | str
"""A family; ``auto``, which is chosen on the images at hand; or the file of a choice that was made before."""
References = Reference | AnyImage | Sequence[AnyImage]
"""The name of a reference, an image, or several."""


def method_for(
    encoder: Encoder,
    name: MethodChoice | Method | None = None,
    *,
    composite: str | Composite | None = None,
    reference: References = "blur",
    evaluations: int | None = None,
    samples: Samples | None = None,
) -> Method:
    """A method with what depends on the encoder filled in.

    Args:
        name: the family, or the path of a ``choice.json`` that `chinspect.similarity.choose_method` made for this
            encoder. None is the one that a composite or a number of evaluations belongs to, else what the encoder's
            card records under ``[explanation]``, else `USUAL`. A `Method` is taken as it is. A file and a `Method`
            leave no other options.
        composite: the rules of ``lrp``, by default ``epsilon_plus_flat``; the bounds of z-box rules are black and white
            as the encoder reads them.
        reference: ``blur``, ``mean`` or ``grey``; or images (paths, pictures or pixels), prepared as all others; or
            ``dataset`` for some of the ``samples``.
        samples: the data set that is explained.

    Raises `InputError` for what is not known, for images that cannot be read, and for another encoder's choice.
    """
    usual = composite is None and evaluations is None and is_default(reference)
    if isinstance(name, Method) or _is_file(name):
        if not usual:
            raise InputError(f"the method {getattr(name, 'label', name)!r} holds all options: leave out the others.")
        return name if isinstance(name, Method) else _recorded(encoder, *_read_choice(encoder, Path(str(name))))
    card = {} if encoder.card is None else encoder.card.extra.get("explanation", {})
    if name is None and usual and card:
        return _recorded(encoder, card, f"the card of {encoder.name!r}")
    family = _family(name, composite, evaluations)
    if composite is not None and family != "lrp":
        raise InputError(f"a composite belongs to the method lrp, not to {family}: leave out one of both.")
    rules = composite or "epsilon_plus_flat"
    table = rules if isinstance(rules, Composite) or family != "lrp" else bounded(rules, encoder)
    if isinstance(reference, str) and reference == "dataset" and samples is not None:
        return Method(family, table, dataset_references(encoder, samples), evaluations)
    return Method(family, table, prepared_reference(encoder, reference), evaluations)


def is_default(reference: References) -> bool:
    """Whether a reference is the one that stands where none is named."""
    return isinstance(reference, str) and reference == "blur"


def _is_file(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".json")


def _read_choice(encoder: Encoder, path: Path) -> tuple[Mapping[str, Any], str]:
    """What a file chose, and where it stands. `InputError` unless it was chosen for this encoder."""
    try:
        document = read_json(path)
    except FileNotFoundError as error:
        raise InputError(
            f"there is no file {str(path)!r} of a chosen method: 'chinspect choose-method' writes one."
        ) from error
    if "choice" not in document or "fingerprint" not in document:
        raise InputError(f"{str(path)!r} holds no choice: 'chinspect choose-method' writes one.")
    if document["fingerprint"] != encoder.fingerprint:
        raise InputError(f"{str(path)!r} was chosen for {document.get('encoder')!r}, not for {encoder.name!r}.")
    return document["choice"], repr(str(path))


def _recorded(encoder: Encoder, record: Mapping[str, Any], where: str) -> Method:
    """The method of a record: ``method``, and its ``composite`` or ``reference``."""
    options = {key: record[key] for key in ("composite", "reference", "evaluations") if record.get(key) is not None}
    try:
        return method_for(encoder, record["method"], **options)
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{where} records a method of explanation that is none ({error}).") from error


def _family(name: MethodChoice | None, composite: object, evaluations: int | None) -> MethodName:
    if name is not None:
        return name  # type: ignore[return-value]  # of what is no family, `Method` says so
    if composite is not None:
        return "lrp"
    return USUAL if evaluations is None else "shapley"


def dataset_references(encoder: Encoder, samples: Samples, *, count: int = 8, random_state: int = 0) -> Tensor:
    """Images of a data set that can be read, drawn at random, as references: (count, C, H, W).

    The mean over 8 images is close to that over all, at 8 times the time of one reference.

    Raises `InputError` where none can be read.
    """
    prepared: list[Tensor] = []
    for index in np.random.default_rng(random_state).permutation(len(samples)):
        if len(prepared) == count:
            break
        with suppress(InputError):
            prepared.append(encoder.prepare(samples[int(index)])[0])
    if not prepared:
        raise InputError(f"none of the {len(samples)} images of {str(samples.root)!r} can be read.")
    return torch.stack(prepared)


def bounded(name: str, encoder: Encoder) -> Composite:
    """A composite by name, with the bounds of the encoder's input for z-box rules."""
    low, high = encoder.input_range
    return composite(name, low=tuple(low.tolist()), high=tuple(high.tolist()))


def prepared_reference(encoder: Encoder, reference: References) -> Reference:
    """Images as the encoder's input; a name as it is."""
    if isinstance(reference, Tensor):
        return reference
    if isinstance(reference, str):
        if reference in get_args(ReferenceName):
            return reference  # type: ignore[return-value]
        if not Path(reference).exists():
            check_reference(reference)  # a misspelt name is no path
    images = reference if isinstance(reference, list | tuple) else [reference]
    return encoder.prepare(*images)
