import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.relevance import Method, RelevanceWarning, patches, reference_images, relevance_map
from chinspect.report import page_html
from chinspect.similarity import explain_similarity
from chinspect.similarity.verification import verify


@pytest.fixture(scope="module")
def explanation(encoder):
    from tests.similarity.conftest import picture

    generator = np.random.default_rng(0)
    pictures = picture(generator, 90, 70), picture(generator, 64, 128)
    return explain_similarity(encoder, *pictures, method="lrp", patch_size=16)


@pytest.fixture(scope="module")
def against_blur(encoder):
    from tests.similarity.conftest import picture

    generator = np.random.default_rng(0)
    pictures = picture(generator, 90, 70), picture(generator, 64, 128)
    return explain_similarity(encoder, *pictures, patch_size=16)


def test_a_reference_map_explains_what_the_images_have_beyond_their_references(encoder, against_blur):
    """By default, and exactly: ``<y_a - y_a0, y_b - y_b0>``; the constant is the rest of the dot product."""
    inputs = [against_blur.a.input, against_blur.b.input]
    with torch.no_grad():
        a, b = (encoder.module(x) - encoder.module(reference_images("blur", x)[0]) for x in inputs)
    assert against_blur.method.label == "rescale, reference blur"
    assert against_blur.explained == pytest.approx(float((a @ b.T)[0, 0]), rel=1e-4)
    assert against_blur.conservation == pytest.approx(1, abs=1e-4)
    assert against_blur.relevance.sum() + against_blur.constant == pytest.approx(against_blur.similarity, rel=1e-6)
    assert "beyond their references (blur)" in against_blur.sentence


def test_shapley_values_need_the_module_alone_and_say_how_exact_they_are(encoder, pictures):
    found = explain_similarity(encoder, *pictures, method="shapley", evaluations=200, patch_size=32)
    assert found.conservation == pytest.approx(1, abs=1e-4)
    assert found.standard_errors.shape == found.relevance.shape == (2, 2, 2, 2)
    assert found.standard_errors.max() == 0  # all 16 sets of 4 patches were answered
    sampled = explain_similarity(encoder, *pictures, evaluations=80, patch_size=16)
    assert sampled.method.name == "shapley"
    assert sampled.standard_errors.min() > 0
    certain = sampled.certain
    assert 0 < np.count_nonzero(certain) < certain.size
    assert (certain[certain != 0] == sampled.relevance[certain != 0]).all()


def test_an_adaptive_grid_sums_to_the_coarse_patches(encoder, pictures):
    coarse = explain_similarity(encoder, *pictures, patch_size=32, check=False)
    fine = explain_similarity(encoder, *pictures, patch_size="auto", check=False)
    assert fine.relevance.shape == (8, 8, 8, 8)
    assert fine.conservation == pytest.approx(1, abs=1e-4)
    summed = fine.relevance.reshape(2, 4, 2, 4, 2, 4, 2, 4).sum((1, 3, 5, 7))
    np.testing.assert_allclose(summed, coarse.relevance, atol=1e-4 * np.abs(coarse.relevance).max())
    with pytest.raises(InputError, match="Shapley values follow no operations"):
        explain_similarity(encoder, *pictures, patch_size="auto", method="shapley")


def test_every_result_says_how_the_similarity_falls(against_blur, encoder, pictures):
    assert "most relevant patches" in against_blur.sentence
    falls = against_blur.document()["faithfulness"]["falls"]
    assert [row["fraction"] for row in falls] == [0.05, 0.1, 0.2, 0.4]
    caption = against_blur.figure().get_supxlabel()
    told, _, glossary = " ".join(caption.split()).partition("The words of this figure: ")
    assert told.strip() in against_blur.sentence
    assert "GLOSSARY" in glossary
    assert max(map(len, caption.splitlines())) <= 110  # wider lines are cut off at both sides
    unchecked = explain_similarity(encoder, *pictures, check=False)
    assert unchecked.deletion is None
    assert "faithfulness" not in unchecked.document()


