"""What an audit says of traces: more than a margin, less, or too few images to say."""

import json
from pathlib import Path

import pandas as pd
import pytest

from chinspect.audit.judging import _of_measures
from chinspect.audit.measuring import trace_measures
from chinspect.encoders import load_encoder
from chinspect.execute import Samples
from chinspect.known import Findings

SAMPLES = Samples(Path("photographs"), ("a.png", "b.png"))


def measured(tmp_path, monkeypatch, low, high):
    """Traces whose neighbours alike have this interval, and without processing .30 to .34."""
    rows = [
        ("rescaling: readable", "embedding", 0.6, 0.58, 0.66, 100),
        ("rescaling: readable", "permuted", 0.3, 0.28, 0.33, 100),
        ("rescaling: neighbours alike", "embedding", (low + high) / 2, low, high, 100),
        ("rescaling: neighbours alike", "unprocessed", 0.32, 0.30, 0.34, 100),
    ]
    table = pd.DataFrame(rows, columns=["measure", "condition", "estimate", "low", "high", "n"])
    monkeypatch.setattr("chinspect.audit.measuring.measure_traces", lambda *_: Findings(table, 100))
    monkeypatch.setattr(Samples, "digest", json.dumps([low, high]))
    return trace_measures(load_encoder("tiny-clip"), SAMPLES, tmp_path, seed=0)


@pytest.mark.parametrize(
    ("low", "high", "status", "said"),
    [
        (0.45, 0.50, "stress", "more than one in ten neighbours is there"),
        (0.38, 0.46, "undecided", "the images are too few to say"),
        (0.33, 0.39, "clear", "less than one in ten"),
    ],
)
def test_nothing_is_clear_that_was_not_shown(tmp_path, monkeypatch, low, high, status, said):
    finding = _of_measures(measured(tmp_path, monkeypatch, low, high))
    assert finding.status == status
    assert said in finding.sentence
