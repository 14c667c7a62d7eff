"""Slow textbook references of the methods that mask images or change activations."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from chinspect.cam import ablation_cam, cam, enlarged, open_layer, rise, score_cam, shap_cam
from chinspect.encoders import load_classifier


class Curved(nn.Module):
    """Not linear behind its layer, so that what channels and positions do depends on the others."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Sequential(nn.Conv2d(3, 5, 8, stride=8), nn.ReLU())
        self.mixed = nn.Conv2d(5, 6, 2, padding=1)
        self.head = nn.Linear(6, 3)

    def tail(self, activations):
        return self.head(self.mixed(activations).sigmoid().mean((2, 3)))

    def forward(self, x):
        return self.tail(self.conv(x))


MODULE = Curved().eval().requires_grad_(False)
X = 4 * torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([1, 2])


def test_ablation_cam():
    maps = ablation_cam(MODULE, X, "conv", TARGETS)
    for i, target in enumerate(TARGETS):
        activations = MODULE.conv(X[i : i + 1])
        score = MODULE.tail(activations)[0, target]
        total = torch.zeros(2, 2)
        for k in range(5):
            without = activations.clone()
            without[:, k] = 0
            total += (score - MODULE.tail(without)[0, target]) * activations[0, k]
        torch.testing.assert_close(maps[i], total.relu())


def test_score_cam():
    maps = score_cam(MODULE, X, "conv", TARGETS)
    for i, target in enumerate(TARGETS):
        activations = MODULE.conv(X[i : i + 1])[0]
        scores = []
        for channel in activations:
            mask = enlarged(channel[None], X)
            span = mask.max() - mask.min()
            mask = (mask - mask.min()) / span if span > 0 else 0 * mask
            scores.append(MODULE(X[i : i + 1] * mask)[0, target])
        weights = torch.stack(scores).softmax(0)
        torch.testing.assert_close(maps[i], (weights[:, None, None] * activations).sum(0).relu())


def test_shapley_values_of_positions_by_all_orders():
    maps = shap_cam(MODULE, X, "conv", TARGETS, evaluations=16)  # all sets of 4 positions: exact
    for i, target in enumerate(TARGETS):
        activations = MODULE.conv(X[i : i + 1])
        values = np.zeros(4)
        for order in permutations(range(4)):
            shown = torch.zeros(4)
            before = float(MODULE.tail(0 * activations)[0, target])
            for position in order:
                shown[position] = 1
                after = float(MODULE.tail(activations * shown.view(2, 2))[0, target])
                values[position] += (after - before) / 24
                before = after
        np.testing.assert_allclose(maps[i].flatten(), np.maximum(values, 0), atol=1e-6)


def test_rise_is_the_mean_of_masks_weighted_by_scores():
    maps = rise(MODULE, X, TARGETS, masks=50, cells=4, probability=0.4, random_state=7)
    from chinspect.cam.perturbations import _random_masks

    masks = _random_masks(50, 4, 0.4, (16, 16), torch.Generator().manual_seed(7))
    assert masks.shape == (50, 16, 16)
    for i, target in enumerate(TARGETS):
        slow = sum(MODULE(X[i : i + 1] * mask)[0, target] * mask for mask in masks) / (50 * 0.4)
        torch.testing.assert_close(maps[i], slow, rtol=1e-4, atol=1e-5)


def test_random_masks_are_even():
    """The mean of 4,000 masks is p in each of 9 areas; its standard error is at most .5 / sqrt(4000) = .008."""
    from chinspect.cam.perturbations import _random_masks

    masks = _random_masks(4000, 5, 0.5, (30, 30), torch.Generator().manual_seed(0))
    means = masks.mean(0).reshape(3, 10, 3, 10).mean((1, 3))
    assert (means - 0.5).abs().max() < 5 * 0.008


def test_what_is_linear_behind_the_layer_has_one_map_by_four_methods():
    """Behind the last map of the network come a mean and a linear layer, for which theory says so."""
    encoder = load_classifier("efficientnet-lite0")
    images = ["assets/cat.jpg"]
    maps = {name: cam(name, encoder, images)[0] for name in ("gradcam", "hirescam", "shapcam")}
    assert (cam("hirescam", encoder, images[0]) == maps["hirescam"]).all()  # one image by itself
    np.testing.assert_allclose(maps["hirescam"], maps["gradcam"], atol=1e-5)
    np.testing.assert_allclose(maps["shapcam"], maps["gradcam"], atol=1e-4)
    opened = open_layer(encoder.module, encoder.prepare(*images))
    constant = opened.resumed(0, torch.zeros_like(opened.activations))
    signed = (opened.gradients * opened.activations).sum()
    torch.testing.assert_close(signed, (opened.scores - constant)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["shapcam", "rise", "cluscam"])
def test_the_seed_decides(method):
    options = {"shapcam": {"evaluations": 16}, "rise": {"masks": 6}, "cluscam": {"n_clusters": 3}}[method]
    layer = {} if method == "rise" else {"layer": "conv"}
    first, again = (cam(method, MODULE, X, random_state=1, **options, **layer) for _ in range(2))
    assert (first == again).all()
