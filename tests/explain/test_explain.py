from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from chinspect.anomaly import D2Neighbors, PatchCore, explain_anomaly
from chinspect.encoders import Encoder, load_encoder
from chinspect.errors import InputError
from chinspect.execute import load_samples
from chinspect.explain import area_sum, explain_images
from chinspect.relevance import Method, frequency_bands, reference_images, relevance_map
from chinspect.similarity import explain_similarity
from chinspect.subjects import Classifier
from tests.spray._planted import plant

MODEL = "tiny-barlowtwins"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = plant(tmp_path_factory.mktemp("explain") / "images", 6, 0)
    (place / "002b.png").write_bytes(b"no image")
    return place


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(MODEL)


@pytest.fixture(scope="module")
def detector(folder):
    return D2Neighbors(size=64, resizer="pillow-bilinear").fit(sorted(folder.glob("???.png")))


LRP = Method("lrp")
NAMES = tuple(f"{i:03d}.png" for i in range(6))


def test_neighbours_are_the_mean_of_pairwise_similarities_beyond_that_of_all(folder, encoder):
    found = explain_images(encoder, folder, k=2, method=LRP)
    assert (found.names, found.unreadable) == (NAMES, ("002b.png",))
    assert found.description["preprocessing"] == asdict(encoder.preprocessing)
    embeddings = encoder.embed(list(found.paths)).numpy().astype(float)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = unit @ unit.T
    nearest = np.argsort(-(cosine - 9 * np.eye(6))[0])[:2]
    slow = [
        explain_similarity(
            encoder, found.paths[0], path, method="lrp", patch_size=16, metric="cosine", check=False
        ).marginals()[0]
        for path in found.paths
    ]
    expected = (slow[nearest[0]] + slow[nearest[1]]) / 2 - sum(slow) / 6
    pooled = area_sum(found.maps, expected.shape)  # patches of 16 pixels
    np.testing.assert_allclose(pooled[0], expected, atol=1e-4 * np.abs(slow[0]).max())
    np.testing.assert_allclose(found.values[0], cosine[0, nearest].mean() - cosine[0].mean(), rtol=1e-4)
    np.testing.assert_allclose(found.conservation, 1, atol=1e-2)


