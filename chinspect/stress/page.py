"""The page of a stress test: errors under each condition, scores beside the frozen threshold, what moves them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pandas as pd

from chinspect.report import Block, Histogram, Intervals, Page, Paragraph, Section, Table, Tone, records
from chinspect.stress.report import KEYS, StressReport
from chinspect.stress.scoring import NONE

_RATES = {"fpr": "normal images called anomalous (FPR)", "fnr": "defects missed (FNR)"}
_DRAWN = 4  # histograms: the training resizer, and the conditions that move scores most
_LIBRARIES = ("chinspect", "torch", "numpy", "opencv-python-headless", "pillow")


def compose(report: StressReport) -> Page:
    """The page. Its verdict is of the detector without remedies: whether a rate of error leaves its interval."""
    own = report.table[report.table.mitigation == NONE]
    before, *changed = records(own)
    broken = [row for row in changed if _breaks(before, row)]
    conditions = len(changed)
    verdict = f"decisions break under {len(broken)} of {conditions} conditions" if broken else "decisions hold"
    tone: Tone = "bad" if broken else "good" if conditions else "unsure"
    verdicts = report.verdicts
    sections = [
        _errors(report, verdicts["errors"], tone),
        _scores(report, own, verdicts["scores"]),
        _table("What the new resizer does, step by step", "Steps", report.steps, verdicts["steps"]),
        _table(
            "Could it have been known before?", "Predictions", report.tables()["predictions"], verdicts["prediction"]
        ),
        _trust(report),
    ]
    return Page(
        title=f"Do the decisions of {report.detector} on {report.dataset} survive deployment?",
        verdict=verdict if conditions else "nothing was changed",
        tone=tone,
        sentence=" ".join(filter(None, [_broken(broken), verdicts["errors"], verdicts["scores"]])) or report.sentence,
        sections=[section for section in sections if section.blocks],
        made={
            "detector": report.detector,
            "dataset": report.dataset,
            "protocol of the threshold": report.protocol,
            "fitted with the resizer": report.train_resizer,
            "versions": {name: version(name) for name in _LIBRARIES},
        },
    )


def _breaks(before: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a rate of error is above that of before, by more than both intervals."""
    return any(row[f"{rate}_low"] > before[f"{rate}_high"] for rate in _RATES)


def _broken(rows: list[dict[str, Any]]) -> str:
    """Under which conditions decisions break, and by how much."""
    if not rows:
        return ""
    told = [f"{_name(row)} ({row['fpr']:.0%} false alarms, {row['fnr']:.0%} missed)" for row in rows]
    return f"More errors, beyond both intervals, under {', '.join(told)}."


def _errors(report: StressReport, verdict: str, tone: Tone) -> Section:
    table = report.table
    names = [_name(row) for row in records(table)]
    blocks: list[Block] = []
    before = table.iloc[0]
    for rate, words in _RATES.items():
        rows = pd.DataFrame(
            {
                "name": names,
                "estimate": table[rate].to_numpy(),
                "low": table[f"{rate}_low"].to_numpy(),
                "high": table[f"{rate}_high"].to_numpy(),
                "control": (table.resizer == report.train_resizer) & (table.change == NONE),
            }
        )
        caption = f"{words[0].upper()}{words[1:]}, 95 % intervals; the control is the training resizer, unchanged"
        blocks.append(Intervals(rows, words, caption, zero=float(before[rate])))
    ((title, overview),) = report.overview().items()
    return Section("Errors under each condition", [*blocks, Table(overview, title)], note=verdict, tone=tone)


def _scores(report: StressReport, own: pd.DataFrame, verdict: str) -> Section:
    """Histograms of the training resizer and of what moves scores most, each with the threshold of its row."""
    moved = own.iloc[1:][["shift_normal", "shift_defect"]].abs().max(axis=1).sort_values(ascending=False, kind="stable")
    rows = own.loc[[own.index[0], *moved.index[: _DRAWN - 1]]]
    scores = dict(list(report.scores.groupby(list(KEYS), sort=False)))
    blocks: list[Block] = []
    for row in records(rows):
        single = scores[row["mitigation"], row["resizer"], row["change"]]
        groups = {
            name: single.score[single.label == label].to_numpy() for label, name in ((0, "normal"), (1, "defect"))
        }
        caption = (
            f"{_name(row)}: {row['fpr']:.0%} of normal images called anomalous, {row['fnr']:.0%} of defects missed"
        )
        blocks.append(Histogram(groups, "anomaly score", caption, threshold=float(row["threshold"])))
    return Section("Scores and the frozen threshold", blocks, note=verdict)


def _table(title: str, caption: str, table: pd.DataFrame, verdict: str) -> Section:
    return Section(title, [Table(table, caption)] if len(table) else [], note=verdict)


def _trust(report: StressReport) -> Section:
    texts = [report.sentence, *report.remarks()]
    return Section("What to know before believing it", [Paragraph(text) for text in texts])


def _name(row: dict[str, Any]) -> str:
    name: str = row["resizer"] if row["change"] == NONE else row["change"]
    return name if row["mitigation"] == NONE else f"{name}, with {row['mitigation']}"
