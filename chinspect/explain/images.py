"""Maps of relevance for a data set, by one of five questions to a model.

* ``neighbours`` (encoder): why is an image where it is in the embedding space? With ``T_a`` (P, D) what each patch of
  image a contributes to its embedding, and the mean of the unit embeddings of its k nearest neighbours b by cosine,

      R_a = T_a (1/k sum_b y_b / |y_b|) / |y_a|,        sum R_a = mean cosine similarity to the neighbours.

* ``output`` (encoder or classifier): what makes an output? Relevance is pulled from a chosen logit, ``R = pull(y_c)``;
  without ``targets`` from all outputs as they are, ``R = pull(y * y)``, which sums to the squared norm |y|^2, the
  similarity of an image to itself.
* ``anomaly`` (detector): where does the score of an image lie?
* ``frequency`` (encoder or detector): in which frequencies lie the similarity to the neighbours, or the score? A map is
  a spectrum (1, B), lowest band first, which pooling leaves as it is, since B = 16 is less than its 20 cells. The null
  model of `SpRAy` rolls spectra, so that a set is compared with spectra of the same shape at other frequencies. Such
  maps have no place: what their members share cannot be cut out of an image.
* ``gradcam`` (encoder or classifier with feature maps): where are the activations that raise an output? The outputs are
  those of ``output``.

Relevance is conserved: a map sums to its ``value`` as far as biases absorb nothing. Grad-CAM is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.anomaly import Detector
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import Samples, load_samples, map_images
from chinspect.execute.mapping import ImageFunction, Results
from chinspect.explain.methods import Anomaly, Bands, GradCAM, Output
from chinspect.explain.neighbours import nearest
from chinspect.images import open_image, resize
from chinspect.similarity import SimilarityIndex

Explain = Literal["neighbours", "output", "anomaly", "frequency", "gradcam"]
Array = NDArray[Any]
Progress = Callable[[int, int], None]
_CELLS = 16
"""Patches along a side of the encoder's input."""
_SHARD = 16
"""Images in one shard of a store."""
BANDS = 16
"""Frequency bands, spaced geometrically."""
_RULES, _RULES_OF_BANDS = "epsilon_plus_flat", "epsilon_plus"  # bands overlap in the pixels, which flat cannot share


