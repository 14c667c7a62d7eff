"""Patch descriptors against the published description, written out: unfold, upsample, pool adaptively, pool again."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from chinspect.anomaly._aggregate import Anomalib, Kauffmann2025, Roth
from chinspect.errors import InputError


def unfolded(features: list[torch.Tensor], dimension: int) -> torch.Tensor:
    """Roth et al. 2022, section 3.1: neighbourhoods of 3x3, upsampled, pooled to ``dimension`` a layer and in all."""
    n, _, height, width = features[0].shape
    layers = []
    for feature in features:
        channels, rows, columns = feature.shape[1:]
        cells = F.unfold(feature, 3, padding=1).view(n, channels * 9, rows, columns)
        cells = F.interpolate(cells, (height, width), mode="bilinear", align_corners=False)
        flat = cells.permute(0, 2, 3, 1).reshape(-1, 1, channels * 9)
        layers.append(F.adaptive_avg_pool1d(flat, dimension)[:, 0])
    stacked = torch.stack(layers, 1).flatten(1)
    return F.adaptive_avg_pool1d(stacked[:, None], dimension)[:, 0].view(n, height, width, -1).permute(0, 3, 1, 2)


def maps(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_roth_is_the_published_pooling_of_a_wide_resnet(dtype, tolerance):
    features = maps((2, 512, 7, 6), (2, 1024, 4, 3), dtype=dtype)
    module = Roth([512, 1024])
    result = module(features)
    assert result.shape == (2, 1024, 7, 6)
    assert module.channels == 1024
    torch.testing.assert_close(result, unfolded(features, 1024), rtol=0, atol=tolerance)


def test_roth_of_a_smaller_network_pools_to_twice_its_channels():
    features = maps((1, 24, 8, 8), (1, 48, 4, 4))
    torch.testing.assert_close(Roth([24, 48])(features), unfolded(features, 48))


def test_kauffmann2025_is_the_published_pooling_of_one_layer():
    features = maps((2, 16, 5, 7))
    torch.testing.assert_close(Kauffmann2025([16])(features), unfolded(features, 64))
    wide = maps((1, 512, 3, 3))
    torch.testing.assert_close(Kauffmann2025([512])(wide), unfolded(wide, 2048))


def test_anomalib_is_average_pool_upsample_concatenate():
    features = maps((2, 6, 8, 6), (2, 10, 4, 3))
    pooled = [torch.nn.AvgPool2d(3, 1, 1)(feature) for feature in features]
    expected = torch.cat([pooled[0], F.interpolate(pooled[1], (8, 6), mode="bilinear")], 1)
    torch.testing.assert_close(Anomalib([6, 10])(features), expected)


@pytest.mark.parametrize(("module", "shapes"), [
    (Roth([4, 8]), [(2, 4, 6, 6), (2, 8, 3, 3)]),
    (Anomalib([4, 8]), [(2, 4, 6, 6), (2, 8, 3, 3)]),
    (Kauffmann2025([4]), [(2, 4, 6, 6)]),
])  # fmt: skip
def test_descriptors_are_linear_and_differentiable(module, shapes):
    a = maps(*shapes)
    b = [feature.flip(0) + 1 for feature in a]
    combined = module([2 * x - 3 * y for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(combined, 2 * module(a) - 3 * module(b))
    seed = torch.ones_like(combined)
    _, transpose = torch.func.vjp(module, a)
    inner = sum((g * x).sum() for g, x in zip(transpose(seed)[0], a, strict=True))
    torch.testing.assert_close(inner, module(a).sum())


@pytest.mark.parametrize(("module", "channels"), [(Roth, [4, 4]), (Roth, [4]), (Kauffmann2025, [4, 8])])
def test_layers_that_do_not_fit(module, channels):
    with pytest.raises(InputError, match="layer"):
        module(channels)
