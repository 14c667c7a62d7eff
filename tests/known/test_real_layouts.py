"""Effects whose data are not here: small folders of the layouts that their owners publish, with planted truths."""

import json
import struct
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.encoders import Encoder, TextEncoder, load_text_encoder
from chinspect.encoders.texts import text_encoder
from chinspect.errors import InputError
from chinspect.known import EFFECTS, Models, list_effects, measure
from chinspect.known.groups import load_counter_animal
from chinspect.known.records import load_records
from chinspect.known.scam import read_scam
from chinspect.known.spurious import load_spurious

SIZE = 32
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}
PREPARED = {"size": SIZE, "mean": (0.0,) * 3, "std": (1.0,) * 3}


class Colour(nn.Module):
    """The mean colour of the upper half, and with a weight that of the lower one, where notes hang."""

    def __init__(self, note: float) -> None:
        super().__init__()
        self.note = note

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : SIZE // 2].mean((2, 3)) + self.note * x[:, :, SIZE // 2 :].mean((2, 3))


def words(texts: list[str]) -> Tensor:
    """Texts as colours, by the colour that they name."""
    names = [next((name for name in COLOURS if name in text), "green") for text in texts]
    return torch.tensor([COLOURS[name] for name in names]).float() / 255


def reader(note: float) -> Models:
    encoder = Encoder.wrap(Colour(note), name="colour", **PREPARED)
    return Models(encoder, texts=TextEncoder("colour", nn.Identity(), words))


