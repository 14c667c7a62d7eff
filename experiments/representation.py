"""Table 1 and Figure 3 of Kauffmann et al. 2025: trucks with a logo, before and after pruning, for several encoders.

    python experiments/representation.py [--smoke] [--seeds 3] [--out DIR]
    python experiments/representation.py --imagenet ROOT [--encoders clip-rn50-gap simclr-rn50 ...] [--layer act3]
    python experiments/representation.py --tiny-imagenet DIR [--encoders tiny-clip ...]

Readouts are fitted on training images and judged on test images as they are and with a logo on every one. The encoder
that loses most is pruned (or the one named by --mitigate): layer and number of channels are chosen on validation data,
the result is judged on the test images beside as many random channels and the projection of the logo's direction.
ROOT and DIR hold train/WNID and val/WNID. Without either, scenes are generated; --smoke makes everything small: it
tests the script, its numbers mean nothing. Seeds redraw the scenes, or which images are held out to choose on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from representation_data import TINY_VEHICLES, TRUCKS, Trial, generated, paper_logo, real

from chinspect import __version__
from chinspect.encoders import Encoder, load_encoder
from chinspect.encoders.layers import attention_projection, candidate_layers
from chinspect.files import output_folder, replacing
from chinspect.mitigate import (
    PruningSearch,
    average_over_seeds,
    compare_mitigations,
    concept_direction,
    edited,
    rank_edits,
    save_encoder,
    search_pruning,
)
from chinspect.readouts import ALL, ORIGINAL, SHIFTED

TINY = ("tiny-clip", "tiny-simclr", "tiny-barlowtwins", "tiny-supervised")
LARGE = ("clip-rn50-gap", "simclr-rn50", "barlowtwins-rn50", "supervised-rn50")
PAPER = {"clip": (85.0, 80.5), "simclr": (74.8, 74.5), "barlowtwins": (80.2, 80.2), "supervised": (83.8, 83.2)}
"""Accuracies in per cent, original and with the logo, in the outputs of the authors' notebooks."""
PAPER_CURVE = {
    0: (85.0, 80.5),
    1: (85.0, 83.8),
    2: (84.8, 84.0),
    3: (84.2, 83.8),
    4: (85.5, 84.8),
    5: (85.2, 85.0),
    10: (85.0, 85.0),
    15: (81.5, 81.2),
    20: (81.2, 81.2),
    30: (81.0, 82.2),
}


