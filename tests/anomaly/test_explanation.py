"""Explanations of D2Neighbors against slow textbook loops, the authors' formula, and what must hold for any."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from chinspect.anomaly import AnomalyExplanation, Blur, D2Neighbors, _distances, explain_anomaly
from chinspect.errors import InputError
from chinspect.relevance import zigzag

SIZE = 24
EDGES = (2, 19)
BLURS = [None, Blur(5, 1.0)]


def images(count: int, seed: int = 0, *, eight_bit: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = (0.1 + 0.25 * torch.randn(count, 3, SIZE, SIZE, generator=generator)).clamp(-1, 1)
    return ((x + 1) * 127.5).round().div(127.5).sub(1) if eight_bit else x


def band(x: np.ndarray, low: int, high: int) -> np.ndarray:
    order = np.add.outer(np.arange(SIZE), np.arange(SIZE))
    kept = (order >= low) & (order < high)
    return idctn(dctn(x, axes=(-2, -1), norm="ortho") * kept, axes=(-2, -1), norm="ortho")


def textbook(
    x: torch.Tensor, u: torch.Tensor, p: int, gamma: float, blur: Blur | None
) -> tuple[float, np.ndarray, float]:
    """Score, maps (B, H, W) and reference of one image, training image by training image, in float64."""
    layer = (lambda batch: batch) if blur is None else blur
    one_by_one, distances = [], []
    for other in u:
        delta = (x.double() - other.double()).requires_grad_()
        distance = (layer(delta[None]).abs() ** p).sum()
        (gradient,) = torch.autograd.grad(distance, delta)
        one_by_one.append((delta.detach().numpy(), gradient.numpy() / p))
        distances.append(float(distance.detach()))
    factors = np.exp(-gamma * (np.array(distances) - min(distances)))
    score = min(distances) - np.log(factors.mean()) / gamma
    maps, reference = np.zeros((3, SIZE, SIZE)), 0.0
    for (delta, gradient), distance, weight in zip(one_by_one, distances, factors / factors.sum(), strict=True):
        if distance == 0:
            reference += weight * score
            continue
        for b, (low, high) in enumerate(zip((0, *EDGES), (*EDGES, 10**6), strict=True)):
            maps[b] += weight * score * (band(delta, low, high) * gradient / distance).sum(0)
    return score, maps, reference


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("blur", BLURS)
@pytest.mark.parametrize("eight_bit", [True, False])
def test_maps_equal_the_textbook(p: int, blur: Blur | None, eight_bit: bool) -> None:
    u, x = images(12, eight_bit=eight_bit), images(4, 1, eight_bit=eight_bit)
    x[1] = u[3]
    x[2] = u[4]
    x[2, 0, 5, 5] += 4 / 127.5
    x[3, :, 4:9, 4:9] = 0.8
    detector = D2Neighbors(p=p, layer=blur).fit(u)
    found = explain_anomaly(detector, x)
    for i in range(4):
        score, maps, reference = textbook(x[i], u, p, detector.gamma_, blur)
        scale = max(np.abs(maps).max(), 1e-12)
        assert found.score[i] == pytest.approx(score, rel=1e-5)
        assert found.reference[i] == pytest.approx(reference, rel=1e-4, abs=1e-12)
        np.testing.assert_allclose(found.pixel_bands[i] / scale, maps / scale, atol=1e-4)
        np.testing.assert_allclose(found.pixels[i] / scale, maps.sum(0) / scale, atol=1e-4)
        np.testing.assert_allclose(found.bands[i], maps.sum((1, 2)), rtol=1e-4, atol=1e-4 * score)


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("blur", BLURS)
@pytest.mark.parametrize("components", ["neighbours", "pixels", "bands", "pixel_bands"])
def test_relevance_is_conserved(p: int, blur: Blur | None, components: str) -> None:
    u, x = images(30), images(5, 1)
    x[0], x[1, 0, 0, 0] = u[0], 1.0
    clusters = torch.cat([u[:15] * 0.5 - 0.4, u[15:] * 0.5 + 0.4])  # far from their mean
    for bank in (u, clusters):
        found = explain_anomaly(D2Neighbors(p=p, layer=blur).fit(bank), x, components=components)  # type: ignore[arg-type]
        assert np.abs(found.conservation - 1).max() < 1e-5
        np.testing.assert_allclose(found.neighbours.sum(1), found.score, rtol=1e-12)
        for relevance in (found.pixels, found.bands, found.pixel_bands):
            total = relevance.reshape(5, -1).sum(1, dtype=float) + found.reference
            np.testing.assert_allclose(total, found.score, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("blur", BLURS)
def test_components_agree_with_each_other(p: int, blur: Blur | None) -> None:
    detector, x = D2Neighbors(p=p, layer=blur).fit(images(12)), images(3, 1)
    joint = explain_anomaly(detector, x)
    np.testing.assert_allclose(joint.pixel_bands.sum(1), joint.pixels, atol=1e-5 * joint.pixels.max())
    pixels, bands = (explain_anomaly(detector, x, components=kind) for kind in ("pixels", "bands"))
    np.testing.assert_allclose(pixels.pixels, joint.pixels, atol=1e-5 * joint.pixels.max())
    np.testing.assert_allclose(bands.bands, joint.bands, rtol=1e-4, atol=1e-5 * joint.score.max())
    assert (pixels.relevance.shape, bands.relevance.shape) == ((3, 1, SIZE, SIZE), (3, 3, 1, 1))


def test_two_norm_maps_are_those_of_the_authors() -> None:
    u, x = images(12, eight_bit=False), images(1, 1, eight_bit=False)
    detector = D2Neighbors().fit(u)
    bank = u.double().requires_grad_()
    output = detector_score(x.double(), bank, detector.gamma_)
    (gradient,) = torch.autograd.grad(output, bank)
    delta = x.double() - u.double()
    factor = (output / ((delta**2).flatten(1).sum(1) + 1e-6)).detach().view(-1, 1, 1, 1)
    expected = -0.5 * (delta * gradient * factor).sum((0, 1))
    found = explain_anomaly(detector, x).pixels
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


def detector_score(x: torch.Tensor, u: torch.Tensor, gamma: float) -> torch.Tensor:
    distances = ((x - u) ** 2).flatten(1).sum(1)
    return -(torch.logsumexp(-gamma * distances, 0) - np.log(len(u))) / gamma


@pytest.mark.parametrize("p", [2, 4])
def test_alone_or_in_blocks_gives_the_same(p: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, x = D2Neighbors(p=p).fit(images(20)), images(3, 1)
    whole = explain_anomaly(detector, x)
    monkeypatch.setattr(_distances, "_BLOCK", 3 * 3 * SIZE**2)
    for i in range(3):
        alone = explain_anomaly(detector, x[i : i + 1])
        np.testing.assert_allclose(alone.pixel_bands[0], whole.pixel_bands[i], atol=1e-5 * whole.pixels.max())


def test_an_anomaly_lies_where_it_was_planted() -> None:
    u, x = images(30), images(1, 1)
    x[:, :, 4:10, 12:18] = 0.9
    pixels = explain_anomaly(D2Neighbors().fit(u), x).pixels[0]
    assert pixels[4:10, 12:18].mean() > 4 * pixels.mean()


@pytest.mark.filterwarnings("ignore:.*has the same pixels:chinspect.errors.ImageWarning")
def test_scores_of_zero_have_no_shares() -> None:
    u = images(1).repeat(4, 1, 1, 1)
    found = explain_anomaly(D2Neighbors().fit(u), u[:1])
    assert (found.score[0], found.conservation[0], found.reference[0]) == (0, 1, 0)
    assert not found.pixel_bands.any()


def test_three_bands_are_those_of_the_paper() -> None:
    detector = D2Neighbors().fit(images(5))
    assert explain_anomaly(detector, images(1)).band_names == ["0-1", "2-18", "19+"]
    assert explain_anomaly(detector, images(1), bands=(1, 2)).band_names == ["0", "1", "2+"]
    assert explain_anomaly(detector, images(1), bands=1).bands.shape == (1, 1)
    small = D2Neighbors().fit(images(5)[:, :, :9, :9])  # orders end at 16
    assert explain_anomaly(small, images(1)[:, :, :9, :9]).bands.shape == (1, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"components": "patches"}, "'patches'"), ({"bands": (19, 2)}, r"\[19, 2\]"), ({"bands": 0}, "0 frequency bands")],
)
def test_bad_requests(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        explain_anomaly(D2Neighbors().fit(images(5)), images(1), **options)


@pytest.fixture(scope="module")
def explanation() -> AnomalyExplanation:
    return explain_anomaly(D2Neighbors().fit(images(8)), images(2, 1))


KEYS = {"score", "reference", "conservation", "band_edges", "band_index", "neighbours", "nearest", "nearest_images"}


def test_table_and_files(explanation: AnomalyExplanation, tmp_path: Path) -> None:
    table = explanation.to_frame()
    bands = ["band_0-1", "band_2-18", "band_19+"]
    assert list(table) == ["score", "reference", "conservation", *bands, "nearest", "nearest_image"]
    assert table.nearest_image.tolist() == [f"training image {index}" for index in table.nearest]
    assert table.nearest.tolist() == explanation.neighbours.argmax(1).tolist()
    files = explanation.save(tmp_path / "out")
    assert [path.name for path in files] == ["anomaly.json", "anomaly.npz", "anomaly.png", "anomaly.html"]
    page = explanation.page()
    gallery, pairs = page.sections[0].blocks
    order = np.argsort(-explanation.score)
    np.testing.assert_array_equal([np.asarray(tile.image) for tile in gallery.tiles], explanation.images[order])
    np.testing.assert_array_equal([tile.relevance for tile in gallery.tiles], explanation.pixels[order])
    np.testing.assert_array_equal(np.asarray(pairs.pairs[0][1].image), explanation.nearest_images[order[0], 0])
    assert page.sentence == explanation.sentence
    document = json.loads(files[0].read_text())
    assert {"bands", "band_index", "images"} <= set(document)
    assert document["images"][0]["score"] == explanation.score[0]
    assert document["drawn"] == ["image 0", "image 1"]
    with np.load(files[1]) as stored:
        assert set(stored) == KEYS | {"pixels", "bands", "pixel_bands"}
        np.testing.assert_array_equal(stored["pixel_bands"], explanation.pixel_bands)


@pytest.mark.parametrize("components", ["neighbours", "pixels", "bands"])
def test_what_was_not_asked_for_is_not_written(components: str) -> None:
    found = explain_anomaly(D2Neighbors().fit(images(8)), images(2, 1), components=components)  # type: ignore[arg-type]
    assert set(found.arrays()) == KEYS | ({components} - {"neighbours"})
    assert ("band_0-1" in found.to_frame()) == (components == "bands")
    assert len(found.figure().axes) == 2 * (3 if components == "neighbours" else 4)


def test_the_figure_shows_picture_maps_spectrum_and_training_images(explanation: AnomalyExplanation) -> None:
    axes = np.array(explanation.figure().axes).reshape(2, 8)
    for i, row in enumerate(axes):
        np.testing.assert_array_equal(row[0].images[0].get_array(), explanation.images[i])
        np.testing.assert_array_equal(row[1].images[1].get_array(), explanation.pixels[i])
        np.testing.assert_array_equal(row[4].images[1].get_array(), explanation.pixel_bands[i, 2])
        widths = [bar.get_width() for bar in row[5].patches]
        np.testing.assert_allclose(widths, explanation.bands[i] / explanation.score[i])
        np.testing.assert_array_equal(row[7].images[0].get_array(), explanation.nearest_images[i, 1])
    titles = [each.get_title().split("\n")[:2] for each in axes[0]]
    nearest = [["compared with training image", str(index)] for index in explanation.nearest[0, :2]]
    maps = ["all frequencies", "cycles 0-0.5", "cycles 1-9", "cycles 9.5+"]
    assert [title[0] for title in titles[1:5]] == maps
    assert titles[5:] == [["score by frequency", "in cycles"], *nearest]
    assert titles[0] == ["image 0", f"score {explanation.score[0]:.4g}, threshold {explanation.threshold:.4g}"]
    assert axes[0][0].get_title().endswith("\nNORMAL")


def test_the_pictures_are_those_of_the_inputs(explanation: AnomalyExplanation) -> None:
    inputs = images(2, 1).numpy()
    expected = ((np.moveaxis(inputs, 1, -1) + 1) * 127.5).round().astype(np.uint8)
    np.testing.assert_array_equal(explanation.images, expected)
    assert explanation.nearest_images.shape == (2, 4, SIZE, SIZE, 3)


def test_of_many_images_those_of_the_highest_scores_are_drawn(tmp_path: Path) -> None:
    found = explain_anomaly(D2Neighbors().fit(images(8)), images(20, 1), components="neighbours")
    figure = found.figure()
    shown = [axes.images[0].get_array() for axes in figure.axes[::3]]
    assert len(shown) == 16
    for picture, i in zip(shown, found.highest(), strict=True):
        np.testing.assert_array_equal(picture, found.images[i])
    with pytest.raises(InputError, match=r"'a\.txt'"):
        found.plot(tmp_path / "a.txt")


@pytest.mark.parametrize("p", [1, 2, 4])
def test_bands_along_the_zigzag_are_those_of_a_whole_transform(p: int) -> None:
    generator = torch.Generator().manual_seed(0)
    u, x = (0.3 * torch.rand(count, 3, 56, 55, generator=generator) for count in (6, 2))
    detector = D2Neighbors(p=p).fit(u)
    found = explain_anomaly(detector, x, bands="kauffmann2025")
    alone = explain_anomaly(detector, x, bands="kauffmann2025", components="bands")
    place = zigzag(56, 55).numpy()
    starts = [0, *found.band_edges, 56 * 55]
    expected = np.zeros((2, 20))
    for i, image in enumerate(x.double().numpy()):
        for other, relevance in zip(u.double().numpy(), found.neighbours[i], strict=True):
            delta = image - other
            gradient = np.sign(delta) * np.abs(delta) ** (p - 1)
            spectra = (dctn(each, axes=(1, 2), norm="ortho") for each in (delta, gradient))
            products = np.prod(list(spectra), axis=0).sum(0) / (np.abs(delta) ** p).sum() * relevance
            kept = [(place >= low) & (place < high) for low, high in pairwise(starts)]
            expected[i] += [products[mask].sum() for mask in kept]
    assert found.band_index == "zigzag"
    for bands in (found.bands, alone.bands, found.pixel_bands.sum((2, 3))):
        np.testing.assert_allclose(bands, expected, atol=1e-4 * found.score.max())


def test_bands_that_are_not_there() -> None:
    detector, x = D2Neighbors().fit(images(3)), images(1)
    with pytest.raises(InputError, match="'octaves' are not known"):
        explain_anomaly(detector, x, bands="octaves")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="24x24 pixels are too small for the 20 bins"):
        explain_anomaly(detector, x, bands="kauffmann2025")
