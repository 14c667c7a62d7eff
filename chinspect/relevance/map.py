"""The relevance map: under a composite a network is, at one image, one linear map from components to embeddings.

With the activations fixed, LRP is linear in the relevance. `relevance_map` builds that linear map. `RelevanceMap.push`
takes components of the image (its patches, say) to what each contributes to each of the D outputs, ``T`` (P, D), in
about P forward passes. `RelevanceMap.pull`, the transposed map, takes relevance at the outputs back to the pixels: it
is LRP as published, and comes from automatic differentiation of the push.

    >>> mapped = relevance_map(encoder.module, encoder.prepare("assets/truck-a.png"))
    >>> mapped.push(patches(16)).shape
    torch.Size([64, 256])
"""

from __future__ import annotations

import warnings
from functools import cached_property

import psutil
import torch
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.relevance._graph import Graph, working_precision
from chinspect.relevance._program import Program, plan, push
from chinspect.relevance._steps import build
from chinspect.relevance._tracing import trace
from chinspect.relevance._verification import check_finite
from chinspect.relevance.components import Components, Decomposition, Partition
from chinspect.relevance.composites import Composite
from chinspect.relevance.composites import composite as named_composite

_MEMORY_LIMIT = 1 << 30  # larger chunks are no faster
_EXPLODED = 1e3  # sum of absolute contributions over that of the outputs; signed rules that behave stay below 100
_CONSERVED = (0.5, 2.0)  # contributions over outputs: outside, half of the relevance is lost, or as much is added


class RelevanceWarning(UserWarning):
    """Relevance is not conserved: it explodes, or most of it is absorbed on the way."""


def relevance_map(
    model: nn.Module | Graph,
    x: Tensor,
    composite: Composite | str = "epsilon_plus_flat",
    *,
    memory_limit: int | None = None,
) -> RelevanceMap:
    """The linear map from components of ``x`` to the outputs of ``model``.

    Args:
        model: any module from (N, C, H, W) to (N, D) that ``torch.export`` accepts; it is not modified. For many
            images of one shape give ``trace(model, x)``, which is the slow part.
        x: images (N, C, H, W), preprocessed.
        composite: a name of `COMPOSITES`, or a table of your own.
        memory_limit: bytes that a push may take for components; by default half of what is free, at most 1 GiB.

    Raises:
        InputError: the model has an operation without rule, or the input is not an image batch.
    """
    if x.ndim != 4 or not x.is_floating_point() or not bool(x.isfinite().all()):
        raise InputError(f"a relevance map needs finite images (N, C, H, W), not {x.dtype} of shape {tuple(x.shape)}.")
    graph = model if isinstance(model, Graph) else trace(model, x)
    if graph.input_shape != x.shape:
        raise InputError(f"the graph was traced for images {tuple(graph.input_shape)}, not {tuple(x.shape)}.")
    table = named_composite(composite) if isinstance(composite, str) else composite
    return RelevanceMap(graph, x, table, memory_limit)


