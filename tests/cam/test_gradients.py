import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.ops import Permute

from chinspect.cam import grad_cam
from chinspect.encoders import load_encoder
from chinspect.errors import InputError


class Small(nn.Module):
    """Two channels by 1 x 1 convolution, a ReLU in place, means, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(2, 2, bias=False)
        self.conv.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        self.head.weight.data = torch.tensor([[2.0, -1.0], [0.0, 4.0]])

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


X = torch.tensor([[1.0, 2.0], [-3.0, 0.0]]).view(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("target", "by_hand"),
    [
        # the channels are x and -x, positive in 2 and 1 of 4 cells; ds/dA is w / 4 where positive, and its mean counts
        # cells: a = (2 * 2/16, -1 * 1/16) for output 0, (0, 4 * 1/16) for output 1; L = relu(a0 x - a1 x)
        (torch.tensor([0]), [[0.3125, 0.625], [0.0, 0.0]]),
        (torch.tensor([1]), [[0.0, 0.0], [0.75, 0.0]]),
        # outputs are (2 * 3/4 - 3/4, 4 * 3/4) = (0.75, 3): the largest is 1
        (None, [[0.0, 0.0], [0.75, 0.0]]),
        # weights (1, 0.5): a = (4/16, -1/16 + 2/16)
        (torch.tensor([[1.0, 0.5]]), [[0.1875, 0.375], [0.0, 0.0]]),
    ],
)
def test_by_hand(target, by_hand):
    torch.testing.assert_close(grad_cam(Small(), X, "conv", target)[0], torch.tensor(by_hand))


def test_is_the_textbook_formula_in_a_real_network():
    module = load_encoder("tiny-supervised").module
    layer = [name for name, submodule in module.named_modules() if isinstance(submodule, nn.Conv2d)][-2]
    x = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    heatmap = grad_cam(module, x, layer, torch.tensor([4, 0, 7]))
    recorded = []
    handle = dict(module.named_modules())[layer].register_forward_hook(lambda _m, _i, out: recorded.append(out))
    for i, target in enumerate((4, 0, 7)):  # one image at a time, gradients by autograd from the input
        score = module(x[i : i + 1].clone().requires_grad_())[0, target]
        activations = recorded.pop()
        gradient = torch.autograd.grad(score, activations)[0][0]
        slow = sum(gradient[k].mean() * activations[0, k] for k in range(len(gradient))).clamp(min=0).detach()
        torch.testing.assert_close(heatmap[i], slow, rtol=1e-4, atol=1e-6)
    handle.remove()
    assert heatmap.shape[1] > 1
    assert (heatmap > 0).any()


def test_leaves_the_module_as_it_was():
    module = Small()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    grad_cam(module, X, "conv")
    with pytest.raises(InputError):
        grad_cam(module, X, "head")
    assert not any(submodule._forward_hooks for submodule in module.modules())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(value.grad is None for value in module.parameters())


def test_needs_no_gradients_outside():
    module = Small().requires_grad_(False)
    with torch.no_grad():
        assert grad_cam(module, X, "relu", torch.tensor([0])).sum() > 0


class Twice(Small):
    def forward(self, x):
        return super().forward(self.conv(x)[:, :1])


@pytest.mark.parametrize(
    ("module", "layer", "target", "said"),
    [
        (Small(), "con", None, "no layer 'con' in Small (close: conv"),
        (Small(), "", None, "no layer ''"),
        (Small(), "head", None, "returns (1, 2)"),
        (Twice(), "conv", None, "ran 2 times"),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), "0", None, "(N, D)"),
        (Small(), "conv", torch.tensor([2]), "one index of 2 outputs"),
        (Small(), "conv", torch.tensor([-1]), "one index of 2 outputs"),
        (Small(), "conv", torch.tensor([0, 1]), "one index of 2 outputs"),
        (Small(), "conv", torch.ones(1, 3), "one index of 2 outputs"),
    ],
)
def test_refuses(module, layer, target, said):
    with pytest.raises(InputError) as raised:
        grad_cam(module, X, layer, target)
    assert said in str(raised.value)


def test_images_of_a_batch_do_not_touch_each_other():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 2, 2)).astype(np.float32))
    targets = torch.tensor([0, 1, 1, 0])
    alone = torch.cat([grad_cam(Small(), x[i : i + 1], "conv", targets[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(grad_cam(Small(), x, "conv", targets), alone)


class Permuted(nn.Module):
    """A small network whose map is also there with its channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(3, channels, 4, stride=4), nn.ReLU())
        self.last = Permute([0, 2, 3, 1])
        self.head = nn.Linear(channels, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.stage(x)).mean((1, 2)))


@pytest.mark.parametrize("size", [(32, 32), (32, 48), (20, 32)])
def test_channels_may_come_last(size):
    torch.manual_seed(0)
    network = Permuted(6).eval()
    x = torch.rand(2, 3, *size)
    first = grad_cam(network, x, "stage")
    assert first.shape == (2, size[0] // 4, size[1] // 4)
    torch.testing.assert_close(grad_cam(network, x, "last"), first)


def test_the_last_stage_of_a_swin_transformer():
    """Behind it the normalised tokens are given with channels last, then first: one map, two layouts."""
    torch.manual_seed(0)
    swin = SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3).eval()
    x = torch.rand(1, 3, 64, 64)
    assert grad_cam(swin, x, "features.3").shape == (1, 8, 8)
    torch.testing.assert_close(grad_cam(swin, x, "norm"), grad_cam(swin, x, "permute"))


def test_as_many_channels_as_rows():
    torch.manual_seed(0)
    x = torch.rand(1, 3, 32, 32)
    plain = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert grad_cam(plain, x, "0").shape == (1, 8, 8)  # all maps of this network have their channels first
    mixed = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 5, 1), Permute([0, 2, 3, 1]), nn.Flatten())
    with pytest.raises(InputError, match=r"which axis of '0', \(1, 8, 8, 8\), holds the channels"):
        grad_cam(mixed, x, "0")
    assert grad_cam(mixed, x, "2").shape == (1, 8, 8)


@pytest.mark.parametrize(("size", "grid"), [((32, 32), (4, 4)), ((32, 48), (4, 6))])
@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_are_the_map_of_their_patches(size, grid, prefix):
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU())
    tokens = nn.Flatten(2)

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.flat, self.blocks = stem, tokens, nn.Identity()

        def forward(self, x):
            patches = self.flat(self.stem(x)).mT
            return self.blocks(torch.cat([torch.rand(len(x), prefix, 6), patches], 1))[:, prefix:].mean(1)

    x = torch.rand(2, 3, *size)
    heatmap = grad_cam(Transformer(), x, "blocks")
    assert heatmap.shape == (2, *grid)
    torch.testing.assert_close(heatmap, grad_cam(Transformer(), x, "stem"))
