"""Scores against their definition in float64, the choice of gamma, near-duplicates, 8 bits, blur."""

from math import exp

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from chinspect.anomaly import Blur, D2Neighbors, _distances, d2neighbors
from chinspect.anomaly._distances import Bank, powered_distances
from chinspect.anomaly.softmin import fit_gamma, soft_minimum, soft_minimum_weights
from chinspect.errors import InputError


def images(count: int, seed: int = 0, *, eight_bit: bool = False, size: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = (0.3 + 0.2 * torch.randn(count, 3, size, size, generator=generator)).clamp(-1, 1)
    return ((x + 1) * 127.5).round().div(127.5).sub(1) if eight_bit else x


def exact(x: torch.Tensor, u: torch.Tensor, p: int) -> np.ndarray:
    left, right = (batch.flatten(1).double().numpy() for batch in (x, u))
    return np.array([[(np.abs(a - b) ** p).sum() for b in right] for a in left])


def soft_minimum_by_definition(row: np.ndarray, gamma: float) -> float:
    return float(-np.log(np.mean(np.exp(-gamma * row))) / gamma)


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("bits", [(True, True), (True, False), (False, True), (False, False)])
def test_distances_equal_their_definition(p: int, bits: tuple[bool, bool]) -> None:
    x, u = images(7, 1, eight_bit=bits[0]), images(30, 0, eight_bit=bits[1])
    bank = Bank.of(u)
    assert bank.rows.dtype == (torch.int8 if bits[1] else torch.float32)
    np.testing.assert_allclose(powered_distances(x.flatten(1), bank, p), exact(x, u, p), rtol=3e-6)


@pytest.mark.parametrize("p", [1, 2, 4])
def test_integer_distances_are_exact(p: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (12, 3 * 160 * 160))  # more columns than one 32-bit sum holds
    levels[:2] = [[0], [255]]
    x = torch.from_numpy(levels).float().div(127.5).sub(1)
    integers = cdist(levels[:3], levels, "minkowski", p=p) ** p
    found = powered_distances(x[:3], Bank.of(x), p)
    np.testing.assert_allclose(found * 127.5**p, integers, rtol=1e-14 if p < 4 else 1e-5, atol=1e-6)


def test_without_exact_integer_products_floats_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    x, u = images(4, 1, eight_bit=True), images(9, eight_bit=True)
    monkeypatch.setattr(_distances, "integer_products_are_exact", lambda: False)
    np.testing.assert_allclose(powered_distances(x.flatten(1), Bank.of(u), 2), exact(x, u, 2), rtol=3e-6)


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("eight_bit", [True, False])
@settings(max_examples=10, deadline=None)
@given(step=st.sampled_from([0, 1, 3]), place=st.integers(0, 255))
def test_near_duplicates(p: int, eight_bit: bool, step: int, place: int) -> None:
    u = images(20, eight_bit=eight_bit).clamp(-0.9, 0.9)
    u = torch.cat([u, -u])  # far from its own mean: expansions cancel
    x = u[5:6].clone()
    x.view(-1)[place] += step / 127.5
    bank = Bank.of(u)
    found = powered_distances(x.flatten(1), bank, p)
    np.testing.assert_allclose(found, exact(x, u, p), rtol=2e-5, atol=0 if step else 1e-12)
    if not step:
        assert found[0, 5] == 0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, u = images(3, 1).flatten(1), images(25).flatten(1)
    whole = {p: powered_distances(x, Bank.of(u), p) for p in (1, 2, 4)}
    monkeypatch.setattr(_distances, "_BLOCK", 2000)
    for p, expected in whole.items():
        np.testing.assert_allclose(powered_distances(x, Bank.of(u), p), expected, rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("blur", [None, Blur(5, 1.0)])
def test_scores_equal_their_definition(p: int, blur: Blur | None) -> None:
    x, u = images(6, 1), images(30)
    detector = D2Neighbors(p=p, layer=blur).fit(u)
    mapped = [batch if blur is None else blur(batch) for batch in (x, u)]
    expected = [soft_minimum_by_definition(row, detector.gamma_) for row in exact(*mapped, p)]
    np.testing.assert_allclose(detector.decision_function(x), expected, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2, 4])
def test_held_out_scores_leave_each_image_out(p: int) -> None:
    u = images(12)
    detector = D2Neighbors(p=p).fit(u)
    rows = exact(u, u, p)
    expected = [soft_minimum_by_definition(np.delete(row, i), detector.gamma_) for i, row in enumerate(rows)]
    np.testing.assert_allclose(detector.held_out_scores_, expected, rtol=1e-5)


def test_many_images_are_calibrated_on_anchors(monkeypatch: pytest.MonkeyPatch) -> None:
    u = images(120)
    full = D2Neighbors().fit(u)
    monkeypatch.setattr(d2neighbors, "ANCHORS", 40)
    some, again, other = (D2Neighbors(random_state=seed).fit(u) for seed in (0, 0, 1))
    assert len(some.held_out_scores_) == 40
    assert some.gamma_ == pytest.approx(full.gamma_, rel=0.1)
    assert (some.gamma_ == again.gamma_, some.gamma_ == other.gamma_) == (True, False)
    assert set(some.held_out_scores_.round(4)) <= set(soft_left_out(u, some.gamma_).round(4))


def soft_left_out(u: torch.Tensor, gamma: float) -> np.ndarray:
    return np.array([soft_minimum_by_definition(np.delete(r, i), gamma) for i, r in enumerate(exact(u, u, 2))])


def effective_number(distances: torch.Tensor, gamma: float) -> float:
    total = 0.0
    for row in distances.tolist():
        finite = [d for d in row if d < float("inf")]
        weights = [exp(-gamma * (d - min(finite))) for d in finite]
        shares = [w / sum(weights) for w in weights]
        total += exp(-sum(s * np.log(s) for s in shares if s > 0))
    return total / len(distances)


@pytest.mark.parametrize("count", [10, 60, 209])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_gamma_gives_the_perplexity_whatever_the_unit(count: int, scale: float) -> None:
    u = images(count).flatten(1)
    distances = scale * powered_distances(u, Bank.of(u), 2).fill_diagonal_(torch.inf)
    gamma = fit_gamma(distances, 0.25)
    assert effective_number(distances, gamma) == pytest.approx(0.25 * count, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*has the same pixels:chinspect.errors.ImageWarning")
def test_gamma_of_few_images_and_of_duplicates() -> None:
    two = D2Neighbors().fit(images(2))  # no gamma can do it: the least distance
    x = images(3, 1)
    np.testing.assert_allclose(two.decision_function(x), exact(x, images(2), 2).min(1), rtol=1e-5)
    same = D2Neighbors().fit(images(1).repeat(5, 1, 1, 1))
    assert (same.gamma_, same.threshold_) == (1.0, 0.0)
    np.testing.assert_allclose(same.decision_function(x), exact(x, images(1), 2)[:, 0], rtol=1e-5)


def test_gamma_can_be_found_on_unblurred_images() -> None:
    u, blur = images(30), Blur(5, 1.0)
    original = D2Neighbors(layer=blur, calibrate_on="original").fit(u)
    assert original.gamma_ == D2Neighbors().fit(u).gamma_
    assert original.gamma_ < D2Neighbors(layer=blur).fit(u).gamma_ == D2Neighbors().fit(blur(u)).gamma_


@settings(max_examples=40, deadline=None)
@given(
    row=st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    gamma=st.floats(1e-12, 1e6),
)
def test_the_soft_minimum_lies_between_minimum_and_mean(row: list[float], gamma: float) -> None:
    distances = torch.tensor([row], dtype=torch.float64)
    score = float(soft_minimum(distances, gamma))
    slack = 1e-9 * (1 + max(row))
    assert min(row) - slack <= score <= np.mean(row) + slack
    assert float(soft_minimum_weights(distances, gamma).sum()) == pytest.approx(1)


def test_channels_that_come_last_are_refused():
    pictures = torch.rand(5, 20, 24, 3)
    with pytest.raises(InputError, match=r"\(5, 20, 24, 3\) has its channels last: permute its axes by \(0, 3, 1, 2\)"):
        D2Neighbors().fit(pictures)
    D2Neighbors().fit(pictures.permute(0, 3, 1, 2))
    D2Neighbors().fit(torch.rand(5, 12, 20, 24))  # twelve channels are no rows
