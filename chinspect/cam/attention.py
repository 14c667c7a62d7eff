"""Maps of vision transformers by what their patches attend to.

With A^l (heads, T, T) the attention of block l, its rows sum to 1, T tokens of which h * w are patches:

**Rollout** multiplies attention through the blocks, each beside the identity of its skip connection,

    R = B^L ... B^1,      B^l = (mean over heads of A^l + I) / 2,

and reads the row of the class token; where there is none, the mean of all rows. It explains no output.

**LeGrad** asks how what is explained depends on the attention of each block. With s^l the score that the end of the
network gives to the tokens behind block l, as if that were the last,

    L = 1 / L sum_l  mean over heads and rows of relu( ds^l / dA^l ),

each block's row of numbers at its patches. Nothing is scaled.

Attention is seen while the network runs, be it written out or one function of torch; no module is changed. Networks
that attend within windows (Swin) or to fewer tokens (PVT) have no attention of all patches to all, and are refused.

Sources: Abnar and Zuidema 2020, Quantifying attention flow in transformers (arXiv:2005.00928); Bousselham et al. 2024,
LeGrad (arXiv:2404.03214), equations 6 to 8.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from chinspect.cam.question import Target, ask
from chinspect.encoders import as_map
from chinspect.errors import InputError
from chinspect.relevance import evaluation_mode

_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
_SIGNATURE = inspect.signature(F.multi_head_attention_forward)


@dataclass(frozen=True, eq=False)
class _Attention:
    """The attention of one block.

    Attributes:
        weights: (N, heads, T, T), a node of autograd.
        path: of the block: the outermost module that has this attention and no other.
    """

    weights: Tensor
    path: str


def rollout(module: nn.Module, x: Tensor) -> Tensor:
    """What the class token of a vision transformer attends to through all blocks; see the module.

    Args:
        module: which answers in evaluation mode and is left as it was.
        x: images (N, C, H, W), preprocessed.

    Returns:
        (N, h, w), at least 0, the patches of the image.

    Raises `InputError` for networks without attention of all patches to all.
    """
    attention, _, _ = _attend(module, x)
    rolled: Tensor | None = None
    for block in attention:
        weights = block.weights.detach().mean(1)
        step = (weights + torch.eye(weights.shape[-1]).to(weights)) / 2
        rolled = step if rolled is None else step @ rolled
    assert rolled is not None  # `_attend` finds at least one
    row = rolled[:, 0] if _prefix(rolled.mean(1), x) else rolled.mean(1)
    return _patches(row, x)


def legrad(module: nn.Module, x: Tensor, target: Target = None) -> Tensor:
    """How what is explained depends on the attention of each block to each patch; see the module and `rollout`.

    Args:
        target: what is explained, see `chinspect.cam.question.Target`.

    Returns:
        (N, h, w), at least 0.

    Raises `InputError` as `rollout` does, for blocks that do not give tokens, and for targets that do not fit.
    """
    attention, tokens, outputs = _attend(module, x)
    question = ask(module, x, target, outputs)
    last = dict(module.named_modules())[attention[-1].path]
    maps = []
    for block in attention:
        output = tokens[block.path]
        if not isinstance(output, Tensor) or output.shape != tokens[attention[-1].path].shape:
            raise InputError(f"LeGrad needs blocks of one width that give tokens, and {block.path!r} gives others.")
        with (
            evaluation_mode(module),
            torch.enable_grad(),
            last.register_forward_hook(lambda _module, _inputs, _output, output=output: output),
        ):
            total = question.total(module(x))
        (gradient,) = torch.autograd.grad(total, block.weights, retain_graph=True)
        maps.append(_patches(gradient.relu().mean((1, 2)), x))
    return torch.stack(maps).mean(0)


def _attend(module: nn.Module, x: Tensor) -> tuple[list[_Attention], dict[str, Any], Tensor]:
    """The attention of each block, the outputs of the blocks by their paths, and those of the network."""
    stacks: list[tuple[str, ...]] = []
    weights: list[Tensor] = []
    given: dict[str, Any] = {}
    with evaluation_mode(module), torch.enable_grad(), _running(module, given) as running:

        def note(attention: Tensor) -> None:
            weights.append(attention)
            stacks.append(tuple(running))

        with _Recorder(note):
            # the weights of frozen networks have gradients only if something in front of them asks for one
            outputs = module(x.detach().clone().requires_grad_())
    # heads that pool attend with one query, of which there is no way on through further blocks
    pooling = [attention.shape[-2] == 1 for attention in weights]
    weights = [attention for attention, pools in zip(weights, pooling, strict=True) if not pools]
    stacks = [stack for stack, pools in zip(stacks, pooling, strict=True) if not pools]
    own = [_square(attention, x) for attention in weights]
    if not own or any(attention is None for attention in own):
        raise InputError(
            f"{type(module).__name__} has no attention of all patches to all, which rollout and LeGrad need: choose "
            "another method."
        )
    members = Counter(path for stack in stacks for path in set(stack))
    paths = [next((path for path in stack if members[path] == 1), "") for stack in stacks]
    return [_Attention(a, path) for a, path in zip(own, paths, strict=True) if a is not None], given, outputs


@contextmanager
def _running(module: nn.Module, outputs: dict[str, Any]) -> Iterator[list[str]]:
    """The paths of the submodules that run, the outermost first; what each gave last is noted in ``outputs``."""
    running: list[str] = []

    def leave(path: str, output: Any) -> None:
        running.pop()
        outputs[path] = output

    handles = []
    for path, inner in module.named_modules():
        if path:
            handles.append(inner.register_forward_pre_hook(lambda _m, _i, path=path: running.append(path)))
            handles.append(inner.register_forward_hook(lambda _m, _i, output, path=path: leave(path, output)))
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(TorchFunctionMode):
    """Shows ``note`` all weights of attention that torch computes, and writes its fused functions out for that."""

    def __init__(self, note: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return self._product(*args, **options)
        if func is F.multi_head_attention_forward:
            return self._multi_head(**_SIGNATURE.bind(*args, **options).arguments), None
        output = func(*args, **options)
        if func in _SOFTMAX and output.ndim in (3, 4):
            self.note(output)
        return output

    def _product(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,  # noqa: ARG002, which is 0 in evaluation mode
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """`torch.nn.functional.scaled_dot_product_attention`, whose weights are seen."""
        if is_causal or enable_gqa:
            raise InputError("causal and grouped attention are none of vision transformers: choose another method.")
        logits = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
        if attn_mask is not None:
            hidden = attn_mask.dtype == torch.bool
            logits = logits.masked_fill(~attn_mask, -torch.inf) if hidden else logits + attn_mask
        weights = logits.softmax(-1)
        self.note(weights)
        return weights @ value

    def _multi_head(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        embed_dim_to_check: int,
        num_heads: int,
        in_proj_weight: Tensor | None,
        in_proj_bias: Tensor | None,
        bias_k: Tensor | None,
        bias_v: Tensor | None,
        add_zero_attn: bool,
        dropout_p: float,  # noqa: ARG002
        out_proj_weight: Tensor,
        out_proj_bias: Tensor | None,
        **options: Any,
    ) -> Tensor:
        """`torch.nn.functional.multi_head_attention_forward` of images (T, N, D), whose weights are seen."""
        masks = [options.get(name) for name in ("key_padding_mask", "attn_mask", "static_k", "static_v")]
        if in_proj_weight is None or add_zero_attn or any(m is not None for m in (bias_k, bias_v, *masks)):
            raise InputError("masked attention is none of images: choose another method than rollout and LeGrad.")
        matrices = in_proj_weight.chunk(3)
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
        heads = [
            F.linear(tokens, matrix, bias).unflatten(2, (num_heads, -1)).permute(1, 2, 0, 3)  # (N, heads, T, D / heads)
            for tokens, matrix, bias in zip((query, key, value), matrices, biases, strict=True)
        ]
        mixed = self._product(*heads).permute(2, 0, 1, 3).reshape(*query.shape[:2], embed_dim_to_check)
        return F.linear(mixed, out_proj_weight, out_proj_bias)


def _square(weights: Tensor, x: Tensor) -> Tensor | None:
    """Weights as (N, heads, T, T), if they are of all tokens of an image to all, patches among them."""
    count = len(x)
    if weights.ndim == 3 and len(weights) % count == 0:
        weights = weights.unflatten(0, (count, -1))
    square = weights.ndim == 4 and len(weights) == count and weights.shape[2] == weights.shape[3]
    return weights if square and as_map(weights[:, 0, :, :1], x) is not None else None


def _patches(row: Tensor, x: Tensor) -> Tensor:
    """The map (N, h, w) of one number a token (N, T)."""
    mapped = as_map(row[:, :, None], x)
    assert mapped is not None  # `_square` has seen to it
    return mapped[:, 0].detach()


def _prefix(row: Tensor, x: Tensor) -> int:
    """How many of the tokens of a row (N, T) are no patches."""
    return row.shape[1] - _patches(row, x)[0].numel()
