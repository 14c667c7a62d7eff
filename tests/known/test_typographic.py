"""Names that are written on photographs mislead what reads them, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip import IMAGENET_CLASSNAMES
from torch import Tensor, nn

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.known import Models, measure
from chinspect.known.typographic import NAMED, OWN, PLAIN, SHUFFLED, written
from tests.known._photographs import INDICES, SIZE, WORDNET, save_photographs


class Words(nn.Module):
    """Logits of four classes: how well an image fits their written names, and its brightness above all writing."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.reads = reads
        blank = np.zeros((SIZE, SIZE, 3), np.uint8)
        templates = [written(blank, IMAGENET_CLASSNAMES[index])[..., 0] / 255 for index in INDICES]
        self.templates = torch.tensor(np.stack([x / np.linalg.norm(x) for x in templates]), dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.full((len(x), 1000), -1e4)
        brightness = x[:, :, : SIZE // 3].mean((1, 2, 3))
        white = (x[:, 0] > 0.9).float()
        fit = torch.einsum("nhw,khw->nk", white, self.templates) * (1000 if self.reads else 0)
        for number, index in enumerate(INDICES):
            logits[:, index] = -400 * (brightness - (60 + 40 * number) / 255).square() + fit[:, number]
        return logits


def models(reads: bool) -> Models:
    classifier = Encoder.wrap(Words(reads), name="words", size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Models(classifier, classifier)


@pytest.mark.parametrize("reads", [True, False])
def test_names_mislead_what_reads_them(tmp_path: Path, reads: bool) -> None:
    folder = save_photographs(tmp_path / "val", 4).parent
    result = measure("typographic", models(reads), folder)
    table = result.measured.set_index(["measure", "condition"])["estimate"]
    assert table["called by the word", NAMED] == float(reads)
    assert table["accuracy", OWN] == 1
    assert table["accuracy", PLAIN] == 1
    assert table["accuracy change", NAMED] == -float(reads)
    if not reads:
        assert table["accuracy change", SHUFFLED] == 0


def test_one_class_has_no_other_name(tmp_path: Path) -> None:
    folder = save_photographs(tmp_path / "val", 2, classes=WORDNET[:1]).parent
    with pytest.raises(InputError, match="one class only"):
        measure("typographic", models(True), folder)
