"""Which layer is read, and the network from there on."""

import pytest
import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer
from torchvision.models.swin_transformer import SwinTransformer

from chinspect.cam import METHODS, cam, open_layer
from chinspect.cam.layer import enlarged, last_grid, unit_range
from chinspect.encoders import load_encoder
from chinspect.errors import InputError

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(2, 3, 64, 64, generator=GENERATOR)


def vit(pooling: str = "token", **options) -> nn.Module:
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=24, depth=3, num_heads=2, num_classes=5, global_pool=pooling, **options
    )
    return model.eval()


def swin() -> nn.Module:
    torch.manual_seed(0)
    return SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3).eval()


def convnext() -> nn.Module:
    torch.manual_seed(0)
    return timm.models.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), num_classes=4).eval()


def torchvision_vit() -> nn.Module:
    torch.manual_seed(0)
    model = VisionTransformer(64, 16, 2, 2, 12, 24, num_classes=5)
    nn.init.normal_(model.heads.head.weight)  # which is zero before it is trained
    return model.eval()


ARCHITECTURES = {
    # the class token attends to the patches for the last time in the last block, whose input is normalised first
    "class token": (vit, "blocks.2.norm1", (4, 4)),
    "registers": (lambda: vit(reg_tokens=3), "blocks.2.norm1", (4, 4)),
    "mean of the patches": (lambda: vit("avg"), "norm", (4, 4)),
    "torchvision's": (torchvision_vit, "encoder.layers.encoder_layer_1.ln_1", (4, 4)),
    "swin": (swin, "permute", (8, 8)),
    "convnext": (convnext, "norm_pre", (2, 2)),
    "residual": (lambda: load_encoder("tiny-clip").module, "stages", (2, 2)),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_last_grid_that_the_output_depends_on(name):
    make, layer, grid = ARCHITECTURES[name]
    module = make()
    assert last_grid(module, X) == (layer, 1)
    assert cam("gradcam", module, X).shape == (2, *grid)


def test_the_last_run_of_an_activation_that_stands_in_two_places():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 4, 4, stride=4), nn.Conv2d(4, 6, 4, stride=4)
            self.act = nn.ReLU(inplace=True)
            self.head = nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.act(self.second(self.act(self.first(x)))).mean((2, 3)))

    module = Shared().eval()
    opened = open_layer(module, X)
    assert (opened.name, opened.runs) == ("act", 2)
    activations = module.second(module.first(X).relu()).relu()
    torch.testing.assert_close(opened.activations, activations)
    weights = module.head.weight[module(X).argmax(1)]  # (2, 6)
    by_hand = (weights[:, :, None, None] * activations / 16).sum(1).relu()
    torch.testing.assert_close(torch.from_numpy(cam("gradcam", module, X)), by_hand.detach())


def test_no_grid():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4)).eval()
    with pytest.raises(InputError, match="has no layer with a spatial grid that its output depends on"):
        cam("gradcam", module, X)
    assert cam("rise", module, X, masks=4).shape == (2, 64, 64)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_network_from_a_layer_on(name):
    module = ARCHITECTURES[name][0]()
    opened = open_layer(module, X)
    other = opened.activations[1:] * torch.tensor([1.0, 0.5, 0.0])[:, None, None, None]
    values = opened.resumed(1, other)
    torch.testing.assert_close(values[0], opened.scores[1])
    target = int(module(X[1:]).argmax())
    if name == "class token":  # one at a time, through all of the network
        for factor, value in zip((0.5, 0.0), values[1:], strict=True):

            def scaled(_module, _inputs, output, factor=factor):
                return torch.cat([output[:, :1], factor * output[:, 1:]], 1)

            with dict(module.named_modules())[opened.name].register_forward_hook(scaled):
                expected = module(X[1:])[0, target]
            torch.testing.assert_close(value, expected.detach())


