"""What an audit is going to do, and how long it takes: estimated from one batch, printed before anything long begins.

    minutes = seconds an image of a measured batch * images * what the step does with each

Seconds are measured of what an audit spends them on: a table of contributions (the index), a map, a response. With a
budget, images are sampled and dear steps that are not asked for are left out until the estimates fit; see `fitted`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import text_logo
from chinspect.audit.measuring import TRACED
from chinspect.audit.sites import COMPARED
from chinspect.encoders import Encoder, method_for
from chinspect.errors import InputError
from chinspect.relevance import contributions, patches
from chinspect.report import Result

ENOUGH = 100
"""Images that a budget leaves, if it can: an artefact on a tenth of them is then on the ten that a proof needs."""
LEAST = 40
"""Images that it leaves at least."""
CASES = 8
"""Artefacts that are proven at most, those on the clearest sets of images."""
_USUAL_CASES = 3  # of which minutes are estimated: photographs with an artefact have one to five
PLACEBOS = 45
"""Responses to an edited image in a trial: 39 other contents, the edit, elsewhere, and questions in the mean."""
EDITED = 24
"""Images of a trial: 32 without an artefact at most, and half as many with it are usual."""
_VARIANTS = 14  # of processing, of which some change nothing
_SHEETS = 15.0  # seconds in which copies are found, text is read and sheets are drawn, of 130 photographs
_READOUTS = 30.0  # seconds in which linear readouts of four kinds of processing are fitted
SURROGATE = 4e-4
"""Seconds a surrogate and an image, measured on one core of 2 GHz."""
_COMPARISON = 4e-5  # seconds for each two images whose edges are compared, with reading them
_LAYERS = 40  # responses to an image that a choice of channels takes: each layer is tried
_BATCH = 2  # images that are timed after one that loads what is loaded once


@dataclass(frozen=True)
class Timing:
    """Seconds an image."""

    index: float
    explain: float
    respond: float
    edit: float


@dataclass(frozen=True)
class PlannedStep:
    """A step of an audit.

    Attributes:
        name: of the step, the same in what became of it.
        what: it does, in a few words.
        minutes: as a function of the number of images.
        optional: whether a budget may leave it out.
        note: why it is left out; empty where it is not.
        cases: artefacts that its minutes are for, where a budget may limit their number.
    """

    name: str
    what: str
    minutes: Callable[[int], float]
    optional: bool = False
    note: str = ""
    cases: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Result):
    """What an audit is going to do.

    Attributes:
        all_images: how many there are.
        images: how many are used.
        planned: the steps in their order.
        budget: minutes; None for as long as it takes.
        cases: artefacts that are proven at most.
    """

    stem = "plan"

    all_images: int
    images: int
    planned: Sequence[PlannedStep]
    budget: float | None = None
    cases: int = CASES

    @property
    def minutes(self) -> float:
        """Of all steps that are not left out."""
        return sum(step.minutes(self.images) for step in self.planned if not step.note)

    @property
    def sentence(self) -> str:
        """How long it takes, and what the budget leaves out."""
        sentence = f"About {_rounded(self.minutes)} in all for {self.images} images."
        if self.images < self.all_images:
            sentence += f" {self.images} of {self.all_images} are looked at, evenly spread, so that it fits."
        omitted = [step.name for step in self.planned if step.note]
        if omitted:
            sentence += f" Left out: {', '.join(omitted)}."
        if self.cases < CASES:
            sentence += f" Artefacts of {self.cases} sets at most are proven, so that it fits."
        return sentence

    def includes(self, name: str) -> bool:
        """Whether there is a step of this name that is not left out."""
        return any(step.name == name and not step.note for step in self.planned)

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """A row a step: step, what, minutes."""
        rows = [
            {"step": step.name, "what": step.note or step.what, "minutes": 0.0 if step.note else self._minutes(step)}
            for step in self.planned
        ]
        return {"plan": pd.DataFrame(rows)}

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {**self.limits, **super().document()}

    @property
    def limits(self) -> dict[str, Any]:
        """How much is looked at, as JSON values."""
        sizes = {"images": self.images, "all_images": self.all_images, "cases": self.cases}
        return sizes | {"budget": self.budget}

    def _minutes(self, step: PlannedStep) -> float:
        return round(step.minutes(self.images), 1)


def time_batch(encoder: Encoder, pictures: Sequence[Image.Image], patch_size: int) -> Timing:
    """Measures a few images of each kind of work, after a first one that loads what is loaded once."""
    seen = encoder.see(pictures[: _BATCH + 1])
    method = method_for(encoder)
    reader = method.reader(encoder.module, encoder.prepare(pictures[0]))
    weights = encoder.respond(seen)
    mark = text_logo()
    return Timing(
        seconds_each(
            lambda i: contributions(reader, encoder.prepare(pictures[i]), patches(patch_size), method), len(seen)
        ),
        seconds_each(lambda i: encoder.explain([seen[i]], weights[i : i + 1], method=method), len(seen)),
        seconds_each(lambda i: encoder.respond([seen[i]]), len(seen)),
        seconds_each(lambda i: mark.add(seen[i]), len(seen)),
    )


def seconds_each(function: Callable[[int], Any], count: int) -> float:
    """Of a function of an image's number, for each of so many but the first, which loads what is loaded once."""
    function(0)
    start = time.perf_counter()
    for image in range(1, count):
        function(image)
    return (time.perf_counter() - start) / max(count - 1, 1)


