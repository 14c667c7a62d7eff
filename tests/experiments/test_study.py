"""What all studies share: options by their defaults, a run that says what made it, tables with published values."""

import ast
import json
from pathlib import Path

import pandas as pd
import pytest

from experiments.study import Run, beside, option, read_options, write_table

STUDIES = Path(__file__).parents[2] / "experiments"
OPTIONS = (
    option("root", None, "data", type=Path),
    option("scenes", 800, "to fit on"),
    option("models", ["tiny-clip"]),
    option("deep", False),
)


def read(*arguments: str, out: str = "results") -> dict[str, object]:
    return vars(read_options("A study.", OPTIONS, out=out, seeds=3, smoke={"scenes": 9}, arguments=arguments))


def test_options_have_the_types_of_their_defaults() -> None:
    assert read() == {
        "root": None,
        "scenes": 800,
        "models": ["tiny-clip"],
        "deep": False,
        "seeds": 3,
        "out": Path("results"),
        "smoke": False,
    }
    options = read("--root", "a", "--scenes", "7", "--models", "b", "c", "--deep", "--seeds", "1", "--out", "d")
    assert options == {
        "root": Path("a"),
        "scenes": 7,
        "models": ["b", "c"],
        "deep": True,
        "seeds": 1,
        "out": Path("d"),
        "smoke": False,
    }


def test_smoke_makes_everything_small() -> None:
    assert read("--smoke")["scenes"] == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--smoke", "--scenes", "700"), "--smoke decides --scenes itself"),
        (("--root", "mine", "--smoke"), "--smoke draws its own data, and --root names others"),
        (("--deep", "--models", "a"), "--deep and --models contradict each other"),
    ],
)
def test_options_that_contradict_are_refused(capsys, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(
            "", OPTIONS, smoke={"scenes": 9}, generated=["root"], apart=[("deep", "models")], arguments=arguments
        )
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_run_says_what_made_it_once_it_is_done(tmp_path: Path) -> None:
    options = read_options("", OPTIONS, out=str(tmp_path / "run"), arguments=[])
    with pytest.raises(KeyboardInterrupt), Run(options):
        raise KeyboardInterrupt
    assert not (tmp_path / "run" / "run.json").exists()
    with Run(options) as run:
        run.facts["images"] = 5
        run.write(pd.DataFrame({"name": ["a_b"], "rate": [0.125], "rate_low": [0.1]}), "table")
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (document["scenes"], document["images"], document["seconds"]) == ("800", 5, 0)
    assert {path.name for path in run.out.iterdir()} == {"run.json", "table.csv", "table.tex"}


def test_tables_leave_the_ends_of_intervals_out_in_latex(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"a_name": ["x & y", None], "n": [3, 4], "rate": [0.126, float("nan")], "rate_low": [0.1, 0.1]}
    )
    write_table(table, tmp_path, "rates")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "rates.csv"), table)
    lines = (tmp_path / "rates.tex").read_text().splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}"
    assert lines[2] == r"a\_name & n & rate \\"
    assert lines[4:6] == [r"x \& y & 3 & 0.13 \\", r"-- & 4 & -- \\"]


def test_published_values_stand_beside_the_rows_that_they_belong_to() -> None:
    table = pd.DataFrame({"encoder": ["a", "b"], "group": ["x", "y"]})
    keys = zip(table["encoder"], table["group"], strict=True)
    result = beside(table, keys, {"paper": {("b", "y"): 85.0}, "other": {}})
    assert result["paper"].isna().tolist() == [True, False]
    assert result["paper"][1] == 85.0
    assert result["other"].isna().all()
    assert result["other"].dtype == float


def test_no_study_has_a_command_line_of_its_own() -> None:
    for path in STUDIES.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        assert path.name == "study.py" or all(node.attr != "ArgumentParser" for node in calls), path
