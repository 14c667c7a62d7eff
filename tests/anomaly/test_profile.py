"""Shares of scores: planted differences of known shares, masks of known area, and intervals that hold what they say."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from chinspect.anomaly import CallableDetector, D2Neighbors, PatchCore, score_profile
from chinspect.anomaly.profile import covered
from chinspect.errors import InputError
from chinspect.intervals import mean_interval
from chinspect.relevance import dct_matrix

SIZE = 32


def flat(count: int) -> torch.Tensor:
    """Images of one grey each, practically the same."""
    return torch.linspace(-1e-4, 1e-4, count).view(-1, 1, 1, 1).expand(count, 3, SIZE, SIZE).contiguous()


def wave(u: int, v: int) -> torch.Tensor:
    """The DCT basis image of order ``u + v``, (SIZE, SIZE), norm 1."""
    basis = dct_matrix(SIZE).float()
    return torch.outer(basis[u], basis[v])


@pytest.fixture(scope="module")
def detector() -> D2Neighbors:
    return D2Neighbors(size=SIZE).fit(flat(8))


def test_planted_frequencies_have_their_shares(detector: D2Neighbors) -> None:
    """A squared distance to a grey image is the power of each order, so the shares are those of the amplitudes."""
    low, high = wave(3, 4), wave(15, 12)
    x = flat(1) + torch.stack([2 * high, 2 * low, 1.2 * high + 1.6 * low, 0.3 * high + 0.4 * low])[:, None]
    found = score_profile(detector, x)
    np.testing.assert_allclose(found.high_frequency, [1, 0, 0.36, 0.36], atol=1e-5)
    assert np.isnan(found.outside).all()
    assert found.label is None
    (row,) = found.to_frame().to_dict("records")
    assert (row["group"], row["share"], row["images"]) == ("all", "high_frequency", 4)
    assert row["mean"] == pytest.approx(0.43, abs=1e-5)
    assert row["low"] < row["mean"] < row["high"]
    assert row["uniform"] == pytest.approx(sum(u + v >= 19 for u in range(SIZE) for v in range(SIZE)) / SIZE**2)


def test_the_cutoff_is_the_first_high_order(detector: D2Neighbors) -> None:
    x = flat(1) + torch.stack([wave(3, 4), wave(4, 4)])[:, None]
    np.testing.assert_allclose(score_profile(detector, x, cutoff=8).high_frequency, [0, 1], atol=1e-5)
    np.testing.assert_allclose(score_profile(detector, x, cutoff=7).high_frequency, [1, 1], atol=1e-5)


def test_relevance_outside_a_mask_is_what_was_planted_there(detector: D2Neighbors) -> None:
    """Squares of equal size: amplitudes 0.6 inside and 0.3 outside the mask give shares 4 : 1."""
    x = flat(1).repeat(3, 1, 1, 1)
    x[0, :, 4:12, 4:12] += 0.6
    x[1, :, 4:12, 4:12] += 0.6
    x[1, :, 20:28, 20:28] += 0.3
    x[2] += 0.2
    mask = np.zeros((4 * SIZE, 3 * SIZE), dtype=bool)
    mask[16:48, 12:36] = True
    found = score_profile(detector, x, labels=[1, 1, 1], masks=[mask] * 3)
    np.testing.assert_allclose(found.outside, [0, 0.2, 1 - 64 / SIZE**2], atol=1e-3)
    np.testing.assert_allclose(found.area_outside, 1 - 64 / SIZE**2)
    row = found.table.set_index(["group", "share"]).loc[("defective", "outside")]
    assert row["uniform"] == pytest.approx(1 - 64 / SIZE**2)
    assert row["mean"] == pytest.approx(found.outside.mean())


def test_a_pixel_that_a_mask_cuts_counts_by_its_part() -> None:
    mask = np.zeros((7, 5))
    mask[1:6, 2:] = 1
    cover = covered(mask, (3, 2, 4))
    fine = np.kron(mask, np.ones((2, 4)))  # both grids divide 14 x 20
    expected = fine.reshape(2, 7, 4, 5).mean((1, 3))
    np.testing.assert_allclose(cover, expected)
    np.testing.assert_allclose(covered(np.ones((3, 3)), (8, 9)), 1)
    np.testing.assert_allclose(covered(mask, (7, 5)), mask, atol=1e-15)
    np.testing.assert_allclose(covered(np.kron(mask, np.ones((3, 3))), (7, 5)), mask, atol=1e-15)
    assert covered(mask, (3, 2)).mean() == pytest.approx(mask.mean())


def test_groups_follow_labels_and_masks(detector: D2Neighbors) -> None:
    generator = torch.Generator().manual_seed(0)
    x = 0.2 * torch.randn(40, 3, SIZE, SIZE, generator=generator).clamp(-3, 3)
    labels, mask = np.arange(40) % 2, np.eye(SIZE)
    masks = [mask if label and i < 30 else None for i, label in enumerate(labels)]
    found = score_profile(detector, x, labels=labels, masks=masks)
    counts = found.table.groupby(["group", "share"]).images.sum().to_dict()
    assert counts == {
        ("normal", "high_frequency"): 20,
        ("defective", "high_frequency"): 20,
        ("defective", "outside"): 15,
    }
    normal = score_profile(detector, x, labels=np.zeros(40), masks=[np.zeros((5, 5))] * 40)
    assert normal.table[["group", "share"]].to_numpy().tolist() == [["normal", "high_frequency"]]
    np.testing.assert_allclose(normal.high_frequency, found.high_frequency, rtol=1e-4)  # in other batches, without maps
    np.testing.assert_array_equal(score_profile(detector, x[:1]).table[["low", "high"]], [[np.nan, np.nan]])


@pytest.mark.filterwarnings("ignore:.*has the same pixels:chinspect.errors.ImageWarning")
def test_images_without_a_score_have_no_shares() -> None:
    x = flat(1).repeat(3, 1, 1, 1)
    found = score_profile(D2Neighbors(size=SIZE).fit(x), x, masks=[np.eye(4)] * 3)
    assert np.isnan([found.high_frequency, found.outside, found.area_outside]).all()
    assert list(found.table.columns) == ["group", "share", "images", "mean", "low", "high", "uniform"]
    assert not len(found.table)


def test_signed_maps_of_patchcore_add_up() -> None:
    generator = torch.Generator().manual_seed(1)
    x = 0.2 * torch.rand(6, 3, 64, 64, generator=generator)
    odd = x[:2].clone()
    odd[:, :, 8:24, 8:24] = 0.9
    detector = PatchCore(backbone="tiny-supervised", size=64).fit(x)
    left = np.zeros((64, 64))
    left[:, :32] = 1
    one, other = (score_profile(detector, odd, masks=[mask] * 2) for mask in (left, 1 - left))
    np.testing.assert_allclose(one.outside + other.outside, 1, atol=1e-5)
    assert (one.outside < 0.5).all()


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered_by = {0.8: 0, 0.95: 0}
    for seed in range(400):
        values = rng.beta(2, 5, 40)
        for confidence in covered_by:
            low, high = mean_interval(values, n_resamples=300, confidence=confidence, seed=seed)
            covered_by[confidence] += low <= 2 / 7 <= high
    assert 0.74 < covered_by[0.8] / 400 < 0.86
    assert 0.9 < covered_by[0.95] / 400 < 0.98


def test_intervals_equal_a_loop_over_drawn_images() -> None:
    values = np.random.default_rng(0).exponential(size=25)
    rng = np.random.default_rng(1)
    means = [rng.choice(values, 25).mean() for _ in range(20_000)]
    found = mean_interval(values, n_resamples=20_000, confidence=0.9)
    np.testing.assert_allclose(found, np.quantile(means, [0.05, 0.95]), rtol=0.02)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_what_does_not_fit_is_refused(detector: D2Neighbors) -> None:
    x = flat(2)
    for options, message in (
        ({"labels": [0]}, "each of the 2 images"),
        ({"labels": [0, 2]}, "0 or 1"),
        ({"masks": [None]}, "2 images, or None, and these are 1"),
        ({"masks": [None] * 3}, "2 images, or None, and these are 3"),
        ({"masks": [np.full((4, 4), 255), None]}, r"numbers in \[0, 1\]"),
        ({"masks": [np.zeros(4), None]}, r"shape \(4,\)"),
        ({"masks": [np.full((2, 2), np.nan), None]}, r"numbers in \[0, 1\]"),
        ({"cutoff": 0}, "rising orders"),
        ({"cutoff": 2 * SIZE}, "rising orders"),
        ({"confidence": 1.0}, "confidence"),
        ({"n_resamples": 0}, "resamples"),
    ):
        with pytest.raises(InputError, match=message):
            score_profile(detector, x, **options)
    with pytest.raises(NotFittedError):
        score_profile(D2Neighbors(), x)
    with pytest.raises(InputError, match="cannot be explained"):
        score_profile(CallableDetector(lambda batch: batch.mean((1, 2, 3))).fit(x), x)
