"""PatchCore against brute force, its explanation against dense matrices, its files and its refusals."""

from __future__ import annotations

import copy
import gc
import json
import weakref

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from torch import Tensor, nn

from chinspect.anomaly import _patch_relevance, explain_anomaly, load_detector, save_detector
from chinspect.anomaly._aggregate import EMBEDDINGS
from chinspect.anomaly._features import LayerFeatures
from chinspect.anomaly._patch_relevance import FlatFeatures
from chinspect.anomaly.patchcore import PatchCore
from chinspect.encoders import Encoder, load_encoder, read_card
from chinspect.encoders.tiny import TinyResNet
from chinspect.errors import InputError
from chinspect.images import Preprocessing
from chinspect.relevance import BandEdges, frequency_bands, relevance_map, split_bands

TINY = "tiny-simclr"
SIZE = 32


class Small(nn.Module):
    """Two layers, of 4 and 8 channels, at half and a quarter of the image's size."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.layer2 = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
        self.layer3 = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)
        with torch.no_grad():
            self.layer2[0].bias += bias

    def forward(self, x: Tensor) -> Tensor:
        return self.layer3(self.layer2(x)).mean((2, 3))


def images(n: int, seed: int = 0, size: int = SIZE) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 0.8 - 0.4


def odd(n: int = 2, size: int = SIZE) -> Tensor:
    x = images(n, seed=9, size=size)
    x[:, :, size // 2 : size // 2 + 6, size // 4 : size // 4 + 6] = 1
    return x


def small(dtype: torch.dtype = torch.float32, **parameters: object) -> PatchCore:
    return PatchCore(**{"backbone": Small().to(dtype), "size": SIZE, "embedding": "roth"} | parameters)


def describe(module: nn.Module, embedding: str, x: Tensor) -> Tensor:
    """Descriptors (N, p, D), layer by layer."""
    with torch.no_grad():
        first = module.layer2(x)
        maps = [first] if embedding == "kauffmann2025" else [first, module.layer3(first)]
        aggregated = EMBEDDINGS[embedding]([m.shape[1] for m in maps])(maps)
    return aggregated.flatten(2).mT


@pytest.mark.parametrize("embedding", ["roth", "anomalib", "kauffmann2025"])
def test_score_is_the_largest_of_the_smallest_distances(embedding):
    detector = small(embedding=embedding).fit(images(8))
    patches = describe(detector.backbone, embedding, odd())
    distances = (patches[:, :, None] - detector.bank_).norm(dim=3)
    nearest, entry = distances.min(2)
    expected, patch = nearest.max(1)
    if embedding == "anomalib":
        for i in range(2):
            prototype = detector.bank_[entry[i, patch[i]]]
            around = (detector.bank_ - prototype).norm(dim=1).argsort()[:9]
            softmax = (patches[i, patch[i]] - detector.bank_[around]).norm(dim=1).softmax(0)
            expected[i] *= 1 - softmax[0]
    np.testing.assert_allclose(detector.decision_function(odd()), expected, rtol=1e-5)
    table = detector.nearest_patches(odd())
    assert (table.row * detector.map_shape_[1] + table.column).tolist() == patch.tolist()
    assert table.prototype.tolist() == [int(entry[i, patch[i]]) for i in range(2)]


@pytest.mark.parametrize("embedding", ["roth", "kauffmann2025"])
def test_every_entry_of_the_bank_knows_where_it_comes_from(embedding):
    detector = small(embedding=embedding).fit(images(6))
    patches = describe(detector.backbone, embedding, images(6))
    image, row, column = detector.origins_.T
    torch.testing.assert_close(detector.bank_, patches[image, row * detector.map_shape_[1] + column])
    share = 0.1 if embedding == "roth" else 1
    assert len(detector.bank_) == round(share * patches.shape[0] * patches.shape[1])


def test_held_out_scores_are_those_of_a_detector_without_the_image():
    x = images(4)  # as many folds as images
    detector = small(coreset=1.0).fit(x)
    for i in range(4):
        alone = small(coreset=1.0).fit(torch.cat([x[:i], x[i + 1 :]]))
        np.testing.assert_allclose(detector.held_out_scores_[i], alone.decision_function(x[i : i + 1])[0], rtol=1e-5)
    assert np.all(detector.decision_function(x) == 0)


def test_seed_decides_and_parameters_survive_cloning():
    x = images(12)
    first, again = small().fit(x), clone(small()).fit(x)
    other = small(random_state=1).fit(x)
    assert torch.equal(first.bank_, again.bank_)
    np.testing.assert_array_equal(first.held_out_scores_, again.held_out_scores_)
    assert not torch.equal(first.origins_, other.origins_)
    assert len(first.get_params()) == 9


def test_scores_do_not_depend_on_the_batch():
    detector = small().fit(images(6))
    x = images(20, seed=3)
    alone = np.concatenate([detector.decision_function(image[None]) for image in x])
    np.testing.assert_allclose(detector.decision_function(x), alone, rtol=1e-5)


def test_the_map_is_highest_where_the_image_is_odd():
    detector = PatchCore(backbone=TINY).fit(images(6, size=96))
    maps = detector.anomaly_map(odd(size=96))
    assert maps.shape == (2, 96, 96)
    for found in maps:
        row, column = np.unravel_index(found.argmax(), found.shape)
        assert abs(row - 51) < 12
        assert abs(column - 27) < 12
    assert detector.predict(odd(size=96)).tolist() == [1, 1]


def test_the_backbone_is_left_as_it_was():
    module = Small().train()
    module.layer3.eval()
    before = copy.deepcopy(module.state_dict())
    detector = PatchCore(backbone=module, embedding="roth").fit(images(3))
    explain_anomaly(detector, odd(1))
    assert module.training
    assert not module.layer3.training
    assert module.layer2.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_images_are_normalised_as_the_backbone_was_trained():
    encoder = small_encoder((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    x = images(4)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.preprocessing.mean, encoder.preprocessing.std))
    by_hand = ((x + 1) / 2 - mean) / std
    detector = PatchCore(backbone=encoder, embedding="roth", coreset=1.0).fit(x)
    torch.testing.assert_close(detector.bank_, describe(encoder.module, "roth", by_hand).flatten(0, 1))
    neutral = PatchCore(backbone=encoder, embedding="kauffmann2025").fit(x)
    torch.testing.assert_close(neutral.bank_, describe(encoder.module, "kauffmann2025", x).flatten(0, 1))


def small_encoder(mean: tuple[float, ...], std: tuple[float, ...]) -> Encoder:
    return Encoder("small", Small().eval(), Preprocessing(SIZE, "squash", "bilinear", mean, std), read_card(TINY))


# Explanation


@pytest.mark.parametrize("embedding", ["roth", "anomalib", "kauffmann2025"])
@pytest.mark.parametrize("components", ["pixels", "bands", "pixel_bands"])
def test_shares_sum_to_the_score(embedding, components):
    detector = small(embedding=embedding).fit(images(6))
    found = explain_anomaly(detector, odd(), components=components, method="lrp")
    np.testing.assert_allclose(found.score, detector.decision_function(odd()))
    shares = {"pixels": found.pixels, "bands": found.bands, "pixel_bands": found.pixel_bands}[components]
    np.testing.assert_allclose(shares.reshape(2, -1).sum(1) + found.reference, found.score, rtol=1e-5)
    np.testing.assert_allclose(found.conservation, 1, rtol=1e-5)
    np.testing.assert_allclose(found.neighbours.sum(1), found.score)
    assert found.neighbours.argmax(1).tolist() == detector.nearest_patches(odd()).train_image.tolist()
    assert found.nearest.shape == (2, 1)


def test_marginals_agree_and_relevance_is_near_the_odd_spot():
    detector = small().fit(images(6))
    both = explain_anomaly(detector, odd())
    pixels = explain_anomaly(detector, odd(), components="pixels").pixels
    np.testing.assert_allclose(both.pixels, both.pixel_bands.sum(1))
    np.testing.assert_allclose(both.bands, both.pixel_bands.sum((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pixels, both.pixels, atol=1e-5 * np.abs(pixels).max())
    assert (pixels[:, 12:28, 4:20].sum((1, 2)) > 0.9 * pixels.sum((1, 2))).all()


def test_neighbours_alone():
    found = explain_anomaly(small().fit(images(6)), odd(), components="neighbours")
    np.testing.assert_allclose(found.neighbours.sum(1), found.score)
    assert found.relevance.shape == (2, 1, 1, 1)
    assert found.conservation.tolist() == [1, 1]


def test_explanation_against_dense_matrices():
    """Every step written out in float64 with the Jacobian matrices of what is linear."""
    detector = small(torch.float64).fit(images(4, size=16))
    x, module = odd(1, size=16).double(), detector.backbone
    found = explain_anomaly(detector, x.float(), bands=(2, 9), method="lrp")
    relevance, reference, layers = dense_relevance(detector, x)
    np.testing.assert_allclose(found.reference[0], reference, rtol=1e-6)
    f2, _ = layers
    r2, r3 = relevance[: f2.numel()], relevance[f2.numel() :]
    r2 = r2 + dense_z_plus(module.layer3[0], f2, r3)
    pixels = dense_z_plus(module.layer2[0], x.float().double(), r2).reshape(3, 16, 16)
    np.testing.assert_allclose(found.pixels[0], pixels.sum(0), rtol=1e-5, atol=1e-9)
    # rules that read values share the relevance of a pixel among its bands as its value
    bands = split_bands(x.float().double(), BandEdges((2, 9)))[:, 0]
    expected = (pixels * (bands / x.float().double()[0]).numpy()).sum(1)
    np.testing.assert_allclose(found.pixel_bands[0], expected, rtol=1e-5, atol=1e-9)


def dense_relevance(detector: PatchCore, x: Tensor) -> tuple[np.ndarray, float, list[Tensor]]:
    """Relevance at the flattened features, the reference, and the features."""
    module = detector.backbone
    with torch.no_grad():
        f2 = module.layer2(x.float().double())
        f3 = module.layer3(f2)
    features = torch.cat([f2.flatten(), f3.flatten()]).numpy()

    def aggregate(flat: Tensor) -> Tensor:
        maps = [flat[: f2.numel()].view_as(f2), flat[f2.numel() :].view_as(f3)]
        return EMBEDDINGS["roth"]([4, 8])(maps).flatten(2)[0].T

    matrix = torch.stack([aggregate(unit) for unit in torch.eye(len(features), dtype=torch.float64)], -1).numpy()
    patches = matrix @ features
    distances = np.linalg.norm(patches[:, None] - detector.bank_.numpy(), axis=2)
    patch = distances.min(1).argmax()
    e, m, a = patches[patch], detector.bank_.numpy()[distances[patch].argmin()], matrix[patch]
    held = (e - m) ** 2 / ((e - m) ** 2).sum() * distances[patch].min()
    relevance = np.zeros(len(features))
    for d in np.flatnonzero(e):
        relevance += features * a[d] * held[d] / e[d]
    return relevance, held[e == 0].sum(), [f2, f3]


def dense_z_plus(layer: nn.Conv2d, a: Tensor, relevance: np.ndarray) -> np.ndarray:
    """LRP z+ with biases out of the denominator: ``R_i = sum_j (w_ji a_i)^+ / sum_i (w_ji a_i)^+ R_j``."""
    units = torch.eye(a.numel(), dtype=torch.float64).view(-1, *a.shape[1:])
    with torch.no_grad():
        weight = nn.functional.conv2d(units, layer.weight, None, layer.stride, layer.padding).flatten(1).T.numpy()
    z = np.maximum(weight * a.flatten().numpy(), 0)
    return (z / (z.sum(1, keepdims=True) + 1e-6) * relevance[:, None]).sum(0)


def test_bands_are_what_a_push_gives():
    detector = small().fit(images(4))
    x = odd(1)
    found = explain_anomaly(detector, x, bands=(2, 9), components="bands", method="lrp")
    mapped = relevance_map(FlatFeatures(detector._backbone.features), x, "epsilon_plus")
    pushed = mapped.push(frequency_bands((2, 9)))
    relevance, _, _ = dense_relevance(small(torch.float64).fit(images(4)), x)
    seed = torch.from_numpy(relevance).float() / mapped.output[0]
    expected = (pushed * torch.where(mapped.output[0] == 0, 0, seed)).sum(1)
    np.testing.assert_allclose(found.bands[0], expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*has the same pixels:chinspect.errors.ImageWarning")
def test_features_that_the_image_lacks_are_the_reference():
    """Normal images switch a feature on, the tested one off: nothing in it can carry what is missing."""
    module = nn.Sequential()
    module.layer2 = nn.Sequential(nn.Conv2d(3, 2, 1, 2, bias=False), nn.ReLU())
    module.layer2[0].weight = nn.Parameter(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1))
    normal = torch.full((4, 3, 2, 2), 0.3)
    x = torch.full((1, 3, 2, 2), 0.3)
    x[:, 1] = -0.4
    detector = PatchCore(backbone=module, embedding="kauffmann2025").fit(normal)
    found = explain_anomaly(detector, x, bands=2, method="lrp")
    np.testing.assert_allclose(found.reference, found.score, rtol=1e-6)
    np.testing.assert_allclose(found.pixels, 0, atol=1e-7)
    np.testing.assert_allclose(found.conservation, 1, rtol=1e-6)


def test_an_image_at_distance_zero_has_nothing_to_explain():
    x = images(3)
    found = explain_anomaly(small(coreset=1.0).fit(x), x)
    assert found.score.tolist() == [0, 0, 0]
    assert np.all(found.pixels == 0)
    assert found.conservation.tolist() == [1, 1, 1]


def test_a_backbone_is_traced_once_until_its_weights_change(monkeypatch):
    traced = []
    trace = _patch_relevance.trace
    monkeypatch.setattr(_patch_relevance, "trace", lambda *given: traced.append(given) or trace(*given))
    detector = small().fit(images(4))
    first, again = (explain_anomaly(detector, odd()).pixels for _ in range(2))
    explain_anomaly(copy.copy(detector), odd(1))
    np.testing.assert_array_equal(first, again)
    assert len(traced) == 1
    explain_anomaly(detector, odd(1), bands=2)
    assert len(traced) == 1
    with torch.no_grad():
        detector.backbone.layer2[0].weight *= -1
    changed = explain_anomaly(detector, odd()).pixels
    monkeypatch.setattr(_patch_relevance, "_GRAPHS", weakref.WeakKeyDictionary())
    np.testing.assert_array_equal(changed, explain_anomaly(detector, odd()).pixels)
    assert not np.allclose(changed, first)


def test_graphs_go_with_their_backbone_and_are_not_copied():
    detector = small().fit(images(4))
    explain_anomaly(detector, odd(1))
    twin = copy.deepcopy(detector)
    assert twin._backbone.features not in _patch_relevance._GRAPHS
    gone = weakref.ref(detector._backbone.features)
    del detector
    gc.collect()
    assert gone() is None


# Files


def test_a_saved_detector_scores_the_same(tmp_path):
    detector = PatchCore(backbone=TINY, size=64).fit(images(4, size=64))
    loaded = load_detector(save_detector(detector, tmp_path / "detector.safetensors"))
    x = odd(size=64)
    np.testing.assert_array_equal(loaded.decision_function(x), detector.decision_function(x))
    assert loaded.threshold_ == detector.threshold_
    assert loaded.get_params() == detector.get_params()
    assert loaded.nearest_patches(x).equals(detector.nearest_patches(x))


def test_a_backbone_that_changed_is_refused(tmp_path, monkeypatch):
    path = save_detector(PatchCore(backbone=TINY, size=64).fit(images(3, size=64)), tmp_path / "detector.safetensors")
    other = load_encoder(TINY)
    with torch.no_grad():
        next(other.module.parameters())[0] += 1
    monkeypatch.setattr("chinspect.anomaly._backbone.load_encoder", lambda name: other)
    with pytest.raises(InputError, match="weights of its backbone"):
        load_detector(path)


def test_a_module_has_no_name_to_be_saved_under(tmp_path):
    with pytest.raises(InputError, match="backbone="):
        save_detector(small().fit(images(3)), tmp_path / "detector.safetensors")


def test_an_encoder_is_saved_by_its_name(tmp_path):
    detector = PatchCore(backbone=load_encoder(TINY), size=64).fit(images(4, size=64))
    path = save_detector(detector, tmp_path / "detector.safetensors")
    loaded = load_detector(path)
    assert isinstance(loaded.backbone, Encoder)
    assert loaded.backbone.name == TINY
    x = odd(size=64)
    np.testing.assert_array_equal(loaded.decision_function(x), detector.decision_function(x))
    assert save_detector(loaded, tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_an_encoder_that_its_name_does_not_give_is_refused(tmp_path, monkeypatch):
    path = save_detector(
        PatchCore(backbone=load_encoder(TINY), size=64).fit(images(3, size=64)), tmp_path / "detector.safetensors"
    )
    other = load_encoder(TINY)
    with torch.no_grad():
        next(other.module.parameters())[0] += 1
    with pytest.raises(InputError, match=r"'tiny-simclr' has other weights"):
        save_detector(PatchCore(backbone=other, size=64).fit(images(3, size=64)), tmp_path / "other.safetensors")
    unknown = random_resnet18()
    with pytest.raises(InputError, match=r"no model 'resnet18'"):
        save_detector(PatchCore(backbone=unknown, size=64).fit(images(3, size=64)), tmp_path / "other.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["detector.safetensors"]
    monkeypatch.setattr("chinspect.anomaly.persistence.load_encoder", lambda name: other)
    with pytest.raises(InputError, match=r"'tiny-simclr' has other weights"):
        load_detector(path)


# anomalib

PREFIX = "model.feature_extractor.feature_extractor."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> tuple[str, PatchCore]:
    """A file as anomalib writes it (torchvision's ResNet-18 without layer4 and classifier), and the same made here."""
    encoder = random_resnet18()
    detector = PatchCore(backbone=encoder, embedding="anomalib").fit(images(4, size=64))
    path = tmp_path_factory.mktemp("anomalib") / "model.ckpt"
    torch.save({"epoch": 0, "state_dict": anomalib_state(encoder.module, detector.bank_)}, path)
    return str(path), detector


def random_resnet18() -> Encoder:
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torchvision.models.resnet18(weights=None).eval().requires_grad_(False)
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return Encoder("resnet18", module, Preprocessing(64, "squash", "bilinear", *imagenet), read_card(TINY))


def anomalib_state(module: nn.Module, bank: Tensor) -> dict[str, Tensor]:
    kept = {k: v for k, v in module.state_dict().items() if not k.startswith(("layer4.", "fc."))}
    return {"model.memory_bank": bank} | {PREFIX + key: value for key, value in kept.items()}


def test_an_anomalib_checkpoint_scores_and_explains_as_it_did(checkpoint):
    path, original = checkpoint
    x = odd(size=64)
    imported = PatchCore.from_anomalib(path, images(5, seed=2, size=64), architecture="resnet18", size=64)
    np.testing.assert_allclose(imported.decision_function(x), original.decision_function(x), rtol=1e-6)
    held_out = original.decision_function(images(5, seed=2, size=64))
    np.testing.assert_allclose(imported.held_out_scores_, held_out, rtol=1e-6)  # kernels of another layout
    found, expected = explain_anomaly(imported, x[:1]), explain_anomaly(original, x[:1])
    np.testing.assert_allclose(found.pixels, expected.pixels, atol=1e-6)
    assert found.neighbours.shape == (1, 0)
    assert found.nearest.shape == (1, 0)
    assert imported.nearest_patches(x).train_image.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("model.memory_bank"), "has no model.memory_bank"),
        (lambda state: [state.pop(key) for key in list(state) if key.startswith(PREFIX)], "has no model.feature"),
        (lambda state: state.pop(PREFIX + "layer1.0.conv1.weight"), "layer1.0.conv1.weight"),
        (lambda state: state.update({"model.memory_bank": torch.zeros(0, 384)}), "memory bank"),
        (lambda state: state.update({"model.memory_bank": torch.zeros(5, 100)}), "100"),
    ],
)
def test_files_that_are_no_checkpoint_of_anomalib(checkpoint, tmp_path, change, message):
    state = torch.load(checkpoint[0], weights_only=True)["state_dict"]
    change(state)
    torch.save({"state_dict": state}, tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=message):
        PatchCore.from_anomalib(tmp_path / "model.ckpt", images(2, size=64), architecture="resnet18", size=64)


