"""Edits do what their formula says, leave everything else alone, and are undone bit by bit."""

from collections.abc import Callable

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.encoders import Encoder, load_encoder
from chinspect.encoders.edits import Edit, Project, Prune, edited
from chinspect.encoders.layers import candidate_layers
from chinspect.errors import InputError
from chinspect.relevance import patches, relevance_map
from tests.mitigate._planted import SIZE, as_encoder, planted, timm_vit, torch_vit

EDITS: list[Edit] = [
    Prune("stem.2", (3, 5)),
    Prune("stem.2", (0,), (50, 64)),
    Prune("stages.1", (7,)),
    Project("stages.2", torch.arange(1.0, 129.0), 0.5),
    Project("pool", torch.arange(1.0, 257.0)),
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("tiny-clip")


def batch(encoder: Encoder, n: int = 2) -> Tensor:
    size = encoder.preprocessing.size
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def output_of(module: nn.Module, layer: str, x: Tensor) -> Tensor:
    found: list[Tensor] = []
    handle = module.get_submodule(layer).register_forward_hook(lambda _module, _args, output: found.append(output))
    module(x)
    handle.remove()
    return found[0]


def test_an_edit_that_does_not_fit_changes_nothing(encoder: Encoder) -> None:
    modules = dict(encoder.module.named_modules())
    with pytest.raises(InputError):
        edited(encoder, EDITS[0], Prune("stem.2", (99,)))
    assert dict(encoder.module.named_modules()) == modules


def test_edits_leave_their_encoder_bit_by_bit_and_share_its_parameters(encoder: Encoder) -> None:
    x = batch(encoder)
    module = encoder.module
    before = module(x)
    fingerprint = encoder.fingerprint
    modules = dict(module.named_modules())
    state = {key: value.clone() for key, value in module.state_dict().items()}
    step = edited(edited(encoder, *EDITS[:2]), *EDITS[2:])
    assert step.base is encoder
    assert step.edits == tuple(EDITS)
    assert torch.equal(step.module(x), edited(encoder, *EDITS).module(x))
    assert not torch.equal(step.module(x), before)
    assert dict(module.named_modules()) == modules
    assert list(module.state_dict()) == list(state)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert torch.equal(module(x), before)
    assert not any(inner._forward_hooks or inner._forward_pre_hooks for inner in module.modules())
    assert encoder.fingerprint == fingerprint != step.fingerprint
    assert {id(p) for p in step.module.parameters()} == {id(p) for p in module.parameters()}


def test_an_edited_encoder_sees_what_its_base_sees_and_responds_otherwise(encoder: Encoder) -> None:
    pictures = [Image.effect_noise((150, 130), 60).convert("RGB")]
    changed = edited(encoder, EDITS[0])
    seen = changed.see(pictures)
    assert (seen[0] == encoder.see(pictures)[0]).all()
    assert torch.equal(torch.from_numpy(changed.respond(seen)), changed.embed(pictures).double())
    assert not (changed.respond(seen) == encoder.respond(seen)).all()


@pytest.mark.parametrize("rows", [None, (9, 16)])
def test_pruning_against_the_layers_written_out(rows: tuple[int, int] | None) -> None:
    encoder = planted()
    first, relu, second, *rest = encoder.module.children()
    x = batch(encoder)
    hidden = relu(first(x)).clone()
    hidden[:, [1, 6], slice(*rows) if rows else slice(None)] = 0
    expected = nn.Sequential(second, *rest)(hidden)
    assert torch.equal(edited(encoder, Prune("1", (1, 6), rows)).module(x), expected)


@pytest.mark.parametrize("level", [0.0, 1.5])
@pytest.mark.parametrize(("make", "layer"), [(planted, "1"), (planted, "5"), (timm_vit, "blocks.0")])
def test_projection_removes_the_direction_and_nothing_else(
    make: Callable[[], Encoder], layer: str, level: float
) -> None:
    encoder, x = make(), batch(make())
    plain = output_of(encoder.module, layer, x)
    axis = 1 if plain.ndim == 4 else -1
    direction = torch.randn(plain.shape[axis], generator=torch.Generator().manual_seed(3))
    after = output_of(edited(encoder, Project(layer, direction, level)).module, layer, x).movedim(axis, -1)
    unit = direction / direction.norm()
    torch.testing.assert_close(after @ unit, torch.full(after.shape[:-1], level), atol=1e-5, rtol=0)
    others = torch.eye(len(unit)) - torch.outer(unit, unit)
    torch.testing.assert_close(after @ others, plain.movedim(axis, -1) @ others, atol=1e-5, rtol=1e-5)


def test_pruned_heads_hand_over_nothing_in_timm() -> None:
    """A head whose values are zero says the same as one that is not read."""
    encoder = timm_vit()
    pruned, silent = edited(encoder, Prune("blocks.1.attn", (2,))), timm_vit()
    qkv = silent.module.get_submodule("blocks.1.attn.qkv")
    qkv.weight[48 + 16 :] = 0
    qkv.bias[48 + 16 :] = 0
    x = batch(encoder)
    torch.testing.assert_close(pruned.module(x), silent.module(x), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(pruned.module(x), encoder.module(x), atol=1e-3)


def test_pruned_heads_hand_over_nothing_in_torch() -> None:
    encoder = torch_vit()
    pruned, silent = edited(encoder, Prune("blocks.0.attention", (0, 1))), torch_vit()
    attention = silent.module.get_submodule("blocks.0.attention")
    attention.in_proj_weight[48 : 48 + 16] = 0
    attention.in_proj_bias[48 : 48 + 16] = 0
    x = batch(encoder)
    torch.testing.assert_close(pruned.module(x), silent.module(x), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(pruned.module(x), encoder.module(x), atol=1e-3)


def test_pruned_neurons_are_not_read() -> None:
    encoder, silent = timm_vit(), timm_vit()
    pruned = edited(encoder, Prune("blocks.0.mlp.act", (4, 50)))
    silent.module.get_submodule("blocks.0.mlp.fc2").weight[:, [4, 50]] = 0
    x = batch(encoder)
    torch.testing.assert_close(pruned.module(x), silent.module(x), atol=1e-5, rtol=1e-5)


def test_candidates_are_blocks_heads_and_neurons() -> None:
    parts = ("", ".attn", ".mlp.act")
    assert candidate_layers(timm_vit()) == [f"blocks.{i}{part}" for i in (0, 1) for part in parts]
    parts = ("", ".attention", ".mlp.1")
    assert candidate_layers(torch_vit()) == [f"blocks.{i}{part}" for i in (0, 1) for part in parts]
    names = [f"stages.{i}.{part}" for i in range(4) for part in ("residual.2", "relu")]
    assert candidate_layers(load_encoder("tiny-clip")) == ["stem.2", *names]


@pytest.mark.parametrize("edit", EDITS[1:4])
def test_an_edited_encoder_is_explained(encoder: Encoder, edit: Edit) -> None:
    changed = edited(encoder, edit)
    x = batch(encoder, 1)
    mapped = relevance_map(changed.module, x)
    torch.testing.assert_close(mapped.output, changed.module(x), atol=1e-3, rtol=1e-3)
    table, weights = mapped.push(patches(32)), torch.linspace(-1, 1, 256)
    pulled = float(mapped.pull(weights * mapped.output).sum())
    assert pulled == pytest.approx(float((table.sum(0) * weights).sum()), rel=1e-3)
    constant = isinstance(edit, Project) and edit.level  # what is added in place of the direction absorbs relevance
    assert mapped.conservation == pytest.approx(1, abs=0.2 if constant else 1e-3)


def test_no_relevance_passes_through_what_was_pruned() -> None:
    encoder = planted()
    everything = edited(encoder, Prune("1", tuple(range(8)), (8, 16)))
    heat = relevance_map(everything.module, batch(encoder, 1)).pull(everything.module(batch(encoder, 1)))
    assert heat[:, :, 17:].abs().max() == 0
    assert heat[:, :, :16].abs().max() > 0


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.pool(self.relu(self.relu(self.conv(x)) - 1)).flatten(1)
        return result


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda: Prune("9", (0,)), "no layer '9'; some of its layers are 1, 3"),
        (lambda: Prune("", (0,)), "no layer ''"),
        (lambda: Prune("1", (0, 8)), "channels 0 to 7, and no 8"),
        (lambda: Prune("1", (-1,)), "and no -1"),
        (lambda: Prune("1", ()), "at least one"),
        (lambda: Prune("1", (2, 2)), "each given once"),
        (lambda: Prune("1", (0,), (4, 17)), "no rows 4 to 17"),
        (lambda: Prune("1", (0,), (4, 4)), "no rows 4 to 4"),
        (lambda: Prune("5", (0,), (0, 1)), "no rows 0 to 1"),
        (lambda: Project("1", torch.ones(7)), "8 channels, not 7"),
        (lambda: Project("1", torch.zeros(8)), "other than zero"),
        (lambda: Project("1", torch.full((8,), torch.nan)), "finite vector"),
        (lambda: Project("1", torch.ones(2, 4)), "a finite vector"),
        (lambda: Project("1", torch.ones(8), float("inf")), "must be finite, not inf"),
    ],
)
def test_edits_that_do_not_fit(edit: Callable[[], Edit], words: str) -> None:
    with pytest.raises(InputError, match=words):
        edited(planted(), edit())


