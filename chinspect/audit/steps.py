"""Steps of an audit: each is run, what became of it is noted, and none that fails or is stopped loses the others.

A step that is stopped by Ctrl-C is noted as ``stopped``, and those behind it are not begun; the audit goes on to report
what is there. An error in a step is its reason, and the next step begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pandas as pd

from chinspect.audit.plan import Plan
from chinspect.errors import InputError, failure

T = TypeVar("T")
Count = Callable[[int, int], None]
Progress = Callable[[str, int, int], None]
"""Called with what is done, with the number done and in all; the number in all changes within a step."""
_STATES = ("done", "failed", "left out", "stopped", "not begun")


class Steps:
    """Runs the steps of a plan.

    Attributes:
        stopped: whether one was stopped.
        reasons: why steps failed, by their names.
    """

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        self.stopped = False
        self.reasons: dict[str, str] = {}
        self._plan = plan
        self._progress = progress
        self._rows: dict[str, dict[str, object]] = {}

    def run(self, name: str, function: Callable[[Count], T]) -> T | None:
        """What the step gives, which is called with a function that takes its progress; None where there is nothing."""
        step = next(step for step in self._plan.planned if step.name == name)
        if step.note or self.stopped:
            self.skip(name, step.note or "the audit was stopped before")
            return None
        start = time.perf_counter()
        result = None
        state, note = "done", step.what
        try:
            result = function(self._count(name))
        except Exception as error:  # whatever it is, what the other steps bring is not lost
            note = str(error) if isinstance(error, InputError) else failure(error)
            self.reasons[name] = note
            state = "failed"
        except KeyboardInterrupt:
            self.stopped = True
            state, note = "stopped", "the same command goes on"
        self._noted(name, state, note, time.perf_counter() - start)
        return result

    def skip(self, name: str, reason: str) -> None:
        """Notes a step that there is nothing to do for."""
        self._noted(name, "not begun" if self.stopped else "left out", reason)

    @property
    def table(self) -> pd.DataFrame:
        """A row a step: step, state, images, seconds, note."""
        return pd.DataFrame(list(self._rows.values()), columns=["step", "state", "images", "seconds", "note"])

    def _noted(self, name: str, state: str, note: str, seconds: float = 0.0) -> None:
        assert state in _STATES
        images = self._plan.images if state in ("done", "failed") else 0
        columns = {"step": name, "state": state, "images": images, "seconds": round(seconds, 1), "note": note}
        self._rows[name] = columns

    def _count(self, name: str) -> Count:
        names = [step.name for step in self._plan.planned if not step.note]
        position = names.index(name)
        later = sum(
            step.minutes(self._plan.images) for step in self._plan.planned if step.name in names[position + 1 :]
        )
        what = f"{name}, step {position + 1} of {len(names)}" + (f", then about {later:.0f} min" if later >= 1 else "")

        def count(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(what, done, total)

        return count
