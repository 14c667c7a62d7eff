"""What must never mislead: signs, near-zero sums, crops, blank images, border effects, names, and the data set."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.similarity import SimilarityIndex, explain_similarity
from chinspect.similarity.image import labels
from chinspect.similarity.standing import standing_among
from chinspect.similarity.words import describe
from tests.similarity.conftest import picture


@pytest.fixture(scope="module")
def explanation(encoder):
    generator = np.random.default_rng(0)
    pictures = picture(generator, 90, 70), picture(generator, 64, 128)
    return explain_similarity(encoder, *pictures, method="lrp", patch_size=16, bands=3)


@pytest.fixture
def opposite(explanation):
    """The same pair, with everything that speaks for a similarity speaking against it."""
    a = explanation.a
    return replace(
        explanation,
        a=replace(a, contributions=-a.contributions, explained=-a.explained, embedding=-a.embedding),
        deletion=None,
    )


def drawn(explanation):
    figure = explanation.figure()
    return figure, {axes.get_label(): axes for axes in figure.axes}


def test_a_negative_similarity_is_a_dissimilarity_with_the_same_colours(explanation, opposite):
    assert explanation.tendency == "similar"
    assert opposite.tendency == "dissimilar"
    assert "carry" in opposite.sentence
    assert "of what makes the images dissimilar" in opposite.sentence
    assert repr(opposite).startswith(
        "<SimilarityExplanation: To random image (left) and image (right) are dissimilar: dot"
    )
    figure, axes = drawn(opposite)
    assert "call these images dissimilar?" in figure.get_suptitle()
    maps = [image.get_array() for image in axes["marginals"].images if image.get_array().ndim == 2]
    # red, above 0, adds to the similarity, however small that is
    for shown, marginal in zip(maps, opposite.marginals(), strict=True):
        assert (np.sign(shown) == np.sign(marginal)).all()
    assert [pair.share for pair in opposite.top_pairs(5)] == pytest.approx(
        [-pair.share for pair in explanation.top_pairs(5)]
    )


def test_what_cancels_has_shares_of_the_absolute_values(explanation):
    a = explanation.a
    signs = np.where(np.arange(16) % 2, 1.0, -1.0)[:, None]
    balanced = np.abs(a.contributions).mean(0) * signs
    cancelled = replace(explanation, a=replace(a, contributions=balanced, explained=1e-3 * a.explained))
    assert cancelled.tendency == "neither similar nor dissimilar"
    assert "nearly cancel" in cancelled.sentence
    assert cancelled.share_of == "all relevance, signs aside"
    assert np.abs(cancelled.marginal_shares()[0]).sum() == pytest.approx(1)
    assert np.isfinite(cancelled.marginal_shares()[1]).all()  # of b everything cancels
    assert "are neither similar nor dissimilar" in drawn(cancelled)[0].get_suptitle()


@pytest.mark.parametrize("factor", [0.0, 1e-30, -1.0, 1.0])
def test_no_number_is_missing_and_nothing_warns(explanation, factor, tmp_path):
    a = explanation.a
    scaled = replace(
        explanation,
        a=replace(a, contributions=a.contributions * factor, explained=a.explained * factor),
        deletion=None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = scaled.save(tmp_path)
        scaled.show()
    assert "null" not in files[0].read_text().replace('"among": null', "")
    assert "nan" not in scaled.sentence


def test_a_picture_of_one_colour_has_nothing_to_explain(encoder):
    grey = Image.new("RGB", (64, 64), (90, 90, 90))
    black = Image.new("RGB", (70, 64))
    explanation = explain_similarity(encoder, black, grey)
    assert explanation.blank == ["image (left)", "image (right)"]
    assert explanation.deletion is None
    assert explanation.conservation == 1
    assert "are no more than their references (blur)" in explanation.sentence
    assert "patches" not in explanation.sentence
    figure, axes = drawn(explanation)
    assert "nothing to explain" in figure.get_suptitle()
    assert axes["pairs"].get_title() == "No pair of patches stands out: none is drawn"
    assert not any(lines.get_segments() for lines in axes["pairs"].collections)


def test_what_padding_does_is_told_apart_from_content(encoder, pictures):
    """Of LRP, which takes no reference away, a picture of one colour gets just what the control says."""
    explanation = explain_similarity(
        encoder, Image.new("RGB", (64, 64), (9, 9, 9)), pictures[1], method="lrp", check=False
    )
    assert explanation.one_colour[0].shape == (4, 4)
    np.testing.assert_allclose(explanation.one_colour[0], explanation.marginals()[0], rtol=1e-3, atol=1e-5)
    assert explain_similarity(encoder, *pictures, check=False).one_colour is None  # the blurred picture is taken away
    assert explain_similarity(encoder, *pictures, reference="grey", check=False).one_colour is not None


def test_an_even_map_is_not_said_to_stand_out():
    even = np.ones((14, 14, 14, 14)) + np.random.default_rng(0).uniform(0, 1, (14, 14, 14, 14))
    text = describe(even, ("a.png", "b.png"), "similar")
    assert "Nothing stands out" in text
    assert "half of it" not in text
    even[3, 3, 4, 4] = 1e5
    assert "Nothing stands out" not in describe(even, ("a.png", "b.png"), "similar")


def test_what_is_cut_away_is_said_and_drawn(encoder, explanation):
    document = explanation.document()
    assert explanation.a.seen == pytest.approx(70 * 70 / (90 * 70), abs=0.02)
    assert document["seen"][1] == {"fraction": 0.5, "box": (0, 32, 64, 96), "of": (64, 128)}
    (warning,) = document["warnings"]
    assert warning.startswith("of image (left) the encoder sees 78% and of image (right) the encoder sees 50%")
    assert warning in explanation.sentence
    _, axes = drawn(explanation)
    assert "50% of the right one" in axes["seen"].get_title()
    generator = np.random.default_rng(0)
    sides = picture(generator, 90, 70), picture(generator, 64, 128)
    for fit in ("pad", "squash"):
        fitted = explain_similarity(encoder, *sides, fit=fit, check=False)
        assert (fitted.a.seen, fitted.b.seen) == (1, 1)
        assert fitted.cautions == []
        assert "seen" not in drawn(fitted)[1]
    with pytest.raises(InputError, match="crop, pad or squash, not by 'fill'"):
        explain_similarity(encoder, *sides, fit="fill")


def test_boxes_of_a_padded_picture_lie_inside_it(encoder):
    wide = picture(np.random.default_rng(1), 128, 64)
    explanation = explain_similarity(encoder, wide, wide, fit="pad", check=False)
    boxes = explanation.a.boxes
    assert boxes[..., 2].max() == 128
    assert boxes[..., 3].max() == 64
    assert (boxes[0, :, 3] - boxes[0, :, 1] == 0).all()  # a row of patches on the border above
    matched = explanation.matches((0, 0, 128, 64))
    assert np.isfinite(matched).all()


def test_bands_are_in_the_picture_and_in_the_arrays(explanation):
    arrays = explanation.arrays()
    assert arrays["bands"].shape == (3, 3)
    assert arrays["band_orders"].shape == (3, 2)
    document = explanation.document()["bands"]
    assert [len(document["cycles"]), np.abs(document["shares"]).sum()] == [3, pytest.approx(1)]
    _, axes = drawn(explanation)
    assert "cycles per image" in axes["bands"].get_xlabel()
    assert [label.get_text() for label in axes["bands"].get_xticklabels()] == explanation.frequencies.cycles


def test_the_same_picture_twice_is_said(encoder, tmp_path):
    for name in ("one.png", "copy.png"):
        picture(np.random.default_rng(2), 64, 64).save(tmp_path / name)
    twice = explain_similarity(encoder, tmp_path / "one.png", tmp_path / "copy.png", check=False)
    assert "one.png and copy.png show the encoder the same pixels" in twice.sentence
    assert "are one file" in replace(twice, b=twice.a).sentence
    assert twice.document()["same_pixels"]
    assert twice.cosine == pytest.approx(1)
    assert "the same pixels" in drawn(twice)[0].get_suptitle()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("x/cat.jpg", "y/dog.jpg", ("cat.jpg", "dog.jpg")),
        ("x/a/1.png", "y/a/1.png", ("x/a/1.png", "y/a/1.png")),
        ("x/1.png", "x/1.png", ("1.png (left)", "1.png (right)")),
        ("image", "image", ("image (left)", "image (right)")),
    ],
)
def test_labels_differ(first, second, expected):
    assert labels(first, second) == tuple(str(Path(name)) for name in expected)


def test_labels_that_are_long_stay_short_and_differ():
    a, b = labels(f"{'x' * 200}1{'y' * 200}.png", f"{'x' * 200}2{'y' * 200}.png")
    assert a != b
    assert max(len(a), len(b)) < 130


def test_a_cosine_stands_among_those_of_the_data_set(encoder, tmp_path, explanation):
    embeddings = np.random.default_rng(0).normal(size=(30, 5))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = [unit[i] @ unit[j] for i in range(30) for j in range(i)]
    found = standing_among(embeddings, 0.5)
    assert (found.pairs, found.images) == (435, 30)
    assert found.below == pytest.approx(np.mean(np.array(cosines) < 0.5), abs=0.005)
    assert found.median == pytest.approx(np.median(cosines))
    assert standing_among(embeddings, max(cosines)).below == pytest.approx(434 / 435)
    assert standing_among(embeddings, min(cosines)).sentence.startswith("less similar than most: higher than only 0% ")
    generator = np.random.default_rng(3)
    for number in range(4):
        picture(generator, 64, 64).save(tmp_path / f"{number}.png")
    files = [str(tmp_path / f"{number}.png") for number in range(2)]
    beside = explain_similarity(encoder, *files, among=tmp_path, check=False)
    stored = SimilarityIndex.build(encoder, tmp_path, tmp_path / "index").explain(0, 1)
    assert beside.standing.pairs == stored.standing.pairs == 6
    assert beside.standing.below == stored.standing.below
    assert "of the 6 pairs of 4 images of the data set" in stored.sentence
    assert json.loads(json.dumps(beside.document()["among"]))["pairs"] == 6
    with pytest.raises(InputError, match="at least 3 images"):
        explain_similarity(encoder, *files, among=_two(tmp_path), check=False)


def _two(folder):
    listed = folder / "two.txt"
    listed.write_text("0.png\n1.png\n")
    return listed


def test_an_untrained_network_is_told_as_it_is():
    """Embeddings may be negative throughout, or nearly opposite: no warning, no missing number, a word for it."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.GELU(), torch.nn.Flatten())
    opposed = torch.nn.Sequential(module, torch.nn.Linear(8 * 64, 6))
    encoder = Encoder.wrap(opposed, name="untrained", size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    generator = np.random.default_rng(0)
    dark = Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    bright = Image.fromarray(255 - np.asarray(dark))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = explain_similarity(encoder, dark, bright, patch_size=16)
    assert explanation.explained < 0
    assert explanation.tendency == "dissimilar"
    assert "this dissimilarity" in explanation.deletion_in_words
    assert explanation.deletion.explained > 0
