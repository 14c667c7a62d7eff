"""The robustness index and its companions: slow references, planted confounders and nulls, hostile input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.readouts import confounder_scores, confounding
from chinspect.readouts.robustness import DROP, INDEX, OWN, PREDICTED, balanced_accuracy, neighbour_kinds
from tests.mitigate._planted import planted

LABELS = np.repeat(["ill", "well"], 60)
ORIGINS = np.tile(["a", "b"], 60)


def embedded(label: float, origin: float, *, seed: int = 0, n: int = 120) -> np.ndarray:
    """Embeddings in which label and origin have some strength against noise of 1 in 10 dimensions."""
    values = np.random.default_rng(seed).normal(size=(n, 10))
    values[:, 0] += label * (LABELS[:n] == "ill") - label / 2
    values[:, 1] += origin * (ORIGINS[:n] == "a") - origin / 2
    return values


def estimate(scores: object, measure: str, condition: str = OWN) -> float:
    rows = scores.measures.set_index(["measure", "condition"])  # type: ignore[attr-defined]
    return float(rows.loc[(measure, condition), "estimate"])


def test_the_index_against_a_slow_reference() -> None:
    values = embedded(1, 2)[:40]
    labels, origins = LABELS[np.arange(40) * 3], ORIGINS[:40]
    for k in (1, 5, 39):
        so = os = 0
        for i in range(40):
            cosines = [
                (values[i] @ values[j] / np.linalg.norm(values[i]) / np.linalg.norm(values[j]), -j) for j in range(40)
            ]
            near = [j for j in sorted(range(40), key=lambda j: cosines[j], reverse=True) if j != i][:k]
            so += sum(labels[j] == labels[i] and origins[j] != origins[i] for j in near)
            os += sum(labels[j] != labels[i] and origins[j] == origins[i] for j in near)
        codes = [np.unique(names, return_inverse=True)[1] for names in (labels, origins)]
        counted = neighbour_kinds(values, *codes, k)
        assert (counted[0][:, -1].sum(), counted[1][:, -1].sum()) == (so, os)


def test_a_class_alone_an_origin_alone_and_neither() -> None:
    strong = confounder_scores("class", embedded(8, 0), LABELS, ORIGINS)
    origin = confounder_scores("origin", embedded(0, 8), LABELS, ORIGINS)
    neither = confounder_scores("neither", embedded(0, 0), LABELS, ORIGINS)
    assert estimate(strong, INDEX) > 0.95
    assert estimate(origin, INDEX) < 0.05
    assert estimate(neither, INDEX) == pytest.approx(estimate(neither, INDEX, "random neighbours"), abs=0.1)
    assert estimate(origin, PREDICTED) > 0.95
    assert estimate(strong, PREDICTED) < 0.65
    assert estimate(origin, PREDICTED, "majority") == 0.5
    for scores in (strong, origin, neither):
        assert abs(estimate(scores, PREDICTED, "permuted") - 0.5) < 0.2
    assert abs(estimate(strong, DROP)) < 0.05
    assert estimate(confounder_scores("both", embedded(1.5, 8), LABELS, ORIGINS), DROP) < -0.05


def test_a_class_that_tells_the_origin_is_the_control_of_it() -> None:
    """Nothing of the origin is in the embedding but the class, with which it mostly goes."""
    rng = np.random.default_rng(3)
    origins = np.where(rng.random(120) < 0.9, np.where(LABELS == "ill", "a", "b"), ORIGINS)
    scores = confounder_scores("class", embedded(8, 0), LABELS, origins)
    assert estimate(scores, PREDICTED) > 0.85
    assert estimate(scores, PREDICTED, "class alone") == pytest.approx(estimate(scores, PREDICTED), abs=0.06)


def test_the_last_index_is_that_of_chance() -> None:
    scores = confounder_scores("x", embedded(3, 1)[:40], LABELS[np.arange(40) * 3], ORIGINS[:40], k=39)
    last = scores.index.iloc[-1]
    assert last["k"] == 39
    assert last["estimate"] == last["chance"] == last["chance_low"]


def test_balanced_accuracy_weighs_classes_alike() -> None:
    right = np.array([True] * 90 + [False] * 10)
    codes = np.array([0] * 90 + [1] * 10)
    assert balanced_accuracy(right, codes)[0] == 0.5


def test_a_missing_cell_leaves_the_drop_out() -> None:
    used = (LABELS == "ill") | (ORIGINS == "a")
    scores = confounder_scores("x", embedded(1, 1)[used], LABELS[used], ORIGINS[used])
    assert "there is no well from b" in scores.sentence
    assert DROP not in scores.measures["measure"].tolist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, grey in (("ill", 90), ("well", 150)):
        for origin, tint in (("a", (20, 0, -20)), ("b", (-20, 0, 20))):
            target = tmp_path / "data" / label / origin
            target.mkdir(parents=True)
            for index in range(12):
                pixels = rng.normal(grey, 15, (32, 32, 1)) + np.array(tint)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target / f"{index}.png")
    return tmp_path / "data"


def test_folders_tables_and_names_say_the_same(folder: Path, tmp_path: Path) -> None:
    encoder = planted()
    scores = confounding(encoder, folder, "folder", k=20)
    assert scores.cells["used"].tolist() == [12] * 4
    paths = sorted(folder.rglob("*.png"))
    rows = [f"{path},{path.parts[-3]},{path.parts[-2]}" for path in paths]
    (tmp_path / "table.csv").write_text("\n".join(["path,label,confounder", *rows]))
    table = confounding(encoder, tmp_path / "table.csv", tmp_path / "table.csv", k=20)
    names = tuple(map(str, paths))
    samples = Samples(tmp_path, names, tuple(path.parts[-3] for path in paths))
    named = confounding(encoder, samples, [path.parts[-2] for path in paths], k=20)
    assert table.measures.equals(named.measures)
    assert estimate(scores, INDEX) == pytest.approx(estimate(named, INDEX))
    files = scores.save(tmp_path / "out")
    assert json.loads(files[0].read_text())["k"] == 20
    assert (tmp_path / "out" / "confounding.png").stat().st_size > 10_000


def test_what_cannot_be_measured_is_refused(folder: Path, tmp_path: Path) -> None:
    encoder = planted()
    assert "No robustness index for k = 1" in confounding(encoder, folder, "folder", k=1).sentence
    with pytest.raises(InputError, match="no file of confounders"):
        confounding(encoder, folder, "nowhere.csv")
    (tmp_path / "c.csv").write_text("path,confounder\nx.png,a\n")
    with pytest.raises(InputError, match="leave out 48 images"):
        confounding(encoder, folder, tmp_path / "c.csv")
    with pytest.raises(InputError, match="confounder of all images is 'a'"):
        confounding(encoder, folder, ["a"] * 48)
    with pytest.raises(InputError, match="48 images and 3 confounders"):
        confounding(encoder, folder, ["a"] * 3)
    with pytest.raises(InputError, match="1 images of well from b: 10 of each cell"):
        confounding(encoder, folder, ["a"] * 45 + ["b"] * 3)
    for path in sorted(folder.rglob("*.png")):
        path.rename(path.parents[1] / f"{path.parent.name}{path.name}")
    with pytest.raises(InputError, match="CLASS/CONFOUNDER/image"):
        confounding(encoder, folder, "folder")
    with pytest.raises(InputError, match="k is a number of neighbours, from 1 to 119"):
        confounder_scores("x", embedded(1, 1), LABELS, ORIGINS, k=0)
