"""What a trial found, in words, and what would decide one that is undecided."""

from __future__ import annotations

import math
from collections.abc import Mapping

from chinspect.proof.trial import AREA, OF_AREA, Edit, Trial

_DOING: Mapping[Edit, tuple[str, str]] = {"add": ("adding it to", "other"), "remove": ("removing it from", "affected")}
_MUCH = 0.5  # of the effect; what carries less than half of it is not called the reason
_LITTLE = 0.1  # of the effect; not worth a word


def trial_clause(trial: Trial) -> str:
    """What was done and measured, as a clause of the proof's sentence."""
    doing, which = _DOING[trial.edit]
    low, high = trial.bounds
    count = len(trial.placebos)
    less = "all" if trial.exceeded == count else f"{trial.exceeded} of"
    clause = (
        f"{doing} {trial.images} {which} images gives {trial.effect:+.3g} ({low:.3g} to {high:.3g}), more "
        f"than {less} {count} other contents of equal norm in its place (mean {trial.placebos.mean():.2g}, "
        f"sd {trial.placebos.std():.2g}"
    )
    trials = f" over {trial.rule.trials} trials" if trial.rule.trials > 1 else ""
    least = "<=" if trial.exceeded == count else "="  # so many placebos cannot give a smaller one
    clause += f"; p {least} {trial.p_value:.2g}{trials})"
    if trial.beyond_area is not None:
        more = "more" if trial.beyond_area else "not clearly more"
        clause += f" and {more} than the {AREA} ({OF_AREA[trial.edit]})"
    return clause


def questions(trial: Trial) -> str:
    """Content or place, and what of the content, of a trial that passed."""
    return " ".join(sentence for sentence in (_place(trial), _content(trial)) if sentence)


def next_step(trial: Trial) -> str:
    """What would decide a trial that leans: more images, fewer tests at once, or a cleaner artefact."""
    alone = 2 * trial.rank_p  # the p-value that a family of this trial alone would give it
    if trial.rule.trials > 1 and alone <= trial.rule.level:
        return (
            f"What to do next: alone it would be confirmed (p = {alone:.2g}), beside {trial.rule.trials - 1} other "
            f"trials it is not: prove its artefact by itself, on images that played no part here."
        )
    as_much = len(trial.placebos) - trial.exceeded
    _, low, high = trial.excess
    # four times as many images give an interval of half the width
    more = f"with {4 * trial.images} images instead of {trial.images} the interval would be half as wide"
    return (
        f"What to do next: {as_much} of {len(trial.placebos)} other contents do as much, and the level allows "
        f"{_allowed(trial)}. Look at the artefact in the figure: what does not belong to it weakens it, so cut it out "
        f"by hand and prove that; and {more} (now {low:.3g} to {high:.3g})."
    )


def _place(trial: Trial) -> str:
    if trial.moved_fraction is None:
        return ""
    elsewhere = f"Elsewhere in the image it has {trial.moved_fraction:.0%} of that effect"
    if trial.acts_elsewhere is None or trial.place_fraction is None:
        return f"{elsewhere}."
    if trial.acts_elsewhere and trial.moved_fraction >= _MUCH:
        sentence = f"{elsewhere}: it is the artefact, wherever it lies."
    elif trial.acts_elsewhere:
        sentence = f"{elsewhere}: it counts most in its place."
    else:
        sentence = f"{elsewhere}, no more than other content there: it counts in its place only."
    if trial.place_fraction > _LITTLE:
        sentence += f" The place alone, whatever is there, makes {trial.place_fraction:.0%} of it."
    return sentence


def _content(trial: Trial) -> str:
    if trial.shuffled_fraction is None:
        return ""
    pieces = f"Its pieces shuffled have {trial.shuffled_fraction:.0%} of the effect"
    if trial.specific:
        return f"{pieces}: what it shows matters."
    return f"{pieces}: marks of this kind do it, whatever they show."


def _allowed(trial: Trial) -> str:
    """How many placebos may do as much, of those that there are, in the second half of the level."""
    count = math.floor(trial.rule.level / (2 * trial.rule.trials) * (1 + len(trial.placebos)) + 1e-9) - 1
    return str(count) if count > 0 else "none"
