"""Agreement with pytorch-grad-cam and Quantus, where they are installed and measure the same."""

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chinspect.faithfulness import (
    arcc,
    coherency,
    complexity,
    deletion_curve,
    drop,
    entropy,
    imputed,
    increase,
    masked_score,
    pointing_game,
    relevance_mass,
    road,
)

SIDE = 18
CLASS = 2
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of newer versions of NumPy


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(392, 4), nn.Softmax(1))
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    """From 0 to 1, each value once, as pytorch-grad-cam scales them."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(SIDE * SIDE).reshape(SIDE, SIDE) for _ in range(4)]).astype(np.float32) / (
        SIDE * SIDE - 1
    )


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    rng = np.random.default_rng(2)
    return rng.random((4, SIDE, SIDE)) < 0.3


def probability(network: nn.Module):
    return lambda images: network(images)[:, CLASS]


def peers(name: str):
    """A tool that is no part of chinspect; the test is skipped by its name where it is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def grad_cam_metric(metric, network, images, maps) -> np.ndarray:
    return metric(images, maps, [lambda output: output[CLASS]] * len(images), network)


def test_road_of_pytorch_grad_cam(network, images, maps, monkeypatch):
    peers("pytorch_grad_cam.metrics.road")
    from pytorch_grad_cam.metrics.road import ROADCombined

    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # its noise has no seed
    theirs = grad_cam_metric(ROADCombined(), network, images, maps)
    ours = [road(probability(network), x[None], map_, noise=0).combined for x, map_ in zip(images, maps, strict=True)]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_imputation_of_quantus(images, maps, monkeypatch):
    peers("quantus")
    from quantus.functions.perturb_func import noisy_linear_imputation

    removed = maps[0] > 0.3
    theirs = noisy_linear_imputation(images[0].double().numpy(), np.flatnonzero(removed), noise=0)
    ours = imputed(images[:1].double(), torch.from_numpy(removed)[None], noise=0)[0]
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-9)


def test_drop_and_increase_of_pytorch_grad_cam(network, images, maps):
    peers("pytorch_grad_cam.metrics.cam_mult_image")
    from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence

    score = probability(network)
    plain, masked = np.transpose([masked_score(score, x[None], map_) for x, map_ in zip(images, maps, strict=True)])
    # its maps are (N, H, W) and broadcast over channels
    theirs = [grad_cam_metric(metric(), network, images, maps) for metric in (DropInConfidence, IncreaseInConfidence)]
    np.testing.assert_allclose(drop(plain, masked, "absolute"), theirs[0], atol=1e-6)
    np.testing.assert_array_equal(increase(plain, masked), theirs[1])


def test_arcc_of_pytorch_grad_cam(network, images, maps, monkeypatch):
    peers("pytorch_grad_cam.metrics.arcc")
    from pytorch_grad_cam.metrics.arcc import ARCC

    def brightness(input_tensor: Tensor, targets: object) -> np.ndarray:
        return input_tensor.mean(1).numpy()

    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    metric = ARCC(brightness)
    theirs = grad_cam_metric(metric, network, images, maps)
    ours = []
    for x, map_ in zip(images, maps, strict=True):
        behind = (x * torch.from_numpy(map_)).mean(0)
        value = road(probability(network), x[None], map_, percentiles=(20, 40, 60, 80), noise=0).combined
        ours.append(arcc(coherency(map_, behind), complexity(map_), value))
    # it adds 1e-8 to each term, and to a ROAD of 0
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_pixel_flipping_of_quantus(network, images, maps):
    quantus = peers("quantus")
    steps = 36
    metric = quantus.PixelFlipping(
        features_in_step=3 * SIDE * SIDE // steps, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    # it flips values and not pixels: with the same relevance in all channels, one pixel after the other
    same = np.repeat(maps[:, None], 3, 1)
    x0 = torch.zeros(1, 3, SIDE, SIDE)
    logits = nn.Sequential(*list(network)[:-1]).eval()
    theirs = quantus_curve(metric, logits, images, same)
    for x, map_, expected in zip(images, maps, theirs, strict=True):
        curve = deletion_curve(probability(network), x[None], map_, x0, steps=steps)
        np.testing.assert_allclose(curve.scores[1:], expected, atol=1e-5)


def quantus_curve(metric, logits, images, maps):
    """Its sort is not stable, so that the channels of a pixel need not follow each other: ties are parted."""
    parted = maps + np.arange(3)[:, None, None] * 1e-5
    labels = np.full(len(images), CLASS)
    return np.array(metric(logits, images.numpy(), labels, a_batch=parted.astype(np.float32), softmax=True))


def test_localisation_and_complexity_of_quantus(network, images, maps, masks):
    quantus = peers("quantus")
    options = {"abs": False, "normalise": False, "disable_warnings": True}
    labels = np.full(len(images), CLASS)

    def theirs(metric):
        batches = {"a_batch": maps[:, None].copy(), "s_batch": masks[:, None].copy()}
        return metric(network, images.numpy(), labels, **batches)

    pairs = list(zip(maps, masks, strict=True))
    np.testing.assert_array_equal(theirs(quantus.PointingGame(**options)), [pointing_game(*pair) for pair in pairs])
    np.testing.assert_allclose(
        theirs(quantus.RelevanceMassAccuracy(**options)), [relevance_mass(*pair) for pair in pairs], rtol=1e-5
    )
    np.testing.assert_allclose(theirs(quantus.Complexity(**options)), [entropy(map_) for map_ in maps], rtol=1e-5)
