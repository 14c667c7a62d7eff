"""The model is only read: every bit, flag and hook of it is the same afterwards, also after an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from _networks import image
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.relevance import channels, patches, relevance_map, trace

pytestmark = pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(True)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.act(self.norm(self.conv(x))))


class Encoder(nn.Module):
    """With everything that could be disturbed: mixed flags, hooks, gradients, buffers, tied and frozen weights."""

    def __init__(self, fault: str = "none") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fault = fault
        self.stem, self.norm = nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)
        self.block, self.head = Block(), nn.Linear(4, 6)
        self.twin = self.block
        self.register_buffer("table", torch.arange(3.0), persistent=False)

    def forward(self, x: Tensor) -> Any:
        x = self.block(self.norm(self.stem(x)))
        if self.fault == "operation":
            x = x.cumsum(2)
        elif self.fault == "export" and float(x.detach().sum()) > 0:  # a branch on the data
            x = -x
        elif self.fault == "outputs":
            return x, x
        elif self.fault == "raises":
            raise RuntimeError("broken")
        return self.head(self.twin(x).mean((2, 3)))


def lived_in(fault: str = "none") -> nn.Module:
    model = Encoder(fault)
    model(image(2, 3, 16, 16)) if fault != "raises" else None
    model.eval()
    model.norm.train()
    model.block.drop.train()
    model.block.conv.weight.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    model.block.register_forward_hook(lambda _module, _inputs, _output: None)
    model.head.register_full_backward_hook(lambda _module, _inputs, _outputs: None)
    return model


HOOKS = [name for name in nn.Module().__dict__ if "hooks" in name]


def snapshot(model: nn.Module) -> list[Any]:
    """Everything that identifies the model: objects by identity, tensors by identity and by their bytes."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    seen: list[Any] = [
        (name, id(t), t.data_ptr(), t.dtype, t.requires_grad, id(t.grad), t.detach().numpy().tobytes())
        for name, t in tensors
    ]
    seen += [(key, value.numpy().tobytes()) for key, value in model.state_dict().items()]
    for name, module in model.named_modules(remove_duplicate=False):
        hooks = [(hook, list(module.__dict__[hook].items())) for hook in HOOKS if module.__dict__[hook] is not None]
        seen.append((name, id(module), module.training, sorted(module.__dict__), hooks, id(type(module).forward)))
    return seen


def test_model_is_bit_identical_afterwards() -> None:
    model, x = lived_in(), image(2, 3, 16, 16)
    before, pixels = snapshot(model), x.clone()
    mapped = relevance_map(model, x)
    mapped.push(patches(4))
    mapped.push(channels())
    mapped.pull(mapped.output)
    assert mapped.conservation == mapped.conservation
    assert snapshot(model) == before
    assert torch.equal(x, pixels)


def test_output_is_that_of_evaluation_mode() -> None:
    model, x = lived_in(), image(2, 3, 16, 16)
    with torch.no_grad():
        expected = Encoder.forward(lived_in().eval(), x)
    torch.testing.assert_close(relevance_map(model, x).output, expected)


@pytest.mark.parametrize("fault", ["operation", "export", "outputs", "raises"])
def test_model_is_bit_identical_after_an_error(fault: str) -> None:
    model = lived_in(fault)
    before = snapshot(model)
    with pytest.raises(InputError):
        relevance_map(model, image(1, 3, 16, 16))
    assert snapshot(model) == before


def test_snapshot_sees_changes() -> None:
    """The other tests could not fail otherwise."""
    for change in (
        lambda model: model.norm.eval(),
        lambda model: model.head.weight.data.mul_(1 + 1e-7),
        lambda model: model.head.bias.requires_grad_(False),
        lambda model: model.stem.register_forward_pre_hook(lambda _module, _inputs: None),
        lambda model: setattr(model.head, "mark", 1),
        lambda model: model.table.add_(1),
    ):
        model = lived_in()
        before = snapshot(model)
        change(model)
        assert snapshot(model) != before


def test_relevance_shares_no_memory_with_the_image_or_the_model() -> None:
    model, x = nn.Flatten(), image(1, 1, 4, 4)
    mapped = relevance_map(model, x)
    table = mapped.push(patches(2))
    table.fill_(7)
    assert torch.equal(x, image(1, 1, 4, 4))
    graph = trace(model, x)
    assert relevance_map(graph, x).output.shape == (1, 16)