def test_a_checkpoint_with_objects_is_not_unpickled(tmp_path):
    torch.save({"state_dict": {}, "hyper_parameters": Small()}, tmp_path / "model.ckpt")
    with pytest.raises(InputError, match="pickled objects"):
        PatchCore.from_anomalib(tmp_path / "model.ckpt", images(2), architecture="resnet18")


# Refusals


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"embedding": "padim"}, "embedding 'padim'"),
        ({"coreset": 0.0}, "coreset .* not 0.0"),
        ({"coreset": 1.5}, "coreset .* not 1.5"),
        ({"layers": ("layer2", "layer9")}, "no layer 'layer9'"),
        ({"layers": ("layer2",)}, "'roth' needs two layers"),
        ({"embedding": "kauffmann2025", "layers": ("layer2", "layer3")}, "takes one layer"),
        ({"backbone": 3}, "not int"),
        ({"backbone": nn.Sequential(nn.Conv2d(3, 4, 3))}, "name the layers"),
        ({"backbone": nn.Sequential(nn.Flatten()), "layers": ("0", "0")}, "layer '0' of the backbone gives"),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    with pytest.raises(InputError, match=message):
        PatchCore(**{"backbone": Small(), "embedding": "roth"} | parameters).fit(images(2))


def test_grey_images_are_refused():
    with pytest.raises(InputError, match="3 channels"):
        small().fit(images(2)[:, :1])


