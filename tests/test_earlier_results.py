"""Files that an earlier version wrote open, and give what they gave: numbers of that version lie beside them."""

import json
from pathlib import Path

import numpy as np
import pytest

from chinspect.anomaly import load_detector
from chinspect.encoders import load_encoder
from chinspect.similarity import SimilarityIndex

EARLIER = Path(__file__).parent / "data" / "earlier"
EXPECTED = json.loads((EARLIER / "expected.json").read_text())
IMAGES = sorted((EARLIER / "images").iterdir())


@pytest.mark.parametrize(("name", "key"), [("d2neighbors", "d2_fp"), ("patchcore", "pc_fp")])
def test_a_detector_scores_and_identifies_itself_as_before(name, key):
    detector = load_detector(EARLIER / f"{name}.safetensors")
    np.testing.assert_allclose(detector.decision_function(IMAGES), EXPECTED[name], rtol=1e-5)
    assert detector.threshold_ == pytest.approx(EXPECTED[f"{name}_threshold"], rel=1e-6)
    assert detector.fingerprint == EXPECTED[key]


def test_an_encoder_is_recognised_by_the_same_fingerprint():
    assert load_encoder("tiny-clip").fingerprint == EXPECTED["fingerprint"]


def test_a_mitigated_encoder_embeds_as_before():
    encoder = load_encoder(str(EARLIER / "pruned"))
    assert encoder.fingerprint == EXPECTED["pruned_fingerprint"]
    np.testing.assert_allclose(encoder.embed(IMAGES)[:, :8], EXPECTED["pruned"], rtol=1e-4, atol=1e-6)


def test_an_index_answers_as_before():
    index = SimilarityIndex.open(EARLIER / "index")
    assert len(index) == len(IMAGES)
    relevance = index.relevance(0, 1)
    np.testing.assert_allclose(relevance.sum((2, 3)), EXPECTED["relevance"], rtol=1e-4, atol=1e-6)
    assert relevance.sum() == pytest.approx(EXPECTED["similarity"], rel=1e-3)
