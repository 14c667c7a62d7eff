"""A column of a table for each image, by its name or by where it lies."""

from __future__ import annotations

import pandas as pd
import pytest

from chinspect.errors import InputError
from chinspect.execute import read_column

NAMES = ["a/1.png", "b/2.png"]


@pytest.fixture
def paths(tmp_path):
    return [tmp_path / "images" / name for name in NAMES]


@pytest.mark.parametrize("listed", ["names", "absolute", "beside the table", "mixed"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_images_are_named_as_in_the_data_set_or_by_where_they_lie(tmp_path, paths, listed, suffix):
    table = tmp_path / "tables" / f"groups{suffix}"
    table.parent.mkdir()
    ways = {
        "names": NAMES,
        "absolute": [str(path) for path in paths],
        "beside the table": [f"../images/{name}" for name in NAMES],
        "mixed": [str(paths[0]), NAMES[1]],
    }
    frame = pd.DataFrame({"path": [*reversed(ways[listed]), "elsewhere.png"], "group": [2, 1, 3]})
    frame.to_csv(table, index=False) if suffix == ".csv" else frame.to_parquet(table)
    assert read_column(table, NAMES, paths, "group") == ["1", "2"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("path,group\na/1.png,x\n", "leave out 1 images, such as 'b/2.png'"),
        ("path,group\na/1.png,x\nb/2.png, \n", "leave out 1 images, such as 'b/2.png'"),
        ("path,group\na/1.png,x\na/1.png,y\nb/2.png,x\n", "list 'a/1.png' 2 times"),
        ("path,label\na/1.png,x\n", "need the columns path and group, not path, label"),
        ("", "cannot be read"),
    ],
)
def test_what_says_nothing_or_two_things_is_refused(tmp_path, paths, rows, reason):
    table = tmp_path / "groups.csv"
    table.write_text(rows)
    with pytest.raises(InputError, match=reason):
        read_column(table, NAMES, paths, "group")


def test_a_table_that_is_none_is_refused(tmp_path, paths):
    with pytest.raises(InputError, match="there is no file of groups"):
        read_column(tmp_path / "nowhere.csv", NAMES, paths, "group")
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match="cannot be read"):
        read_column(tmp_path / "broken.parquet", NAMES, paths, "group")
