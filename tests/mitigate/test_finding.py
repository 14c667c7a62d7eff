"""What is said of a remedy follows from its intervals."""

import pandas as pd
import pytest

from chinspect.mitigate import finding


def table(before: float, after: float, other: float, *, drop: float = 0.2, half: float = 0.05) -> pd.DataFrame:
    rows = [("none", before), ("pruned", after), ("random channels", other)]
    return pd.DataFrame(
        [
            {"mitigation": name, "readout": "svm", "shifted": value, "drop": drop, "cost": 0.01}
            | {
                "gain_low": value - before - half,
                "gain_high": value - before + half,
                "margin_low": value - other - half,
            }
            for name, value in rows
        ]
    )


@pytest.mark.parametrize(
    ("values", "words", "absent"),
    [
        ((0.5, 0.8, 0.5), "svm: pruned helps (50.0% -> 80.0% with the artefact, +1.0% cost without it)", "as much"),
        ((0.5, 0.8, 0.78), "but random channels may do as much (78.0%)", "no effect"),
        ((0.5, 0.52, 0.5), "no effect of pruned is certain", "as much"),
        ((0.5, 0.3, 0.5), "pruned harms", "helps"),
    ],
)
def test_a_finding(values: tuple[float, float, float], words: str, absent: str) -> None:
    text = finding(table(*values), "pruned", "random channels")
    assert words in text
    assert absent not in text
    assert "costs this readout nothing" not in text


def test_nothing_to_mend_is_said() -> None:
    text = finding(table(0.9, 0.9, 0.9, drop=0.0), "pruned", "random channels")
    assert text.endswith("; the artefact costs this readout nothing to begin with")
