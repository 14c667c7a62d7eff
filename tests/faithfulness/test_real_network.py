"""Shapley maps and deletion of a real network on real photographs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from chinspect.encoders import load_encoder
from chinspect.faithfulness import deletion
from chinspect.relevance import ShapleyMap, patches, reference_images, shapley_map

PATCHES = patches(75)
"""Nine of an image of 224 pixels."""
Pair = tuple[Callable[[Tensor], Tensor], Tensor, list[ShapleyMap], Tensor]


@pytest.fixture(scope="module")
def pair(real_data: Callable[[str], Path]) -> Pair:
    """The network, a photograph of a dog, two Shapley maps of it, and what another dog has over its reference."""
    folder = real_data("imagenet_sample")
    encoder = load_encoder("efficientnet-lite0")
    a, b = (encoder.prepare(folder / f"{name}.jpg") for name in ("n02086646", "n02088632"))
    maps = [shapley_map(encoder.module, a, PATCHES, evaluations=40, random_state=seed) for seed in range(2)]
    with torch.no_grad():
        other = encoder.module(b)[0] - encoder.module(reference_images("blur", b)[0])[0]
    return encoder.module, a, maps, other


def test_a_similarity_is_explained_completely(pair: Pair):
    _, _, maps, other = pair
    for mapped in maps:
        assert float(mapped.values.sum(0) @ other) == pytest.approx(
            float((mapped.output - mapped.baseline) @ other), rel=1e-4
        )


def test_two_estimates_agree_within_their_errors(pair: Pair):
    _, _, (first, second), other = pair
    difference = (first.values - second.values) @ other
    errors = torch.hypot(*(mapped.standard_errors(other[:, None])[:, 0] for mapped in (first, second)))
    # squares of 9 normal numbers sum to less than 28 with probability .999; four times that for errors that are
    # estimated themselves, from 7 degrees of freedom
    assert float((difference / errors).square().sum()) < 112


def test_the_similarity_falls_further_without_relevant_patches_than_without_irrelevant_ones(pair: Pair):
    module, x, maps, other = pair
    relevance = (maps[0].values + maps[1].values) @ other
    result = deletion(lambda images: (module(images) - maps[0].baseline) @ other, x, relevance, PATCHES)
    assert result.baseline == pytest.approx(0, abs=1e-3 * result.score)
    assert result.most.mean() > result.least.mean()