class RelevanceMap:
    """A network at images ``x`` under a composite; see `relevance_map`.

    Attributes:
        output: the embeddings (N, D).
        x: the images (N, C, H, W).
        composite: the rules.
    """

    def __init__(self, graph: Graph, x: Tensor, composite: Composite, memory_limit: int | None = None) -> None:
        self.x = x.detach().to(working_precision(x))
        self.composite = composite
        self._memory = memory_limit or min(_free_memory(x.device) // 2, _MEMORY_LIMIT)
        with torch.no_grad():
            self.output, steps, sink = build(graph, self.x, composite)
            check_finite(graph, self.x, self.output)
        if self.output.ndim != 2:
            raise InputError(f"an encoder returns embeddings (N, D), not {tuple(self.output.shape)}: pool them.")
        self._program = Program(steps, graph.source, sink, self.x)

    def push(self, components: Components) -> Tensor:
        """What each component contributes to each output.

        Runs the components forward, or, where there are fewer outputs than components, all outputs backward; and
        takes the cheaper way.

        Returns:
            ``T`` (N, P, D), or (P, D) for one image; ``T.sum(-2)`` is the output as far as relevance is conserved.

        Raises:
            InputError: the components do not partition the pixels and the first layer's rule needs that.
        """
        decomposition = self._decomposed(components)
        how = plan(self._program, decomposition, self._memory)
        backward = self.output.shape[1] * sum(step.push.macs for step in self._program.steps)
        with torch.no_grad():
            if backward < how.macs:
                table = self._pulled(decomposition)
            else:
                table = push(self._program, decomposition, how).movedim(0, 1)
        self._check(table)
        return table[0] if len(table) == 1 else table

    def pull(self, relevance: Tensor) -> Tensor:
        """LRP: relevance at the outputs back to the pixels.

        Args:
            relevance: (N, D), how much relevance each output holds. ``output`` itself explains the sum of all outputs,
                ``output`` times a one-hot vector one neuron, ``output * other.output`` the similarity to another image.

        Returns:
            relevance like ``x``. It sums to that of the outputs as far as it is conserved; an output of zero has none
            to give.
        """
        values, indicators = self.multipliers(relevance)
        return self.x * values + indicators

    def multipliers(self, relevance: Tensor) -> tuple[Tensor, Tensor]:
        """What makes `pull` of the image: relevance at the pixels is ``x * values + indicators``, both like ``x``.

        A component ``t`` of the image holds ``sum(t * values)``, by rules that read no indicators.
        """
        if relevance.shape != self.output.shape:
            raise InputError(
                f"relevance must be shaped like the output {tuple(self.output.shape)}, not {tuple(relevance.shape)}."
            )
        seed = torch.where(self.output == 0, 0, relevance / self.output)
        values, indicators = self._transposed(seed[None])
        return values[0], indicators[0]

    def pull_components(self, relevance: Tensor, components: Components) -> Tensor:
        """LRP: relevance at the outputs (N, D), see `pull`, back to components: (N, P).

        It is ``push(components) @ (relevance / output)`` in one backward pass. Raises `InputError` as `push` does.
        """
        decomposition = self._decomposed(components)
        values, indicators = self.multipliers(relevance)
        return self._inner(decomposition, values[None], indicators[None])[..., 0]

    @cached_property
    def conservation(self) -> float:
        """``<sum of all components' contributions, y> / <y, y>`` for the output ``y``: 1 where no relevance is lost."""
        with torch.no_grad():
            total = self._program.apply(self.x[None], torch.ones_like(self.x)[None])[0]
        return self._ratio(total)

    def _decomposed(self, components: Components) -> Decomposition:
        """The components of these images, if the rules can divide relevance among them."""
        decomposition = components.on(self.x.shape)
        if self._program.reads_indicators and not isinstance(decomposition, Partition):
            raise InputError(
                f"{components.name} overlap in the pixels, and the first rule of {self.composite.name!r} shares "
                "relevance among pixels: choose a composite such as epsilon_plus."
            )
        return decomposition

    def _ratio(self, total: Tensor) -> float:
        return float((total.double() * self.output).sum() / self.output.double().square().sum())

    def _check(self, table: Tensor) -> None:
        """Warns where what the components contribute, ``table`` (N, P, D), does not stand for the output."""
        total = float(self.output.abs().sum())
        if total == 0:
            return
        ratio = self._ratio(table.sum(1))
        magnitude = float(table.abs().sum()) / total
        low, high = _CONSERVED
        if magnitude < _EXPLODED and low <= ratio <= high:
            return
        absorbed = magnitude < _EXPLODED and abs(ratio) < low
        what = "is mostly absorbed (by biases, as a rule)" if absorbed else "explodes"
        warnings.warn(
            f"relevance {what} under {self.composite.name!r}: the contributions sum to {ratio:.3g} times the output, "
            f"their absolute values to {magnitude:.3g} times. Compare composites before trusting the picture.",
            RelevanceWarning,
            stacklevel=3,
        )

    def _transposed(self, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """The transposed push of ``seeds`` (K, N, D), for components and for indicators: each (K, N, C, H, W)."""
        transpose = torch.func.vjp(self._program.apply, self.x[None], torch.ones_like(self.x)[None])[1]
        values, indicators = torch.vmap(transpose, chunk_size=self._seeds_at_once())(seeds[:, None])
        return values[:, 0], indicators[:, 0]

    def _seeds_at_once(self) -> int:
        # four values of the largest size for each seed: one of the push, its cotangent, and a copy of either
        largest = max((step.shape.numel() for step in self._program.steps), default=1)
        return max(1, self._memory // (4 * largest * self.x.element_size()))

    def _pulled(self, decomposition: Decomposition) -> Tensor:
        """The push of all components, from the transposed map of each output: (N, P, D)."""
        seeds = torch.eye(self.output.shape[1]).to(self.output)[:, None].expand(-1, len(self.x), -1)
        chunks = seeds.split(self._seeds_at_once())
        return torch.cat([self._inner(decomposition, *self._transposed(chunk)) for chunk in chunks], -1)

    def _inner(self, decomposition: Decomposition, values: Tensor, indicators: Tensor) -> Tensor:
        """Relevance (N, P, K) of components, from the transposed push of K seeds."""
        table = decomposition.inner(self.x, values)
        if self._program.reads_indicators:
            table = table + decomposition.inner(torch.ones_like(self.x), indicators)
        return table


def _free_memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