def test_shares_stay_meaningful_where_the_similarity_cancels(against_blur):
    empty = replace(against_blur.a, contributions=against_blur.a.contributions * 0)
    assert replace(against_blur, a=empty).to_frame().share.abs().max() == 0
    signs = np.where(np.arange(16) % 2, 1.0, -1.0)[:, None]
    balanced = np.abs(against_blur.a.contributions).mean(0) * signs
    cancelled = replace(against_blur, a=replace(against_blur.a, contributions=balanced))
    assert abs(cancelled.relevance.sum()) < 1e-3 * np.abs(cancelled.relevance).sum()
    assert cancelled.to_frame().share.abs().sum() == pytest.approx(1)


def test_similarity_is_the_dot_product_of_the_embeddings(encoder, explanation, pictures):
    a, b = encoder.embed(pictures)
    assert explanation.similarity == pytest.approx(float(a @ b), rel=1e-5)


def test_relevance_sums_to_the_similarity(explanation):
    assert explanation.relevance.shape == (4, 4, 4, 4)
    assert explanation.relevance.sum() == pytest.approx(explanation.similarity, rel=1e-3)
    assert explanation.conservation == pytest.approx(1, abs=1e-3)


def test_relevance_is_the_sum_over_neurons_of_products_of_lrp(encoder, explanation):
    """The definition: one LRP pass for each neuron and image, multiplied and summed."""
    maps = []
    for image in (explanation.a, explanation.b):
        mapped = relevance_map(encoder.module, image.input)
        partition = patches(16).on(image.input.shape)
        eye = torch.eye(mapped.output.shape[1])
        maps.append(torch.cat([partition.sums(mapped.pull(mapped.output * row)) for row in eye]))
    expected = torch.einsum("ki,kj->ij", *maps).numpy()
    np.testing.assert_allclose(explanation.relevance.reshape(16, 16), expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_swapping_the_images_transposes_the_relevance(encoder, pictures, explanation):
    swapped = explain_similarity(encoder, *pictures[::-1], method="lrp", patch_size=16)
    np.testing.assert_allclose(swapped.relevance.transpose(2, 3, 0, 1), explanation.relevance, rtol=1e-5)


def test_marginals_are_one_lrp_pass(encoder, explanation):
    mapped = relevance_map(encoder.module, explanation.a.input)
    seed = mapped.output * torch.from_numpy(explanation.b.embedding)
    expected = patches(16).on((64, 64)).sums(mapped.pull(seed)).reshape(4, 4).numpy()
    np.testing.assert_allclose(explanation.marginals()[0], expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_cosine_divides_by_the_norms(encoder, pictures, explanation):
    cosine = explain_similarity(encoder, *pictures, method="lrp", patch_size=16, metric="cosine")
    norms = np.linalg.norm(explanation.a.embedding) * np.linalg.norm(explanation.b.embedding)
    assert cosine.similarity == pytest.approx(explanation.similarity / norms, rel=1e-5)
    assert 0 < cosine.similarity <= 1
    np.testing.assert_allclose(cosine.relevance, explanation.relevance / norms, rtol=1e-5)


def test_top_pairs_are_the_largest_with_boxes_in_the_original_image(explanation):
    pairs = explanation.top_pairs(5)
    frame = explanation.to_frame()
    largest = frame.reindex(frame.relevance.abs().sort_values(ascending=False).index).head(5)
    assert [pair.relevance for pair in pairs] == pytest.approx(largest.relevance.tolist())
    row = largest.iloc[0]
    scale = 70 / 64  # image a is 90x70: its short side became 64, and 9 columns of the resized image were cut
    x0 = ((row.column_a * 16) + 9) * 90 / 82
    assert pairs[0].box_a[0] == pytest.approx(x0, abs=0.06)
    assert pairs[0].box_a[1] == pytest.approx(row.row_a * 16 * scale, abs=0.06)
    assert len(explanation.top_pairs(10_000)) == 256


def test_matches_of_regions_add_up(explanation):
    left, right = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    left[:, :2], right[:, 2:] = True, True
    total = explanation.matches(left) + explanation.matches(right)
    np.testing.assert_allclose(total, explanation.marginals()[0], rtol=1e-5)


def test_matches_of_a_box_count_cut_patches_by_their_part(explanation):
    whole = explanation.matches((0, 0, 64, 128))
    np.testing.assert_allclose(whole, explanation.marginals()[0], rtol=1e-5)
    box = explanation.b.boxes[1, 2]
    half = explanation.matches((box[0], box[1], (box[0] + box[2]) / 2, box[3]))
    np.testing.assert_allclose(half, explanation.relevance[:, :, 1, 2] / 2, rtol=1e-4)


@pytest.mark.parametrize("region", [(0, 0, 0, 5), (5, 5, 1, 1), np.ones((3, 3)), 7])
def test_matches_refuses_what_is_no_region(explanation, region):
    with pytest.raises(InputError, match="box"):
        explanation.matches(region)


def test_frequencies_share_the_dot_product(explanation):
    by_band = explanation.by_frequency((2, 19))
    assert by_band.orders == ((0, 1), (2, 18), (19, 126))
    assert by_band.relevance.shape == (3, 3)
    assert by_band.relevance.sum() == pytest.approx(explanation.similarity, rel=1e-3)
    assert by_band.to_frame().columns.tolist() == ["0-0.5", "1-9", "9.5-63"]  # cycles: half as many as half periods
    assert np.abs(by_band.shares).sum() == pytest.approx(1)
    # where they lie: patches of both images, which add up to what each band has in rows and columns, half for each
    assert by_band.pairs.shape == (3, 4, 4, 4, 4)
    halves = (by_band.relevance.sum(0) + by_band.relevance.sum(1)) / 2
    np.testing.assert_allclose(by_band.pairs.sum((1, 2, 3, 4)), halves, rtol=1e-6, atol=1e-9)
    assert (np.sign(by_band.shares) == np.sign(by_band.relevance)).all()


def test_saved_arrays_give_the_explanation_back(explanation, tmp_path):
    json_path, npz_path, *_ = explanation.save(tmp_path / "new" / "folder")
    document = json.loads(json_path.read_text())
    with np.load(npz_path, allow_pickle=False) as arrays:
        assert arrays["relevance"].sum() == pytest.approx(document["relevance_sum"], rel=1e-5)
        np.testing.assert_array_equal(arrays["boxes_a"], explanation.a.boxes)
    assert document["patch_grid"] == [4, 4, 4, 4]
    assert sorted(path.name for path in json_path.parent.iterdir()) == [
        "similarity.html",
        "similarity.json",
        "similarity.npz",
        "similarity.png",
    ]


def test_the_page_lets_patches_be_pointed_at_and_says_how_far_to_trust_them(explanation):
    banded = replace(explanation, frequencies=explanation.by_frequency((2, 19)))
    page = banded.page()
    assert page.verdict == f"{explanation.tendency}, cosine {explanation.cosine:.2f}"
    viewer, table = page.sections[0].blocks
    np.testing.assert_array_equal(viewer.relevance["all"], explanation.relevance)
    assert list(viewer.relevance) == ["all", *(f"{cycles} cycles per image" for cycles in ("0-0.5", "1-9", "9.5-63"))]
    assert len(table.table) == explanation.listed
    assert [section.title for section in page.sections] == ["What matches what", "By frequency", "Can this be trusted?"]
    assert "Conservation:" in page.sections[2].blocks[0].text
    assert page_html(page).count('data-block="pair"') == 1


def test_the_figure_shows_the_strongest_pairs_between_both_images_and_where_the_similarity_lies(explanation):
    figure = explanation.figure()
    axes = {axes.get_label(): axes for axes in figure.axes}
    assert f"dot {explanation.similarity:.4g}" in figure.get_suptitle()
    red, blue = axes["pairs"].collections
    drawn = np.argsort(-np.abs(explanation.relevance.reshape(-1)))[:40]
    positive = int((explanation.relevance.reshape(-1)[drawn] > 0).sum())
    assert (len(red.get_segments()), len(blue.get_segments())) == (positive, 40 - positive)
    assert "The 40 strongest of 256 pairs of patches" in axes["pairs"].get_title()
    for curve in (*red.get_segments(), *blue.get_segments()):
        assert curve[:, 1].min() >= 0  # inside the frame
    names = [text.get_text() for text in axes["pairs"].texts]
    assert names == ["image (left)", "image (right)"]
    maps = [image.get_array() for image in axes["marginals"].images if image.get_array().ndim == 2]
    for shown, marginal in zip(maps, explanation.marginals(), strict=True):
        np.testing.assert_allclose(shown, marginal / explanation.scale)
    assert axes["scale"].get_ylabel() == "share of what is explained"


def test_plot_refuses_other_formats_and_leaves_nothing(explanation, tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        explanation.plot(tmp_path / "figure.xyz")
    assert not list(tmp_path.iterdir())


def test_description_names_both_images_and_the_doubt(explanation):
    text = explanation.sentence
    assert "patch pairs carry" in text
    assert text.count("half of it lies in") == 2
    assert "not yet a proof" in text


def test_zennit_agrees(explanation):
    found = verify(explanation, 4)
    assert len(found.neurons) == 4
    assert found.max_relative_difference < 1e-3


def test_zennit_knows_no_reference_maps(against_blur):
    with pytest.raises(InputError, match="explain with the method lrp"):
        verify(against_blur, 4)


def test_what_biases_hold_is_said(encoder, pictures):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 8))
    module[1].bias.data += 1e3
    biased = Encoder("biased", module.eval().requires_grad_(False), encoder.preprocessing, encoder.card)
    explanation = explain_similarity(biased, *pictures, composite="epsilon")
    assert "100% of this similarity is what the network says of any image" in explanation.sentence
    assert explanation.warnings == ()


def test_an_explosion_is_said(encoder, pictures):
    weight = torch.ones(4, 3 * 64 * 64)
    weight[:, 1::2] = -1
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 4))
    module[1].weight.data = weight
    module[1].bias.data = torch.full((4,), 1e-3) - module(encoder.prepare(pictures[0]))[0].detach()
    cancelling = Encoder("cancelling", module.eval().requires_grad_(False), encoder.preprocessing, encoder.card)
    with pytest.warns(RelevanceWarning, match="explodes"):
        explanation = explain_similarity(cancelling, *pictures, composite="epsilon")
    assert "explodes" in explanation.warnings[0]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"patch_size": 0}, "at least 1"),
        ({"patch_size": 65}, "at most 64"),
        ({"patch_size": "small"}, "pixels or auto, not 'small'"),
        ({"metric": "euclid"}, "dot or cosine"),
        ({"composite": "nonsense"}, "epsilon_plus_flat"),
        ({"method": "gradient"}, "auto, lrp, rescale, shapley"),
        ({"method": "rescale", "composite": "epsilon"}, "belongs to the method lrp"),
        ({"method": "rescale", "evaluations": 100}, "belong to the method shapley"),
        ({"method": Method("lrp"), "reference": "grey"}, "holds all options"),
        ({"method": "shapley", "evaluations": 3}, "too few"),
        ({"reference": "blurr"}, "unknown reference 'blurr'"),
    ],
)
def test_bad_arguments_are_named(encoder, pictures, arguments, match):
    with pytest.raises(InputError, match=match):
        explain_similarity(encoder, *pictures, **arguments)


def test_batch_norm_statistics_and_weights_stay(encoder, pictures):
    before = {key: value.clone() for key, value in encoder.module.state_dict().items()}
    explain_similarity(encoder, *pictures)
    after = encoder.module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
