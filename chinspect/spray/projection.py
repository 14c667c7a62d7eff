"""Embeddings in the plane, to look at."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from chinspect.errors import InputError


def project(embedding: NDArray[np.float64], method: Literal["tsne", "umap"], random_state: int) -> NDArray[np.float32]:
    """Rows (n, q) in the plane (n, 2), by t-SNE or UMAP with their usual parameters."""
    if method == "tsne":
        perplexity = min(30.0, max((len(embedding) - 1) / 3, 1.0))
        reducer = TSNE(perplexity=perplexity, random_state=random_state, init="pca", n_jobs=1)
        found: NDArray[np.float32] = reducer.fit_transform(embedding).astype(np.float32)
        return found
    if method != "umap":
        raise InputError(f"the projection {method!r} is not known: use tsne or umap.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TensorFlow is not there, and that a seed means one thread
        try:
            from umap import UMAP
        except ImportError as error:
            raise InputError("UMAP needs umap-learn: pip install 'chinspect[spray]', or use tsne.") from error
        reducer = UMAP(n_neighbors=min(15, len(embedding) - 1), random_state=random_state, init="random", n_jobs=1)
        return np.asarray(reducer.fit_transform(embedding), dtype=np.float32)
