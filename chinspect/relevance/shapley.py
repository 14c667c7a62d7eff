"""Shapley maps: what each component contributes to each output of any function of images, by masked images alone.

The components S of an image x that are shown, the others being as in the reference x0, make the game

    y(S) = respond(x on S, x0 elsewhere),        y(all) - y(none) = y(x) - y(x0),

whose Shapley values phi (P, D), one vector a component, sum to ``y(x) - y(x0)`` exactly. It needs no graph and no
rules: any black box will do. And it is one more table of components and outputs: the pair game
``<y_a(S) - y_a0, y_b(T) - y_b0>`` is bilinear, so that its Shapley values are ``phi_a phi_b^T``.

**Estimator.** Shapley values are the weighted least squares fit of an additive game (Charnes et al. 1988; KernelSHAP,
Lundberg and Lee 2017, arXiv:1705.07874). Each S is answered together with its complement, which cancels all even
interactions: ``t = y(S) - y(S^c)`` is regressed on ``z_i = +1 (i in S), -1 (else)`` with weights ``1 / s (P - s)``, s
the size of S. Three choices make it more exact than antithetic permutations at the same number of evaluations: on a
photograph with 49 patches the squared error of the table is .42 against .57 at 392, .15 against .31 at 980
(`experiments/benchmarks/shapley.py --count 1 --long 2000 --repeat 1`):

* sizes are drawn in proportion to ``(s (P - s))^-1/2``, between KernelSHAP's and leverage scores (uniform; Musco and
  Witter 2024, arXiv:2410.01917), in even steps and not at random; sets of one size show every component equally often;
* t is mostly a matter of the size: the answer to half a picture is far from half of the answer to the picture. Odd
  powers of the size enter the regression beside z, and take most of that out;
* all outputs are fitted at once, by one matrix (P, n) that depends on the sets only.

**Standard errors.** The estimate is linear in t (n, D), so that its projection on v (D,) has the variance
``sum_n weight_in^2 (r_n v)^2`` with the residuals r, each over the root of one minus its leverage (HC2, MacKinnon and
White 1985, 10.1016/0304-4076(85)90158-7).

    >>> mapped = shapley_map(encoder.module, encoder.prepare("assets/truck-a.png"), patches(16))
    >>> mapped.values.shape
    torch.Size([64, 256])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import comb
from torch import Tensor

from chinspect.digests import digest, tensor_bytes
from chinspect.errors import InputError
from chinspect.relevance.components import Components, Partition
from chinspect.relevance.modes import evaluation_mode
from chinspect.relevance.references import Reference, reference_images

Respond = Callable[[Tensor], Tensor]
"""Any function from images (n, C, H, W) to outputs (n, D)."""
_PER_COMPONENT = 8
# Evaluations a component by default. Of 40 pairs of photographs with 49 patches, two estimates with 10 a component
# correlate at .77 patch by patch, and at .65 over the cells of a pair map; standard errors say how far to trust one.
_POWERS = (1, 3, 5, 7)
# Of 1 - 2 s / P. Fewer leave some of the size's effect in the residuals, one free value a size is no better.
_Sets = NDArray[np.bool_]
_Values = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class ShapleyMap:
    """Shapley values of the components of an image, estimated or exact; see `shapley_map`.

    Attributes:
        values: (P, D); they sum to ``output - baseline``.
        output, baseline: what is answered to the image and to the reference, in the mean over references: (D,).
        evaluations: images that were answered.
        weights: (P, n) such that each value is ``weights @ t`` and a constant, for the n differences t.
        residuals: (n, D) of the differences, as standard errors need them; zero where the values are exact.
    """

    values: Tensor
    output: Tensor
    baseline: Tensor
    evaluations: int
    weights: Tensor
    residuals: Tensor

    def standard_errors(self, directions: Tensor) -> Tensor:
        """Of the projections ``values @ directions``, for directions (D, J): (P, J)."""
        return (self.weights.square() @ (self.residuals @ directions).square()).sqrt()


def pair_errors(a: ShapleyMap, b: ShapleyMap) -> Tensor:
    """Standard errors of the pair map ``a.values @ b.values.T`` (P_a, P_b), for maps that are estimated apart.

    With phi + e for the estimate of a table and C for the covariance of its errors, the variance of a cell is

        phi_b' C_a phi_b + phi_a' C_b phi_a + tr(C_a C_b).

    The first two are estimated too large by the trace each, as the estimates stand for phi: it is subtracted once.
    """
    first = a.standard_errors(b.values.T).square()
    second = b.standard_errors(a.values.T).square().T
    both = a.weights.square() @ (a.residuals @ b.residuals.T).square() @ b.weights.square().T
    # each of the three is estimated, so that their sum can fall below what the larger of the first two alone says
    return torch.maximum(first + second - both, torch.maximum(first, second) / 2).sqrt()


def shapley_map(
    respond: Respond,
    x: Tensor,
    components: Components,
    reference: Reference | str = "blur",
    *,
    evaluations: int | None = None,
    random_state: int = 0,
    batch: int = 16,
) -> ShapleyMap:
    """Shapley values of the components of an image for every output of a function.

    Args:
        respond: an encoder's module, a classifier, an anomaly score with D = 1, an ONNX session, a remote model. A
            module answers in evaluation mode, and is left as it was.
        x: one image (1, C, H, W), preprocessed.
        components: those that partition the pixels: patches, segments, channels.
        reference: what stands in the place of hidden components; of several references the maps are averaged.
        evaluations: images to be answered, for all references together; by default 8 a component and reference. At
            least 4 a component and reference are needed, or all ``2^P`` sets, with which the values are exact.
        random_state: the same state and image give the same sets. Different images get different ones, as a pair map
            of tables whose errors went together would be biased.
        batch: images at once.

    Raises:
        InputError: the image is not one finite image, the components overlap, the evaluations do not suffice, or the
            answers are not finite outputs (n, D).
    """
    if x.ndim != 4 or len(x) != 1 or not bool(x.isfinite().all()):
        raise InputError(f"a Shapley map is of one finite image (1, C, H, W), not of {tuple(x.shape)}.")
    partition = components.on(x.shape)
    if not isinstance(partition, Partition):
        raise InputError(f"{components.name} overlap in the pixels: Shapley maps need patches, segments or channels.")
    references = reference_images(reference, x)
    budget = _budget(evaluations, partition.count, len(references))
    generator = np.random.default_rng([random_state, int(digest(tensor_bytes(x)), 16)])
    with evaluation_mode(respond):
        return _mean([_map(_Game(respond, x, x0, partition, batch), budget, generator) for x0 in references], x)


def _budget(evaluations: int | None, count: int, references: int) -> int:
    """Evaluations for each reference."""
    budget = _PER_COMPONENT * count + 2 if evaluations is None else evaluations // references
    least = 4 * count + 2  # with fewer, hardly anything is left of the differences to tell standard errors
    if budget < least and not _enumerable(count, budget):
        raise InputError(
            f"{evaluations} evaluations are too few for {count} components and {references} reference(s): "
            f"choose at least {least * references}, or fewer components."
        )
    return budget


def _enumerable(count: int, budget: int) -> bool:
    return count < 32 and 2**count <= budget  # beyond 32 no budget does, and the power of many pixels is slow


@dataclass(frozen=True)
class _Game:
    """Answers to sets of components of ``x`` shown before ``x0``, each (1, C, H, W)."""

    respond: Respond
    x: Tensor
    x0: Tensor
    partition: Partition
    batch: int

    def answers(self, sets: _Sets) -> Tensor:
        """(n, D) in float64 for sets (n, P)."""
        with torch.no_grad():
            return torch.cat([self._answer(chunk) for chunk in torch.from_numpy(sets).split(self.batch)])

    def _answer(self, sets: Tensor) -> Tensor:
        answer = self.respond(self.partition.mixed(self.x, self.x0, sets))
        if answer.ndim != 2 or len(answer) != len(sets):
            raise InputError(
                f"a Shapley map needs outputs (n, D): to {len(sets)} images the answer was {tuple(answer.shape)}."
            )
        if not bool(answer.isfinite().all()):
            raise InputError("the answer to a masked image is not finite: check the model and its weights.")
        return answer.double().cpu()


def _map(game: _Game, budget: int, generator: np.random.Generator) -> ShapleyMap:
    """The Shapley values for one reference, in float64."""
    count = game.partition.count
    exact = _enumerable(count, budget)
    sets, importance = _all_sets(count) if exact else _drawn_sets(count, (budget - 2) // 2, generator)
    ends = np.stack([np.ones(count, bool), np.zeros(count, bool)])
    answers = game.answers(np.concatenate([ends, sets, ~sets]))
    total = answers[0] - answers[1]
    shown, hidden = answers[2:].chunk(2)
    sizes = torch.from_numpy(sets.sum(1))
    # less what a game of P equal components would answer, so that what is left sums to zero over the components
    differences = shown - hidden - torch.outer(2 * sizes / count - 1, total)
    design, solution = (torch.from_numpy(matrix) for matrix in _regression(sets, importance))
    weights = solution[:count]
    residuals = differences - design @ (solution @ differences)
    leverage = (design * solution.T).sum(1, keepdim=True)
    residuals /= (1 - leverage).clamp(min=1e-6).sqrt()  # a set of leverage 1 leaves nothing but rounding errors
    values = total / count + weights @ differences
    if exact:
        residuals = torch.zeros_like(residuals)
    return ShapleyMap(values, answers[0], answers[1], len(answers), weights, residuals)


def _mean(maps: list[ShapleyMap], like: Tensor) -> ShapleyMap:
    """The mean over references, of the type and on the device of the images."""
    count = len(maps)
    tensors = (
        torch.stack([mapped.values for mapped in maps]).mean(0),
        torch.stack([mapped.output for mapped in maps]).mean(0),
        torch.stack([mapped.baseline for mapped in maps]).mean(0),
        torch.cat([mapped.weights for mapped in maps], 1) / count,
        torch.cat([mapped.residuals for mapped in maps]),
    )
    values, output, baseline, weights, residuals = (tensor.to(like) for tensor in tensors)
    return ShapleyMap(values, output, baseline, sum(m.evaluations for m in maps), weights, residuals)


def _all_sets(count: int) -> tuple[_Sets, _Values]:
    """Of each pair of complements the set with the last component, and the Shapley kernel of each."""
    codes = np.arange(2 ** (count - 1), 2**count - 1)
    sets = (codes[:, None] >> np.arange(count)) % 2 == 1
    sizes = sets.sum(1)
    return sets, 1 / (comb(count, sizes) * sizes * (count - sizes))


def _drawn_sets(count: int, n: int, generator: np.random.Generator) -> tuple[_Sets, _Values]:
    """Sets (n, P) of at most half of the components, and what each weighs: the kernel over the density of its size."""
    sizes = np.arange(1, count // 2 + 1)
    density = (sizes * (count - sizes)) ** -0.5
    density[2 * sizes == count] /= 2  # a set of half of the components is the complement of one, too
    steps = (np.arange(n) + 0.5) / n
    drawn = sizes[np.searchsorted(density.cumsum() / density.sum(), steps)]
    sets = np.zeros((n, count), bool)
    for size in np.unique(drawn):
        shown = np.zeros(count)  # how often, in sets of this size
        for row in np.flatnonzero(drawn == size):
            members = np.argsort(shown + generator.random(count))[:size]  # those shown least, ties at random
            shown[members] += 1
            sets[row, members] = True
    return sets, (drawn * (count - drawn)) ** -0.5


def _regression(sets: _Sets, importance: _Values) -> tuple[_Values, _Values]:
    """Weighted least squares on the sets: the design (n, P + 4), and what makes its coefficients of differences."""
    signs = np.where(sets, 1.0, -1.0)
    missing = -signs.mean(1, keepdims=True)  # 1 - 2 s / P
    centred = signs + missing  # coefficients that sum to zero feel no constant
    design = np.hstack([centred, missing ** np.array(_POWERS)])
    root = np.sqrt(importance)[:, None]
    return design, np.linalg.pinv(design * root, rcond=1e-10) * root.T  # signs are dependent: of rank P - 1
