"""What is known of an effect, as data; and what a protocol is asked for and gives back.

A protocol is a function of models, a folder of data and options. It answers with rows of measures, each under the
condition that the effect is about and under controls, with intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from chinspect.artefacts import Pixels
from chinspect.known.models import Models

Needs = Literal["encoder", "classes or encoder", "classes", "zero-shot"]
"""Kinds of models: any encoder; what names ImageNet's classes, if possible or necessarily; a text tower."""


@dataclass(frozen=True)
class Published:
    """What a source reports of one model: values by the names of the measures, rates as fractions."""

    model: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Options:
    """What a protocol is asked for.

    Attributes:
        images: how many images at most, drawn at random.
        seed: of whatever chance decides.
        progress: called with the number of images done and in all.
    """

    images: int = 1000
    seed: int = 0
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Findings:
    """What a protocol gives back.

    Attributes:
        rows: columns measure, condition, estimate, low, high (the 95 % interval) and n; see `chinspect.known.rows`.
        images: how many the rows are of.
        notes: sentences on what could not be measured, and why.
        pictures: an image under each condition, for the figure.
    """

    rows: pd.DataFrame
    images: int
    notes: Sequence[str] = ()
    pictures: Mapping[str, Pixels] = field(default_factory=dict)


class Measure(Protocol):
    """The function of a protocol."""

    def __call__(self, models: Models, data: Path, options: Options) -> Findings: ...


@dataclass(frozen=True)
class Effect:
    """A known effect.

    Attributes:
        name: what it is called on the command line.
        title: what it is, in half a sentence.
        source: where it was published.
        data: which images it needs, and where they are.
        needs: the kind of model.
        lead: the measure that the effect is told by.
        condition: the one that the effect is about.
        variants: conditions that show the same in another way; all others are controls.
        protocol: ``module:function`` of a `Measure`.
        layout: ``module:function`` that raises `InputError` for a folder that does not hold the data.
        published: what the source reports, by model.
    """

    name: str
    title: str
    source: str
    data: str
    needs: Needs
    lead: str
    condition: str
    protocol: str
    layout: str
    variants: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()

    def measure(self, models: Models, data: Path, options: Options) -> Findings:
        """Runs the protocol. Raises `InputError` for data and models that it cannot use."""
        protocol: Measure = imported(self.protocol)
        return protocol(models, data, options)

    def check(self, data: Path) -> None:
        """Raises `InputError` for a folder that does not hold the data."""
        imported(self.layout)(data)


def imported(path: str) -> Any:
    """A function by ``module:name``, which is loaded when it is first needed."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
