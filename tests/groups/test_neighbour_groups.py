"""Groups of an encoder without any head: what makes images similar tells which of them carry a mark."""

from pathlib import Path

import numpy as np
import pytest

from chinspect.groups import Grouping, find_groups, group_quality, true_groups
from tests.mitigate._planted import labels, marked, pictures, planted


@pytest.fixture(scope="module")
def grouping(tmp_path_factory: pytest.TempPathFactory) -> Grouping:
    """Warm and cold noise; three in ten images carry a mark, to which a channel of the network answers."""
    root = tmp_path_factory.mktemp("marked")
    rng = np.random.default_rng(0)
    rows = ["path,group"]
    for split, n in (("train", 160), ("test", 8)):
        for number, (picture, label) in enumerate(zip(pictures(n, seed=n), labels(n), strict=True)):
            (root / split / label).mkdir(parents=True, exist_ok=True)
            shown = rng.random() < 0.3
            name = f"{split}/{label}/{number}.png"
            (marked([picture])[0] if shown else picture).save(root / name)
            rows.append(f"{name},{'marked' if shown else 'plain'}")
    (root / "groups.csv").write_text("\n".join(rows))
    return find_groups(planted(), root, method="neighbours", groups=root / "groups.csv")


def test_marked_images_are_told_apart(grouping: Grouping) -> None:
    assert grouping.quality["adjusted_rand_index"] > 0.2  # .03 is what groups by chance scatter by
    assert grouping.groups.method.startswith("explanations")


def test_what_images_do_not_show_is_not_told(grouping: Grouping) -> None:
    """Marks drawn anew: of 200 draws the mean is 0, with a standard error of .003."""
    rng = np.random.default_rng(1)
    scores = []
    for _ in range(200):
        drawn = true_groups(grouping.groups.labels, rng.random(len(grouping.train)) < 0.3)
        scores.append(group_quality(grouping.groups, drawn)["adjusted_rand_index"])
    assert np.mean(scores) == pytest.approx(0, abs=5 * np.std(scores) / np.sqrt(200))


def test_the_images_are_those_of_the_folder(grouping: Grouping) -> None:
    assert all(Path(path).is_file() for path in grouping.train.paths)
    assert [name.split("/")[1] for name in grouping.train.names] == grouping.groups.labels.tolist()
