"""Does a detector decide the same behind another resizer, or when acquisition changes a little?

Each condition is a finding: how many decisions turn at the frozen threshold, beside the placebo (the rule stands in
`chinspect.audit.decisions`), and what that means: alarms on normal images beside the rate that the threshold
guarantees, missed defects, whether the scores only moved (AUROC holds, a new threshold mends it) or no longer tell
(it does not). Where decisions stay while the scores of normal images move by their interquartile range or more, that is
a ``candidate``: the next threshold, or the next batch, may lie where decisions turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import betabinom

from chinspect.anomaly import guaranteed_rate
from chinspect.audit.decisions import PLACEBO, Turned, judge_changes
from chinspect.audit.detector_scores import Scored, Scores, name_of, rates, shift_of
from chinspect.audit.detector_words import advice_for, lead, predicted, predicted_words, rates_words, turned_words
from chinspect.audit.finding import AuditFinding, Status
from chinspect.images import open_image, resize
from chinspect.intervals import auroc_interval, wilson
from chinspect.report import Block, Comparison, Histogram, Intervals, Tile
from chinspect.stress import (
    Condition,
    Evaluation,
)
from chinspect.stress import change as changed
from chinspect.stress.scoring import NONE
from chinspect.stress.words import size

ACQUISITION: tuple[str, ...] = (
    *("jpeg-90", "jpeg-75-4:2:0", "gamma-0.9", "gamma-1.1", "brightness-0.95", "brightness-1.05"),
    *("shift-1px", "sharpen-2"),
)
"""Changes that cameras and formats make. Faults of a loader (colours exchanged, images turned) and changes that take
detail away (half of the resolution, JPEG at 50) are left to `chinspect.stress`: a good detector may react to them."""
_LARGE = 1.0  # interquartile ranges: so far lies a normal score of the upper quartile from the lower one
_SHOWN = 8  # images whose decisions turned, of which a reader looks at a row


def stress_findings(scored: Scored, conditions: Sequence[Condition], *, level: float = 0.05) -> list[AuditFinding]:
    """A finding for the decisions without any change, where labels tell, and one for each condition."""
    limit = scored.detector.threshold_
    after = {name_of(one): scored.scores[one] > limit for one in conditions[1:] if one.change != PLACEBO}
    turned = judge_changes(scored.trained > limit, after, scored.placebo > limit, level=level)
    findings = [_unchanged(scored, level)] if scored.tested.labelled else []
    return findings + [_finding(scored, one, turned[name_of(one)], len(turned)) for one in conditions[1:]]


def _unchanged(scored: Scored, level: float) -> AuditFinding:
    """Whether the detector tells defects from normal images at all, and keeps the rate that its threshold promises.

    With the r-th smallest of N held-out scores as threshold, the false alarms of n normal images that are like them are
    beta-binomial, with the parameters N - r + 1 and r.
    """
    detector = scored.detector
    values = Evaluation(**rates(scored, Condition(detector.resizer)))
    held_out = np.sort(detector.held_out_scores_)
    promised = guaranteed_rate(len(held_out), detector.threshold_fpr)
    rank = int(np.searchsorted(held_out, detector.threshold_, side="right"))
    alarms = round(values.fpr * values.n_normal)
    p = float(betabinom.sf(alarms - 1, values.n_normal, len(held_out) - rank + 1, max(rank, 1)))
    low, high = auroc_interval(values.auroc, values.n_defect, values.n_normal)
    told = f"AUROC {values.auroc:.2f} [{low:.2f}, {high:.2f}]"
    alarm = (
        f"{alarms} of {values.n_normal} normal images are called anomalous ({values.fpr:.0%}; the threshold guarantees "
        f"{promised:.0%} on average, p = {p:.2g} that they are like those it was set on), and {values.fnr:.0%} of "
        f"{values.n_defect} defects are missed."
    )
    status: Status = "clear"
    advice = ""
    meaning = "It tells defects from normal images, and its threshold keeps its promise"
    if low <= 0.5:
        status = "candidate"
        meaning = "It is no better than chance on these images, so that what follows says little"
        advice = "Choose another detector, or more images, before its robustness is asked for."
    elif p <= level:
        status = "candidate"
        meaning = "Normal images of this set differ from those that the threshold was set on"
        advice = "Look at the normal images that score highest, and set the threshold anew on images of the deployment."
    numbers = {"estimate": values.fpr, "low": values.fpr_low, "high": values.fpr_high, "p_value": p}
    numbers |= {"guaranteed": promised, "auroc": values.auroc, "auroc_low": low, "auroc_high": high, **vars(values)}
    return AuditFinding(
        "decisions/unchanged",
        status,
        "Decisions without any change",
        f"{meaning}: {told}; {alarm}",
        advice,
        numbers,
        blocks=[_histogram(scored, {"held-out normal images": held_out}, Condition(detector.resizer))],
    )


def _finding(scored: Scored, condition: Condition, turned: Turned, family: int) -> AuditFinding:
    """What became of the decisions under a condition."""
    name = name_of(condition)
    before = rates(scored, Condition(scored.detector.resizer))
    after = rates(scored, condition)
    shift = shift_of(scored, scored.scores[condition])
    status = turned.status
    if status != "stress" and abs(shift) >= _LARGE:
        status = "candidate"
    indices = _turned_images(scored, condition)
    sentences = [
        lead(name, status),
        turned_words(name, turned, family),
        rates_words(scored, before, after),
        f"Scores of {'normal images' if scored.tested.labelled else 'these images'} move by {shift:+.2f} interquartile "
        f"ranges, which is {size(shift)}."
        if math.isfinite(shift)
        else "The shift of scores has no unit, as they are all the same.",
        predicted_words(scored, condition),
    ]
    numbers = {"estimate": turned.excess, "low": turned.low, "high": turned.high, "p_value": turned.p_value}
    numbers |= {"images": turned.images, "turned": turned.turned, "placebo": turned.placebo, "shift_of_median": shift}
    numbers |= {"tests": family, **after, **predicted(scored, condition)}
    return AuditFinding(
        f"stress/{name}",
        status,
        f"{'Resizer' if condition.change == NONE else 'Change'} {name}",
        " ".join(sentence for sentence in sentences if sentence),
        advice_for(scored, condition, status, before, after),
        numbers,
        [scored.tested.names[i] for i in indices],
        _evidence(scored, condition, turned, indices),
    )


def _turned_images(scored: Scored, condition: Condition) -> list[int]:
    """Images whose decisions turned, those whose scores moved most first."""
    limit = scored.detector.threshold_
    after = scored.scores[condition]
    turned = np.flatnonzero((scored.trained > limit) ^ (after > limit))
    order = np.argsort(-np.abs(after - scored.trained)[turned], kind="stable")
    return [int(index) for index in turned[order]]


def _evidence(scored: Scored, condition: Condition, turned: Turned, indices: Sequence[int]) -> list[Block]:
    """The scores with the frozen threshold, the excess beside the placebo, and images whose decisions turned."""
    name = name_of(condition)
    blocks: list[Block] = [_histogram(scored, {}, Condition(scored.detector.resizer), condition)]
    if name != PLACEBO:
        low, high = wilson(turned.placebo, turned.images)
        control = {"name": f"placebo ({PLACEBO})", "estimate": turned.placebo / turned.images, "control": True}
        own = {"name": f"{name}, less the placebo", "estimate": turned.excess, "control": False}
        rows = [own | {"low": turned.low, "high": turned.high}, control | {"low": low, "high": high}]
        blocks.append(Intervals(pd.DataFrame(rows), "fraction of decisions that turn", "With 95 % intervals"))
    if indices:
        pairs = [
            tuple(_tile(scored, i, one) for one in (Condition(scored.detector.resizer), condition))
            for i in indices[:_SHOWN]
        ]
        caption = f"{len(pairs)} of {len(indices)} images whose decisions turn, as the detector sees them"
        blocks.append(Comparison(pairs, (scored.detector.resizer, name), caption))  # type: ignore[arg-type]
    return blocks


def _tile(scored: Scored, index: int, condition: Condition) -> Tile:
    """An image as the detector sees it under a condition."""
    pixels = np.asarray(open_image(scored.tested.category.test[index]))
    if condition.change != NONE:
        pixels = changed(pixels, condition.change, seed=0, index=index)
    seen = resize(pixels, scored.detector.size, condition.resizer)
    value = scored.scores[condition][index]
    decision = "anomalous" if value > scored.detector.threshold_ else "normal"
    words = scored.tested.words(index)
    caption = f"score {value:.4g}: {decision}" + (f"; it is {words}" if words else "")
    return Tile(Image.fromarray(seen), scored.tested.names[index], caption)


def _histogram(scored: Scored, further: Mapping[str, Scores], *conditions: Condition) -> Histogram:
    """Distributions of scores under conditions, with the frozen threshold."""
    groups = dict(further)
    for one in dict.fromkeys(conditions):
        values = scored.scores[one]
        if scored.tested.labelled:
            normal = scored.tested.normal
            groups |= {f"normal, {name_of(one)}": values[normal], f"defects, {name_of(one)}": values[~normal]}
        else:
            groups[name_of(one)] = values
    caption = "Scores, and the threshold that was frozen before; what lies above it is called anomalous"
    return Histogram(groups, "anomaly score", caption, scored.detector.threshold_)
