"""Figure 9: heatmaps of a class before and after training on A, on B and with ClArC, and relevance by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.encoders.methods import bounded
from chinspect.mitigate import Unlearning
from chinspect.relevance import relevance_map, trace


def draw(classifier: Encoder, runs: Mapping[str, Unlearning], pictures: Sequence[Image.Image], target: int) -> Figure:
    """One row a picture, one column a training; below, the fraction of the relevance that is on the artefact."""
    networks = {"before": classifier} | {f"after {name}": run.encoder for name, run in runs.items()}
    rows = len(pictures)
    figure = Figure(figsize=(2 * (1 + len(networks)), 2 * rows + 2.4), layout="constrained")
    grid = figure.add_gridspec(rows + 1, 1 + len(networks), height_ratios=[2] * rows + [2.2])
    for row, picture in enumerate(pictures):
        axis = figure.add_subplot(grid[row, 0])
        axis.imshow(picture)
        axis.set_axis_off()
    for column, (name, network) in enumerate(networks.items(), 1):
        for row, heat in enumerate(relevance_of(network, pictures, target)):
            axis = figure.add_subplot(grid[row, column])
            limit = float(np.abs(heat).max()) or 1.0
            axis.imshow(heat, cmap="bwr", vmin=-limit, vmax=limit)
            axis.set_axis_off()
            if row == 0:
                axis.set_title(name, fontsize=9)
    axis = figure.add_subplot(grid[rows, :])
    for name, run in runs.items():
        axis.plot(run.history["epoch"], 100 * run.history["relevance_share"], marker="o", label=name)
    axis.axhline(0, color="grey", linewidth=0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("epoch of fine-tuning")
    axis.set_ylabel("relevance on the artefact, %")
    axis.legend(frameon=False, fontsize=8)
    return figure


def relevance_of(network: Encoder, pictures: Sequence[Image.Image], target: int) -> list[np.ndarray]:
    """Relevance of pixels for one logit, (H, W) a picture, slightly smoothed."""
    inputs = [network.prepare(picture) for picture in pictures]
    graph = trace(network.module, inputs[0])
    composite = bounded("epsilon_plus_flat", network)
    heatmaps = []
    for x in inputs:
        mapped = relevance_map(graph, x, composite)
        one_hot = torch.zeros_like(mapped.output)
        one_hot[:, target] = mapped.output[:, target]
        heat = mapped.pull(one_hot)[0].sum(0).cpu().numpy()
        heatmaps.append(np.asarray(cv2.GaussianBlur(heat, (0, 0), 1.5)))
    return heatmaps
