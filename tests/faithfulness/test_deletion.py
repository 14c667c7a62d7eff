"""Deletion: a score whose components are known falls by what they carry, and a map without aim is told so."""

import numpy as np
import pytest
import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness import Deletion, deletion
from chinspect.relevance import channels, frequency_bands, patches

PATCHES = patches(2)
"""16 of an image of 8 pixels."""


@pytest.fixture
def x() -> Tensor:
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def carried(weights: Tensor):
    """A score that is 10, and what the patches' mean brightness weighs: each carries ``weights`` of it."""
    labels = PATCHES.on((3, 8, 8)).labels

    def score(images: Tensor) -> Tensor:
        sums = torch.zeros(len(images), 16).index_add_(1, labels.flatten(), images.mean(1).flatten(1))
        return 10 + sums @ weights / 4

    return score


def skewed() -> Tensor:
    """Weights of which few are large."""
    return torch.arange(16).double().pow(3).float()[torch.randperm(16, generator=torch.Generator().manual_seed(1))]


def test_the_fall_is_what_the_removed_components_carry(x):
    weights = skewed()
    image = torch.ones_like(x)
    result = deletion(carried(weights), image, weights, PATCHES, "grey", fractions=(0.25, 0.5))
    ordered = weights.sort(descending=True).values
    assert result.score == pytest.approx(10 + float(weights.sum()))
    assert result.baseline == pytest.approx(10)
    np.testing.assert_allclose(result.most, [float(ordered[:4].sum()), float(ordered[:8].sum())], rtol=1e-5)
    np.testing.assert_allclose(result.least, [float(ordered[-4:].sum()), float(ordered[-8:].sum())], rtol=1e-5)
    np.testing.assert_allclose(result.table["most_relevant"], result.most / float(weights.sum()), rtol=1e-5)


def test_it_asks_at_most_25_images_in_small_batches(x):
    sizes = []

    def score(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images.mean((1, 2, 3))

    deletion(score, x, torch.arange(16.0), PATCHES)
    assert sum(sizes) <= 25
    assert max(sizes) <= 8  # more leave the caches of a processor


def test_the_sentence_compares_with_random_components():
    weights = torch.zeros(16)
    weights[:2] = 1
    result = deletion(carried(weights), torch.ones(1, 3, 8, 8), weights, PATCHES, "grey", random_sets=9)
    assert result.better_than_random
    assert result.sentence.startswith("Without its 10% most relevant patches the image loses 100% of the score; ")
    assert "without random 10% " in result.sentence
    assert "no better" not in result.sentence
    assert "image a loses 100% of the similarity;" in result.told("image a", "the similarity")


def test_maps_without_aim_are_told_so_at_the_level_of_the_test():
    # a random map is one more random order: 200 of them are called better with probability .05 each, 22 or more of them
    # with one below 1e-4
    weights = skewed()
    score = carried(weights)
    image = torch.ones(1, 3, 8, 8)
    alarms = 0
    for seed in range(200):
        order = torch.rand(16, generator=torch.Generator().manual_seed(seed))
        result = deletion(score, image, order, PATCHES, "grey", random_state=seed)
        alarms += result.better_than_random
        assert ("no better" in result.sentence) != result.better_than_random
    assert alarms < 22


def test_a_map_of_the_opposite_sign_does_no_better_than_random():
    weights = skewed()
    result = deletion(carried(weights), torch.ones(1, 3, 8, 8), -weights, PATCHES, "grey")
    assert not result.better_than_random
    assert (result.most < result.random.mean(1)).all()


def test_a_score_below_its_reference_has_nothing_to_lose(x):
    result = deletion(lambda images: -images.square().sum((1, 2, 3)), x, torch.rand(16), PATCHES, "grey")
    assert "is not above that of its reference" in result.sentence
    assert np.isfinite(result.table.to_numpy()).all()


def test_a_score_that_does_not_depend_on_the_image(x):
    result = deletion(lambda images: torch.ones(len(images)), x, torch.rand(16), PATCHES)
    assert not result.better_than_random
    assert "nothing that its components could lose" in result.sentence
    assert result.document()["falls"][0]["most_relevant"] is None


def test_falls_are_averaged_over_references(x):
    references = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    score = carried(skewed())
    both = deletion(score, x, skewed(), PATCHES, references)
    single = [deletion(score, x, skewed(), PATCHES, reference[None]) for reference in references]
    np.testing.assert_allclose(both.most, (single[0].most + single[1].most) / 2, rtol=1e-5, atol=1e-4)


def test_the_same_state_gives_the_same_result(x):
    first, second = (deletion(carried(skewed()), x, skewed(), PATCHES, random_state=5) for _ in range(2))
    assert first.document() == second.document()


def test_it_is_saved_as_other_results_are(x, tmp_path):
    result = deletion(carried(skewed()), x, skewed(), PATCHES)
    assert isinstance(result, Deletion)
    assert {path.name for path in result.save(tmp_path)} == {"deletion.json", "deletion.csv", "deletion.parquet"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"relevance": torch.ones(15)}, "relevance of 16 components"),
        ({"relevance": torch.full((16,), torch.nan)}, "finite relevance"),
        ({"fractions": (0.1, 1.0)}, "lie in"),
        ({"fractions": ()}, "lie in"),
        ({"random_sets": 1}, "have no spread"),
        ({"components": frequency_bands(3)}, "overlap"),
        ({"components": channels()}, "relevance of 3 components"),
        ({"score": lambda images: images}, "a finite number for each"),
        ({"score": lambda images: torch.full((len(images),), torch.nan)}, "a finite number for each"),
    ],
)
def test_refusals(x, changes, reason):
    settings = {"score": carried(skewed()), "x": x, "relevance": torch.rand(16), "components": PATCHES} | changes
    with pytest.raises(InputError, match=reason):
        deletion(**settings)


def test_the_fraction_that_is_told_says_what_all_of_them_say():
    """At the usual fraction nothing falls, and at the largest all of it: the sentence tells the largest."""
    fractions = np.array([0.05, 0.1, 0.2, 0.4])
    found = Deletion(
        score=1.0,
        baseline=0.0,
        components="patches",
        fractions=fractions,
        counts=np.array([5, 10, 20, 40]),
        most=np.array([0.0, -0.001, 0.3, 0.6]),
        least=np.zeros(4),
        random=np.tile([0.001, 0.002], (4, 1)),
    )
    assert found.better_than_random
    assert found.sentence.startswith("Without its 40% most relevant patches the image loses 60% of the score")