def picture(upper: str, lower: str = "") -> Image.Image:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[: SIZE // 2] = COLOURS[upper]
    pixels[SIZE // 2 :] = COLOURS[lower] if lower else 255
    return Image.fromarray(pixels)


def saved(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def estimate(measurement: object, name: str, condition: str) -> float:
    return float(measurement.rows(name).loc[condition, "estimate"])  # type: ignore[attr-defined]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def scam(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    rows = []
    for kind in ("SCAM", "NoSCAM", "SynthSCAM"):
        for number in range(12):
            name, word = (list(COLOURS)[(number + step) % 3] for step in (0, 1))
            image = picture(name, "" if kind == "NoSCAM" else word)
            saved(tmp_path / "images" / kind / f"{number}.png", image)
            row = {"file_name": f"{kind}/{number}.png", "type": kind, "object_label": name, "attack_word": word}
            rows.append(row | {"postit_area_pct": 1.5, "id": f"{kind}_img_{number:04d}"})
    lines = [json.dumps(row) for row in rows]
    if request.param == "csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    target = tmp_path / "images" / f"metadata.{request.param}"
    if request.param == "parquet":
        pd.DataFrame(rows).to_parquet(target)
    else:
        target.write_text("\n".join(lines) + "\n")
    return tmp_path


def test_scam_tells_who_reads_from_who_sees(scam: Path) -> None:
    read = measure("scam", reader(2.0), scam)
    assert estimate(read, "accuracy", "NoSCAM") == 1
    assert estimate(read, "accuracy change", "SCAM") == -1
    assert estimate(read, "accuracy change", "another word") > -0.9
    assert " (CLIP RN50), -0.59 (CLIP ViT-L/14)" in read.sentence
    sees = measure("scam", reader(0.0), scam, images=6)
    assert sees.images == 18
    assert (sees.rows("accuracy change")["estimate"] == 0).all()
    assert read.figure() is not None


def test_other_tables_are_no_scam(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no metadata"):
        read_scam(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,type\na.png,SCAM\n")
    with pytest.raises(InputError, match="needs the columns"):
        read_scam(tmp_path)
    with pytest.raises(InputError, match="compares images with names, and 'colour' cannot: an encoder was passed"):
        measure("scam", reader(0).encoder, scam_of(tmp_path / "one"))


def scam_of(folder: Path) -> Path:
    lines = ["file_name,type,object_label,attack_word,id"]
    for kind in ("SCAM", "NoSCAM"):
        saved(folder / f"{kind}.png", picture("red"))
        lines.append(f"{kind}.png,{kind},red,blue,{kind}_img_1")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


class Head(nn.Module):
    """Logits of 1000 classes: 291 by red above, 292 by blue above, and 291 by green below, which is its background."""

    def __init__(self, background: float) -> None:
        super().__init__()
        self.background = background

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.full((len(x), 1000), -9.0)
        upper = x[:, :, : SIZE // 2].mean((2, 3))
        logits[:, 291] = upper[:, 0] + self.background * (x[:, 1, SIZE // 2 :].mean((1, 2)) - 0.5)
        logits[:, 292] = upper[:, 2]
        return logits


def classifier(background: float) -> Models:
    encoder = Encoder.wrap(Colour(0.0), name="colour", **PREPARED)
    return Models(encoder, Encoder.wrap(Head(background), name="head", **PREPARED))


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    for number in range(20):
        for folder, lower in (("common-grass", "green"), ("counter-water", "blue")):
            saved(tmp_path / "LAION-final" / "291 lion" / folder / f"{number}.png", picture("red", lower))
        for folder in ("common-sky", "counter-earth"):
            saved(tmp_path / "LAION-final" / "292 tiger" / folder / f"{number}.png", picture("blue", "blue"))
    return tmp_path


def test_counter_animal(animals: Path, tmp_path: Path) -> None:
    relies = measure("counter-animal", classifier(3.0), animals)
    assert estimate(relies, "accuracy change", "counter") == -0.5
    assert abs(estimate(relies, "accuracy change", "permuted groups")) < 0.3
    fair = measure("counter-animal", classifier(0.0), animals)
    assert estimate(fair, "accuracy change", "counter") == 0
    with pytest.raises(InputError, match="291 lion/common-grass"):
        load_counter_animal(animals / "LAION-final" / "291 lion")
    with pytest.raises(InputError, match="'colour' cannot"):
        measure("counter-animal", classifier(0).encoder, animals)


def test_spurious_imagenet(tmp_path: Path) -> None:
    for number in range(6):
        saved(tmp_path / "images" / "spurious_class_291_component_4" / f"{number}.png", picture("green", "green"))
        saved(tmp_path / "images" / "spurious_class_292_component_0" / f"{number}.png", picture("red", "blue"))
        saved(tmp_path / "val" / "n02129165" / f"{number}.png", picture("red", "blue"))
        saved(tmp_path / "val" / "n02129604" / f"{number}.png", picture("blue", "blue"))
    spurious, real = load_spurious(tmp_path)
    assert sorted({*spurious.classes.tolist()}) == sorted({*real.classes.tolist()}) == [291, 292]
    relies = measure("spurious-imagenet", classifier(5.0), tmp_path)
    fair = measure("spurious-imagenet", classifier(0.0), tmp_path)
    assert estimate(relies, "mean AUC", "spurious images") < estimate(fair, "mean AUC", "spurious images") == 1
    assert "0.851 (ResNet-50)" in fair.sentence
    (tmp_path / "images" / "other").mkdir()
    saved(tmp_path / "images" / "other" / "x.png", picture("red"))
    with pytest.raises(InputError, match="'other' does not name a class"):
        load_spurious(tmp_path)
    with pytest.raises(InputError, match="needs 'images'"):
        load_spurious(tmp_path / "val")


def field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that comes with its length."""
    length = len(content)
    digits = bytearray()
    while length > 127:
        digits.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *digits, length]) + content


def record(image: bytes, label: int) -> bytes:
    """What tfds writes of one image: ``tf.train.Example`` between its length and checksums."""
    values = {
        b"file_name": field(1, field(1, b"ILSVRC2012_val_00000001.JPEG")),
        b"image": field(1, field(1, image)),
        b"label": field(3, field(1, bytes([label & 127 | 128, label >> 7]))),
    }
    features = b"".join(field(1, field(1, key) + field(2, value)) for key, value in values.items())
    example = field(1, features)
    return struct.pack("<Q", len(example)) + b"\0" * 4 + example + b"\0" * 4


@pytest.fixture
def records(tmp_path: Path) -> Path:
    (tmp_path / "plain").mkdir()
    for folder, lower in ((tmp_path, "green"), (tmp_path / "plain", "red")):
        content = b""
        for number in range(10):
            path = saved(tmp_path / "x.jpg", picture("blue" if number % 2 else "red", lower))
            content += record(path.read_bytes(), 292 if number % 2 else 291)
        path.unlink()
        (folder / "imagenet2012-validation.tfrecord-00000-of-00064").write_bytes(content)
    return tmp_path


def test_imagenet_atr(records: Path) -> None:
    images = load_records(records)
    assert images.classes.tolist() == [291, 292] * 5
    assert images[1].size == (SIZE, SIZE)
    reads = measure("imagenet-atr", classifier(3.0), records)
    assert estimate(reads, "accuracy", "plain") == 0.5
    assert estimate(measure("imagenet-atr", classifier(1.0), records), "accuracy", "plain") == 1
    (records / "plain" / "imagenet2012-validation.tfrecord-00000-of-00064").unlink()
    (records / "plain").rmdir()
    assert "No accuracy change" in measure("imagenet-atr", classifier(0.0), records).sentence


def test_damaged_records_are_refused(records: Path, tmp_path: Path) -> None:
    path = records / "imagenet2012-validation.tfrecord-00000-of-00064"
    content = path.read_bytes()
    for damaged, words in (
        (content[:-3], "is damaged"),
        (content[:7], "is damaged"),
        (b"\xff" * 40, "is damaged"),
        (struct.pack("<Q", 5) + b"\0" * 4 + b"\x0a\x03abc" + b"\0" * 4, "no image with a label"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=words):
            load_records(records)
    path.unlink()
    with pytest.raises(InputError, match="holds no TFRecords"):
        load_records(records)


def test_trucks_and_radiographs(tmp_path: Path) -> None:
    for number in range(12):
        for key, name in (("n03796401", "red"), ("n03977966", "blue"), ("n01443537", "green")):
            saved(tmp_path / "trucks" / key / f"{number}.png", picture(name, "green"))
        saved(tmp_path / "xray" / "github_covid19" / f"{number}patient.png", picture("red", "green"))
        saved(tmp_path / "xray" / "nih_no_findings" / f"{number}_{number:08d}_001.png", picture("blue", "green"))
    trucks = measure("trucks-logo", reader(0.0).encoder, tmp_path / "trucks")
    assert trucks.images == 8
    assert (trucks.rows("accuracy")["estimate"] == 1).all()
    assert "minivan" in trucks.sentence
    covid = measure("covid-xray", reader(0.0).encoder, tmp_path / "xray")
    assert covid.lead == "false positive rate"
    assert estimate(covid, "balanced accuracy", "all") == 1
    assert "false positive rate not known (github); the control is +0 [+0, " in covid.sentence
    assert "all its images are positive" in covid.sentence
    covid.show()
    with pytest.raises(InputError, match="holds no two of ImageNet's trucks"):
        measure("trucks-logo", reader(0.0).encoder, tmp_path / "xray")


def test_every_effect_refuses_an_empty_folder_and_says_what_it_needs(tmp_path: Path) -> None:
    rows = list_effects(tmp_path).effects
    assert (rows["here"] != "can be measured").all()
    assert rows["needs"].str.len().min() > 20
    for name in EFFECTS:
        with pytest.raises(InputError):
            measure(name, "no-such-model", tmp_path)


def test_a_text_tower_of_open_clip(tmp_path: Path) -> None:
    vision = {"image_size": SIZE, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    (tmp_path / "chinspect-test.json").write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    model = open_clip.create_model("chinspect-test", load_weights=False).eval()
    tower = text_encoder("test", "chinspect-test", model.state_dict(), "weights")
    tokens = open_clip.get_tokenizer("chinspect-test")(["a cat", "a dog"])
    with torch.no_grad():
        expected = nn.functional.normalize(model.encode_text(tokens), dim=1)
    torch.testing.assert_close(tower.embed(["a cat", "a dog"]), expected)
    classes = tower.classes(["cat", "dog"], ["a {}", "the {}"])
    mean = nn.functional.normalize((tower.embed(["a cat"]) + tower.embed(["the cat"])) / 2, dim=1)
    torch.testing.assert_close(classes[:1], mean)
    assert tower.scale == pytest.approx(float(model.logit_scale.detach().exp()))
    with pytest.raises(InputError, match="do not fit"):
        text_encoder("test", "chinspect-test", {}, "weights")
    with pytest.raises(InputError, match="'efficientnet-lite0' has no text tower"):
        load_text_encoder("efficientnet-lite0")
