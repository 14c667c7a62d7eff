"""The study of detectors' audits: what counts as right, and the rates."""

import pandas as pd
import pytest

from chinspect.audit import Audit, AuditFinding
from chinspect.intervals import wilson
from experiments.audit_detectors.__main__ import judged, summary


def audit(*findings):
    made = [AuditFinding(key, status, key, key, members=members) for key, status, members in findings]
    return Audit("a", "detector", made, pd.DataFrame(), 0.05)


@pytest.mark.parametrize(
    ("cause", "finding", "found", "false"),
    [
        ("resizer", ("stress/new", "stress", ()), True, False),
        ("resizer", ("stress/new", "candidate", ()), False, False),
        ("none", ("stress/new", "stress", ()), False, True),
        ("patch", ("stress/new", "stress", ()), False, True),
        ("patch", ("strategies/maps/here", "stress", ("a", "b")), True, False),
        ("patch", ("strategies/maps/here", "confirmed", ("a", "x", "y")), False, True),
        ("resizer", ("strategies/maps/here", "confirmed", ("a",)), False, True),
        ("none", ("strategies/maps/here", "candidate", ("a",)), False, False),
    ],
)
def test_a_finding_is_right_where_it_names_the_cause(cause, finding, found, false):
    row = judged(audit(finding), cause, "new", {"a", "b"})
    assert (row["found"], row["false"]) == (found, false)


def test_rates_are_of_data_sets_and_precision_is_of_findings():
    rows = [
        {"surface": "s", "cause": cause, "prevalence": 0.0, "found": found, "false": false, "right": right}
        | {"wrong": wrong, "candidate": found}
        for cause, found, false, right, wrong in (
            ("none", False, False, 0, 0),
            ("none", False, True, 0, 2),
            ("resizer", True, False, 1, 0),
            ("resizer", True, True, 1, 1),
        )
    ]
    table = summary(pd.DataFrame(rows)).set_index("cause")
    assert table.found[["none", "resizer", "planted"]].tolist() == [0, 1, 1]
    assert table.false["nulls"] == 0.5
    assert table.precision["planted"] == pytest.approx(2 / 3)
    assert tuple(table.loc["planted", ["precision_low", "precision_high"]]) == pytest.approx(wilson(2, 3))
