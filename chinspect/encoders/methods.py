"""Methods of explanation for one encoder: options by name become a `Method` that fits its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from chinspect.encoders.encoder import Encoder
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import AnyImage
from chinspect.relevance import Composite, Method, MethodName, Reference, ReferenceName, check_reference, composite

AUTO: MethodName = "rescale"
"""The method that ``auto`` stands for: of those that take one pass a component the most faithful."""
MethodChoice = MethodName | Literal["auto"]
References = Reference | AnyImage | Sequence[AnyImage]
"""The name of a reference, an image, or several."""


def method_for(
    encoder: Encoder,
    name: MethodChoice | Method,
    *,
    composite: str | Composite | None = None,
    reference: References = "blur",
    evaluations: int | None = None,
    samples: Samples | None = None,
) -> Method:
    """A method with what depends on the encoder filled in.

    Args:
        name: the family; ``auto`` is `AUTO`, or the one that a composite or a number of evaluations belongs to. A
            `Method` is taken as it is, and leaves no other options.
        composite: the rules of ``lrp``, by default ``epsilon_plus_flat``; the bounds of z-box rules are black and white
            as the encoder reads them.
        reference: ``blur``, ``mean`` or ``grey``; or images (paths, pictures or pixels), prepared as all others; or
            ``dataset`` for some of the ``samples``.
        samples: the data set that is explained.

    Raises `InputError` for what is not known, and for images that cannot be read.
    """
    if isinstance(name, Method):
        if composite is not None or evaluations is not None or not _is_default(reference):
            raise InputError(f"the method {name.label!r} holds all options: leave out the others.")
        return name
    family = _family(name, composite, evaluations)
    if composite is not None and family != "lrp":
        raise InputError(f"a composite belongs to the method lrp, not to {family}: leave out one of both.")
    rules = composite or "epsilon_plus_flat"
    table = rules if isinstance(rules, Composite) or family != "lrp" else bounded(rules, encoder)
    if isinstance(reference, str) and reference == "dataset" and samples is not None:
        return Method(family, table, dataset_references(encoder, samples), evaluations)
    return Method(family, table, prepared_reference(encoder, reference), evaluations)


def _is_default(reference: References) -> bool:
    return isinstance(reference, str) and reference == "blur"


def _family(name: MethodChoice, composite: object, evaluations: int | None) -> MethodName:
    if name != "auto":
        return name
    if composite is not None:
        return "lrp"
    return AUTO if evaluations is None else "shapley"


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