def test_layers_that_are_no_place_for_an_edit() -> None:
    with pytest.raises(InputError, match="'relu' runs 2 times"):
        edited(as_encoder(Twice()), Prune("relu", (0,)))
    unused = planted()
    unused.module.spare = nn.Identity().eval()  # type: ignore[assignment]
    unused.module.forward = lambda x: nn.Sequential(*list(unused.module.children())[:-1])(x)  # type: ignore[method-assign]
    with pytest.raises(InputError, match="'spare' runs 0 times"):
        edited(unused, Prune("spare", (0,)))


def test_maps_with_channels_last_are_told_by_their_sides() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 6, 8, stride=8), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.linear(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2))
            return result

    encoder = as_encoder(Last())
    x = torch.rand(1, 3, SIZE, SIZE)
    after = output_of(edited(encoder, Prune("linear", (4,), (1, 3))).module, "linear", x)
    expected = output_of(encoder.module, "linear", x).clone()
    expected[:, 1:3, :, 4] = 0
    assert torch.equal(after, expected)


@pytest.mark.parametrize("last", [True, False])
def test_three_equal_sides_are_no_guess(last: bool) -> None:
    """A map of SIZE / 8 = 4 rows, columns and channels, in a network whose maps have their channels last, or not."""

    class Cube(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.linear = nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.act(self.conv(x))
            result: Tensor = self.linear(maps.permute(0, 2, 3, 1)).mean((1, 2)) if last else maps.mean((2, 3))
            return result

    encoder = as_encoder(Cube())
    assert ("act" in candidate_layers(encoder)) == (not last)
    if last:
        with pytest.raises(InputError, match=r"axis of the output \(1, 4, 4, 4\) of the layer 'act' holds channels"):
            edited(encoder, Prune("act", (0,)))
    else:
        assert edited(encoder, Prune("act", (0,))).embed([Image.new("RGB", (SIZE, SIZE), "red")])[0, 0] == 0
