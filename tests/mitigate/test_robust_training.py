"""An entire network that is right for every group, and an interrupted training that ends where it would have ended."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

from chinspect.encoders import Encoder, Prune, edited, load_encoder
from chinspect.errors import InputError
from chinspect.groups import Groups, class_groups, true_groups
from chinspect.images import list_images, open_image
from chinspect.mitigate import RobustTraining, Schedule, save_encoder, train_robust
from chinspect.mitigate.finetuning import Training, fine_tune
from chinspect.mitigate.losses import WorstGroups
from chinspect.mitigate.robust_plan import Classifying
from chinspect.readouts import LinearHead
from tests.mitigate._planted import CHANNEL, LAYER, SIZE, as_encoder, labels, marked, pictures, planted

SCHEDULE = Schedule(epochs=5, learning_rate=3e-3, batch_size=32)


def drawn(n: int, agreement: float, seed: int) -> tuple[list[Image.Image], Groups]:
    """Images whose tint tells the class in five of six; the groups tell which are marked, as warm ones mostly are."""
    classes = labels(n)
    rng = np.random.default_rng(seed)
    shown = [(rng.random() < agreement) == (label == "warm") for label in classes]
    plain = []
    for label in classes:
        tint = rng.normal(8 if label == "warm" else -8, 8) * np.array([1, 0, -1])
        pixels = rng.normal(110, 25, (SIZE, SIZE, 1)) + tint
        plain.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    images = [image if not mark else marked([image])[0] for image, mark in zip(plain, shown, strict=True)]
    return images, true_groups(classes, ["marked" if mark else "plain" for mark in shown])


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return planted()


@pytest.fixture(scope="module")
def train() -> tuple[list[Image.Image], Groups]:
    return drawn(400, 0.93, 1)


@pytest.fixture(scope="module")
def trained(encoder: Encoder, train: tuple[list[Image.Image], Groups]) -> dict[str, RobustTraining]:
    images, groups = train
    plain = class_groups(groups.labels)
    return {
        "erm": train_robust(encoder, images, plain, method="erm", schedule=SCHEDULE),
        "groupdro": train_robust(encoder, images, groups, schedule=SCHEDULE),
        "jtt": train_robust(encoder, images, groups, method="jtt", factor=20, schedule=SCHEDULE),
    }


def worst(result: RobustTraining, images: list[Image.Image], groups: Groups) -> float:
    right = result.head.predict(result.encoder.embed(images).numpy()) == groups.labels
    return min(float(right[groups.ids == group].mean()) for group in range(len(groups.names)))


def test_a_mark_that_goes_with_the_class_no_longer_decides(trained: dict[str, RobustTraining]) -> None:
    test = drawn(240, 0.5, 2)
    scores = {name: worst(result, *test) for name, result in trained.items()}
    assert scores["groupdro"] > scores["erm"] + 0.2, scores
    assert scores["jtt"] > scores["erm"] + 0.2, scores


def test_what_is_said_of_a_training(trained: dict[str, RobustTraining], encoder: Encoder) -> None:
    dro, twice, plain = (trained[name] for name in ("groupdro", "jtt", "erm"))
    assert plain.selected["by"] == "worst class"
    assert dro.selected["by"] == "worst group from attributes"
    assert dro.selected["n"] == 100
    best = (dro.history["worst"] + 1e-6 * dro.history["mean"])[1:]
    assert dro.selected["epoch"] == best.index[int(best.argmax())]
    assert dro.history["epoch"].tolist() == list(range(6))
    assert sum(dro.group_weights.values()) == pytest.approx(1, rel=1e-5)
    assert set(dro.group_weights) == {
        f"{name}, attribute {mark}" for name in ("cold", "warm") for mark in ("marked", "plain")
    }
    assert 0 < twice.errors["wrong"] < twice.errors["images"] == 300
    wrong = twice.errors["wrong"]
    assert twice.errors["drawn"] == pytest.approx(20 * wrong / (20 * wrong + 300 - wrong))
    assert f"got {wrong} of 300 images wrong" in twice.sentence
    assert "held-out images" in dro.sentence
    assert json.loads(json.dumps(dro.document()))["selected"] == dro.selected
    assert dro.encoder.base is encoder
    assert dro.head.encoder == dro.encoder.fingerprint != encoder.fingerprint


@pytest.mark.parametrize("method", ["groupdro", "jtt"])
def test_an_interrupted_training_ends_with_the_same_weights(
    trained: dict[str, RobustTraining],
    encoder: Encoder,
    train: tuple[list[Image.Image], Groups],
    tmp_path: Path,
    method: str,
) -> None:
    def interrupt(done: int, total: int) -> None:
        if (done, total) == (3, 5):
            raise KeyboardInterrupt

    images, groups = train
    options = {"method": method, "factor": 20, "schedule": SCHEDULE, "checkpoints": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        train_robust(encoder, images, groups, progress=interrupt, **options)  # type: ignore[arg-type]
    calls: list[tuple[int, int]] = []
    resumed = train_robust(encoder, images, groups, progress=lambda *call: calls.append(call), **options)  # type: ignore[arg-type]
    assert calls == [(4, 5), (5, 5)]
    straight = trained[method]
    assert resumed.encoder.fingerprint == straight.encoder.fingerprint
    assert np.array_equal(resumed.head.coefficients, straight.head.coefficients)
    assert resumed.history.equals(straight.history)
    assert resumed.group_weights == straight.group_weights
    for path in tmp_path.iterdir():
        with safe_open(str(path), "pt") as file:  # nothing that is unpickled
            assert json.loads(file.metadata()["rows"])
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="remove it to train from the start"):
        train_robust(encoder, images, groups, **options)  # type: ignore[arg-type]


def test_group_dro_by_hand() -> None:
    """Two batches against the formulae in double precision; the third group is in the second batch only."""
    torch.manual_seed(0)
    encoder = as_encoder(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)))
    images = pictures(8)
    targets, ids, sizes = (
        torch.tensor([0, 1, 2] * 2 + [0, 1]),
        torch.tensor([0, 0, 1, 1, 0, 2, 2, 1]),
        torch.tensor([9, 4, 1]),
    )
    module = Classifying(encoder.module, torch.zeros(4), torch.ones(4), 3, 3)
    nn.init.normal_(module.head.weight)
    loss = WorstGroups(encoder, images, targets, ids, sizes, 0.5, 2.0)
    q = np.full(3, 1 / 3)
    for batch in ([0, 1, 2, 3, 4], [5, 6, 7]):
        value = loss(module, batch, np.random.default_rng(0))
        logits = module(encoder.prepare(*[images[i] for i in batch])).detach().double().numpy()
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        expected = 0.0
        means = {}
        for group in range(3):
            own = [-logs[row, targets[i]] for row, i in enumerate(batch) if ids[i] == group]
            if own:
                means[group] = np.mean(own)
                q[group] *= np.exp(0.5 * (means[group] + 2.0 / np.sqrt(float(sizes[group]))))
        q /= q.sum()
        expected = sum(q[group] * mean for group, mean in means.items())
        assert value.item() == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(module.group_weights.numpy(), q, rtol=1e-5)


def test_images_are_drawn_as_often_as_they_count(encoder: Encoder) -> None:
    """With 3 to 1 for half of 400 images, 75 % of the draws are of it; the bounds are 5 standard errors."""
    seen: list[int] = []

    def loss(module: nn.Module, indices: object, _rng: object) -> torch.Tensor:
        seen.extend(indices)  # type: ignore[call-overload]
        return next(module.parameters()).sum() * 0

    training = Training(loss, 400, lambda _: {}, draws=np.repeat([3.0, 1.0], 200))
    fine_tune(encoder, training, Schedule(epochs=5))
    assert len(seen) == 2_000
    assert np.mean(np.array(seen) < 200) == pytest.approx(0.75, abs=5 * np.sqrt(0.75 * 0.25 / 2_000))


def test_the_weights_are_those_of_the_best_epoch(encoder: Encoder) -> None:
    def loss(module: nn.Module, _indices: object, _rng: object) -> torch.Tensor:
        return next(module.parameters()).square().sum()

    scores = iter([9.0, 0.1, 0.5, 0.5, 0.2])  # before the first epoch nothing is trained
    training = Training(loss, 8, lambda _: {"score": next(scores)}, select=("score",))
    selected, rows = fine_tune(encoder, training, Schedule(epochs=4))
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    two, _ = fine_tune(encoder, replace(training, measure=lambda _: {}, select=()), Schedule(epochs=2))
    assert all(torch.equal(selected[key], two[key]) for key in two)


def test_a_first_training_that_gets_nothing_wrong(encoder: Encoder) -> None:
    colours = [Image.new("RGB", (32, 32), colour) for colour in ((250, 40, 40), (40, 40, 250))] * 8
    groups = class_groups(["red", "blue"] * 8)
    thorough = Schedule(epochs=20, learning_rate=3e-3)
    with pytest.raises(InputError, match=r"gets no image wrong.*let it learn less"):
        train_robust(encoder, colours, groups, method="jtt", first=thorough, schedule=SCHEDULE)
    with pytest.raises(InputError, match=r"gets 6 of 12 images wrong.*let it learn more"):
        train_robust(encoder, colours[:1] * 16, groups, method="jtt", schedule=SCHEDULE)


def test_real_photographs(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    root = real_data("tiny_imagenet20") / "train"
    names = ["n01443537", "n02123045"]  # goldfish and tabby cats
    paths = [path for name in names for path in list_images(root / name)[:24]]
    tiny = load_encoder("tiny-supervised")
    classes = class_groups([path.parent.name for path in paths])
    schedule = Schedule(epochs=3, batch_size=8)
    result = train_robust(tiny, [open_image(path) for path in paths], classes, method="erm", schedule=schedule)
    assert result.history["loss"][3] < result.history["loss"][1] < np.log(2)
    save_encoder(result.encoder, tmp_path / "tuned")
    head = LinearHead.load(result.head.save(tmp_path / "head.safetensors"))
    pictures = [open_image(path) for path in paths[::8]]
    loaded = load_encoder(str(tmp_path / "tuned"))
    assert head.classes == names
    assert torch.equal(head.classifier(loaded).embed(pictures), result.head.classifier(result.encoder).embed(pictures))


def test_what_cannot_be_trained(encoder: Encoder, train: tuple[list[Image.Image], Groups]) -> None:
    images, groups = train
    with pytest.raises(InputError, match="by erm, jtt, groupdro, not by 'dfr'"):
        train_robust(encoder, images, groups, method="dfr")
    with pytest.raises(InputError, match="not 400 for 3"):
        train_robust(encoder, images[:3], groups)
    with pytest.raises(InputError, match="train its base"):
        train_robust(edited(encoder, Prune(LAYER, (CHANNEL,))), images, groups)
    with pytest.raises(InputError, match="two images of each"):
        train_robust(encoder, images[:3], class_groups(["a", "a", "b"]))
    with pytest.raises(InputError, match="factor is 1 or more"):
        train_robust(encoder, images, groups, method="jtt", factor=0.5)