@dataclass(frozen=True, eq=False)
class ExplainedImages:
    """The maps of a data set.

    Attributes:
        maps: (N, h, w) float32; spectra are (N, 1, B), lowest band first.
        values: (N,), what each map explains: similarity, output or score.
        names: (N,), as listed.
        paths: (N,), where the images lie.
        unreadable: names of images that could not be read and are left out.
        visible: from a picture to what the model sees of it, whose frame is that of the maps.
        description: how they were made, as JSON values.
    """

    maps: NDArray[np.float32]
    values: NDArray[np.float32]
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    unreadable: tuple[str, ...]
    visible: Callable[[Image.Image], Image.Image]
    description: dict[str, Any]

    @property
    def conservation(self) -> NDArray[np.float64]:
        """(N,), the sum of each map over its value: 1 where no relevance is lost."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: NDArray[np.float64] = self.maps.sum((1, 2), dtype=np.float64) / self.values
        return ratio

    def picture(self, i: int) -> Image.Image:
        """What the model sees of an image, RGB."""
        return self.visible(open_image(self.paths[i]))


def explain_images(
    model: Encoder | Detector,
    images: str | Path,
    *,
    explain: Explain = "neighbours",
    path: str | Path | None = None,
    targets: Sequence[int] | Literal["predicted"] | None = None,
    layer: str | None = None,
    k: int = 10,
    workers: int = 0,
    progress: Progress | None = None,
) -> ExplainedImages:
    """Explains every image of a data set; goes on where an earlier run with the same arguments was stopped.

    Args:
        model: an encoder, whose outputs may be logits, or a fitted detector.
        images: folder, read recursively, or a list or table of paths (see `load_samples`).
        explain: the question, see the module.
        path: folder of the store, made if need be; None keeps nothing.
        targets: ``output`` and ``gradcam``: one output for each image listed (such as its true class), or ``predicted``
            for the largest output; None for all outputs as they are.
        layer: ``gradcam``: name of a layer of feature maps.
        k: number of neighbours, where they are asked for.
        workers: 0 to work in this process, else how many workers on Ray (see `chinspect.execute.run`).
        progress: called with the number of images done and in all, after each shard.

    Raises:
        InputError: there are no images, or too few can be read; the question does not fit the model; a parameter is out
            of range; or ``path`` holds something else.
    """
    check_question(model, explain)
    if k < 1:
        raise InputError(f"an image is compared with at least 1 neighbour, not with {k!r}.")
    samples = load_samples(images)

    with _folder(path) as place:
        if explain == "neighbours" and isinstance(model, Encoder):
            return _of_patches(model, images, samples, place, k, workers, progress)
        function = _method(model, explain, _fitting(targets, samples), layer)
        results = map_images(function, samples, place, shard_size=_SHARD, workers=workers, progress=progress)
        return _of_results(model, samples, function, results, k)


def check_question(model: Encoder | Detector, explain: str) -> None:
    """`InputError` unless this question can be asked of the model."""
    if explain not in get_args(Explain):
        raise InputError(f"the explanation {explain!r} is not known: use one of {', '.join(get_args(Explain))}.")
    if not isinstance(model, Encoder | Detector):
        raise InputError(f"images are explained by an Encoder or a fitted Detector, not by {type(model).__name__}.")
    kinds = {"anomaly": (Detector,), "frequency": (Encoder, Detector)}.get(explain, (Encoder,))
    if not isinstance(model, kinds):
        other = "a fitted detector" if kinds == (Detector,) else "an encoder"
        raise InputError(f"{explain!r} explains {other}, and this is a {type(model).__name__}: choose another one.")


def neighbour_targets(embeddings: Array, k: int) -> NDArray[np.float32]:
    """``(1/k sum_b y_b / |y_b|) / |y_a|`` (N, D) for each of the embeddings (N, D): what similarity is explained by."""
    if len(embeddings) < 2:
        raise InputError(f"neighbours need at least 2 images that can be read, and there is {len(embeddings)}.")
    norms = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    unit = (embeddings / norms).astype(np.float32)
    near = nearest(unit, min(k, len(unit) - 1)).indices
    mean = sum(unit[column] for column in near.T) / near.shape[1]
    others: NDArray[np.float32] = (mean / norms).astype(np.float32)
    return others


def _method(
    model: Encoder | Detector, explain: Explain, targets: tuple[int, ...] | str | None, layer: str | None
) -> ImageFunction:
    if isinstance(model, Detector):
        return Anomaly(model, BANDS if explain == "frequency" else None)
    if explain == "frequency":
        return Bands(model, _RULES_OF_BANDS, BANDS)
    if explain == "output":
        return Output(model, _RULES, targets)
    if layer is None:
        raise InputError("Grad-CAM needs a layer of feature maps: give its name as in named_modules().")
    return GradCAM(model, layer, targets)


def _fitting(targets: Sequence[int] | str | None, samples: Samples) -> tuple[int, ...] | str | None:
    if targets is None or targets == "predicted":
        return targets  # type: ignore[return-value]
    if isinstance(targets, str) or len(targets) != len(samples) or min(targets) < 0:
        raise InputError(f"targets are one output for each of {len(samples)} images, counted from 0, or 'predicted'.")
    return tuple(int(target) for target in targets)


def _of_results(
    model: Encoder | Detector, samples: Samples, function: ImageFunction, results: Results, k: int
) -> ExplainedImages:
    readable = results.arrays("readable")
    made = {name: value for name, value in function.description.items() if name != "kind"}
    if isinstance(function, Bands):
        tables, embeddings = results.arrays("tables")[readable], results.arrays("embeddings")[readable]
        others = neighbour_targets(embeddings, k)
        maps, values = np.einsum("nbd,nd->nb", tables, others)[:, None], (embeddings * others).sum(1)
        made["neighbours"] = k
    else:
        maps, values = results.arrays("maps")[readable], results.arrays("values")[readable]
    return _collected(model, samples, np.flatnonzero(readable), maps, values, made)


def _of_patches(
    model: Encoder, images: str | Path, samples: Samples, path: Path, k: int, workers: int, progress: Progress | None
) -> ExplainedImages:
    patch = max(model.preprocessing.size // _CELLS, 1)
    index = SimilarityIndex.build(
        model, images, path, patch_size=patch, composite=_RULES, workers=workers, progress=progress
    )
    others = neighbour_targets(index.embeddings, k)
    maps = np.stack([(index.contributions(i) @ other).reshape(index.grid) for i, other in enumerate(others)])
    places = {name: place for place, name in enumerate(samples.names)}
    kept = np.array([places[name] for name in index.names])
    made = {
        "method": "Neighbours",
        "encoder": model.name,
        "fingerprint": model.fingerprint,
        "preprocessing": asdict(model.preprocessing),
        "composite": _RULES,
        "patch_size": patch,
        "neighbours": k,
    }
    return _collected(model, samples, kept, maps, (index.embeddings * others).sum(1), made)


def _collected(
    model: Encoder | Detector,
    samples: Samples,
    kept: NDArray[np.intp],
    maps: Array,
    values: Array,
    made: dict[str, Any],
) -> ExplainedImages:
    if len(kept) == 0:
        raise InputError(f"none of the {len(samples)} images of {str(samples.root)!r} can be read.")
    paths, readable = samples.paths, set(kept.tolist())
    return ExplainedImages(
        maps=maps.astype(np.float32),
        values=np.asarray(values, np.float32),
        names=tuple(samples.names[place] for place in kept),
        paths=tuple(paths[place] for place in kept),
        unreadable=tuple(name for place, name in enumerate(samples.names) if place not in readable),
        visible=view(model),
        description={"images": str(samples.root), **made},
    )


def view(model: Encoder | Detector) -> Callable[[Image.Image], Image.Image]:
    """From a picture to what the model sees of it."""
    if isinstance(model, Encoder):
        return model.preprocessing.visible
    return partial(_squashed, size=model.size, resizer=model.resizer)


def _squashed(picture: Image.Image, size: int, resizer: str) -> Image.Image:
    return Image.fromarray(resize(picture, size, resizer))


@contextmanager
def _folder(path: str | Path | None) -> Iterator[Path]:
    """A folder to keep, or one that goes."""
    if path is not None:
        yield Path(path)
        return
    with TemporaryDirectory(prefix="chinspect-") as folder:
        yield Path(folder) / "store"
