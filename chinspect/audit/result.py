"""The result of an audit: findings, gravest first, what was done, and the page that shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, get_args

import pandas as pd

from chinspect.audit.finding import TONES, AuditFinding, Status
from chinspect.files import replacing
from chinspect.report import Page, Paragraph, Result, Section, Table, page_markdown, write_page


@dataclass(frozen=True, eq=False, repr=False)
class Audit(Result):
    """What an audit did and found.

    Attributes:
        title: what was audited, such as ``efficientnet-lite0 on photographs``.
        subject: ``encoder``, ``classifier`` or ``detector``.
        findings: gravest first.
        steps: a row a step: ``step``, ``state`` (done, left out, stopped), ``images``, ``seconds``, ``note``.
        level: the probability, at most, that anything is confirmed that does no more than other content in its place.
        sections: further sections of the page, behind the findings.
        made: how it was computed, as JSON values.
    """

    stem: ClassVar[str] = "audit"

    title: str
    subject: str
    findings: Sequence[AuditFinding]
    steps: pd.DataFrame
    level: float
    sections: Sequence[Section] = ()
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Status:
        """The gravest status of a finding; ``untested`` where nothing was looked at."""
        statuses = {finding.status for finding in self.findings}
        return next((status for status in get_args(Status) if status in statuses), "untested")

    @property
    def stopped(self) -> bool:
        """Whether it was interrupted, so that steps are missing."""
        return bool((self.steps["state"] == "stopped").any())

    @property
    def sentence(self) -> str:
        """The verdict in words, the gravest finding, how many others there are, and the level."""
        return f"{self.title}: {_words(self.verdict)}. {self.reason}".strip()

    @property
    def reason(self) -> str:
        """The same without what was audited and the verdict."""
        if not self.findings:
            return ""
        first = next(finding for finding in self.findings if finding.status == self.verdict)
        others = Counter(finding.status for finding in self.findings if finding is not first)
        counts = [f"{others[status]} {_words(status)}" for status in get_args(Status) if others[status]]
        told = f" Beside it: {', '.join(counts)}." if counts else ""
        return f"{first.title.rstrip('.')}. {first.lead or first.sentence}{told} {self.level_sentence}"

    @property
    def level_sentence(self) -> str:
        """How often an audit confirms something where there is nothing, in words."""
        return (
            f"All artefacts are tested at one level: with a probability of {100 * self.level:g} %, at most, does the "
            "audit confirm anything that does no more than other content in its place."
        )

    def document(self) -> dict[str, Any]:
        """Everything but the evidence, as JSON values."""
        return {
            "kind": "audit",
            "title": self.title,
            "subject": self.subject,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "level": self.level,
            "findings": [finding.document() for finding in self.findings],
            "steps": self.steps.to_dict("records"),
            "made": dict(self.made),
        }

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """Findings, gravest first."""
        rows = [(_words(finding.status), finding.title) for finding in self.findings]
        return {"findings": pd.DataFrame(rows, columns=["status", "finding"])}

    def page(self) -> Page:
        """The report."""
        sections = [_section(finding) for finding in self.findings]
        done = Section("What was done", [Table(self.steps, "Steps of the audit")])
        tone = TONES.get(self.verdict, "unsure")
        return Page(self.title, _words(self.verdict), tone, self.reason, [*sections, *self.sections, done], self.made)

    def _save_page(self, path: Path) -> list[Path]:
        """``report.html``, and ``report.md`` for places that block scripts."""
        page = self.page()
        text = path.with_name("report.md")
        with replacing(text) as temporary:
            temporary.write_text(page_markdown(page), encoding="utf-8")
        return [write_page(path.with_name("report.html"), page), text]


def _section(finding: AuditFinding) -> Section:
    """A finding with its evidence, and what to do."""
    advice = [Paragraph(finding.advice)] if finding.advice else []
    blocks = [Paragraph(finding.sentence), *finding.blocks, *advice]
    tone = TONES.get(finding.status, "unsure")
    return Section(finding.title, blocks, note=_words(finding.status), tone=tone)


def _words(status: Status) -> str:
    return status.replace("_", " ")
