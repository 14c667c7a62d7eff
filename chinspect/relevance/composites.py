"""Composites: which rule for which layer.

A composite is a table. The first row that matches a layer's operation, module path and position gives its rule:

    Composite("mine", (
        Row(Flat(), position="first"),
        Row(Zero(), path="*.downsample.*"),
        Row(ZPlus(), operation="conv*"),
        Row(Epsilon()),
    ))

The named composites keep biases out of the denominators of z-plus and alpha-beta: on networks of 50 layers most
relevance would end in them otherwise. ``composite("epsilon_plus_flat", bias=True)`` is the same table as Zennit has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from chinspect.errors import InputError
from chinspect.relevance.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, ZBox, Zero, ZPlus

Bounds = float | tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """A rule, and the layers that it is for.

    Attributes:
        operation: pattern of the layer's kind: ``linear``, ``conv``, or ``conv.strided`` for 1x1 convolutions with a
            stride (the shortcuts of a ResNet).
        path: pattern of the module's path, such as ``layer4.*`` (shell wildcards).
        position: ``first`` for layers that see the image itself, ``any`` for all.
    """

    rule: Rule
    operation: str = "*"
    path: str = "*"
    position: Literal["first", "any"] = "any"

    def matches(self, operation: str, path: str, first: bool) -> bool:
        """Whether the row is for this layer."""
        here = first or self.position == "any"
        return here and fnmatchcase(operation, self.operation) and fnmatchcase(path, self.path)


@dataclass(frozen=True)
class Composite:
    """A named table of rules.

    Attributes:
        attention: ``frozen`` takes attention weights as they are and lets the values carry the relevance; ``attnlrp``
            shares it between the weights and the values (Achtibat et al. 2024, arXiv:2402.05602, eqs. 8 and 13).
    """

    name: str
    rows: tuple[Row, ...]
    attention: Literal["frozen", "attnlrp"] = "frozen"

    def rule(self, operation: str, path: str, first: bool) -> Rule:
        """The rule for a layer; raises `InputError` where no row matches."""
        for row in self.rows:
            if row.matches(operation, path, first):
                return row.rule
        raise InputError(f"composite {self.name!r} has no row for the {operation} layer at {path!r}: add one.")

    def with_bias(self, bias: bool) -> Composite:
        """The same table with biases in (True) or out of (False) the denominators."""
        return replace(self, rows=tuple(replace(row, rule=replace(row.rule, bias=bias)) for row in self.rows))


def composite(name: str, *, bias: bool | None = None, low: Bounds = -3.0, high: Bounds = 3.0) -> Composite:
    """A composite by name.

    Args:
        name: one of ``COMPOSITES``.
        bias: whether biases count in the denominators of all rules; None leaves it to the rules, True is Zennit's way.
        low, high: pixel bounds after preprocessing, where the first layer's rule is z-box.

    Raises:
        InputError: the name is unknown.
    """
    if name not in COMPOSITES:
        raise InputError(f"unknown composite {name!r}: choose one of {', '.join(COMPOSITES)}.")
    rows, attention = COMPOSITES[name](low, high)
    table = Composite(name, rows, attention)
    return table if bias is None else table.with_bias(bias)


_Table = tuple[tuple[Row, ...], Literal["frozen", "attnlrp"]]
_FLAT, _CONV_PLUS, _EPSILON = Row(Flat(), position="first"), Row(ZPlus(), "conv*"), Row(Epsilon())


def _epsilon_gamma_box(low: Bounds, high: Bounds) -> _Table:
    return (Row(ZBox(low=low, high=high), "conv*", position="first"), Row(Gamma(), "conv*"), _EPSILON), "frozen"


def _kauffmann2025(low: Bounds, high: Bounds) -> _Table:
    rows = (
        Row(ZBox(low=low, high=high), "conv*", position="first"),
        Row(Zero(), "conv.strided"),
        Row(Gamma(), "conv*"),
        Row(Epsilon(stabiliser=1e-3)),
    )
    return rows, "frozen"


COMPOSITES: dict[str, Callable[[Bounds, Bounds], _Table]] = {
    "epsilon_plus_flat": lambda _low, _high: ((_FLAT, _CONV_PLUS, _EPSILON), "frozen"),
    "epsilon_plus": lambda _low, _high: ((_CONV_PLUS, _EPSILON), "frozen"),
    "epsilon_gamma_box": _epsilon_gamma_box,
    "epsilon_alpha2_beta1_flat": lambda _low, _high: ((_FLAT, Row(AlphaBeta(), "conv*"), _EPSILON), "frozen"),
    "epsilon": lambda _low, _high: ((_EPSILON,), "frozen"),
    "kauffmann2025": _kauffmann2025,
    "attn_lrp": lambda _low, _high: ((Row(Gamma(), "conv*"), _EPSILON), "attnlrp"),
}
