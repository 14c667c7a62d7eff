"""The relevance map: under a composite a network is, at one image, one linear map from components to embeddings.

With the activations fixed, LRP is linear in the relevance. `relevance_map` builds that linear map. `RelevanceMap.push`
takes components of the image (its patches, say) to what each contributes to each of the D outputs, ``T`` (P, D), in
about P forward passes. `RelevanceMap.pull`, the transposed map, takes relevance at the outputs back to the pixels: it
is LRP as published, and comes from automatic differentiation of the push.

    >>> mapped = relevance_map(encoder.module, encoder.prepare("assets/truck-a.png"))
    >>> mapped.push(patches(16)).shape
    torch.Size([64, 256])

The table ``rescale`` makes a *reference map*: components of the difference of the image to a reference x0 sum to
``y(x) - y(x0)``, exactly and on every network (see `chinspect.relevance._differences`).

What a map explains is `RelevanceMap.explained`: ``y(x)``, or for a reference map ``y(x) - y(x0)``. What of it no
component of the image carries is `RelevanceMap.constant`: biases, position embeddings, class tokens and running means
make it of any image. Components and constant together are what is explained.
"""

from __future__ import annotations

import time
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
from chinspect.relevance.composites import RESCALE, Composite
from chinspect.relevance.composites import composite as named_composite
from chinspect.relevance.precision import Precision, check_precision
from chinspect.relevance.references import Reference, reference_images

_MEMORY_LIMIT = 1 << 30  # larger chunks are no faster
_EXPLODED = 1e3  # sum of absolute contributions over that of the outputs; signed rules that behave stay below 100
_CONSERVED = (-0.01, 2.0)  # contributions over outputs: outside, more is made of the image than there is


class RelevanceWarning(UserWarning):
    """Relevance explodes: the contributions are far larger than what they explain."""


def relevance_map(
    model: nn.Module | Graph,
    x: Tensor,
    composite: Composite | str = "epsilon_plus_flat",
    *,
    reference: Reference | str = "blur",
    memory_limit: int | None = None,
    precision: Precision = "float32",
) -> RelevanceMap:
    """The linear map from components of ``x`` to the outputs of ``model``.

    Args:
        model: any module from (N, C, H, W) to (N, D) that ``torch.export`` accepts; it is not modified. For many
            images of one shape give ``trace(model, x)``, which is the slow part.
        x: images (N, C, H, W), preprocessed.
        composite: a name of `COMPOSITES` or a table of your own for LRP, or ``rescale`` for a reference map.
        reference: of a reference map; see `reference_images`. LRP has none.
        memory_limit: bytes that a push may take for components; by default half of what is free, at most 1 GiB.
        precision: of the components in a push. ``bfloat16`` halves the time of wide layers and adds an error of about
            .5 % of the table's norm; activations, and all that is made of them, stay in single precision, as does a
            pull.

    Raises:
        InputError: the model has an operation without rule, the input is not an image batch, or the processor has no
            bfloat16.
    """
    if x.ndim != 4 or not x.is_floating_point() or not bool(x.isfinite().all()):
        raise InputError(f"a relevance map needs finite images (N, C, H, W), not {x.dtype} of shape {tuple(x.shape)}.")
    check_precision(precision, x.device)
    graph = model if isinstance(model, Graph) else trace(model, x)
    if graph.input_shape != x.shape:
        raise InputError(f"the graph was traced for images {tuple(graph.input_shape)}, not {tuple(x.shape)}.")
    x = x.to(working_precision(x))
    if composite in (RESCALE, RESCALE.name):
        return RelevanceMap(graph, x, RESCALE, reference_images(reference, x), memory_limit, precision)
    table = named_composite(composite) if isinstance(composite, str) else composite
    return RelevanceMap(graph, x, table, None, memory_limit, precision)


