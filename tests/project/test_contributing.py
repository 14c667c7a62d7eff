"""The additions that CONTRIBUTING.md shows work as they stand there, each in at most ten lines of code."""

import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from chinspect.cli import frame
from chinspect.cli.app import main
from chinspect.encoders.cards import read_card_file
from chinspect.relevance import COMPOSITES, relevance_map

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
RULE, DETECTOR, ARTEFACT, EFFECT, VERB = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
(ENTRY,) = re.findall(r"```text\n(Effect.*?)```", TEXT, flags=re.DOTALL)
(CARD,) = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)


def run(snippet: str) -> dict:
    names = {"__name__": "__main__"}
    exec(compile(snippet, "CONTRIBUTING.md", "exec"), names)
    return names


@pytest.mark.parametrize("snippet", [RULE, CARD, DETECTOR, ARTEFACT, EFFECT, VERB])
def test_an_addition_takes_ten_lines(snippet):
    lines = [line for line in snippet.splitlines() if line.strip() and not line.startswith(("import ", "from "))]
    assert len(lines) <= 10


def test_a_rule_conserves(monkeypatch):
    monkeypatch.setattr("chinspect.relevance.composites.COMPOSITES", COMPOSITES | {})
    run(RULE)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.ReLU(), torch.nn.Flatten()).eval()
    mapped = relevance_map(network, torch.rand(1, 3, 8, 8), "absolute")
    assert mapped.pull(mapped.output).sum().item() == pytest.approx(mapped.output.sum().item(), rel=1e-4)


def test_a_card_is_read(tmp_path):
    (tmp_path / "card.toml").write_text(CARD)
    assert read_card_file(tmp_path / "card.toml").dimension == tomllib.loads(CARD)["dimension"]


def test_a_detector_scores_and_is_explained():
    from chinspect.anomaly import explain_anomaly

    detector = run(DETECTOR)["detector"]
    x = torch.rand(2, 3, 32, 32)
    explanation = explain_anomaly(detector, x, components="pixels")
    assert (detector.decision_function(x) > detector.threshold_).all()
    # gradient times input of a square is twice the score
    np.testing.assert_allclose(explanation.conservation, 2, rtol=1e-4)


def test_an_artefact_lies_on_an_image():
    stamped = run(ARTEFACT)["date_stamp"]().add(np.zeros((100, 100, 3), np.uint8))
    assert stamped[70:, 60:].any()
    assert not stamped[:50].any()


def test_an_effect_is_measured():
    from chinspect.encoders import Encoder
    from chinspect.known import Measurement, Models, Options

    names = run(f"{EFFECT}\nMIRRORED = {ENTRY}")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 7, stride=4), torch.nn.Flatten())
    models = Models(Encoder.wrap(network, name="plain", size=32, mean=(0.5,) * 3, std=(0.5,) * 3))
    assets = Path(__file__).parents[2] / "assets"
    findings = names["measure_mirrored"](models, assets, Options(images=6))
    measurement = Measurement(names["MIRRORED"], "plain", str(assets), findings.images, findings.rows)
    assert measurement.sentence.startswith("plain, mirrored: similarity gain ")


def test_a_verb_answers(monkeypatch, capsys):
    commands = list(frame.app.registered_commands)
    monkeypatch.setattr(frame.app, "registered_commands", commands)
    run(VERB)
    monkeypatch.setattr(sys, "argv", ["chinspect", "count", str(Path(__file__).parents[2] / "assets"), "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert '"images": ' in capsys.readouterr().out
