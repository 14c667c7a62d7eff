"""The figure of a confounder: the robustness index over k beside chance, and what the embedding tells of it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chinspect.readouts.confounder import ConfounderScores
from chinspect.readouts.robustness import DROP, INDEX, OWN, PREDICTED
from chinspect.report import CONTROL, EFFECT, GLOSSARY, records


def draw(scores: ConfounderScores) -> Figure:
    """The index on the left, all other measures on the right, a verdict above each."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(f"{scores.encoder}: does the class or the confounder make images neighbours?", parse_math=False)
    _curve(left, scores)
    _measures(right, scores)
    figure.supxlabel(
        "The confounder is what images come with that should not matter, such as the hospital. Lines and bands are "
        f"95 % intervals.\n{GLOSSARY}",
        fontsize=8.5,
    )
    return figure


def _curve(axes: Axes, scores: ConfounderScores) -> None:
    index = scores.index
    axes.fill_between(index["k"], index["low"], index["high"], color=EFFECT, alpha=0.25, linewidth=0)
    axes.plot(index["k"], index["estimate"], "s-", color=EFFECT, markersize=4, label="embedding")
    axes.fill_between(
        index["k"], index["chance_low"], index["chance_high"], color=CONTROL, alpha=0.35, linewidth=0, hatch="//"
    )
    axes.plot(index["k"], index["chance"], "--", color=CONTROL, label="random neighbours")
    axes.axvline(scores.k, color="0.5", linewidth=0.8, linestyle=":", label=f"k = {scores.k}, which is reported")
    axes.set(xscale="log", ylim=(-0.02, 1.02), xlabel="k nearest neighbours")
    title = "robustness index: 1 neighbours share the class only, 0 the confounder only"
    axes.set_title(f"{title}\n{index_in_words(scores)}", fontsize=9, loc="left", parse_math=False)
    axes.set_xticks(index["k"].tolist(), index["k"].astype(str).tolist(), fontsize=8)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    axes.grid(color="0.93")


def _measures(axes: Axes, scores: ConfounderScores) -> None:
    rows = records(scores.measures[scores.measures["measure"] != INDEX])
    labels = []
    for y, row in enumerate(rows):
        colour, marker = (EFFECT, "s") if row["condition"] == OWN else (CONTROL, "o")
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2)
        axes.plot([row["estimate"]], [y], marker, color=colour)
        labels.append(f"{row['measure']}\n{row['condition']}")
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(min(-0.05, *(row["low"] for row in rows)) * 1.05, 1.05))
    axes.set_xlabel("balanced accuracy; of the drop, relative change of accuracy")
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_title(measures_in_words(scores), fontsize=9, loc="left", parse_math=False)
    axes.grid(axis="x", color="0.93")


def index_in_words(scores: ConfounderScores) -> str:
    """Whether class or confounder makes neighbours, at the k that is reported, beside random neighbours."""
    own, chance = records(scores.measures[scores.measures["measure"] == INDEX])[:2]
    if None in (own["estimate"], own["low"], own["high"], chance["estimate"]):
        return f"k = {scores.k}: not defined, as too few neighbours share one of both only."
    numbers = f"{own['estimate']:.2f} [{own['low']:.2f}, {own['high']:.2f}], random {chance['estimate']:.2f}"
    if own["low"] > chance["estimate"]:
        return f"k = {scores.k}: {numbers}: the class, more than chance has it."
    if own["high"] < chance["estimate"]:
        return f"k = {scores.k}: {numbers}: the confounder, more than chance has it."
    return f"k = {scores.k}: {numbers}: neither, beyond chance."


def measures_in_words(scores: ConfounderScores) -> str:
    """Whether the embedding tells the confounder, and whether a correlation with the class costs accuracy."""
    lines = []
    predicted = records(scores.measures[scores.measures["measure"] == PREDICTED])
    if predicted:
        known = [row["estimate"] for row in predicted[1:] if row["estimate"] is not None]
        told = predicted[0]["low"] is not None and predicted[0]["low"] > max(known, default=0.0)
        lines.append(
            f"The embedding {'tells' if told else 'does not tell'} the confounder better than its controls do."
        )
    for row in records(scores.measures[scores.measures["measure"] == DROP]):
        costs = (
            "costs accuracy" if row["high"] is not None and row["high"] < 0 else "costs no accuracy that can be seen"
        )
        lines.append(f"A correlation of class and confounder {costs}.")
    return "\n".join(lines)