class RelevanceMap:
    """A network at images ``x`` under a composite; see `relevance_map`.

    Attributes:
        output: the embeddings (N, D).
        explained: what the components explain (N, D): the output, or its difference to that of the reference. Of
            several references the mean.
        x: the images (N, C, H, W).
        composite: the rules.
    """

    def __init__(
        self,
        graph: Graph,
        x: Tensor,
        composite: Composite,
        references: Tensor | None = None,
        memory_limit: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        """``references`` (R, N, C, H, W) are those of a reference map."""
        self.x = _channels_last(x.detach())
        self.composite = composite
        self._low = precision == "bfloat16"
        self._memory = memory_limit or min(_free_memory(x.device) // 2, _MEMORY_LIMIT)
        origins = [None] if references is None else [_channels_last(one) for one in references]
        with torch.no_grad():
            built = [build(graph, self.x, composite, origin) for origin in origins]
            check_finite(graph, self.x, built[0].output)
        self.output = built[0].output
        if self.output.ndim != 2:
            raise InputError(f"an encoder returns embeddings (N, D), not {tuple(self.output.shape)}: pool them.")
        changes = [one.output - one.baseline for one in built if one.baseline is not None]
        self.explained = torch.stack(changes).mean(0) if changes else self.output
        self._programs = tuple(
            Program(one.steps, graph.source, one.sink, self.x if origin is None else self.x - origin)
            for one, origin in zip(built, origins, strict=True)
        )

    def push(self, components: Components, members: Tensor | None = None) -> Tensor:
        """What each component contributes to each output.

        Runs the components forward, or, where there are fewer outputs than components, all outputs backward; and
        takes the cheaper way.

        Args:
            members: numbers of the components that are wanted; by default all.

        Returns:
            ``T`` (N, P, D), or (P, D) for one image; ``T.sum(-2) + constant`` is what is explained.

        Raises:
            InputError: the components do not partition the pixels and the first layer's rule needs that.
        """
        decomposition = self._decomposed(components)
        tables = [self._pushed(program, decomposition, members) for program in self._programs]
        table = tables[0] if len(tables) == 1 else torch.stack(tables).mean(0)
        if members is None:
            self._check(table)
        return table[0] if len(table) == 1 else table

    def pull(self, relevance: Tensor) -> Tensor:
        """LRP: relevance at the outputs back to the pixels.

        Args:
            relevance: (N, D), how much relevance each output holds. ``explained`` itself explains the sum of all
                outputs, ``explained`` times a one-hot vector one neuron, ``explained * other.explained`` the similarity
                to another image.

        Returns:
            relevance like ``x``. It sums to that of the outputs less what is constant; an output of zero has none to
            give.
        """
        seed = self._seed(relevance)
        maps = []
        for program in self._programs:
            values, indicators = self._transposed(program, seed[None])
            maps.append(program.x * values[0] + indicators[0])
        return torch.stack(maps).mean(0)

    def multipliers(self, relevance: Tensor) -> tuple[Tensor, Tensor]:
        """What makes `pull` of the image: relevance at the pixels is ``x * values + indicators``, both like ``x``.

        A component ``t`` of the image holds ``sum(t * values)``, by rules that read no indicators. Of a reference map
        it is components of the difference to the reference that are multiplied; raises `InputError` where there are
        several references.
        """
        if len(self._programs) > 1:
            raise InputError(f"{len(self._programs)} references have multipliers each: choose one reference.")
        values, indicators = self._transposed(self._programs[0], self._seed(relevance)[None])
        return values[0], indicators[0]

    def pull_components(self, relevance: Tensor, components: Components) -> Tensor:
        """LRP: relevance at the outputs (N, D), see `pull`, back to components: (N, P).

        It is ``push(components) @ (relevance / explained)`` in one backward pass. Raises `InputError` as `push` does.
        """
        decomposition = self._decomposed(components)
        seeds = self._seed(relevance)[None]
        return torch.stack([self._inner(program, decomposition, seeds) for program in self._programs]).mean(0)[..., 0]

    @cached_property
    def constant(self) -> Tensor:
        """What of ``explained`` no component of the image carries: (N, D).

        An operation hands on, of the relevance of its output, what its rule gives to its inputs; the rest is what its
        own constants hold (biases, position embeddings, class tokens, running means), which lie before no pixel. The
        relevance that these hold in all operations is by linearity what the push of the whole image leaves over. Rules
        with biases out of the denominators leave little, since the image carries them along. Where a rule makes more
        of the image than there is, the constant takes it back. A reference map leaves none.
        """
        with torch.no_grad():
            ones = torch.ones_like(self.x)[None]
            totals = [program.apply(program.x[None], ones)[0] for program in self._programs]
        return self.explained - torch.stack(totals).mean(0)

    @property
    def conservation(self) -> float:
        """``<sum of all contributions, y> / <y, y>`` for what is explained, y: 1 where the constant is 0."""
        return self._ratio(self.explained - self.constant)

    def _decomposed(self, components: Components) -> Decomposition:
        """The components of these images, if the rules can divide relevance among them."""
        decomposition = components.on(self.x.shape)
        if self._programs[0].reads_indicators and not isinstance(decomposition, Partition):
            raise InputError(
                f"{components.name} overlap in the pixels, and the first rule of {self.composite.name!r} shares "
                "relevance among pixels: choose a composite such as epsilon_plus."
            )
        return decomposition

    def macs(self, components: Components, members: Tensor | None = None) -> int:
        """Multiply-accumulate operations of a `push`."""
        decomposition = self._decomposed(components)
        plans = [plan(program, decomposition, self._memory, members) for program in self._programs]
        backward = [self.output.shape[1] * program.macs for program in self._programs]
        return sum(min(how.macs, other) for how, other in zip(plans, backward, strict=True))

    def seconds(self, components: Components) -> float:
        """How long a `push` will take, to a factor of about two, from the time that one component takes."""
        times = []
        with torch.no_grad():
            for _ in range(2):  # the first time takes memory and compiles
                start = time.perf_counter()
                # read back, since an accelerator works on after the call
                float(self._programs[0].apply(self.x[None], torch.ones_like(self.x)[None]).sum())
                times.append(time.perf_counter() - start)
        return min(times) * self.macs(components) / max(1, self._programs[0].macs)

    def _pushed(self, program: Program, decomposition: Decomposition, members: Tensor | None) -> Tensor:
        """The push of components, the cheaper way: (N, P, D)."""
        how = plan(program, decomposition, self._memory, members)
        with torch.no_grad():
            if self.output.shape[1] * program.macs < how.macs:
                return self._pulled(program, decomposition)[:, how.members]
            with torch.autocast(self.x.device.type, torch.bfloat16, enabled=self._low):
                return push(program, decomposition, how).movedim(0, 1).to(self.output.dtype)

    def _seed(self, relevance: Tensor) -> Tensor:
        """Relevance in units of each output."""
        if relevance.shape != self.output.shape:
            raise InputError(
                f"relevance must be shaped like the output {tuple(self.output.shape)}, not {tuple(relevance.shape)}."
            )
        return torch.where(self.explained == 0, 0, relevance / self.explained)

    def _ratio(self, total: Tensor) -> float:
        return float((total.double() * self.explained).sum() / self.explained.double().square().sum())

    def _check(self, table: Tensor) -> None:
        """Warns where what the components contribute, ``table`` (N, P, D), is far more than what it explains."""
        total = float(self.explained.abs().sum())
        if total == 0:
            return
        ratio = self._ratio(table.sum(1))
        magnitude = float(table.abs().sum()) / total
        low, high = _CONSERVED
        if magnitude < _EXPLODED and low <= ratio <= high:
            return
        warnings.warn(
            f"relevance explodes under {self.composite.name!r}: the contributions sum to {ratio:.3g} times the output, "
            f"their absolute values to {magnitude:.3g} times. Compare composites before trusting the picture.",
            RelevanceWarning,
            stacklevel=3,
        )

    def _transposed(self, program: Program, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """The transposed push of ``seeds`` (K, N, D), for components and for indicators: each (K, N, C, H, W)."""
        transpose = torch.func.vjp(program.apply, program.x[None], torch.ones_like(program.x)[None])[1]
        values, indicators = torch.vmap(transpose, chunk_size=self._seeds_at_once(program))(seeds[:, None])
        return values[:, 0], indicators[:, 0]

    def _seeds_at_once(self, program: Program) -> int:
        # four values of the largest size for each seed: one of the push, its cotangent, and a copy of either
        largest = max((step.shape.numel() for step in program.steps), default=1)
        return max(1, self._memory // (4 * largest * self.x.element_size()))

    def _pulled(self, program: Program, decomposition: Decomposition) -> Tensor:
        """The push of all components, from the transposed map of each output: (N, P, D)."""
        seeds = torch.eye(self.output.shape[1]).to(self.output)[:, None].expand(-1, len(self.x), -1)
        chunks = seeds.split(self._seeds_at_once(program))
        return torch.cat([self._inner(program, decomposition, chunk) for chunk in chunks], -1)

    def _inner(self, program: Program, decomposition: Decomposition, seeds: Tensor) -> Tensor:
        """Relevance (N, P, K) of components, from the transposed push of ``seeds`` (K, N, D)."""
        values, indicators = self._transposed(program, seeds)
        table = decomposition.inner(program.x, values)
        if program.reads_indicators:
            table = table + decomposition.inner(torch.ones_like(self.x), indicators)
        return table


def _free_memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def _channels_last(x: Tensor) -> Tensor:
    """``x`` in the memory format of the components: to multiply two formats takes ten times as long."""
    return x.contiguous(memory_format=torch.channels_last)
