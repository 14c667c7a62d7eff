"""The spectral embedding of a neighbour graph, and its rows in the plane, to look at.

With the symmetric affinity A and degrees D, the normalised Laplacian is ``L = I - D^-1/2 A D^-1/2``. Its eigenvalues
lie in [0, 2]; 0 occurs once for each connected component; the eigenvectors of the lowest ones are the embedding, and
the largest gap between consecutive ones says how many clusters there are (Ng, Jordan, Weiss 2002; von Luxburg 2007).
The eigenvectors of 0 are known: ``sqrt(d)`` on one component, 0 elsewhere, to unit length; those of the largest
components come first. Of the rest, the lowest eigenpairs of L are the largest of ``D^-1/2 A D^-1/2``, which Lanczos'
method finds without inverting anything, once the known vectors are moved to the other end of the spectrum: it sees a
repeated eigenvalue only once, and would miss components. The largest *magnitude* is something else: graphs that are
nearly bipartite have eigenvalues near -1.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.manifold import TSNE

from chinspect.errors import InputError
from chinspect.spray.arrays import Floats, Indices, Rows

_DENSE_BELOW = 128  # rows; Lanczos' method is no faster there
_TOLERANCE = 1e-4  # of eigenvalues: far below the gaps that decide the number of clusters


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The lowest eigenpairs of a normalised graph Laplacian.

    Attributes:
        eigenvalues: (q,), ascending, in [0, 2].
        vectors: (n, q), of unit length.
        residuals: (q,), ``||L v - lambda v||``.
        components: (n,), the connected component of each row, numbered from 0.
    """

    eigenvalues: Floats
    vectors: Floats
    residuals: Floats
    components: Indices

    @property
    def eigengap(self) -> int:
        """The number of clusters: the eigenvalues before the largest gap, 1 where there is none."""
        return int(np.argmax(np.diff(self.eigenvalues))) + 1 if len(self.eigenvalues) > 1 else 1


def spectrum(affinity: csr_array, q: int) -> Spectrum:
    """The ``q`` lowest eigenpairs of the normalised Laplacian of ``affinity`` (n, n), at most n - 1 of them."""
    n = affinity.shape[0]
    degrees = affinity.sum(axis=1)
    scale = diags_array(1 / np.sqrt(degrees))
    smoother = csr_array(scale @ affinity @ scale)
    q = min(q, n - 1)
    components = connected_components(affinity, directed=False)[1].astype(np.int64)
    known = _known(degrees, components, q)
    values = np.ones(known.shape[1])
    vectors = known.toarray()
    if q > len(values):
        further, axes = _largest(smoother, known, q - len(values))
        values = np.concatenate([values, further])
        vectors = np.hstack([vectors, axes])
    # An eigenvector's sign is arbitrary: the largest entry of each is made positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    residuals = np.linalg.norm(smoother @ vectors - vectors * values, axis=0)
    return Spectrum(np.clip(1 - values, 0, 2), vectors, residuals, components)


def project(embedding: Floats, method: Literal["tsne", "umap"], random_state: int) -> Rows:
    """Rows (n, q) in the plane (n, 2), by t-SNE or UMAP with their usual parameters.

    Raises `InputError` for another method, and without umap-learn.
    """
    if method == "tsne":
        # The usual 30, or as large as few rows allow.
        perplexity = min(30.0, max((len(embedding) - 1) / 3, 1.0))
        reducer = TSNE(perplexity=perplexity, random_state=random_state, init="pca", n_jobs=1)
        return np.asarray(reducer.fit_transform(embedding), dtype=np.float32)
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


def _known(degrees: Floats, components: Indices, q: int) -> csr_array:
    """The eigenvectors (n, c) of 0 of the ``q`` largest components."""
    sizes = np.bincount(components)
    column = np.empty(len(sizes), dtype=np.int64)
    column[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    values = np.sqrt(degrees / np.bincount(components, degrees)[components])
    shape = len(degrees), len(sizes)
    return csr_array((values, (np.arange(len(degrees)), column[components])), shape=shape)[:, :q]


def _largest(smoother: csr_array, known: csr_array, count: int) -> tuple[Floats, Floats]:
    """The ``count`` largest eigenpairs but those ``known``, descending."""
    n = len(smoother.indptr) - 1
    if n <= _DENSE_BELOW:
        # all of them: LAPACK's search for a few fails on some nearly complete graphs, and is no faster at this size
        values, vectors = eigh((smoother - 2 * known @ known.T).toarray())
        values = values[-count:]
        vectors = vectors[:, -count:]
    else:
        rest = LinearOperator((n, n), lambda v: smoother @ v - 2 * (known @ (known.T @ v)), dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(n)
        values, vectors = eigsh(rest, k=count, which="LA", v0=start - known @ (known.T @ start), tol=_TOLERANCE)
    order = np.argsort(-values, kind="stable")
    return values[order], vectors[:, order]
