"""Which method explains an encoder most faithfully? Measured on a few pairs of images of the data set.

Faithful is a map whose most relevant patches, replaced, take most of what the images share: its *advantage* is the fall
of the similarity without them less that without random ones, as a fraction of what is to be explained, in the mean over
5, 10, 20 and 40 % of the patches (see `chinspect.faithfulness.deletion`). All methods are asked about the same pairs
and the same reference.

A difference that chance explains changes nothing: the usual method stays unless another one is more faithful by more
than two standard errors of their difference over the pairs.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from chinspect.encoders import Encoder, MethodChoice, References, as_encoder, is_default, method_for
from chinspect.errors import InputError
from chinspect.execute import Samples, Source, load_samples
from chinspect.files import read_json
from chinspect.relevance import COMPOSITES, Composite, Graph, Method, RelevanceWarning
from chinspect.report import Result
from chinspect.report.tables import records
from chinspect.similarity.explained import explain_image
from chinspect.similarity.explanation import SimilarityExplanation

PAIRS = 4
"""Pairs of images by default: differences of a tenth in the advantage are seen."""
_COLUMNS = (
    "method",
    "advantage",
    "standard_error",
    "more",
    "more_standard_error",
    "conservation",
    "seconds",
)
_PATCH_SIZE = 32  # coarse patches, so that the choice takes seconds; what is faithful to them is to finer ones


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Result):
    """The methods that were tried, and the one to use; see `choose_method`. As a file it is a method for its encoder.

    Attributes:
        method: the one that was chosen.
        usual: the one that stays unless another is clearly more faithful.
        table: a row a method: ``method``, ``advantage`` and its standard error over pairs, ``more`` and its standard
            error (how much larger the advantage is than the usual method's), ``conservation``, ``seconds`` a pair; the
            most faithful first.
        pairs: how many pairs of images were explained.
        encoder: its name and fingerprint.
    """

    method: Method
    usual: Method
    table: pd.DataFrame
    pairs: int
    encoder: tuple[str, str]

    stem = "choice"

    @property
    def sentence(self) -> str:
        """The choice in words."""
        row = self.table.set_index("method").loc[self.method.label]
        loss = f"without its most relevant patches they lose {row.advantage:.0%} more than without random ones"
        images = f"{self.pairs} pairs of images"
        if self.method is self.usual:
            return (
                f"{self.method.label} stays: on {images} none of {len(self.table)} methods is clearly better; {loss}."
            )
        error = f"{row.more:.0%} ± {row.more_standard_error:.0%}"
        return (
            f"{self.method.label} is the most faithful of {len(self.table)} methods on {images}: {loss}, {error} more "
            f"than by {self.usual.label}."
        )

    def document(self) -> dict[str, Any]:
        """Everything as JSON values; `chinspect.encoders.method_for` reads the choice."""
        name, fingerprint = self.encoder
        return {
            "encoder": name,
            "fingerprint": fingerprint,
            "sentence": self.sentence,
            "choice": self.method.document,
            "usual": self.usual.document,
            "pairs": self.pairs,
            "tried": records(self.table),
        }

    def overview(self) -> dict[str, pd.DataFrame]:
        """The table."""
        return {"methods by faithfulness": self.table}


def candidate_methods(encoder: Encoder) -> list[Method]:
    """The usual method, then reference maps with each named reference, and LRP with each composite.

    All take about one pass a patch, which Shapley values do not.
    """
    usual = method_for(encoder)
    references = [method_for(encoder, "rescale", reference=name) for name in ("blur", "mean", "grey")]
    rules = [method_for(encoder, "lrp", composite=name) for name in COMPOSITES]
    return [usual, *(method for method in references + rules if method.label != usual.label)]


def choose_method(
    encoder: Encoder | str,
    images: Source,
    *,
    candidates: Sequence[Method] | None = None,
    pairs: int = PAIRS,
    random_state: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Choice:
    """The most faithful of some methods for an encoder.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        images: the data set, see `load_samples`; pairs are drawn at random from what can be read.
        candidates: methods to try, the usual one first; by default `candidate_methods`.
        pairs: how many; of one pair no difference is told from chance, and the largest advantage wins.
        progress: called with the number of methods tried and in all.

    Raises `InputError` where fewer than 2 images can be read, or none of the methods fits the encoder.
    """
    encoder = as_encoder(encoder)
    images = load_samples(images)
    methods = list(candidate_methods(encoder) if candidates is None else candidates)
    drawn = _pairs(images, pairs, random_state)
    graph = Method().reader(encoder.module, encoder.prepare(images[drawn[0][0]]))
    rows = []
    for done, method in enumerate(methods, 1):
        rows.append(_tried(encoder, method, graph, images, drawn))
        if progress is not None:
            progress(done, len(methods))
    advantages = np.array([row.pop("advantages") for row in rows])
    table = pd.DataFrame(rows).join(_compared(advantages))[list(_COLUMNS)]
    order = np.argsort(-table.advantage.to_numpy(), kind="stable")
    clear = table.more > 2 * table.more_standard_error.fillna(0)
    best = next((index for index in order if clear[index]), 0)
    return Choice(
        methods[best],
        methods[0],
        table.iloc[order].reset_index(drop=True),
        len(drawn),
        (encoder.name, encoder.fingerprint),
    )


def settled_method(
    encoder: Encoder,
    name: MethodChoice | Method | None,
    images: Source,
    *,
    composite: str | Composite | None = None,
    reference: References = "blur",
    evaluations: int | None = None,
    folder: Path | None = None,
) -> tuple[Method, Mapping[str, Any]]:
    """A method by its options (see `method_for`); ``auto`` is what `choose_method` chooses on the data set.

    Args:
        images: the data set, or the pictures of a pair.
        folder: of a run, where that choice is written to, and read from when the run goes on.

    Returns the method, and the document of the choice, which is empty where none was made.
    """
    if name != "auto":
        samples = images if isinstance(images, Samples) else None
        options: dict[str, Any] = {"composite": composite, "reference": reference, "evaluations": evaluations}
        return method_for(encoder, name, **options, samples=samples), {}
    if composite is not None or evaluations is not None or not is_default(reference):
        raise InputError("the method auto chooses composite and reference: leave them out, and evaluations.")
    if folder is None:
        choice = choose_method(encoder, images)
        return choice.method, choice.document()
    record = folder / f"{Choice.stem}.json"
    if not record.exists():
        choose_method(encoder, images).save(folder)
    return method_for(encoder, str(record)), read_json(record)


def _tried(
    encoder: Encoder,
    method: Method,
    graph: Graph | nn.Module,
    images: Samples,
    drawn: Sequence[tuple[int, int]],
) -> dict[str, Any]:
    model = encoder.module if method.name == "shapley" else graph
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelevanceWarning)  # the table says it: such a map conserves and finds little
        advantages, conserved = zip(*(_advantage(encoder, method, model, images, pair) for pair in drawn), strict=True)
    return {
        "method": method.label,
        "advantages": advantages,
        "conservation": float(np.mean(conserved)),
        "seconds": (time.perf_counter() - start) / len(drawn),
    }


def _compared(advantages: NDArray[np.float64]) -> pd.DataFrame:
    """Of advantages (methods, pairs) the means, the means over the first method, and the standard errors of both."""
    more = advantages - advantages[0]
    count = advantages.shape[1]
    errors = (x.std(1, ddof=1) / np.sqrt(count) if count > 1 else np.nan for x in (advantages, more))
    columns = ("advantage", "more", "standard_error", "more_standard_error")
    return pd.DataFrame(dict(zip(columns, (advantages.mean(1), more.mean(1), *errors), strict=True)))


def _advantage(
    encoder: Encoder,
    method: Method,
    model: Graph | nn.Module,
    images: Samples,
    pair: tuple[int, int],
) -> tuple[float, float]:
    """Advantage over random patches, and conservation."""
    size = min(_PATCH_SIZE, encoder.preprocessing.size // 4)  # 16 patches at least
    a, b = (explain_image(encoder, model, images[index], method, size, name=images.names[index]) for index in pair)
    explanation = SimilarityExplanation(a, b, "dot", encoder, method, size)
    deletion = replace(explanation.pair(), method=Method()).deletion(explanation.relevance_of_a)
    unit = abs(deletion.explained) or 1.0
    return float((deletion.most - deletion.random.mean(1)).mean()) / unit, explanation.conservation


def _pairs(images: Samples, count: int, random_state: int) -> list[tuple[int, int]]:
    """Pairs of images that can be read, each image once."""
    readable: list[int] = []
    for index in np.random.default_rng(random_state).permutation(len(images)):
        if len(readable) == 2 * count:
            break
        try:
            images[int(index)]
        except InputError:
            continue
        readable.append(int(index))
    if len(readable) < 2:
        raise InputError(
            f"a method is chosen on pairs of images, and of {len(images)} only {len(readable)} can be read."
        )
    return list(zip(readable[::2], readable[1::2], strict=False))