def minutes_of(seconds: float, most: int | None = None, besides: float = 0.0) -> Callable[[int], float]:
    """Minutes by the number of images: of seconds each, for so many at most, and of some besides."""
    return lambda n: (seconds * (n if most is None else min(n, most)) + besides) / 60


def encoder_steps(timing: Timing, *, surrogates: int, workers: int, asked: Mapping[str, bool]) -> list[PlannedStep]:
    """The steps for an encoder; ``asked`` says which of ``confounder`` and ``mitigation`` there are."""
    fraction = 1 / max(workers, 1)

    proof = _USUAL_CASES * 2 * PLACEBOS * (timing.respond + timing.edit)
    steps = [
        PlannedStep(
            "pairs",
            "explain all images patch by patch, look for suspicious pairs",
            minutes_of(timing.index * fraction),
            True,
        ),
        PlannedStep(
            "strategies",
            "a map of each image, sets of alike maps beside chance (SpRAy)",
            minutes_of((timing.explain + timing.respond) * fraction + SURROGATE * (surrogates + 1), besides=_SHEETS),
        ),
        PlannedStep(
            "edges",
            "which images have edges in common in one place?",
            lambda n: min(n, COMPARED) ** 2 * _COMPARISON / 60,
            True,
        ),
        PlannedStep(
            "proof",
            f"artefacts of up to {CASES} sets added and removed, beside placebos",
            minutes_of(proof, EDITED),
            cases=_USUAL_CASES,
        ),
        PlannedStep(
            "traces",
            "do neighbours share what was done to their files?",
            minutes_of(_VARIANTS * 2 * timing.respond, TRACED, _READOUTS),
            True,
        ),
    ]
    if asked["confounder"]:
        steps.append(PlannedStep("confounder", "class or origin: what makes neighbours?", minutes_of(timing.respond)))
    if asked["mitigation"]:
        steps.append(
            PlannedStep(
                "mitigation",
                "what is confirmed is pruned, then tested again",
                minutes_of((_LAYERS + 4 * PLACEBOS) * (timing.respond + timing.edit), EDITED),
            )
        )
    return steps


def fitted(plan: Plan) -> Plan:
    """The plan within its budget.

    Images are sampled first, down to `ENOUGH`; then the dearest step that is not asked for is left out, and so on; then
    images are sampled down to `LEAST`. As many artefacts are proven as there are minutes left for. Raises `InputError`
    where that takes longer still.
    """
    plan = _shortened(plan)
    return plan if plan.budget is None else replace(plan, cases=_affordable(plan, plan.budget))


def _affordable(plan: Plan, budget: float) -> int:
    """Artefacts that the minutes suffice for that other steps leave; one in any case."""
    limited = [step for step in plan.planned if step.cases]
    if not limited:
        return CASES
    proof = limited[0].minutes(plan.images)
    each = proof / limited[0].cases
    spare = budget - plan.minutes + proof
    return CASES if each * CASES <= spare else max(int(spare / each), 1)


def _shortened(plan: Plan) -> Plan:
    """With fewer images and steps, where the budget asks for it."""
    if plan.budget is None or plan.minutes <= plan.budget:
        return plan
    for least in (ENOUGH, LEAST):
        current = plan
        while True:
            sampled = _sampled(current, least)
            if sampled is not None:
                return sampled
            dearest = _dearest(current)
            if dearest is None:
                break
            current = replace(
                current, planned=[_left_out(step) if step is dearest else step for step in current.planned]
            )
    smallest = replace(current, images=min(LEAST, plan.all_images))
    raise InputError(
        f"even {smallest.images} images take about {_rounded(smallest.minutes)} without all that can be left out, and "
        f"the budget is {plan.budget:g} minutes: raise it."
    )


def _sampled(plan: Plan, least: int) -> Plan | None:
    """With as many images as fit, where that are enough."""
    least = min(least, plan.all_images)
    sizes = [n for n in range(plan.all_images, least - 1, -1) if replace(plan, images=n).minutes <= (plan.budget or 0)]
    return replace(plan, images=sizes[0]) if sizes else None


def _dearest(plan: Plan) -> PlannedStep | None:
    optional = [step for step in plan.planned if step.optional and not step.note]
    return max(optional, key=lambda step: step.minutes(plan.images), default=None)


def _left_out(step: PlannedStep) -> PlannedStep:
    return replace(step, note="left out, so that the budget suffices")


def spread(count: int, wanted: int, seed: int) -> NDArray[np.intp]:
    """Indices of so many of ``count`` images: evenly spread, from a start that is drawn."""
    start = np.random.default_rng(seed).random()
    return np.floor((np.arange(wanted) + start) * count / wanted).astype(np.intp)


def _rounded(minutes: float) -> str:
    if minutes < 1.5:
        return "a minute"
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
