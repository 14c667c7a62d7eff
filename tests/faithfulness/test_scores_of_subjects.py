"""Maps of any model under test are judged: of a detector, whose score is an anomaly, and of a classifier."""

import numpy as np
import pytest
import torch
from torch import Tensor

from chinspect.anomaly import CallableDetector
from chinspect.errors import InputError
from chinspect.faithfulness import judge, subject_score
from chinspect.subjects import Classifier

SIDE = 32


@pytest.fixture(scope="module")
def detector() -> CallableDetector:
    def deviation(images: Tensor) -> Tensor:
        return images.square().mean((1, 2, 3))

    def gradient(images: Tensor) -> Tensor:
        return 2 * images / images[0].numel()

    return CallableDetector(deviation, gradient=gradient, size=SIDE).fit(0.1 * torch.rand(20, 3, SIDE, SIDE))


def test_the_map_of_a_detector_is_judged_by_its_score(detector: CallableDetector) -> None:
    rng = np.random.default_rng(0)
    pictures = [np.full((SIDE, SIDE, 3), 128, np.uint8) for _ in range(6)]
    masks = np.zeros((6, SIDE, SIDE), dtype=bool)
    for picture, mask in zip(pictures, masks, strict=True):
        row, column = rng.integers(0, SIDE - 8, 2)
        mask[row : row + 8, column : column + 8] = True
        picture[mask] = 255
    seen = detector.see(pictures)
    maps = {"own": detector.explain(seen, np.ones((6, 1)))}
    images = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).float() / 255
    metrics = ["deletion", "removal", "ROAD", "relevance mass"]
    judged = judge(subject_score(detector), images, maps, metrics=metrics, masks=masks, reference="mean")
    assert judged.verdicts["verdict"].tolist() == ["tells maps from controls"] * 4
    assert judged.values[3, 0].min() > 0.9


def test_a_logit_is_one_weight() -> None:
    classifier = Classifier(lambda images: images.mean((2, 3)), target=1)
    images = torch.rand(2, 3, 4, 4)
    score = subject_score(classifier, [0, 1, 0])
    # bytes: half a level in 255 at most
    torch.testing.assert_close(score(images).float(), images.mean((2, 3))[:, 1], atol=0.5 / 255, rtol=0)
    with pytest.raises(InputError, match="as many weights"):
        subject_score(classifier)(images)
    with pytest.raises(InputError, match=r"chinspect\.subjects\.Subject"):
        subject_score(torch.nn.Identity())
