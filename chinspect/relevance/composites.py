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

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from chinspect.errors import InputError, did_you_mean
from chinspect.relevance.rules import AlphaBeta, Epsilon, Flat, Gamma, Linear, Rule, ZBox, Zero, ZPlus

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
            divides it between the weights and the values (Achtibat et al. 2024, arXiv:2402.05602, eqs. 8 and 13).
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
        raise InputError(
            f"unknown composite {name!r}{did_you_mean(name, COMPOSITES)}: choose one of {', '.join(COMPOSITES)}."
        )
    table = COMPOSITES[name]
    rows = []
    for row in table.rows:
        rule = replace(row.rule, low=low, high=high) if isinstance(row.rule, ZBox) else row.rule
        rows.append(replace(row, rule=rule if bias is None else replace(rule, bias=bias)))
    return replace(table, rows=tuple(rows))


_FLAT = Row(Flat(), position="first")
_BOX = Row(ZBox(), "conv*", position="first")
_PLUS = Row(ZPlus(), "conv*")
_GAMMA = Row(Gamma(), "conv*")
_EPSILON = Row(Epsilon())
# the stabiliser of the authors' code
_STABLE = Row(Epsilon(stabiliser=1e-3))

COMPOSITES = {
    table.name: table
    for table in (
        Composite("epsilon_plus_flat", (_FLAT, _PLUS, _EPSILON)),
        Composite("epsilon_plus", (_PLUS, _EPSILON)),
        Composite("epsilon_gamma_box", (_BOX, _GAMMA, _EPSILON)),
        Composite("epsilon_alpha2_beta1_flat", (_FLAT, Row(AlphaBeta(), "conv*"), _EPSILON)),
        Composite("epsilon", (_EPSILON,)),
        Composite("kauffmann2025", (_BOX, Row(Zero(), "conv.strided"), _GAMMA, _STABLE)),
        Composite("attn_lrp", (_GAMMA, _EPSILON), attention="attnlrp"),
    )
}
"""The composites of LRP by name."""

RESCALE = Composite("rescale", (Row(Linear()),))
"""The table of reference maps: weights as they are; see `chinspect.relevance._differences` for what is not linear."""
