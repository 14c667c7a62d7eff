import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from chinspect import explain_output
from chinspect.cam import METHODS
from chinspect.encoders import Encoder, load_classifier, load_encoder
from chinspect.errors import InputError
from chinspect.explain import imagenet_names, open_model
from chinspect.explain.target import class_index
from chinspect.relevance import Method

CAT, COFFEE = "assets/cat.jpg", "assets/coffee.jpg"


class Bright(nn.Module):
    """Output 0 is the brightness of the upper left quarter, output 1 that of the lower right one, output 2 is none."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 2, 4, stride=4, bias=False), nn.ReLU())
        self.maps[0].weight.data[:] = 1 / 48
        self.weight = nn.Parameter(torch.zeros(2, 8, 8))
        self.weight.data[0, :4, :4] = 1 / 16
        self.weight.data[1, 4:, 4:] = 1 / 16

    def forward(self, x):
        bright = (self.maps(x) * self.weight).sum((2, 3))
        return torch.cat([bright, torch.zeros_like(bright[:, :1])], 1)


@pytest.fixture(scope="module")
def network() -> Encoder:
    return Encoder.wrap(Bright(), size=32, mean=(0, 0, 0), std=(1, 1, 1), name="bright")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Dark, with a bright spot in the upper left and a brighter one in the lower right."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[4:12, 4:12] = 150
    pixels[20:28, 20:28] = 250
    return pixels


@pytest.mark.parametrize(
    "method", ["rescale", "shapley", "lrp", *(name for name in METHODS if name not in ("rollout", "legrad", "cluscam"))]
)
def test_every_method_on_a_network_that_is_understood(network, picture, method):
    explanation = explain_output(network, picture, target=0, method=method, check=False)
    (image,) = explanation.images
    assert image.value == image.score == pytest.approx(150 / 255 * 64 / 256)
    assert image.noun == "output 0"
    assert image.picture.size == (32, 32)
    if method == "eigencam":  # which explains no output
        return
    values = np.kron(image.map, np.ones((32 // image.map.shape[0],) * 2))
    upper_left = np.abs(values[:16, :16]).sum() / np.abs(values).sum()
    if method in ("rescale", "shapley", "lrp", "hirescam", "layercam", "shapcam"):
        assert upper_left > 0.95  # nothing else is looked at
    else:  # weights of channels, all of which see both spots, and masks of the image, 4,000 at random
        assert upper_left > 0.26


def test_relevance_is_counted(network, picture):
    (by_reference,) = explain_output(network, picture, target=0, method="rescale", reference="grey").images
    assert by_reference.baseline == 0
    assert by_reference.conservation == pytest.approx(1, abs=1e-4)
    assert by_reference.map.sum() == pytest.approx(by_reference.score, rel=1e-4)
    assert by_reference.deletion is not None
    assert by_reference.deletion.better_than_random
    (none,) = explain_output(network, np.zeros_like(picture), target=0).images
    assert none.conservation == 1.0
    assert none.deletion is not None


def test_the_largest_output_of_each_image_is_explained_by_default(network, picture):
    explanation = explain_output(network, [picture, picture[::-1, ::-1].copy()], names=("first", "second", "none"))
    nouns = [image.noun for image in explanation.images]
    assert nouns == ["the logit of class 1 (second)", "the logit of class 0 (first)"]
    assert [image.name for image in explanation.images] == ["image 0", "image 1"]


def test_the_similarity_to_another_image():
    encoder = load_encoder("tiny-clip")
    (image,) = explain_output(encoder, CAT, target=COFFEE, method="rescale").images
    a, b = encoder.embed([CAT, COFFEE])
    assert image.value == pytest.approx(float(torch.cosine_similarity(a, b, dim=0)), abs=1e-5)
    from chinspect.relevance import reference_images

    origins = [encoder.module(reference_images("blur", encoder.prepare(path))[0])[0] for path in (CAT, COFFEE)]
    beyond = float((a - origins[0]) @ (b - origins[1]) / a.norm() / b.norm())
    assert image.score - image.baseline == pytest.approx(beyond, abs=1e-5)
    assert image.map.sum() == pytest.approx(beyond, rel=1e-3)
    assert "the similarity to coffee.jpg" in image.noun
    (cam,) = explain_output(encoder, CAT, target=COFFEE, method="hirescam").images
    assert cam.map.shape == (4, 4)
    assert cam.conservation is None


def test_a_real_classifier_and_its_names(tmp_path):
    explanation = explain_output("efficientnet-lite0", [CAT], target="tabby", method="gradcam")
    assert explanation.images[0].noun == "the logit of class 281 (tabby)"
    assert explanation.label == "gradcam at 'bn2'"
    files = {path.name for path in explanation.save(tmp_path)}
    assert files == {"explanation.json", "maps.npy", "explained.csv", "explained.parquet", "explanation.png"}
    maps = np.load(tmp_path / "maps.npy", allow_pickle=False)
    np.testing.assert_array_equal(maps, explanation.maps)
    assert maps.shape == (1, 7, 7)
    document = json.loads((tmp_path / "explanation.json").read_text())
    assert document["images"][0]["explained"] == "the logit of class 281 (tabby)"
    assert document["method"] == "gradcam at 'bn2'"
    assert document["images"][0]["in_the_map"] is None
    with Image.open(tmp_path / "explanation.png") as drawn:
        assert drawn.size[0] > 800


def test_names_are_those_of_timm():
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    assert imagenet_names() == tuple(info.index_to_description(index) for index in range(1000))


@pytest.mark.parametrize(("text", "index"), [("tabby cat", 281), ("Tabby", 281), ("281", 281), (" carton ", 478)])
def test_a_class_by_number_or_any_of_its_names(text, index):
    assert class_index(text, imagenet_names(), 1000) == index


@pytest.mark.parametrize(
    ("target", "names", "said"),
    [
        ("crane", imagenet_names(), r"2 classes are called 'crane': name one by its number \(134, 517\)"),
        ("tabbi", imagenet_names(), r"no image and no class 'tabbi' \(did you mean 'tabby'\?\)"),
        ("1000", imagenet_names(), "the output 1000 does not exist: the network has 1000"),
        ("-1", imagenet_names(), "the output -1 does not exist"),
        ("tabby", (), "there is no image 'tabby', and the outputs of this network have no names"),
    ],
)
def test_targets_that_are_none(target, names, said):
    with pytest.raises(InputError, match=said):
        class_index(target, names, 1000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "gradcm"}, r"unknown method 'gradcm' \(did you mean 'gradcam'\?\)"),
        ({"method": "auto"}, "unknown method 'auto'"),
        ({"method": "gradcam", "reference": "mean"}, "no options of gradcam"),
        ({"method": "rescale", "layer": "maps"}, "a layer belongs to a CAM"),
        ({"method": "rise", "layer": "maps"}, "rise reads no layer"),
        ({"method": "legrad"}, "no attention of all patches to all"),
        ({"method": "gradcam", "layer": "map"}, "no layer 'map'"),
        ({"target": 3}, "the output 3 does not exist"),
        ({"target": "dog"}, "no image 'dog'"),
        ({"target": 1.5}, "a number, a name or an image, not float"),
        ({"names": ("a", "b")}, "2 names do not fit 3 outputs"),
    ],
)
def test_nonsense(network, picture, options, said):
    with pytest.raises(InputError, match=said):
        explain_output(network, picture, **options)
    with pytest.raises(InputError, match="there are no images"):
        explain_output(network, [])


def test_the_model_that_answers(tmp_path):
    assert open_model("efficientnet-lite0")[0].module(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    assert open_model("efficientnet-lite0", CAT)[0].module(torch.zeros(1, 3, 224, 224)).shape == (1, 1280)
    assert open_model("tiny-clip", "7")[1] == ()
    with pytest.raises(InputError, match="'tiny-clip' is an encoder without a classifier: name an image"):
        open_model("tiny-clip")
    with pytest.raises(InputError, match="There is no model 'nonsense'"):
        open_model("nonsense")


def test_many_images_are_told_together(network, picture):
    explanation = explain_output(network, [picture] * 9, target=0, method=Method("rescale", reference="grey"))
    assert explanation.sentence.startswith("Without their 10% most relevant patches 9 images lose")
    assert len(explanation.tables()["explained"]) == 9
    figure = explanation.figure()
    assert "1 more images are in the files." in figure.get_supxlabel()


def test_a_classifier_given_as_it_is():
    encoder = load_classifier("efficientnet-lite0")
    explanation = explain_output(encoder, CAT, target=285, method="eigencam", check=False)
    assert explanation.images[0].noun == "output 285"
    assert explanation.images[0].deletion is None
    assert "says where that comes from" in explanation.sentence
