"""Figure 4 of Kauffmann et al. 2025: where, and at which frequencies, D2Neighbors sees an anomaly."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from chinspect.anomaly import AnomalyExplanation, D2Neighbors, explain_anomaly
from chinspect.datasets import MVTecCategory
from chinspect.images.resizers import load_inputs
from chinspect.mitigate import Blur

SPECTRUM = 20
"""Bands of the spectra."""
TITLES = ("image", "score by pixel", "low", "middle", "high frequencies")


def draw_figure(data: MVTecCategory, trained: str, deployed: str, size: int) -> Figure:
    """One row for each type of defect: the image, its pixel map, the maps of three bands, and both spectra."""
    normal = load_inputs(data.train, trained, size)
    shown = [data.types.index(kind) for kind in data.defect_types[:4]]
    images = load_inputs([data.test[i] for i in shown], trained, size)
    switched = load_inputs([data.test[i] for i in shown], deployed, size)
    plain = D2Neighbors(size=size).fit(normal)
    blurred = D2Neighbors(size=size, layer=Blur()).fit(normal)
    maps = explain_anomaly(plain, images, components="pixel_bands")
    edges = spectrum_edges(size)
    spectra = {
        "original": explain_anomaly(plain, images, bands=edges, components="bands"),
        f"after {deployed}": explain_anomaly(plain, switched, bands=edges, components="bands"),
        "blurred": explain_anomaly(blurred, images, bands=edges, components="bands"),
    }
    figure = Figure(figsize=(15, 2.5 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), 6, squeeze=False, width_ratios=[1, 1, 1, 1, 1, 1.5])
    for row, index in enumerate(shown):
        draw_maps(axes[row, :5], maps, row, (images[row].permute(1, 2, 0).numpy() + 1) / 2)
        axes[row, 0].set_ylabel(data.types[index])
        draw_spectra(axes[row, 5], spectra, row, (0.7, *edges, 2 * size - 1))
        if row == 0:
            for axis, title in zip(axes[0], (*TITLES, "score by DCT order"), strict=True):
                axis.set_title(title, fontsize=10)
    axes[0, 5].legend(fontsize=7, frameon=False)
    axes[-1, 5].set_xlabel("DCT order u + v")
    figure.suptitle(f"D2Neighbors on {data.name}, fitted with {trained}")
    return figure


def spectrum_edges(size: int) -> list[int]:
    """The paper's 20 bins, whose widths grow as a power of 3.47 of their number, by order instead of zigzag index."""
    orders = np.sqrt(2 * np.linspace(0, (size * size) ** (1 / 3.47), SPECTRUM + 1) ** 3.47)
    return [order for order in np.unique(orders.round().astype(int))[:-1].tolist() if order > 0]


def draw_maps(axes: np.ndarray, maps: AnomalyExplanation, row: int, picture: np.ndarray) -> None:
    """The image, its map, and those of the bands on one scale."""
    axes[0].imshow(picture)
    limit = float(np.quantile(np.abs(maps.pixels[row]), 0.998))
    for axis, values in zip(axes[1:], (maps.pixels[row], *maps.pixel_bands[row]), strict=True):
        axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_xlabel(f"{values.sum() / maps.score[row]:.0%} of the score", fontsize=8)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])


def draw_spectra(axis: np.ndarray, spectra: dict[str, AnomalyExplanation], row: int, bounds: tuple[float, ...]) -> None:
    """The score of each band between the orders where it begins and ends."""
    for name, explanation in spectra.items():
        axis.stairs(explanation.bands[row], bounds, label=name)
    axis.set_xscale("log")
    axis.tick_params(labelsize=7)
