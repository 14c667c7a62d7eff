"""ClusCAM, beside the published algorithm: channels are enlarged, scaled and clustered as maps of all pixels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans

from chinspect.cam import cam, clus_cam, enlarged, open_layer
from chinspect.encoders import load_encoder
from chinspect.errors import InputError

MODULE = load_encoder("tiny-supervised").module
X = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
LAYER = "stages.2"


def large(maps: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps[:, None], size=X.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def unit(maps: torch.Tensor) -> torch.Tensor:
    low, high = maps.flatten(1).amin(1)[:, None, None], maps.flatten(1).amax(1)[:, None, None]
    return torch.where(high > low, (maps - low) / (high - low), maps)


def published(x, target, count, drop, temperature, protocol):
    """At the resolution of the image, one cluster at a time."""
    activations = open_layer(MODULE, x, LAYER).activations[0]
    channels = unit(large(activations)) if protocol == "code" else large(activations)
    points = channels.flatten(1).numpy()
    centres = KMeans(count, init="k-means++", random_state=0).fit(points).cluster_centers_
    masks = torch.from_numpy(centres).reshape(count, *x.shape[2:])
    masks = unit(masks) if protocol == "paper" else masks
    differences = torch.tensor([float((MODULE(x * mask) - MODULE(x))[0, target]) for mask in masks])
    for index in differences.argsort()[: int(drop * count)]:
        differences[index] = -torch.inf
    weights = torch.softmax(differences / temperature, 0)
    return sum(weight * mask for weight, mask in zip(weights, masks, strict=True)).relu()


@pytest.mark.parametrize("protocol", ["code", "paper"])
@pytest.mark.parametrize(("count", "drop", "temperature"), [(10, 0.5, 0.5), (4, 0.0, 1.0)])
def test_the_published_map(protocol, count, drop, temperature):
    options = {"n_clusters": count, "drop": drop, "temperature": temperature, "protocol": protocol}
    maps = clus_cam(MODULE, X, LAYER, torch.tensor([3, 40]), **options)
    assert maps.shape == (2, 6, 8)
    for i, target in enumerate((3, 40)):
        slow = published(X[i : i + 1], target, count, drop, temperature, protocol)
        fast = enlarged(maps[i : i + 1], X)[0]
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
        assert slow.std() > 0.02


def test_distances_between_small_maps_are_those_between_large_ones():
    from chinspect.cam.clusters import _metric

    maps = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    rows, columns = _metric(5, 96), _metric(7, 128)
    small = rows.T @ (maps[0] - maps[1]).numpy() @ columns
    assert np.linalg.norm(small) == pytest.approx(float((large(maps)[0] - large(maps)[1]).norm()))


def test_low_temperatures_take_one_cluster_and_high_ones_all():
    one, all_ = (cam("cluscam", MODULE, X[:1], layer=LAYER, temperature=t, drop=0.0)[0] for t in (1e-6, 1e6))
    centres = [
        cam("cluscam", MODULE, X[:1], layer=LAYER, temperature=1e-6, drop=0.0, target=lambda out, s=s: s * out[:, 0])[0]
        for s in (1.0, -1.0)
    ]
    assert one.std() > all_.std()
    assert not np.allclose(*centres)


def test_channels_that_are_all_alike():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 8, stride=8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    module[0].weight.data[:] = module[0].weight.data[:1]
    module[0].bias.data[:] = 0
    maps = clus_cam(module.eval(), X, "0", n_clusters=3)
    assert bool(maps.isfinite().all())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_clusters": 129}, "the 128 channels of 'stages.2' make at most 128 clusters, not 129"),
        ({"n_clusters": 0}, "at least 1 cluster"),
        ({"drop": 1.0}, r"a drop in \[0, 1\)"),
        ({"temperature": 0.0}, "a temperature above 0"),
        ({"temperature": float("nan")}, "a temperature above 0"),
        ({"protocol": "papers"}, r"unknown protocol 'papers' \(did you mean 'paper'\?\)"),
    ],
)
def test_parameters_out_of_range(options, said):
    with pytest.raises(InputError, match=said):
        clus_cam(MODULE, X, LAYER, **options)
