"""Placebos stand for the nulls that they are named after, and the level over a family of trials holds."""

import numpy as np
import pytest
from scipy.stats import binom

from chinspect.artefacts import Artefact, colour_patch, imagenet_w, text_logo
from chinspect.proof.contents import Contents, shuffled
from chinspect.proof.family import step_down
from chinspect.proof.placebos import bounding_box, mean_view
from chinspect.proof.proving import Case, prove_all
from chinspect.proof.trial import rank_p, standardised

SIDE = 32


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))


def contents(artefact: Artefact, pool: list[np.ndarray], seed: int = 0) -> Contents:
    images = pictures(20, 1)
    views = mean_view(artefact, images), mean_view(artefact, [artefact.add(image) for image in images])
    return Contents(artefact, *views, pool, np.random.default_rng(seed))


def test_other_content_lies_where_the_artefact_lies_and_changes_as_much() -> None:
    artefact = colour_patch(0.3, colour=(0.7, 0.4, 0.5), anchor=(0, 1))
    images = pictures(20, 1)
    before = mean_view(artefact, images)
    change = np.linalg.norm(artefact.alpha[..., None] * (artefact.rgb - before))
    drawn = contents(artefact, pictures(5))
    for _ in range(7):
        placebo, ratio = drawn.draw()
        np.testing.assert_array_equal(placebo.alpha, artefact.alpha)
        norm = np.linalg.norm(placebo.alpha[..., None] * (placebo.rgb - before))
        assert norm == pytest.approx(ratio * change, rel=0.07)
        assert 0.9 < ratio < 1.02


def test_each_picture_lends_its_content_once_before_any_does_so_again() -> None:
    """Pictures of one grey value each: what they lend is lighter or darker than the mean image by one norm."""
    artefact = colour_patch(0.4, colour=(0.9, 0.1, 0.1))
    box = bounding_box(artefact.alpha > 0)
    hues = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    pool = [np.full((SIDE, SIDE, 3), hue, np.uint8) for hue in hues]
    drawn = contents(artefact, pool)
    means = [drawn.draw()[0].rgb[box].mean((0, 1)) for _ in range(len(hues))]
    assert len({tuple(np.round(mean, 2)) for mean in means}) == len(hues)


@pytest.mark.parametrize("artefact", [imagenet_w(), text_logo(), colour_patch()])
def test_shuffling_keeps_every_pixel_and_its_area(artefact: Artefact) -> None:
    mixed = shuffled(artefact, np.random.default_rng(0))
    layers = [np.concatenate([a.rgb, a.alpha[..., None]], axis=2).reshape(-1, 4) for a in (artefact, mixed)]
    for layer in layers:
        layer[:] = layer[np.lexsort(layer.T)]
    np.testing.assert_array_equal(*layers)
    if artefact.name != "patch":  # of one colour, so that nothing changes
        assert np.abs(mixed.alpha - artefact.alpha).mean() > 0.005
    assert bounding_box(mixed.alpha > 0)[1].start >= bounding_box(artefact.alpha > 0)[1].start


def test_a_rank_is_uniform_under_the_null_and_ties_count_against_the_artefact() -> None:
    rng = np.random.default_rng(0)
    for two_sided in (False, True):
        ranks = [rank_p(standardised(rng.standard_t(2, 20), two_sided=two_sided)) for _ in range(2000)]
        for level in (0.05, 0.25, 0.5):
            assert binom.sf(np.sum(np.array(ranks) <= level + 1e-9), 2000, level) > 1e-4
            assert binom.cdf(np.sum(np.array(ranks) <= level + 1e-9), 2000, level) > 1e-4
    assert rank_p(standardised(np.zeros(20), two_sided=False)) == 1


def test_the_level_holds_over_a_family_and_costs_clear_effects_nothing() -> None:
    """Ten trials, three of them with clear effects: of the seven nulls any is rejected in at most 5 %."""
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(300):
        statistics = rng.normal(size=(10, 40))
        statistics[:3, 0] = 40
        p_values = np.array(step_down([standardised(values, two_sided=False) for values in statistics]))
        assert (p_values[:3] <= 0.026).all()
        false += (p_values[3:] <= 0.05).any()
    assert binom.sf(33, 300, 0.05) < 1e-4
    assert false <= 33


def slow_step_down(statistics: np.ndarray) -> list[float]:
    order = sorted(range(len(statistics)), key=lambda j: -statistics[j, 0])
    p_values = {}
    for position, j in enumerate(order):
        rest = order[position:]
        count = 1
        for k in range(1, statistics.shape[1]):
            count += max(statistics[i, k] for i in rest) >= statistics[j, 0]
        p_values[j] = max([count / statistics.shape[1], *p_values.values()])
    return [p_values[j] for j in range(len(statistics))]


def test_step_down_is_that_of_its_definition() -> None:
    statistics = np.random.default_rng(2).normal(size=(6, 30))
    statistics[:, 0] += [3, 0, 1, 2, 0, 1]
    assert step_down(list(statistics)) == pytest.approx(slow_step_down(statistics))
    assert step_down([]) == []


class Mean:
    """A detector whose score is the red of one corner, at once with any number of others."""

    kind = "detector"
    device = "cpu"
    fingerprint = "0"
    threshold_ = 200.0

    def see(self, images):
        return list(images)

    def respond(self, images):
        return np.array([[float(image[-10:, :10, 0].mean())] for image in images])

    def explain(self, images, weights, *, bands=0):
        raise NotImplementedError


def test_artefacts_are_proved_together() -> None:
    clean, pool = pictures(12), pictures(40, 3)
    cases = [
        Case(colour_patch(0.3, colour=(1, 0, 0), anchor=(0, 1)), clean, pool=pool),
        *(Case(colour_patch(0.3, colour=(0, 0.2, 1), anchor=(1, 0)), clean, pool=pool) for _ in range(3)),
    ]
    proofs = prove_all(Mean(), cases, n_resamples=200)
    assert [proof.verdict for proof in proofs] == ["confirmed", "not_causal", "not_causal", "not_causal"]
    assert proofs[0].trials[0].rule.trials == 4
    assert "over 4 trials" in proofs[0].sentence
    assert proofs[0].next_step == ""