def test_without_weights_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("chinspect.encoders.weights._check_reachable", refuse)
    match = (
        r"wide_resnet50_2-95faca4d.pth from https://.*use the backbone 'efficientnet-lite0', which needs no download"
    )
    with pytest.raises(InputError, match=match):
        PatchCore(backbone="wide_resnet50_2").fit(images(2))


def refuse(url: str) -> None:
    raise OSError("no connection")


def test_layers_of_a_tiny_encoder_have_the_paper_s_proportions():
    detector = PatchCore(backbone=TinyResNet().eval(), embedding="roth").fit(images(2, size=64))
    assert detector.map_shape_ == (8, 8)
    assert detector.bank_.shape[1] == 128


def test_a_truncated_file_is_refused(tmp_path):
    path = save_detector(PatchCore(backbone=TINY, size=64).fit(images(3, size=64)), tmp_path / "detector.safetensors")
    tensors = load_file(path)
    del tensors["bank"]
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))["__metadata__"]
    save_file(tensors, path, metadata=header)
    with pytest.raises(InputError, match=r"detector\.safetensors"):
        load_detector(path)


class Reusing(nn.Module):
    """Two layers and what follows them, as modules, functions and operators, in place or not."""

    def __init__(self, *, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace
        self.first, self.norm, self.second = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)
        self.after = nn.ReLU(inplace=inplace)
        self.third = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.after(self.norm(self.first(x)))
        x = nn.functional.relu(self.second(x), inplace=self.inplace)
        x = self.third(x)
        if self.inplace:
            x += 1
            return x.relu_()
        return (x + 1).relu()


