"""Acquisition traces and confounders: what a network reads is told, what it does not is not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.known import Measurement, measure
from chinspect.known.confounder import check_centres

SIZE = 32


class Texture(nn.Module):
    """How rough an image is, and noise of the image's own that is no function of its processing."""

    def __init__(self, roughness: float) -> None:
        super().__init__()
        self.roughness = roughness

    def forward(self, x: Tensor) -> Tensor:
        rough = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
        own = x.mean((2, 3))
        return torch.cat([self.roughness * rough[:, None], own], 1)


def encoder(roughness: float) -> Encoder:
    return Encoder.wrap(Texture(roughness), name="texture", size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("traces")
    rng = np.random.default_rng(0)
    for label in ("one", "two"):
        for centre in ("a", "b"):
            (root / label / centre).mkdir(parents=True)
            for index in range(16):
                pixels = rng.normal(rng.uniform(60, 190, 3), 12, (SIZE, SIZE, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(root / label / centre / f"{index}.png")
    return root


def rows(measurement: Measurement, measure: str) -> dict[str, float]:
    return measurement.rows(measure)["estimate"].to_dict()


def test_a_network_that_reads_roughness_reads_the_processing(folder: Path) -> None:
    measurement = measure("acquisition-traces", encoder(50.0), folder)
    for family in ("sharpening", "rescaling"):
        readable = rows(measurement, f"{family}: readable")
        assert readable["embedding"] > 0.6
        assert readable["permuted"] < 0.5
        assert readable["majority"] == pytest.approx(1 / 3)
        alike = rows(measurement, f"{family}: neighbours alike")
        assert alike["embedding"] > 0.7
        assert alike["unprocessed"] == pytest.approx(1 / 3, abs=0.12)
        assert rows(measurement, f"{family}: robustness index")["embedding"] < 0.35
    assert measurement.sentence.startswith("texture, acquisition-traces: jpeg: readable")


def test_a_network_that_reads_colours_does_not(folder: Path) -> None:
    measurement = measure("acquisition-traces", encoder(0.0), folder)
    sharpening = rows(measurement, "sharpening: readable")
    assert abs(sharpening["embedding"] - 1 / 3) < 0.2
    index = measurement.rows("sharpening: robustness index").loc["embedding"]
    assert index["low"] < 0.5 < index["high"] + 0.1


def test_images_without_folders_have_no_robustness_index(folder: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(folder.rglob("*.png"))[:32]):
        (tmp_path / f"{number}.png").write_bytes(path.read_bytes())
    measurement = measure("acquisition-traces", encoder(50.0), tmp_path, images=31)
    assert measurement.images == 31
    assert "in no folders of classes" in measurement.sentence
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").unlink()
    with pytest.raises(InputError, match=r"30 images or more, and .* has 29"):
        measure("acquisition-traces", encoder(50.0), tmp_path)


def test_the_robustness_index_of_folders(folder: Path, tmp_path: Path) -> None:
    measurement = measure("robustness-index", encoder(0.0), folder)
    assert measurement.images == 64
    assert measurement.lead == "robustness index"
    assert "+0.861 (Virchow2)" in measurement.sentence
    (tmp_path / "one").mkdir()
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "one" / "x.png")
    with pytest.raises(InputError, match="does not lie in CLASS/CENTRE/"):
        check_centres(tmp_path)
    with pytest.raises(InputError, match="do not exist"):
        check_centres(tmp_path / "nowhere")
