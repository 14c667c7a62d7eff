"""What a set of alike maps means for a detector: a defect, a mark that should not matter, or neither.

A detector that finds a defect goes by that defect, and defects of one type may lie alike. So of each candidate it is
asked whether it lies on the masks of its members: where at least half of their positive relevance does, and nine in ten
members are defective, it is what the detector is for, and ``clear``. Without masks, a candidate with so many defects
among its members, more than chance puts there, is no more than a ``candidate``, even if the intervention confirms that
scores hang on it: it may be the defect itself.

The proof asks whether scores react to a mark more than to other content of the same size in its place, and of a
detector the answer is often no: anything foreign is anomalous. So a mark that raises scores no more than that is still
told. Where images are labelled, normal members are asked: a mark on normal images should not matter, and where

1. laying it over other images raises their scores, or taking it away lowers them, with the whole interval, and
2. normal images with the mark are called anomalous more often than other normal images (Fisher's exact test, one-sided,
   at 5 % over all candidates),

it is a ``stress``. Sets are chosen by their maps, which are not independent of alarms, so that this level is nominal;
step 1. stands beside it. With 1. alone it is a ``candidate``: whether it is a defect only people can tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import fisher_exact, hypergeom

from chinspect.audit.detector_images import AuditedImages
from chinspect.audit.finding import LEVEL, Status
from chinspect.errors import InputError
from chinspect.proof import Proof
from chinspect.spray import Candidate, SprayRun

_ON_DEFECT = 0.5  # of the relevance: most of it lies on the defect
_DEFECTIVE = 0.9  # of the members: more than a mark that any image may carry would have


def on_defects(run: SprayRun, candidate: Candidate, tested: AuditedImages) -> tuple[float, float]:
    """The fraction of defective images among the members, and that of their positive relevance inside their masks.

    The second is nan where no member has a mask that can be used, and of spectra.
    """
    members = members_of(run, candidate, tested)
    defective = float(np.mean([tested.category.labels[i] == 1 for i in members.values()]))
    inside = []
    for index, mask in _masks(run, members, tested).items():
        if not isinstance(mask, InputError):
            relevance = np.clip(run.maps[index], 0, None)
            covered = _covered(mask, (relevance.shape[0], relevance.shape[1]))
            inside.append(float((relevance * covered).sum() / max(relevance.sum(), 1e-12)))
    return defective, float(np.mean(inside)) if inside else math.nan


def unusable_masks(run: SprayRun, candidate: Candidate, tested: AuditedImages) -> str:
    """Which masks of members are left out, such as one that marks nothing, and why; nothing where all can be used."""
    masks = _masks(run, members_of(run, candidate, tested), tested).values()
    reasons = [str(mask) for mask in masks if isinstance(mask, InputError)]
    if not reasons:
        return ""
    return f"{len(reasons)} of their masks {'is' if len(reasons) == 1 else 'are'} left out, the first as: {reasons[0]}"


def _masks(
    run: SprayRun, members: Mapping[int, int], tested: AuditedImages
) -> dict[int, NDArray[np.bool_] | InputError]:
    """The masks of members that have one, by the index of their map, or why it cannot be used; none of spectra."""
    masks: dict[int, NDArray[np.bool_] | InputError] = {}
    for index, i in members.items():
        if tested.category.masks[i] is not None and not run.spectra:
            try:
                masks[index] = tested.category.mask(i)
            except InputError as error:
                masks[index] = error
    return masks


def raises_scores(proof: Proof) -> bool:
    """Whether adding raises scores or removing lowers them, with the whole interval at the level of the proof.

    A removal that raises them says nothing: what is painted over is foreign itself.
    """
    return any(trial.bounds[0] > 0 if trial.edit == "add" else trial.bounds[1] < 0 for trial in proof.trials)


def alarms_on_normals(
    run: SprayRun, candidate: Candidate, tested: AuditedImages, threshold: float
) -> dict[str, float | int]:
    """How many normal images are called anomalous, with the mark and without it, and Fisher's exact p-value.

    Without labels, nothing is known of normal images, and the table is empty.
    """
    if not tested.labelled:
        return {}
    position = {str(path): i for i, path in enumerate(tested.category.test)}
    assert run.paths is not None
    normal = np.array([tested.category.labels[position[str(path)]] == 0 for path in run.paths])
    alarm = np.asarray(run.scores["value"]) > threshold
    member = np.isin(np.arange(len(run.maps)), candidate.indices)
    table = [[int((normal & group & decided).sum()) for decided in (alarm, ~alarm)] for group in (member, ~member)]
    return {
        "alarms_with": table[0][0],
        "normals_with": sum(table[0]),
        "alarms_without": table[1][0],
        "normals_without": sum(table[1]),
        "alarms_p": float(fisher_exact(table, alternative="greater").pvalue),
    }


def reaction(alarms: Mapping[str, float | int], family: int) -> tuple[Status, str]:
    """The status of a mark that raises scores as other content in its place does, and a sentence."""
    words = "Scores react to it, though no more than to other content in its place: anything foreign is anomalous"
    if not alarms:
        return "candidate", f"{words}. Whether it is a defect only people can tell."
    p = min(alarms["alarms_p"] * family, 1.0)
    counted = (
        f"{alarms['alarms_with']} of {alarms['normals_with']} normal images that carry it are called anomalous, and "
        f"{alarms['alarms_without']} of {alarms['normals_without']} others (p = {p:.2g} corrected for {family} tests)"
    )
    return ("stress" if p <= LEVEL else "candidate"), f"{words}. {counted}."


def beside_defects(
    run: SprayRun, candidate: Candidate, tested: AuditedImages, status: Status, defective: float, inside: float
) -> tuple[Status, str]:
    """The status of a candidate, and a sentence, by how its members lie to the defects."""
    words = f"{defective:.0%} of these images are defective, as {tested.category.labels.mean():.0%} of all are"
    if defective < _DEFECTIVE:
        return status, f"{words}."
    if not math.isnan(inside):
        words += f", and {inside:.0%} of their relevance lies on the marked defects"
        if inside >= _ON_DEFECT:
            return "clear", f"{words}: this is what the detector is for."
        return status, f"{words}: most of it lies elsewhere."
    count = round(defective * candidate.size)
    everyone = len(run.maps)
    p = float(hypergeom.sf(count - 1, everyone, int(tested.category.labels.sum()), candidate.size))
    if p <= LEVEL and status in ("confirmed", "stress"):
        status = "candidate"
    if p <= LEVEL:
        return status, f"{words} (p = {p:.2g}): without masks nobody can tell whether it is the defect itself."
    return status, f"{words}."


def members_of(run: SprayRun, candidate: Candidate, tested: AuditedImages) -> dict[int, int]:
    """From indices of maps to indices of images, of the members."""
    position = {str(path): i for i, path in enumerate(tested.category.test)}
    assert run.paths is not None
    return {int(index): position[str(run.paths[index])] for index in candidate.indices}


def _covered(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.float64]:
    """The fraction of each cell (h, w) that a mask covers: detectors squash images, so that the frame is the same."""
    picture = Image.fromarray(mask.astype(np.float32))
    height, width = shape
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=np.float64)
