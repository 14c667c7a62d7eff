"""The spectral embedding of a neighbour graph.

With the symmetric affinity A and degrees D, the normalised Laplacian is ``L = I - D^-1/2 A D^-1/2``. Its eigenvalues
lie in [0, 2]; 0 occurs once for each connected component; the eigenvectors of the lowest ones are the embedding, and
the largest gap between consecutive ones says how many clusters there are (Ng, Jordan, Weiss 2002; von Luxburg 2007).
The lowest eigenpairs of L are the largest of ``D^-1/2 A D^-1/2``, which Lanczos' method finds without inverting
anything. It starts near ``sqrt(d)``, the eigenvector of 0 of a connected graph; from that vector itself it could go
nowhere. The largest *magnitude* is something else: graphs that are nearly bipartite have eigenvalues near -1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

_DENSE_BELOW = 128
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The lowest eigenpairs of a normalised graph Laplacian.

    Attributes:
        eigenvalues: (q,), ascending, in [0, 2].
        vectors: (n, q), of unit length.
        residuals: (q,), ``||L v - lambda v||``.
        components: (n,), the connected component of each row, numbered from 0.
    """

    eigenvalues: NDArray[np.float64]
    vectors: NDArray[np.float64]
    residuals: NDArray[np.float64]
    components: NDArray[np.int64]

    @property
    def eigengap(self) -> int:
        """The number of clusters: the eigenvalues before the largest gap, 1 where there is none."""
        return int(np.argmax(np.diff(self.eigenvalues))) + 1 if len(self.eigenvalues) > 1 else 1


def spectrum(affinity: csr_array, q: int, *, tolerance: float = _TOLERANCE) -> Spectrum:
    """The ``q`` lowest eigenpairs of the normalised Laplacian of ``affinity`` (n, n), at most n - 1 of them."""
    n = affinity.shape[0]
    degrees = affinity.sum(axis=1)
    scale = diags_array(1 / np.sqrt(degrees))
    smoother = csr_array(scale @ affinity @ scale)
    q = min(q, n - 1)
    if n <= _DENSE_BELOW:
        values, vectors = eigh(smoother.toarray(), subset_by_index=(n - q, n - 1))
    else:
        start = np.sqrt(degrees) * np.random.default_rng(0).uniform(0.5, 1.5, n)
        values, vectors = eigsh(smoother, k=q, which="LA", v0=start, tol=tolerance)
    order = np.argsort(-values, kind="stable")
    values, vectors = values[order], _signed(vectors[:, order])
    residuals = np.linalg.norm(smoother @ vectors - vectors * values, axis=0)
    components = connected_components(affinity, directed=False)[1].astype(np.int64)
    return Spectrum(np.clip(1 - values, 0, 2), vectors, residuals, components)


def _signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each vector with its largest entry positive, since an eigenvector's sign is arbitrary."""
    largest = np.abs(vectors).argmax(0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
