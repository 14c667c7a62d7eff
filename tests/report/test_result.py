"""The base of all results: how they are written, printed, drawn, and shown in a notebook."""

import importlib
import json
import pkgutil
import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

import chinspect
from chinspect.errors import InputError
from chinspect.report import Result, json_text, plain, print_table, records

COLUMNS = ["name", "value"]
HOSTILE = "<img src=x onerror=alert(1)> [red]&\"'"


@dataclass(frozen=True, eq=False, repr=False)
class Example(Result):
    stem = "example"

    table: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame({"name": [HOSTILE, None], "value": [0.25, np.nan]})
    )
    noise: np.ndarray = field(default_factory=lambda: np.arange(3.0))

    @property
    def sentence(self):
        return f"{HOSTILE} was found"

    def document(self):
        return {"value": np.float32(0.5), "missing": float("nan"), "rows": records(self.table)}

    def tables(self):
        return {"rows": self.table}

    def arrays(self):
        return {"noise": self.noise}


class Drawn(Example):
    drawing = "tests.report.drawing"


def test_a_result_is_written_as_document_tables_and_arrays(tmp_path):
    files = Example().save(tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["example.json", "rows.csv", "rows.parquet", "example.npz"]
    document = json.loads(files[0].read_text())
    assert document == {
        "value": 0.5,
        "missing": None,
        "rows": [{"name": HOSTILE, "value": 0.25}, {"name": None, "value": None}],
    }
    pd.testing.assert_frame_equal(pd.read_csv(files[1]), pd.read_parquet(files[2]), check_dtype=False)
    with np.load(files[3], allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["noise"], np.arange(3.0))
    assert {path.name for path in files[0].parent.iterdir()} == {file.name for file in files}


def test_a_table_without_rows_removes_that_of_an_earlier_run(tmp_path):
    Example().save(tmp_path)
    Example(table=pd.DataFrame({"name": []})).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["example.json", "example.npz"]


def test_a_figure_is_drawn_by_the_module_that_the_result_names(tmp_path):
    figure = Drawn().figure()
    assert figure.axes[0].get_title() == "example"
    assert Drawn().save(tmp_path)[-1].name == "example.png"
    for suffix, start in ((".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")):
        assert Drawn().plot(tmp_path / f"figure{suffix}").read_bytes().startswith(start)


def test_what_cannot_be_drawn_says_so_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="Example has no figure"):
        Example().figure()
    with pytest.raises(InputError, match=r"as \.png, \.svg, \.pdf, not as 'figure\.gif'"):
        Drawn().plot(tmp_path / "figure.gif")
    assert not list(tmp_path.iterdir())


def test_a_notebook_shows_text_as_text():
    shown = Drawn()._repr_html_()
    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert re.search(r'<img alt="&lt;img[^"]*" src="data:image/png;base64,', shown)


def test_the_representation_is_short():
    assert repr(Example()) == f"<Example: {HOSTILE} was found>"


def test_a_printed_table_shows_text_as_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    Example().show()
    out = capsys.readouterr().out
    assert HOSTILE in out.splitlines()[2]
    assert "0.250" in out
    assert "-" in out.splitlines()[3]
    print_table(pd.DataFrame({"a_b": [1]}), title="[bold]")
    assert capsys.readouterr().out.split() == ["[bold]", "a", "b", "1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: np.int64(2)}, {"1": 2}),
        ((np.inf, [np.float64("nan")]), [None, [None]]),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.bool_(True), True),
        ("text", "text"),
    ],
)
def test_values_become_json(value, expected):
    assert plain(value) == expected
    assert json.loads(json_text(value)) == expected


def test_a_figure_comes_back_where_no_path_is_named():
    assert Drawn().plot().axes[0].get_title() == "example"


@dataclass(frozen=True, eq=False, repr=False)
class Long(Example):
    @property
    def sentence(self):
        return "many words " * 1000 + "\nand more"


def test_a_representation_is_a_line():
    assert len(repr(Long())) < 200
    assert "\n" not in repr(Long())
    assert Long()._repr_html_().count("<p>") == 2


def test_all_results_of_the_package_are_shown_in_this_one_way():
    """A dataclass would write a representation of its own: all arrays, in 18,000 characters."""
    for module in pkgutil.walk_packages(chinspect.__path__, "chinspect."):
        if not module.name.startswith(("chinspect.cli", "chinspect.compat")):
            importlib.import_module(module.name)
    results = [kind for kind in _below(Result) if kind.__module__.startswith("chinspect.")]
    assert len(results) > 12
    for kind in results:
        for name in ("__repr__", "_repr_html_", "plot"):
            assert getattr(kind, name) is getattr(Result, name), (kind, name)


def _below(kind):
    return [*kind.__subclasses__(), *(other for below in kind.__subclasses__() for other in _below(below))]
