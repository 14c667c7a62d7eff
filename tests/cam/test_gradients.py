import numpy as np
import pytest
import torch
from torch import nn

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