def test_output_is_lrp_of_the_squared_norm_or_of_one_output(folder, encoder):
    whole = explain_images(encoder, folder, explain="output", method=LRP)
    mapped = relevance_map(encoder.module, encoder.prepare(whole.paths[3]))
    pixels = mapped.pull(mapped.output**2).sum(1)[0].numpy()
    np.testing.assert_allclose(whole.maps[3], area_sum(pixels, 56), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(whole.values[3], float((mapped.output**2).sum()), rtol=1e-5)

    targets = np.array([5, 6, 7, 0, 8, 9, 1])  # the fourth belongs to the image that cannot be read
    one = explain_images(encoder, folder, explain="output", targets=targets)
    outputs = encoder.embed(list(one.paths)).numpy()
    np.testing.assert_allclose(one.values, outputs[range(6), [5, 6, 7, 8, 9, 1]], rtol=1e-4)
    predicted = explain_images(encoder, folder, explain="output", targets="predicted")
    np.testing.assert_allclose(predicted.values, outputs.max(1), rtol=1e-4)


@pytest.mark.parametrize("name", ["rescale", "shapley"])
def test_against_a_reference_maps_sum_to_what_lies_beyond_it(folder, encoder, name):
    found = explain_images(encoder, folder, explain="output", method=Method(name))
    inputs = torch.cat([encoder.prepare(path) for path in found.paths])
    with torch.no_grad():
        y, y0 = encoder.module(inputs), encoder.module(reference_images("blur", inputs)[0])
    np.testing.assert_allclose(found.maps.sum((1, 2)), (y * (y - y0)).sum(1), rtol=1e-3)
    assert found.description["relevance"]["method"] == name
    if name == "rescale":  # the default
        np.testing.assert_allclose(explain_images(encoder, folder, explain="output").maps, found.maps, rtol=1e-5)


def test_detectors_and_grad_cam_have_a_method_of_their_own(folder, encoder, detector):
    with pytest.raises(InputError, match="has a method of its own"):
        explain_images(detector, folder, method=LRP)
    with pytest.raises(InputError, match="a D2Neighbors has no anomaly map: explain its scores, by 'anomaly'"):
        explain_images(detector, folder, explain="anomaly_map")
    with pytest.raises(InputError, match="choose rescale or lrp"):
        explain_images(encoder, folder, explain="frequency", method=Method("shapley"))


def test_anomaly_is_the_detectors_own_explanation(folder, detector):
    found = explain_images(detector, folder, explain="anomaly")
    expected = explain_anomaly(detector, [str(path) for path in found.paths], components="pixels")
    np.testing.assert_allclose(found.maps, area_sum(expected.pixels, 56), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.values, detector.decision_function([str(path) for path in found.paths]), rtol=1e-5)
    assert found.picture(0).size == (64, 64)


def test_an_anomaly_map_is_what_lies_beyond_the_median_of_all_images(folder):
    patchcore = PatchCore(backbone="tiny-supervised", size=64, resizer="pillow-bilinear")
    patchcore.fit(sorted(folder.glob("???.png")))
    found = explain_images(patchcore, folder)
    paths = [str(path) for path in found.paths]
    maps = area_sum(patchcore.anomaly_map(paths), 56)
    np.testing.assert_allclose(found.maps, np.maximum(maps - np.median(maps, axis=0), 0), rtol=1e-4, atol=1e-4)
    assert (found.maps > 0).any(axis=(1, 2)).all()
    np.testing.assert_allclose(found.values, patchcore.decision_function(paths), rtol=1e-5)
    assert np.isnan(found.conservation).all(), "distances are no parts of a score"
    assert found.description["method"] == "anomaly_map"
    relevance = explain_images(patchcore, folder, explain="anomaly")
    assert not np.allclose(relevance.maps, found.maps)
    assert np.isfinite(relevance.conservation).all()


def test_spectra_are_conserved(folder, encoder, detector):
    similarity = explain_images(encoder, folder, explain="frequency", method=LRP)
    score = explain_images(detector, folder, explain="frequency")
    for found in (similarity, score):
        assert found.maps.shape == (6, 1, 16)
    np.testing.assert_allclose(similarity.conservation, 1, atol=1e-3)
    np.testing.assert_allclose(score.values, explain_images(detector, folder, explain="anomaly").values, rtol=1e-5)


def test_gradcam_explains_the_same_outputs(folder, encoder):
    layer = [name for name, part in encoder.module.named_modules() if isinstance(part, nn.Conv2d)][-1]
    found = explain_images(encoder, folder, explain="gradcam", layer=layer)
    assert found.maps.min() >= 0
    assert found.maps.any()
    np.testing.assert_allclose(found.values, explain_images(encoder, folder, explain="output").values, rtol=1e-4)


def test_goes_on_where_it_stopped(tmp_path, encoder, monkeypatch):
    images = plant(tmp_path / "images", 20, 0)
    whole = explain_images(encoder, images, explain="output")
    function = Encoder.explain
    done = []

    def stops(encoder, images, weights, **options):
        if done:
            raise KeyboardInterrupt
        done.append(len(images))
        return function(encoder, images, weights, **options)

    monkeypatch.setattr(Encoder, "explain", stops)
    with pytest.raises(KeyboardInterrupt):
        explain_images(encoder, images, explain="output", path=tmp_path / "store")
    again = []
    seen = []
    monkeypatch.setattr(Encoder, "explain", lambda *x, **options: again.append(len(x[1])) or function(*x, **options))
    resumed = explain_images(
        encoder, images, explain="output", path=tmp_path / "store", progress=lambda *count: seen.append(count)
    )
    assert sorted(done + again) == [4, 16]
    assert seen == [(16, 20), (20, 20)]
    np.testing.assert_array_equal(resumed.maps, whole.maps)
    with pytest.raises(InputError, match="targets"):
        explain_images(encoder, images, explain="output", targets="predicted", path=tmp_path / "store")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"explain": "saliency"}, "'saliency' is not known: use one of neighbours"),
        ({"explain": "anomaly"}, "explains a fitted detector"),
        ({"explain": "anomaly_map"}, "explains a fitted detector"),
        ({"explain": "gradcam"}, "needs a layer"),
        ({"explain": "gradcam", "layer": "nothing"}, "no layer 'nothing'"),
        ({"explain": "output", "targets": [1, 2]}, "one output for each of 7 images"),
        ({"explain": "output", "targets": "true"}, "'predicted'"),
        ({"explain": "output", "targets": [-1] * 7}, "counted from 0"),
        ({"explain": "output", "targets": [256] * 7}, "has 256 outputs"),
        ({"k": 0}, "at least 1 neighbour, not with 0"),
    ],
)
def test_refuses(folder, encoder, options, said):
    with pytest.raises(InputError) as raised:
        explain_images(encoder, folder, **options)
    assert said in str(raised.value)