def main() -> None:
    """Runs everything and writes tables and the figure."""
    options = read_options()
    out = output_folder(options.out)
    start = time.time()
    encoders = {name: load_encoder(name) for name in options.encoders}
    scores, comparisons, curves, layers = [], [], [], []
    for seed in range(options.seeds):
        trial = trial_of(options, seed)
        scores.append(table1(encoders, trial, out / "cache").assign(seed=seed))
        name = options.mitigate or weakest(scores)
        found, compared = mitigated(encoders[name], trial, options, seed)
        curves.append(found.curve.assign(seed=seed, layer=found.layers["layer"].iloc[0]))
        layers.append(found.layers.assign(seed=seed))
        comparisons.append(compared.assign(seed=seed))
        print(f"seed {seed}: {name}, {found.edit}, {time.time() - start:.0f} s", flush=True)
        options.mitigate = name
        if found.edit is not None:
            evidence = {"seed": seed, "k": found.k, "table": json.loads(compared.to_json(orient="records"))}
            save_encoder(edited(encoders[name], found.edit), out / f"{name}-pruned-{seed}", evidence=evidence)
    write(out, "rows", pd.concat(comparisons))
    write(out, "layers", pd.concat(layers))
    write(out, "table1", with_paper(pd.concat(scores)))
    write(out, "mitigation", average_over_seeds([pd.DataFrame(table) for table in comparisons]))
    curve = averaged_curve(pd.concat(curves))
    write(out, "figure3", curve)
    draw(out / "figure3.png", curve, options.mitigate)
    run = {key: str(value) for key, value in vars(options).items()}
    run |= {"version": __version__, "seconds": round(time.time() - start)}
    (out / "run.json").write_text(json.dumps(run, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--imagenet", type=Path, metavar="ROOT")
    data.add_argument("--tiny-imagenet", type=Path, metavar="DIR")
    parser.add_argument("--encoders", nargs="+", help="names, or folders of mitigated encoders")
    parser.add_argument("--mitigate", help="the encoder to prune; by default the one that loses most")
    parser.add_argument("--layer", help="prune here instead of searching for a layer")
    parser.add_argument("--logo", type=Path, help="a PNG file with transparency, for real images")
    parser.add_argument("--per-class", type=int, default=1300, help="most training images of a class")
    parser.add_argument("--scenes", type=int, default=800, help="generated scenes to fit on, and to judge on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/representation"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.encoders = options.encoders or (LARGE if options.imagenet else TINY[:2] if options.smoke else TINY)
    if options.smoke:
        options.scenes, options.seeds, options.per_class = 80, min(options.seeds, 2), 20
    if options.mitigate is not None and options.mitigate not in options.encoders:
        parser.error(f"--mitigate names {options.mitigate!r}, which is not among --encoders")
    return options


def trial_of(options: argparse.Namespace, seed: int) -> Trial:
    """The data that were asked for."""
    if options.imagenet:
        logo = paper_logo(options.logo)
        return real(options.imagenet, TRUCKS, "garbage truck", seed, options.per_class, logo)
    if options.tiny_imagenet:
        logo = paper_logo(options.logo)
        return real(options.tiny_imagenet, TINY_VEHICLES, "moving van", seed, options.per_class, logo)
    return generated(seed, options.scenes)


def table1(encoders: dict[str, Encoder], trial: Trial, cache: Path) -> pd.DataFrame:
    """Accuracies of all encoders and readouts."""
    tables = []
    for name, encoder in encoders.items():
        scores = trial.judge.score(encoder, cache=cache)
        wide = scores[scores["group"] == ALL].pivot(index="readout", columns="state", values="accuracy").reset_index()
        tables.append(wide.assign(encoder=name))
    return pd.concat(tables, ignore_index=True)


def weakest(scores: Sequence[pd.DataFrame]) -> str:
    """The encoder whose readout of all classes loses most."""
    table = pd.concat(scores)
    table = table[table["readout"] == "all classes"]
    return str((table[ORIGINAL] - table[SHIFTED]).groupby(table["encoder"]).mean().idxmax())


def mitigated(
    encoder: Encoder, trial: Trial, options: argparse.Namespace, seed: int
) -> tuple[PruningSearch, pd.DataFrame]:
    """A pruning chosen on validation data, and every remedy judged on test data."""
    pairs = trial.pairs(trial.choose)
    found = search_pruning(encoder, trial.choose, *pairs, layers=options.layer, seed=seed)
    remedies = {"none": encoder}
    if found.edit is not None and found.control is not None:
        remedies |= {"pruned": edited(encoder, found.edit), "random channels": edited(encoder, found.control)}
    layers = [layer for layer in candidate_layers(encoder) if options.layer in (None, layer)]
    directions = [concept_direction(encoder, layer, *pairs) for layer in layers if not attention(encoder, layer)]
    if directions:
        remedies["projected"] = edited(encoder, rank_edits(encoder, directions, *pairs)[0][0])
    return found, compare_mitigations(remedies, trial.judge, *trial.pairs(trial.judge))


def attention(encoder: Encoder, layer: str) -> bool:
    """Whether a layer's channels are heads, which have no direction."""
    return attention_projection(encoder.module.get_submodule(layer)) is not None


def with_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds in per cent, and the published values of the same objective on ImageNet."""
    means = scores.groupby(["encoder", "readout"], sort=False)[[ORIGINAL, SHIFTED]].agg(["mean", "std"]).mul(100)
    table = pd.DataFrame({f"{state}": means[state]["mean"] for state in (ORIGINAL, SHIFTED)})
    table = table.assign(**{f"{state}_sd": means[state]["std"] for state in (ORIGINAL, SHIFTED)}).reset_index()
    table["drop"] = table[ORIGINAL] - table[SHIFTED]
    published: list[Any] = [
        next((PAPER[kind] for kind in PAPER if kind in name), (None, None))
        if readout == "all classes"
        else (None, None)
        for name, readout in zip(table["encoder"], table["readout"], strict=True)
    ]
    return table.assign(paper_original=[pair[0] for pair in published], paper_shifted=[pair[1] for pair in published])


def averaged_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracies in per cent by number of channels, averaged over seeds, and the published ones."""
    means = curve.groupby(["channels", "k"], sort=False)[[ORIGINAL, SHIFTED]].mean().mul(100).reset_index()
    for column, index in (("paper_original", 0), ("paper_shifted", 1)):
        means[column] = [
            PAPER_CURVE[k][index] if kind != "random" and k in PAPER_CURVE else None
            for k, kind in zip(means["k"], means["channels"], strict=True)
        ]
    return means


def draw(path: Path, curve: pd.DataFrame, name: str) -> None:
    """Accuracy against the number of pruned channels."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axis = figure.subplots()
    start = curve[curve["channels"] == "none"]
    for kind, colour in (("responsive", "tab:red"), ("random", "tab:grey")):
        rows = pd.concat([start, curve[curve["channels"] == kind]])
        axis.plot(rows["k"], rows[ORIGINAL], color=colour, marker="o", label=f"{kind}, original")
        axis.plot(rows["k"], rows[SHIFTED], color=colour, marker="o", linestyle="--", label=f"{kind}, logo")
    axis.set_xlabel("pruned channels")
    axis.set_ylabel("accuracy on validation images, %")
    axis.set_title(name)
    axis.legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150)


def write(out: Path, name: str, table: pd.DataFrame) -> None:
    """A table as CSV with its intervals, and without them as LaTeX and on the screen."""
    table.to_csv(out / f"{name}.csv", index=False)
    rounded = table[[column for column in table.columns if not column.endswith(("_low", "_high"))]].round(3)
    lines = [" & ".join(column.replace("_", " ") for column in rounded.columns), r"\midrule"]
    lines += [" & ".join("--" if pd.isna(value) else str(value) for value in row) for row in rounded.to_numpy()]
    body = "\n".join(line if line == r"\midrule" else line.replace("_", r"\_") + r" \\" for line in lines)
    columns = "l" * len(rounded.columns)
    text = f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
    (out / f"{name}.tex").write_text(text)
    print(f"\n{name}\n{rounded.to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
