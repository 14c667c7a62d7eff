import numpy as np
import pytest
from _maps import blobs, peer
from scipy.linalg import eigh
from scipy.sparse import block_diag, csr_array, csr_matrix
from scipy.sparse.csgraph import laplacian
from sklearn.manifold import spectral_embedding

from chinspect.explain.neighbours import binary_affinity, nearest
from chinspect.spray.spectral import spectrum


def neighbour_graph(n, seed, k=8, d=6):
    return binary_affinity(nearest(np.random.default_rng(seed).random((n, d)).astype(np.float32), k).indices)


def in_parts(sizes, seed):
    return csr_array(block_diag([neighbour_graph(n, seed + i) for i, n in enumerate(sizes)]))


def nearly_bipartite(n, seed):
    """Two sides with edges across, and few within: its smallest eigenvalue of the smoother is near -1."""
    rng = np.random.default_rng(seed)
    across = (rng.random((n, n)) < 0.1).astype(float)
    within = np.triu(rng.random((n, n)) < 0.003, 1).astype(float)
    graph = np.block([[within + within.T, across], [across.T, np.zeros((n, n))]])
    graph[np.arange(n), n + np.arange(n)] = graph[n + np.arange(n), np.arange(n)] = 1
    return csr_array(graph)


GRAPHS = {
    "dense": lambda: neighbour_graph(60, 0),
    "sparse": lambda: neighbour_graph(400, 1),
    "two parts": lambda: in_parts([150, 90], 2),
    "twelve parts": lambda: in_parts([30] * 11 + [60], 3),
    "more parts than vectors": lambda: in_parts([12] * 30, 4),
    "nearly bipartite": lambda: nearly_bipartite(120, 5),
    "maps": lambda: binary_affinity(nearest(blobs(200, 6).reshape(200, -1), 10).indices),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_eigenpairs_are_those_of_the_dense_laplacian(name):
    graph, q = GRAPHS[name](), 20
    dense = laplacian(graph.toarray(), normed=True)
    expected, vectors = eigh(dense)
    found = spectrum(graph, q)
    np.testing.assert_allclose(found.eigenvalues, np.clip(expected[:q], 0, None), atol=1e-6)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(q), atol=1e-4)
    np.testing.assert_allclose(
        found.residuals, np.linalg.norm(dense @ found.vectors - found.vectors * found.eigenvalues, axis=0), atol=1e-6
    )
    assert found.residuals.max() < 1e-3
    apart = np.flatnonzero(np.diff(expected[: q + 1]) > 1e-3)
    gap = apart[-1] + 1 if len(apart) else 30  # a subspace that is well apart from the rest
    inside, true = found.vectors[:, :gap], vectors[:, :gap]
    assert np.linalg.norm(inside - true @ (true.T @ inside)) < 1e-2


def test_a_nearly_complete_graph_whose_eigenvalues_are_nearly_equal_is_embedded():
    """LAPACK's search for a few eigenpairs of this graph ends in an error."""
    far = [2, 0, 6, 6, 10, 1, 3, 11, 4, 11, 8, 5]  # each of twelve maps has all others but one as neighbours
    graph = np.ones((12, 12)) - np.eye(12)
    graph[np.arange(12), far] = 0
    graph = (graph + graph.T) / 2
    found = spectrum(csr_array(graph), 32)
    np.testing.assert_allclose(found.eigenvalues, eigh(laplacian(graph, normed=True))[0][:11], atol=1e-9)
    assert found.residuals.max() < 1e-9


@pytest.mark.parametrize("sizes", [[200], [150, 90], [30] * 11 + [60], [12] * 30])
def test_zero_occurs_once_for_each_component(sizes):
    found = spectrum(in_parts(sizes, 7), 20)
    assert (found.eigenvalues < 1e-8).sum() == min(len(sizes), 20)
    assert found.components.max() + 1 == len(sizes)
    assert found.components.tolist() == np.repeat(np.arange(len(sizes)), sizes).tolist()


def test_the_vectors_span_those_of_scikit_learn():
    graph = neighbour_graph(160, 8)
    graph.indices, graph.indptr = graph.indices.astype(np.int32), graph.indptr.astype(np.int32)
    theirs = spectral_embedding(graph, n_components=6, drop_first=False, random_state=0, eigen_tol=1e-8)
    theirs = theirs * np.sqrt(graph.sum(axis=1))[:, None]  # it divides by the root of the degrees
    theirs /= np.linalg.norm(theirs, axis=0)
    ours = spectrum(graph, 6).vectors
    np.testing.assert_allclose(np.linalg.svd(theirs.T @ ours)[1], 1, atol=1e-4)


def test_the_number_of_clusters_is_where_the_largest_gap_is():
    parts = in_parts([40, 50, 60], 9).tolil()
    parts[0, 40] = parts[40, 0] = parts[40, 90] = parts[90, 40] = 0.5
    assert spectrum(csr_array(parts), 10).eigengap == 3


def test_the_spectrum_does_not_depend_on_the_call_and_its_signs_are_fixed():
    graph = neighbour_graph(200, 10)
    one, two = spectrum(graph, 8), spectrum(graph, 8)
    np.testing.assert_array_equal(one.vectors, two.vectors)
    largest = np.abs(one.vectors).argmax(0)
    assert (one.vectors[largest, np.arange(8)] > 0).all()


@pytest.mark.parametrize("name", ["sparse", "two parts", "maps"])
def test_eigenvalues_are_those_of_corelay(name):
    """It asks for the largest magnitude: right here, wrong as soon as the smoother has eigenvalues near -1."""
    embedding, laplacians = peer("corelay.processor.embedding"), peer("corelay.processor.laplacian")
    graph = GRAPHS[name]()
    theirs, _ = embedding.EigenDecomposition(n_eigval=10)(laplacians.SymmetricNormalLaplacian()(csr_matrix(graph)))
    np.testing.assert_allclose(np.sort(theirs), spectrum(graph, 10).eigenvalues, atol=1e-6)