def test_refuses_models_and_folders(folder, encoder, detector, tmp_path):
    with pytest.raises(InputError, match="Linear has no kind"):
        explain_images(nn.Linear(1, 1), folder)
    with pytest.raises(InputError, match="explains an encoder"):
        explain_images(detector, folder, explain="neighbours")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(InputError, match="none of the 2 images"):
        explain_images(encoder, tmp_path, explain="output")
    Image.new("RGB", (64, 64)).save(tmp_path / "c.png")
    with pytest.raises(InputError, match="at least 2 images that can be read, and there is 1"):
        explain_images(encoder, tmp_path, explain="frequency")


def test_classifiers_are_encoders_of_logits(folder, encoder):
    torch.manual_seed(0)
    module = nn.Sequential(encoder.module, nn.Linear(256, 3)).eval()
    classifier = replace(encoder, module=module)
    found = explain_images(classifier, folder, explain="output", targets=[0] * 7)
    with torch.no_grad():
        logits = torch.cat([module(classifier.prepare(path)) for path in found.paths])
    np.testing.assert_allclose(found.values, logits[:, 0].numpy(), rtol=1e-3, atol=1e-4)


def test_a_classifier_is_explained_by_its_module(folder, encoder):
    torch.manual_seed(0)
    size = encoder.preprocessing.size
    module = nn.Sequential(encoder.module, nn.Linear(256, 3)).eval()
    as_encoder = replace(encoder, module=module)
    classifier = Classifier(module, 1, prepare=as_encoder.inputs)
    seen = as_encoder.see(sorted(folder.glob("???.png"))[:3])
    weights = np.random.default_rng(0).normal(size=(3, 3))
    for bands, shape in ((0, (3, size, size)), (4, (3, 1, 4))):
        maps = classifier.explain(seen, weights, bands=bands)
        assert maps.shape == shape
        np.testing.assert_allclose(maps, as_encoder.explain(seen, weights, bands=bands), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(classifier.respond(seen), as_encoder.respond(seen), rtol=1e-5)
    with pytest.raises(InputError, match="its logits are a function: give the module itself"):
        Classifier(lambda x: x.mean((2, 3)), 1).explain(seen, weights)


def test_an_explanation_is_linear_in_the_weights_and_one_pull_is_many_pushes(folder, encoder):
    seen = encoder.see(sorted(folder.glob("???.png"))[:2])
    one, two = np.random.default_rng(1).normal(size=(2, 2, 256))
    both = encoder.explain(seen, one + 2 * two, bands=8)
    apart = encoder.explain(seen, one, bands=8) + 2 * encoder.explain(seen, two, bands=8)
    np.testing.assert_allclose(both, apart, atol=1e-4 * np.abs(both).max())
    for method, rules in ((LRP, "epsilon_plus"), (Method(), "rescale")):
        mapped = relevance_map(encoder.module, encoder.inputs(seen[:1]), rules)
        pushed = mapped.push(frequency_bands(8)).numpy() @ one[0]
        spectrum = encoder.explain(seen[:1], one[:1], bands=8, method=method)[0, 0]
        np.testing.assert_allclose(spectrum, pushed, rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match=r"weights \(n, 256\), one for each output, not \(n, 255\)"):
        encoder.explain(seen, one[:, 1:])


def test_a_module_that_changed_is_not_explained_by_what_it_was(encoder, folder):
    seen = encoder.see([folder / "000.png"])
    changed = replace(encoder, module=nn.Sequential(encoder.module, nn.Linear(256, 2, bias=False)).eval())
    before = changed.explain(seen, np.ones((1, 2)))
    with torch.no_grad():
        changed.module[1].weight.mul_(-1)
    np.testing.assert_allclose(changed.explain(seen, np.ones((1, 2))), -before, atol=1e-4 * np.abs(before).max())


def test_a_file_that_is_gone_is_not_one_that_is_no_image(encoder, tmp_path):
    """A worker that does not see the images must not say so for good."""
    plant(tmp_path / "images", 3, 0)
    samples = load_samples(tmp_path / "images")
    (tmp_path / "images" / "001.png").write_text("no image")
    assert explain_images(encoder, samples, explain="output").unreadable == ("001.png",)
    (tmp_path / "images" / "001.png").unlink()
    with pytest.raises(InputError, match=r"001\.png"):
        explain_images(encoder, samples, explain="output")


def test_paths_hold_in_other_folders(tmp_path, monkeypatch):
    plant(tmp_path / "images", 2, 0)
    monkeypatch.chdir(tmp_path)
    samples = load_samples("images")
    monkeypatch.chdir("/")
    assert all(path.is_file() for path in samples.paths)
