"""What a proof says, as numbers, a sentence and blocks of a finding: the same for encoders and detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chinspect.proof import RELIES, Proof, Trial
from chinspect.report import Block, Paragraph, Result, Section


def proof_numbers(proof: Proof) -> dict[str, Any]:
    """Of the trial that speaks most for reliance, as JSON values; none without any."""
    if not proof.trials:
        return {}
    trial = _strongest(proof)
    low, high = trial.bounds
    return {
        "effect": proof.decides,
        "edit": trial.edit,
        "estimate": trial.effect,
        "low": low,
        "high": high,
        "p_value": trial.p_value,
        "trials": trial.rule.trials,
        "placebo_mean": float(trial.placebos.mean()),
        "placebos": len(trial.placebos),
        "exceeded": trial.exceeded,
    }


def proof_lead(proof: Proof) -> str:
    """The trial of an encoder that speaks most for reliance, in a sentence; nothing without any."""
    if not proof.trials:
        return ""
    trial = _strongest(proof)
    low, high = trial.bounds
    placebos = trial.sign * trial.placebos
    doing = "is laid on" if trial.edit == "add" else "is taken away from"
    return (
        f"The model {RELIES[proof.verdict]} it: where it {doing} two images, their cosine similarity changes by "
        f"{trial.effect:+.2g} ({low:.2g} to {high:.2g}); by at most {trial.sign * placebos.max():+.2g} for "
        f"{len(placebos)} other contents in its place."
    )


def proof_blocks(proof: Proof) -> list[Block]:
    """All that a proof's own page shows, in a row."""
    return [block for section in sections_of(proof) for block in (Paragraph(f"{section.title}."), *section.blocks)]


def sections_of(result: Result) -> Sequence[Section]:
    """Those of the page of a result; none where it has none."""
    page = result.page()
    return () if page is None else page.sections


def _strongest(proof: Proof) -> Trial:
    return min(proof.trials, key=lambda trial: (not trial.passed, trial.p_value))
