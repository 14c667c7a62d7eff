"""Components sum to the image, and are what their names say."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from _networks import image
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn, idctn
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.relevance import (
    Components,
    Composite,
    Row,
    channels,
    composite,
    frequency_bands,
    patch_bands,
    patches,
    relevance_map,
    segments,
)
from chinspect.relevance.rules import Epsilon

ONE_SENTENCE = re.compile(r"[^.]*(?:\.[^ ][^.]*)*\.")


def components_of(x: Tensor, components: Components) -> Tensor:
    """All components of ``x``: (P, N, C, H, W)."""
    decomposition = components.on(x.shape)
    return decomposition.values(x, torch.arange(decomposition.count)).expand(decomposition.count, *x.shape)


def some_mask(height: int, width: int) -> Tensor:
    return (torch.arange(height)[:, None] * 3 + torch.arange(width) ** 2) % 4


KINDS = {
    "patches": lambda height, width: patches(min(3, height, width)),
    "segments": lambda height, width: segments(some_mask(height, width)),
    "channels": lambda height, width: channels(),
    "frequency bands": lambda height, width: frequency_bands(2),
    "bands by order": lambda height, width: frequency_bands([1, 3, height]),
    "patch bands": lambda height, width: patch_bands(min(4, height, width), (1, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(height=st.integers(4, 13), width=st.integers(4, 13), n=st.integers(1, 2))
def test_components_sum_to_the_image(kind: str, height: int, width: int, n: int) -> None:
    x, components = image(n, 3, height, width, dtype=torch.float64), KINDS[kind](height, width)
    torch.testing.assert_close(components_of(x, components).sum(0), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_sums_and_inner_products_those_of_the_values(kind: str) -> None:
    x, g = (image(2, 3, 9, 10, seed=seed, dtype=torch.float64) for seed in (0, 1))
    decomposition = KINDS[kind](9, 10).on(x.shape)
    values = decomposition.values(x, torch.arange(decomposition.count)).expand(decomposition.count, *x.shape)
    groups = torch.arange(decomposition.count) % 3 - 1  # -1 is left out
    expected = torch.stack([values[groups == group].sum(0) for group in range(int(groups.max()) + 1)])
    torch.testing.assert_close(decomposition.values(x, groups).expand_as(expected), expected)
    inner = torch.einsum("pnchw,knchw->npk", values, torch.stack([g, 2 * g]))
    torch.testing.assert_close(decomposition.inner(x, torch.stack([g, 2 * g])), inner)


@pytest.mark.parametrize(("height", "width", "size"), [(8, 12, 4), (7, 11, 4), (5, 5, 5), (6, 9, 1), (10, 4, 3)])
def test_patches_are_row_major_and_cut_at_the_border(height: int, width: int, size: int) -> None:
    x = image(1, 2, height, width)
    expected = []
    for top in range(0, height, size):
        for left in range(0, width, size):
            component = torch.zeros_like(x)
            component[:, :, top : top + size, left : left + size] = x[:, :, top : top + size, left : left + size]
            expected.append(component)
    assert torch.equal(components_of(x, patches(size)), torch.stack(expected))


def test_patches_of_a_map_come_in_the_same_order() -> None:
    """The relevance of a linear model is known: ``w * x`` summed over each patch."""
    x = image(1, 3, 8, 12, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 96, 2, bias=False)).double()
    lrp_0 = Composite("lrp-0", (Row(Epsilon(stabiliser=0.0)),))  # exact, however small an output is
    table = relevance_map(model, x, lrp_0).push(patches(4))
    fractions = (model[1].weight.detach() * x.flatten()).view(2, 3, 2, 4, 3, 4).sum((1, 3, 5)).flatten(1)
    torch.testing.assert_close(table, fractions.T, rtol=1e-9, atol=1e-10)


def test_channels_and_segments_select() -> None:
    x, mask = image(1, 3, 4, 5), some_mask(4, 5)
    for c, component in enumerate(components_of(x, channels())):
        assert torch.equal(component[:, c], x[:, c])
        assert int((component != 0).sum()) == 20
    for label, component in enumerate(components_of(x, segments(mask))):
        assert torch.equal(component, x * (mask == label))
    marked = components_of(x, segments((mask == 2).numpy()))
    assert torch.equal(marked[1], x * (mask == 2))
    assert torch.equal(marked[0], x * (mask != 2))


def test_bands_are_orthogonal_and_hold_their_orders_only() -> None:
    x, edges = image(1, 3, 12, 9, dtype=torch.float64), [2, 5, 11]
    bands = components_of(x, frequency_bands(edges))
    gram = torch.einsum("pnchw,qnchw->pq", bands, bands)
    torch.testing.assert_close(gram, torch.diag(gram.diag()), rtol=0, atol=1e-10)
    order = np.add.outer(np.arange(12), np.arange(9))
    for band, (low, high) in enumerate(zip([0, *edges], [*edges, 99], strict=True)):
        coefficients = dctn(x[0].numpy(), axes=(1, 2), norm="ortho") * ((order >= low) & (order < high))
        np.testing.assert_allclose(bands[band, 0], idctn(coefficients, axes=(1, 2), norm="ortho"), atol=1e-12)


def test_patch_bands_are_patch_major() -> None:
    x = image(1, 3, 10, 9, dtype=torch.float64)
    both = components_of(x, patch_bands(4, (2, 5)))
    bands, indicators = components_of(x, frequency_bands((2, 5))), components_of(torch.ones_like(x), patches(4))
    assert len(both) == 9 * 3
    for index, component in enumerate(both):
        torch.testing.assert_close(component, bands[index % 3] * indicators[index // 3], rtol=0, atol=1e-12)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 5, 3, stride=2), nn.Linear(5, 40)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


@pytest.mark.parametrize(
    "name", ["epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1_flat", "kauffmann2025"]
)
@pytest.mark.parametrize("components", [frequency_bands(3), patch_bands(4, 3)], ids=["bands", "patch bands"])
def test_frequencies_are_refused_by_rules_on_pixels(name: str, components: Components) -> None:
    mapped = relevance_map(Small(), image(1, 3, 12, 12), composite(name))
    with pytest.raises(InputError, match=r"epsilon_plus\.") as error:
        mapped.push(components)
    assert ONE_SENTENCE.fullmatch(str(error.value))


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon", "attn_lrp"])
def test_bands_of_a_map_sum_to_the_whole(name: str) -> None:
    mapped = relevance_map(Small().double(), image(1, 3, 12, 12, dtype=torch.float64), composite(name, bias=False))
    for components in (frequency_bands(3), patch_bands(4, 3), patches(5), channels()):
        torch.testing.assert_close(mapped.push(components).sum(0), mapped.output[0], rtol=1e-3, atol=1e-3)


WRONG = {
    "patch 0": (lambda: patches(0), "0"),
    "patch -3": (lambda: patches(-3), "-3"),
    "patch too large": (lambda: patches(13).on((3, 12, 20)), "13 pixels does not fit the 12x20 image"),
    "mask of another size": (lambda: segments(np.zeros((3, 4), int)).on((3, 4, 4)), r"\(3, 4\).*\(4, 4\)"),
    "mask with negative labels": (lambda: segments(np.full((2, 2), -1)), "from 0"),
    "mask of three dimensions": (lambda: segments(np.zeros((1, 2, 2), int)), "mask"),
    "no bands": (lambda: frequency_bands(0).on((3, 8, 8)), "0 frequency bands"),
    "too many bands": (lambda: frequency_bands(65).on((3, 8, 8)), "65 frequency bands"),
    "more bands than orders": (lambda: frequency_bands(20).on((3, 8, 8)), "20 frequency bands"),
    "falling edges": (lambda: frequency_bands([5, 3]).on((3, 8, 8)), r"\[5, 3\]"),
    "edges beyond the image": (lambda: frequency_bands([2, 15]).on((3, 8, 8)), r"from 1 to 14"),
    "edge of zero": (lambda: frequency_bands([0, 5]).on((3, 8, 8)), "from 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_components_are_refused_in_one_sentence(case: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(InputError, match=message) as error:
        make()
    assert ONE_SENTENCE.fullmatch(str(error.value))
