"""Sections of a page beyond its findings: strategies, pairs, the remedy, and where everything can be read."""

from __future__ import annotations

from chinspect.audit.evidence import Evidence
from chinspect.audit.pictures import pair_viewer
from chinspect.audit.proofs import sections_of
from chinspect.report import Block, Paragraph, Section, Table

_LISTED = 20


def encoder_sections(evidence: Evidence) -> list[Section]:
    """As far as the audit came."""
    sections: list[Section] = []
    if evidence.run is not None:  # the candidates, which come first on its own page, are findings here
        sections += sections_of(evidence.run)[len(evidence.run.flagged) :]
    pairs = evidence.pairs
    if pairs is not None and len(pairs):
        first = pairs.iloc[0]
        blocks: list[Block] = [
            Paragraph(
                "Neighbours by how much of what makes them similar lies in the same place in both, beside shuffled "
                "pairs. It ranks what to look at; an intervention decides."
            ),
            *pair_viewer(evidence, str(first["a"]), str(first["b"])),
            Table(pairs.head(_LISTED), f"The first {min(_LISTED, len(pairs))} of {len(pairs)} pairs"),
        ]
        sections.append(Section("Suspicious pairs", blocks))
    if evidence.repair is not None:
        blocks = [Paragraph(evidence.repair.sentence), Table(evidence.repair.table, "Before and after")]
        sections.append(Section("Remedy", blocks))
    return sections
