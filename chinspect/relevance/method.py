"""How a table of contributions is made: one of three families of maps, one result.

* ``lrp``: rules chosen by an expert, a `Composite`; explains ``y(x)``, and biases may hold most of it.
* ``rescale``: a reference map; explains ``y(x) - y(x0)`` exactly.
* ``shapley``: the mean effect of showing a component beside any others; explains ``y(x) - y(x0)`` exactly, up to a
  sampling error that is known, and of any function of images.

All give contributions (P, D) of components to outputs, and what uses them need not know how they were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from chinspect.digests import digest, tensor_bytes
from chinspect.errors import InputError, did_you_mean
from chinspect.relevance._graph import Graph
from chinspect.relevance._tracing import trace
from chinspect.relevance.components import Components
from chinspect.relevance.composites import RESCALE, Composite
from chinspect.relevance.map import RelevanceMap, relevance_map
from chinspect.relevance.references import Reference, reference_images
from chinspect.relevance.shapley import Respond, ShapleyMap, shapley_map

MethodName = Literal["lrp", "rescale", "shapley"]


@dataclass(frozen=True)
class Method:
    """A family of maps and its options.

    Attributes:
        name: the family.
        composite: the rules of ``lrp``, by name or as a table.
        reference: of ``rescale`` and ``shapley``, see `reference_images`; what it was in words, of a stored result.
        evaluations: of ``shapley``, how many masked images are answered; see `shapley_map`.

    Raises `InputError` for a name that is not known.
    """

    name: MethodName = "rescale"
    composite: str | Composite = "epsilon_plus_flat"
    reference: Reference | str = "blur"
    evaluations: int | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(MethodName):
            raise InputError(
                f"unknown method {self.name!r}{did_you_mean(self.name, get_args(MethodName))}: "
                f"choose one of auto, {', '.join(get_args(MethodName))}, or the file of a choice."
            )
        if self.evaluations is not None and self.name != "shapley":
            raise InputError(f"evaluations belong to the method shapley, not to {self.name}.")

    @property
    def reference_name(self) -> str:
        """The reference in words."""
        if isinstance(self.reference, Tensor):
            return f"{len(self.reference)} images" if len(self.reference) > 1 else "an image"
        return self.reference

    @property
    def label(self) -> str:
        """The method in a few words: the composite of ``lrp``, else the family and its reference."""
        if self.name == "lrp":
            return self.composite if isinstance(self.composite, str) else self.composite.name
        return f"{self.name}, reference {self.reference_name}"

    @property
    def document(self) -> dict[str, Any]:
        """The method as JSON values; options that do not concern the family are left out."""
        if self.name == "lrp":
            return {"method": self.name, "composite": self.label}
        options: dict[str, Any] = {"evaluations": self.evaluations} if self.name == "shapley" else {}
        if isinstance(self.reference, Tensor):
            options["reference_digest"] = digest(tensor_bytes(self.reference))[:16]
        return {"method": self.name, "reference": self.reference_name, **options}

    @staticmethod
    def of(document: Mapping[str, Any]) -> Method:
        """The method of a `document`, to tell how something was made; images that were references stay words."""
        if document.get("method", "lrp") == "lrp":  # older documents know no other
            return Method("lrp", document["composite"])
        return Method(document["method"], reference=document["reference"], evaluations=document.get("evaluations"))

    def reader(self, module: nn.Module, x: Tensor) -> Graph | nn.Module:
        """What `contributions` reads of a module for images like ``x``: its graph, or the module itself."""
        return module if self.name == "shapley" else trace(module, x)

    def map(self, model: nn.Module | Graph, x: Tensor) -> RelevanceMap:
        """The relevance map of ``lrp`` or ``rescale``; `InputError` for ``shapley``, which has none."""
        if self.name == "shapley":
            raise InputError("Shapley values follow no operations: choose the method lrp or rescale.")
        table = RESCALE if self.name == "rescale" else self.composite
        return relevance_map(model, x, table, reference=self.reference)

    def references(self, x: Tensor) -> Tensor:
        """The references of images ``x`` (N, C, H, W): (R, N, C, H, W). Of ``lrp`` too, which explains without."""
        return reference_images(self.reference, x)


@dataclass(frozen=True, eq=False)
class Contributions:
    """What the components of an image contribute to its outputs.

    Attributes:
        values: (P, D).
        output: y(x), (D,).
        explained: what the values are of, y(x) or its difference to the reference, (D,).
        sampling: the Shapley map, where the values are estimated.
    """

    values: Tensor
    output: Tensor
    explained: Tensor
    sampling: ShapleyMap | None = None


def contributions(
    model: nn.Module | Graph | Respond, x: Tensor, components: Components, method: Method
) -> Contributions:
    """The contributions of the components of one image ``x`` (1, C, H, W) by a method.

    Args:
        model: what `Method.reader` gives, or any function from images (n, C, H, W) to outputs (n, D) for ``shapley``.

    Raises `InputError` as `relevance_map` and `shapley_map` do.
    """
    if method.name == "shapley":
        if isinstance(model, Graph):
            raise InputError("a Shapley map asks the model itself, not its graph.")
        estimate = shapley_map(model, x, components, method.reference, evaluations=method.evaluations)
        return Contributions(estimate.values, estimate.output, estimate.output - estimate.baseline, estimate)
    mapped = method.map(model, x)  # type: ignore[arg-type]
    return Contributions(mapped.push(components), mapped.output[0], mapped.explained[0])
