"""Gates: how they are read, and which rows they judge."""

import math
from dataclasses import replace

import pytest
from _nearest import Nearest

from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.stress import Gate, Mitigation, StressReport, stress


@pytest.fixture(scope="module")
def report(nearest: Nearest, dataset: MVTecCategory) -> StressReport:
    remedies = [Mitigation("fewer", Nearest(nearest.bank[:4]))]
    return stress(nearest, dataset, deploy=["pillow-bilinear", "opencv-area"], changes=["bgr"], mitigate=remedies)


@pytest.mark.parametrize("text", ["fnr>0.1", " fnr >  .1 ", "fnr>1e-1"])
def test_a_gate_is_a_column_a_comparison_and_a_number(text: str) -> None:
    gate = Gate.parse(text)
    assert (gate.column, gate.comparison, gate.limit) == ("fnr", ">", 0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [("fnr", "cannot be read"), ("fnr>1-2", "cannot be read"), ("fnr=1", "cannot be read"), ("recall>1", "'recall'")],
)
def test_what_is_no_gate_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Gate.parse(text)


@pytest.mark.parametrize("comparison", [">", ">=", "<", "<="])
def test_deployed_rows_of_the_detector_itself_are_judged(report: StressReport, comparison: str) -> None:
    rows = report.table[(report.table.mitigation == "none") & (report.table.resizer != "opencv-nearest")]
    limit = rows.auroc.iloc[0]
    compare = {">": float.__gt__, ">=": float.__ge__, "<": float.__lt__, "<=": float.__le__}[comparison]
    expected = [
        {"resizer": resizer, "auroc": value}
        for resizer, value in zip(rows.resizer, rows.auroc, strict=True)
        if compare(value, limit)
    ]
    gate = Gate.parse(f"auroc{comparison}{limit!r}".replace("np.float64(", "").replace(")", ""))
    assert gate.failures(report) == expected


def test_a_number_that_is_not_defined_fails(report: StressReport) -> None:
    undefined = replace(report, table=report.table.assign(shift_normal=math.nan))
    gate = Gate.parse("shift_normal>99")
    failures = gate.failures(undefined)
    assert [failure["shift_normal"] for failure in failures] == [None, None]
    assert "with pillow-bilinear, shift_normal of the given detector is not defined" in gate.sentence(failures[0])


def test_without_another_resizer_there_is_nothing_to_judge(nearest: Nearest) -> None:
    gate = Gate.parse("fnr>0.1")
    gate.check(nearest, ["opencv-nearest", "opencv-area"])
    with pytest.raises(InputError, match="name the deployed one"):
        gate.check(nearest, ["opencv-nearest"])
