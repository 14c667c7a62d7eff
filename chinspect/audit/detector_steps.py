"""Steps of a detector's audit: what was done, and what one that failed leaves, which is a finding with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pandas as pd

from chinspect.audit.finding import AuditFinding
from chinspect.errors import InputError, failure

T = TypeVar("T")
Count = Callable[[int, int], None]
Progress = Callable[[str, int, int], None]
"""Called with the step, the number done and in all."""


class DetectorSteps:
    """Runs steps; none that fails or is stopped takes the others with it.

    Attributes:
        stopped: whether Ctrl-C was pressed: steps behind it are not begun.
        untested: a finding for each step that failed or was not begun.
    """

    def __init__(self, images: int, progress: Progress | None = None) -> None:
        self.stopped = False
        self.untested: list[AuditFinding] = []
        self._images = images
        self._progress = progress
        self._rows: list[dict[str, object]] = []

    def run(self, name: str, function: Callable[[Count], T]) -> T | None:
        """What the step gives; None where it failed or was stopped. ``function`` takes its progress."""
        if self.stopped:
            self.leave_out(name, "the audit was stopped before")
            return None
        start = time.perf_counter()
        result = None
        state = "done"
        note = ""
        try:
            result = function(self._counter(name))
        except KeyboardInterrupt:
            self.stopped = True
            state = "stopped"
            note = "it was stopped; the same call goes on"
        except Exception as error:  # whatever it is, the findings of the other steps are not lost
            state = "failed"
            note = str(error) if isinstance(error, InputError) else failure(error)
        self._note(name, state, note, time.perf_counter() - start)
        return result

    def leave_out(self, name: str, reason: str) -> None:
        """Notes a step that cannot be done."""
        self._note(name, "left out", reason, 0.0)

    @property
    def table(self) -> pd.DataFrame:
        """A row a step: ``step``, ``state``, ``images``, ``seconds``, ``note``."""
        return pd.DataFrame(self._rows, columns=["step", "state", "images", "seconds", "note"])

    def _note(self, name: str, state: str, note: str, seconds: float) -> None:
        images = 0 if state == "left out" else self._images
        row = {"step": name, "state": state, "images": images, "seconds": round(seconds, 1), "note": note}
        self._rows.append(row)
        if state != "done":
            sentence = f"{name.capitalize()}: {note.rstrip('.')}."
            self.untested.append(AuditFinding(f"step/{name}", "untested", name.capitalize(), sentence))

    def _counter(self, name: str) -> Count:
        def count(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(name, done, total)

        return count
