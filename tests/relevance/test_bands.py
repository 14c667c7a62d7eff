"""Frequency bands begin where they should, hold what they should, and sum to the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _networks import image
from scipy.fft import dctn, idctn

from chinspect.relevance import (
    BandEdges,
    band_edges,
    dct_matrix,
    frequency_bands,
    inner_by_band,
    lower_bands,
    named_bands,
    split_bands,
    zigzag,
)

EDGES = [BandEdges(()), BandEdges((2, 9)), BandEdges((1, 4, 40), "zigzag")]


@pytest.mark.parametrize("size", [1, 2, 7, 32, 45])
def test_dct_is_orthonormal_and_scipys(size: int) -> None:
    basis = dct_matrix(size)
    torch.testing.assert_close(basis @ basis.T, torch.eye(size).double(), rtol=0, atol=1e-12)
    signal = np.random.default_rng(size).normal(size=size)
    np.testing.assert_allclose(basis.numpy() @ signal, dctn(signal, norm="ortho"), atol=1e-12)


def test_the_three_bands_of_kauffmann_et_al() -> None:
    """Orders 0-1, 2-18 and from 19 on: 3, 187 and the other coefficients."""
    band = BandEdges((2, 19)).band((3, 224, 224))
    assert torch.bincount(band.flatten()).tolist() == [3, 187, 224 * 224 - 190]


@pytest.mark.parametrize(("side", "count"), [(96, 1), (96, 2), (96, 8), (96, 64), (8, 8), (8, 14), (1, 1)])
def test_band_counts_are_kept(side: int, count: int) -> None:
    assert frequency_bands(count).on((3, side, side)).count == count
    edges = band_edges((side, side), count)
    assert edges == sorted(set(edges))


def walk(height: int, width: int) -> list[tuple[int, int]]:
    """The zigzag path, step by step: along an antidiagonal until the border, then one step along the border."""
    u = 0
    v = 0
    up = True
    path = []
    for _ in range(height * width):
        path.append((u, v))
        if up:
            if v == width - 1:
                u += 1
                up = False
            elif u == 0:
                v += 1
                up = False
            else:
                u -= 1
                v += 1
        elif u == height - 1:
            v += 1
            up = True
        elif v == 0:
            u += 1
            up = True
        else:
            u += 1
            v -= 1
    return path


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (8, 8), (9, 9), (5, 8), (8, 5), (224, 224)])
def test_the_zigzag_visits_all_coefficients_in_turn(height: int, width: int) -> None:
    positions = zigzag(height, width).numpy()
    assert [positions[u, v] for u, v in walk(height, width)] == list(range(height * width))


def test_the_three_bands_of_the_paper_are_orders_and_positions_alike() -> None:
    by_position = BandEdges((3, 190), "zigzag").band((224, 224))
    assert torch.equal(by_position, named_bands((224, 224), 3).band((224, 224)))


def test_the_spectrum_of_the_paper_has_its_bins() -> None:
    """Edges as published, and every coefficient put into its bin one by one."""
    edges = np.linspace(0, (64 * 60) ** (1 / 3.47), 21) ** 3.47
    bands = named_bands((3, 64, 60), "kauffmann2025")
    band = bands.band((64, 60)).numpy()
    for position, (u, v) in enumerate(walk(64, 60)):
        assert edges[band[u, v]] <= position < edges[band[u, v] + 1] + 1e-6
    assert bands.count == len(bands.names) == 20
    assert bands.names[0] == "0"


@pytest.mark.parametrize("edges", EDGES, ids=["one band", "orders", "zigzag"])
def test_bands_are_those_of_a_full_transform(edges: BandEdges) -> None:
    x, y = (image(2, 3, 14, 11, seed=seed, dtype=torch.float64) for seed in (0, 1))
    band = edges.band(x.shape).numpy()
    coefficients = dctn(x.numpy(), axes=(2, 3), norm="ortho")
    expected = [idctn(coefficients * (band == b), axes=(2, 3), norm="ortho") for b in range(edges.count)]
    expected = torch.from_numpy(np.stack(expected))
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(split_bands(x, edges), expected, **close)
    torch.testing.assert_close(lower_bands(x, edges), expected[:-1], **close)
    torch.testing.assert_close(inner_by_band(x, y, edges), (expected * y).sum((2, 3, 4)).T, **close)
