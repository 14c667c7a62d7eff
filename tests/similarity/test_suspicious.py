import numpy as np
import pytest

from chinspect.errors import InputError
from chinspect.similarity import SimilarityIndex, suspicious_pairs
from chinspect.similarity.suspicious import in_place
from tests.similarity.conftest import picture


class PlantedIndex:
    """Tables as an index has them: every patch speaks for the common content; some images share a mark."""

    grid = (4, 4)

    def __init__(self, marked: int, n: int = 40, strength: float = 6.0) -> None:
        generator = np.random.default_rng(0)
        self.names = [f"{i:02}" for i in range(n)]
        self.tables = generator.uniform(0, 0.4, (n, 16, 24)) * generator.uniform(0.2, 1, (n, 1, 24))
        self.tables[:, :, 0] = 0
        self.tables[:marked, 12, 0] = strength
        self.embeddings = self.tables.sum(1)

    def __len__(self) -> int:
        return len(self.names)

    def marginal(self, i, j=None):
        return (self.tables[i] @ (self.embeddings.mean(0) if j is None else self.embeddings[j])).reshape(4, 4)

    def relevance(self, i, j):
        return (self.tables[i] @ self.tables[j].T).reshape(4, 4, 4, 4)

    neighbours = SimilarityIndex.neighbours


def test_pairs_that_share_a_mark_come_first():
    table = suspicious_pairs(PlantedIndex(marked=6), n_neighbors=5)
    marked = {f"{i:02}" for i in range(6)}
    both = table.a.isin(marked) & table.b.isin(marked)
    assert both.sum() == 15
    assert both.head(15).all()
    top = table.iloc[0]
    assert (top.row, top.column) == (3, 0)
    assert table.p_value[:15].max() < 0.05
    assert table.p_value[15:].median() > 0.2


def test_without_a_mark_nothing_stands_out():
    table = suspicious_pairs(PlantedIndex(marked=0), n_neighbors=4)
    assert table.score.max() < 0.1
    assert (table.even == 1 / 16).all()


def test_the_score_is_what_lies_in_the_same_place_of_all_that_is_positive():
    relevance = np.random.default_rng(0).normal(size=(3, 4, 3, 4))
    positive = np.where(relevance > 0, relevance, 0)
    expected = [[positive[row, column, row, column] for column in range(4)] for row in range(3)]
    np.testing.assert_allclose(in_place(relevance), expected / positive.sum())
    assert in_place(-np.ones((2, 2, 2, 2))).sum() == 0
    assert in_place(np.ones((4, 4, 4, 4))).sum() == pytest.approx(1 / 16)


def test_an_image_that_lies_there_twice_is_no_pair():
    index = PlantedIndex(marked=6)
    index.tables[1] = index.tables[0]
    index.embeddings = index.tables.sum(1)
    table = suspicious_pairs(index, n_neighbors=5)
    assert not ((table.a == "00") & (table.b == "01")).any()
    assert len(table)


def test_an_index_of_photographs_is_ranked(encoder, tmp_path):
    generator = np.random.default_rng(3)
    (tmp_path / "images").mkdir()
    for number in range(6):
        picture(generator, 64, 64).save(tmp_path / "images" / f"{number}.png")
    index = SimilarityIndex.build(encoder, tmp_path / "images", tmp_path / "index")
    table = suspicious_pairs(index, n_neighbors=2, n_null=30)
    assert table.score.is_monotonic_decreasing
    assert table.p_value.between(1 / 31, 1).all()
    assert not table.duplicated(["a", "b"]).any()
    again = suspicious_pairs(index, n_neighbors=2, n_null=30)
    assert table.equals(again)


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="at least 3"):
        suspicious_pairs(PlantedIndex(marked=0, n=2))
