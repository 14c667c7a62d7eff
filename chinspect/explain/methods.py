"""The method that explains the images of a data set: of what model, and chosen on it where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chinspect.encoders import Encoder, MethodChoice, References, is_default
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.relevance import Composite, Method
from chinspect.similarity import settled_method
from chinspect.subjects import Subject


def method_of(
    subject: Subject,
    explain: str,
    samples: Samples,
    name: MethodChoice | Method | None,
    composite: str | Composite | None,
    reference: References,
    folder: Path | None,
) -> tuple[Method | None, Mapping[str, Any]]:
    """The method by its options and the document of its choice, as in `settled_method`.

    The method is None where the model or the question has one of its own.

    Raises `InputError` for options that mean nothing to the model or the question.
    """
    usual = name is None and composite is None and is_default(reference)
    if subject.kind == "detector" or explain == "gradcam":
        if not usual:
            raise InputError(f"{explain!r} has a method of its own: leave out method, composite and reference.")
        return None, {}
    if isinstance(subject, Encoder):
        return settled_method(subject, name, samples, composite=composite, reference=reference, folder=folder)
    if isinstance(name, Method):
        return name, {}
    if not usual:
        raise InputError(f"a {type(subject).__name__} is explained by a `Method`, not by the name {name!r}: give one.")
    return Method(), {}
