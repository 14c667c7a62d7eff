"""Steps of an audit: each is run, what became of it is noted, and none that fails or is stopped loses the others.

A step that is stopped by Ctrl-C is noted as ``stopped``, and those behind it are not begun; the audit goes on to report
what is there. An error in a step is its reason, and the next step begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pandas as pd

from chinspect.audit.plan import Plan, PlannedStep
from chinspect.errors import InputError, failure

T = TypeVar("T")
Count = Callable[[int, int], None]
Progress = Callable[[str, int, int], None]
"""Called with what is done, with the number done and in all; the number in all changes within a step."""
_STATES = ("done", "failed", "left out", "stopped", "not begun")


class Steps:
    """Runs steps on so many images.

    Attributes:
        stopped: whether one was stopped.
        reasons: why steps failed, by their names.
    """

    def __init__(self, images: int, progress: Progress | None = None) -> None:
        self.stopped = False
        self.reasons: dict[str, str] = {}
        self._images = images
        self._progress = progress
        self._rows: dict[str, dict[str, object]] = {}

    def run(self, name: str, function: Callable[[Count], T]) -> T | None:
        """What the step gives, which is called with a function that takes its progress; None where there is nothing."""
        if self.stopped:
            self.skip(name, "the audit was stopped before")
            return None
        start = time.perf_counter()
        result = None
        state, note = "done", self._what(name)
        try:
            result = function(self._count(self._caption(name)))
        except Exception as error:  # whatever it is, what the other steps bring is not lost
            note = str(error) if isinstance(error, InputError) else failure(error)
            self.reasons[name] = note
            state = "failed"
        except KeyboardInterrupt:
            self.stopped = True
            state, note = "stopped", "it was stopped; the same command goes on"
        self._note(name, state, note, time.perf_counter() - start)
        return result

    def skip(self, name: str, reason: str) -> None:
        """Notes a step that there is nothing to do for."""
        self._note(name, "not begun" if self.stopped else "left out", reason)

    def state(self, name: str) -> str:
        """What became of a step that was run or skipped."""
        return str(self._rows[name]["state"])

    @property
    def table(self) -> pd.DataFrame:
        """A row a step: step, state, images, seconds, note."""
        return pd.DataFrame(list(self._rows.values()), columns=["step", "state", "images", "seconds", "note"])

    def _what(self, name: str) -> str:  # noqa: ARG002, for plans
        """What a step does, in words."""
        return ""

    def _caption(self, name: str) -> str:
        """What its progress is shown with."""
        return name

    def _note(self, name: str, state: str, note: str, seconds: float = 0.0) -> None:
        assert state in _STATES
        images = self._images if state in ("done", "failed") else 0
        columns = {"step": name, "state": state, "images": images, "seconds": round(seconds, 1), "note": note}
        self._rows[name] = columns

    def _count(self, caption: str) -> Count:
        def count(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(caption, done, total)

        return count


class PlannedSteps(Steps):
    """Runs the steps of a plan within its budget.

    What the plan leaves out is made up for where the steps before it took less than expected, as proofs do that nothing
    called for; what may be left out and comes too late is. Steps that no plan mentions take no time.
    """

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        super().__init__(plan.images, progress)
        self._plan = plan
        self._start = time.perf_counter()

    def run(self, name: str, function: Callable[[Count], T]) -> T | None:
        """As of other steps; None where the plan, or its budget by now, has a reason to leave it out."""
        reason = self._reason(self._step(name))
        if reason:
            self.skip(name, reason)
            return None
        return super().run(name, function)

    def _reason(self, step: PlannedStep) -> str:
        """Why a step is left out; nothing where it is not."""
        if self._plan.budget is None or not step.optional:
            return step.note
        left = self._plan.budget - (time.perf_counter() - self._start) / 60
        minutes = step.minutes(self._plan.images)
        if minutes + (self._later(step) if step.note else 0) <= left:
            return ""
        return step.note or (
            f"left out, as it takes about {minutes:.1f} minutes and the budget has {max(left, 0):.1f} left; the same "
            "command goes on with it"
        )

    def _later(self, step: PlannedStep) -> float:
        """Minutes of the steps behind one, but for those that are left out."""
        if step not in self._plan.planned:
            return 0.0
        behind = self._plan.planned[self._plan.planned.index(step) + 1 :]
        return sum(other.minutes(self._plan.images) for other in behind if not other.note)

    def _step(self, name: str) -> PlannedStep:
        known = (step for step in self._plan.planned if step.name == name)
        return next(known, PlannedStep(name, "", lambda _: 0.0))

    def _what(self, name: str) -> str:
        return self._step(name).what

    def _caption(self, name: str) -> str:
        step = self._step(name)
        if step not in self._plan.planned:
            return name
        steps = [one for one in self._plan.planned if one is step or not one.note]
        later = self._later(step)
        left = f", then about {later:.0f} min" if later >= 1 else ""
        return f"{name}, step {steps.index(step) + 1} of {len(steps)}{left}"
