"""A remedy for what an audit confirmed, judged by the tests that confirmed it.

For each artefact, the channels of one layer that respond to it most are silenced: the layer and the number whose
pruning brings embeddings of images with the artefact back to where they lie without it (`rank_edits`, which also counts
what pruning does to them beyond that). No labels are needed. The choice is made on images that take no part in the
proof. Then the proof is made again on the same images, beside a control, in which as many random channels of the same
layer are silenced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from chinspect.artefacts import Pixels
from chinspect.audit.records import proofs_of
from chinspect.encoders import EditedEncoder, Encoder, Prune, candidate_layers, edited
from chinspect.errors import InputError
from chinspect.mitigate import random_channels, rank_edits, responsiveness, top_channels
from chinspect.proof import Case, Proof
from chinspect.readouts import Pairs

_PROBED = 5  # channels of each layer by which layers are ranked, as in Kauffmann et al. 2025
_KS = (1, 2, 3, 5, 10, 20)
_IMAGES = 32
BEFORE = "before"
PRUNED = "pruned"
CONTROL = "random channels pruned"


@dataclass(frozen=True, eq=False)
class Repair:
    """A pruned encoder, and what the artefacts do to it.

    Attributes:
        encoder: pruned.
        edits: by which, one an artefact.
        proofs: of the same artefacts by state: before, pruned, random channels pruned.
        table: artefact, state, edit, estimate, low, high, verdict.
        moved: by state, what pruning does to images without an artefact: 1 - mean cosine to their embeddings before.
    """

    encoder: EditedEncoder
    edits: Sequence[Prune]
    proofs: dict[str, Sequence[Proof]]
    table: pd.DataFrame
    moved: dict[str, float]

    @property
    def sentence(self) -> str:
        """What was pruned, and what the artefacts do then, beside the control."""
        clauses = []
        for edit, before, after, control in zip(self.edits, *self.proofs.values(), strict=True):
            old, new, other = (_added(proof) for proof in (before, after, control))
            clauses.append(
                f"{before.artefact.name}: {len(edit.channels)} channels of {edit.layer} are silenced, and the effect "
                f"of the artefact goes from {old:+.3g} to {new:+.3g} ({other:+.3g} with as many random channels); it "
                f"is {after.verdict.replace('_', ' ')} then"
            )
        cost = f"Embeddings of images without it turn by {self.moved[PRUNED]:.2g} (1 - cosine)"
        return f"{'; '.join(clauses)}. {cost}; {self.moved[CONTROL]:.2g} with the random channels."


def repaired(
    encoder: Encoder,
    confirmed: Sequence[tuple[Case, Proof]],
    store: Path,
    *,
    level: float,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Repair:
    """Prunes an encoder of artefacts, and makes their proofs again.

    Raises `InputError` for an encoder that has no layer to prune.
    """
    cases = [case for case, _ in confirmed]
    edits = []
    controls = []
    for number, case in enumerate(cases):
        edit, control = _choice(encoder, case, seed + number)
        edits.append(edit)
        controls.append(control)
    encoders = {PRUNED: edited(encoder, *edits), CONTROL: edited(encoder, *controls)}
    proofs: dict[str, Sequence[Proof]] = {BEFORE: [proof for _, proof in confirmed]}
    for number, (state, changed) in enumerate(encoders.items()):

        def count(done: int, total: int, number: int = number) -> None:
            if progress is not None:
                progress(number * total + done, len(encoders) * total)

        proofs[state] = proofs_of(changed, cases, store, level=level, seed=seed, progress=count)
    plain = [pixels for case in cases for pixels in case.clean]
    old = encoder.respond(plain)
    moved = {state: _turned(old, changed.respond(plain)) for state, changed in encoders.items()}
    return Repair(encoders[PRUNED], edits, proofs, _table(proofs), moved)


def _choice(encoder: Encoder, case: Case, seed: int) -> tuple[Prune, Prune]:
    """The pruning that repairs most, and its control."""
    if not candidate_layers(encoder):
        raise InputError(f"{encoder.name!r} has no layer whose channels could be pruned: use chinspect.unlearn.")
    images = _unused(case)[:_IMAGES]
    pairs = Pairs([Image.fromarray(case.artefact.add(x)) for x in images], [Image.fromarray(x) for x in images])
    responses = responsiveness(encoder, pairs)
    limits = {str(layer): len(rows) // 2 for layer, rows in responses.groupby("layer", sort=False)}
    probes = [top_channels(responses, layer, min(_PROBED, most)) for layer, most in limits.items() if most]
    layer = rank_edits(encoder, probes, pairs)[0][0].layer
    sizes = [top_channels(responses, layer, k) for k in _KS if k <= limits[layer]]
    best = rank_edits(encoder, sizes, pairs)[0][0]
    return best, random_channels(responses, best, seed)


def _unused(case: Case) -> Sequence[Pixels]:
    """Images without the artefact that are not tested on; those that are, where there are no others."""
    return case.pool if len(case.pool) >= 2 else case.clean


def _turned(old: np.ndarray, new: np.ndarray) -> float:
    lengths = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    return float(1 - ((old * new).sum(1) / np.maximum(lengths, 1e-12)).mean())


def _added(proof: Proof) -> float:
    """The effect of the first trial that was made: adding, where there are images for it."""
    return proof.trials[0].effect


def _table(proofs: dict[str, Sequence[Proof]]) -> pd.DataFrame:
    rows = []
    for state, made in proofs.items():
        for proof in made:
            for trial in proof.trials:
                low, high = trial.bounds
                verdict = trial.verdict.replace("_", " ")
                rows.append((proof.artefact.name, state, trial.edit, trial.effect, low, high, verdict))
    return pd.DataFrame(rows, columns=["artefact", "state", "edit", "estimate", "low", "high", "verdict"])
