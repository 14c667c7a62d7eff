"""What an audit found, one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chinspect.report import Block, Tone

Status = Literal["confirmed", "stress", "candidate", "undecided", "not_causal", "untested", "clear"]
"""Gravest first.

* ``confirmed``: an intervention moved the model more than other content in its place does, at the level of the audit.
* ``stress``: decisions, or which images are neighbours, change with what should not matter.
* ``candidate``: maps of few images are alike, beyond chance; no intervention has been made.
* ``undecided``, ``not_causal``: it was looked at, and left open, or an intervention found nothing.
* ``untested``: could not be looked at, for a reason that the sentence gives.
* ``clear``: was looked at, and nothing was found.
"""
LEVEL = 0.05
"""Probability, at most, that an audit confirms anything that does no more than other content in its place."""
GRAVE: tuple[Status, ...] = ("confirmed", "stress", "candidate")
"""Those that can fail a gate."""
TONES: Mapping[Status, Tone] = {"confirmed": "bad", "stress": "bad", "clear": "good", "not_causal": "good"}
"""All others are ``unsure``."""


@dataclass(frozen=True, eq=False)
class AuditFinding:
    """One thing that was looked at, and what came out.

    Attributes:
        key: names the same thing in another run, such as ``stress/pillow-bilinear``.
        status: what came out.
        title: of a few words.
        sentence: evidence and uncertainty in plain words.
        advice: what to do next; empty where there is nothing to do.
        numbers: by name, JSON values: ``estimate``, ``low``, ``high``, ``p_value`` and others, beside their controls.
        members: names of the images that it was found in.
        blocks: the evidence, as a report shows it.
        lead: the evidence in one short sentence, for the verdict of a report; by default all of ``sentence``.
    """

    key: str
    status: Status
    title: str
    sentence: str
    advice: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    members: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    lead: str = ""

    def document(self) -> dict[str, Any]:
        """All but the blocks, as JSON values."""
        return {
            "key": self.key,
            "status": self.status,
            "title": self.title,
            "sentence": self.sentence,
            "advice": self.advice,
            "numbers": dict(self.numbers),
            "members": list(self.members),
        }