def test_features_are_those_of_the_layer_whatever_follows_in_place() -> None:
    torch.manual_seed(0)
    reusing, plain = Reusing(inplace=True).eval(), Reusing(inplace=False).eval()
    plain.load_state_dict(reusing.state_dict())
    names, x = ("first", "norm", "second", "third"), images(2)
    expected: dict[str, Tensor] = {}
    for name in names:
        plain.get_submodule(name).register_forward_hook(lambda _, __, y, name=name: expected.update({name: y}))
    plain(x)
    for name, found in zip(names, LayerFeatures(reusing, names)(x), strict=True):
        assert found.min() < 0
        torch.testing.assert_close(found, expected[name])


def test_a_network_keeps_its_mode_and_is_read_in_evaluation() -> None:
    network, x = Reusing(inplace=True).train(), images(3)
    network.norm.eval()
    modes = {name: part.training for name, part in network.named_modules()}
    features = LayerFeatures(network, ("norm",))
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    alone = torch.cat([features(image)[0] for image in x.split(1)])
    network.norm.train()
    features.train()
    torch.testing.assert_close(features(x)[0], alone)
    network.norm.eval()
    assert {name: part.training for name, part in network.named_modules()} == modes
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in network.named_buffers())
    with torch.no_grad():
        network.norm.weight.mul_(2)
    assert not torch.equal(features(x)[0], alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_backbones_of_half_precision_are_compared_in_single(dtype: torch.dtype) -> None:
    half, single = small(dtype, coreset=1).fit(images(6)), small(coreset=1).fit(images(6))
    assert half.bank_.dtype == torch.float32
    x = torch.cat([images(2, seed=1), odd()])
    scores = half.decision_function(x)
    np.testing.assert_allclose(scores, single.decision_function(x), rtol=0.05)
    assert scores[2:].min() > scores[:2].max()
    explained = explain_anomaly(half, x[2:], components="pixels")
    np.testing.assert_allclose(explained.conservation, 1, atol=0.05)


def test_features_that_are_not_finite_are_refused() -> None:
    network = Small().half()
    with torch.no_grad():
        network.layer2[0].weight.mul_(60_000)
    for coreset in (0.5, 1.0):
        with pytest.raises(InputError, match="not finite numbers, computing in float16"):
            PatchCore(backbone=network, size=SIZE, coreset=coreset).fit(images(4))