class Remembering(nn.Module):
    """Notes how many images there are in front of the layer, and folds what comes out to as many."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 16, stride=16)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        count = len(x)
        return self.head(self.conv(x).relu().reshape(count, -1, 64).mean(1))


def test_a_network_that_notes_the_size_of_the_batch():
    opened = open_layer(Remembering().eval(), X, "conv")
    halves = torch.stack([opened.activations[0], opened.activations[0] / 2])
    head = Remembering().head
    target = int(head(opened.activations[0].relu().flatten()).argmax())
    expected = torch.stack([head(half.relu().flatten())[target] for half in halves])
    torch.testing.assert_close(opened.resumed(0, halves), expected.detach())


def test_targets():
    module = vit()
    outputs = module(X).detach()
    other = outputs.flip(0)
    by_weights = cam("gradcam", module, X, target=other)
    by_function = cam("gradcam", module, X[:1], target=lambda out: out @ other[0])
    torch.testing.assert_close(torch.from_numpy(by_weights[:1]), torch.from_numpy(by_function))
    index = int(outputs[0].argmax())
    assert (cam("gradcam", module, X[:1]) == cam("gradcam", module, X[:1], target=index)).all()


def test_an_anomaly_score_of_a_memory_of_patches():
    """The distance of the oddest patch to the nearest of a memory, as PatchCore has it: one number an image."""
    encoder = load_encoder("tiny-clip").module

    class Distance(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(encoder.stem, encoder.stages[:2])
            self.register_buffer("memory", self.features(torch.zeros(1, 3, 128, 128)).flatten(2)[0].T.detach())

        def forward(self, x):
            patches = self.features(x).flatten(2).mT
            return torch.cdist(patches, self.memory.expand(len(x), -1, -1)).amin(2).amax(1)

    x = torch.zeros(1, 3, 128, 128)
    x[:, :, 80:96, 80:96] = 2.0  # something odd at the lower right
    maps = cam("hirescam", Distance().eval(), x)
    assert maps.shape == (1, 16, 16)
    row, column = divmod(int(maps[0].argmax()), 16)
    assert 8 <= row <= 13
    assert 8 <= column <= 13


def test_masks():
    maps = torch.rand(5, 2, 3, generator=GENERATOR)
    maps[2] = 1.5
    masks = unit_range(enlarged(maps, torch.zeros(1, 3, 20, 30)))
    assert masks.shape == (5, 20, 30)
    assert (masks[2] == 0).all()
    others = masks[[0, 1, 3, 4]].flatten(1)
    assert (others.amin(1) == 0).all()
    torch.testing.assert_close(others.amax(1), torch.ones(4))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gradcm", vit(), X), r"unknown method 'gradcm' \(did you mean 'gradcam'\?\)"),
        (("gradcam", vit(), X[0]), r"images \(N, C, H, W\)"),
        (
            ("gradcam", lambda x: x.mean((1, 2)), X),
            "reads the layers of a torch.nn.Module, not of a function: use rise",
        ),
        (("rise", vit(), X[:0]), r"images \(N, C, H, W\)"),
    ],
)
def test_nonsense(arguments, said):
    with pytest.raises(InputError, match=said):
        cam(*arguments)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("rise", {"layer": "norm"}, "'rise' has no layer"),
        ("eigencam", {"target": 1}, "'eigencam' has no target"),
        ("gradcam", {"masks": 3}, "'gradcam' has no masks; it has layer, target"),
        ("cluscam", {"n_cluster": 3}, r"no n_cluster \(did you mean 'n_clusters'\?\)"),
        ("gradcam", {"target": 5}, "one index of 5 outputs"),
        ("gradcam", {"target": lambda out: out}, "gives one number for each of 1 outputs"),
        ("gradcam", {"layer": "blocks.7"}, "there is no layer 'blocks.7'"),
        ("rise", {"masks": 0}, "at least 1 mask"),
        ("shapcam", {"evaluations": 3}, "evaluations"),
    ],
)
def test_options_that_do_not_fit(method, options, said):
    with pytest.raises(InputError, match=said):
        cam(method, vit(), X, **options)


def test_outputs_that_are_not_finite():
    module = vit()
    module.head.weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"head.weight"):
        cam("gradcam", module, X)


@pytest.mark.parametrize("method", METHODS)
def test_the_module_is_left_as_it_was(method):
    module = vit()
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    cam(method, module, X, **({"masks": 8} if method == "rise" else {}))
    assert all(inner.training for inner in module.modules())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not any(inner._forward_hooks or inner._forward_pre_hooks for inner in module.modules())
    assert all(value.grad is None for value in module.parameters())
    assert (cam(method, module, X, **({"masks": 8} if method == "rise" else {})) >= 0).all() or method == "rise"
