"""What is unlearnt is gone, everything else stays, and an interrupted run ends where it would have ended."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.artefacts.ready import border
from chinspect.encoders import Encoder, load_encoder
from chinspect.encoders.edits import EditedEncoder, Prune, Retrain, edited
from chinspect.errors import InputError
from chinspect.mitigate import Schedule, compare_mitigations, output_relevance, save_encoder, train_unlearning
from chinspect.mitigate.losses import Added, Align, Clarc, Unhans, added, parameters_before
from chinspect.proof import random_patch
from chinspect.readouts import Task, linear_readout
from tests.mitigate._planted import MARK, as_encoder, labels, marked, pictures, planted, task

QUICK = Schedule(epochs=4, learning_rate=3e-3, batch_size=20)
SLOW = Schedule(epochs=8, learning_rate=1e-3, batch_size=20)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return planted()


@pytest.fixture(scope="module")
def classes() -> Task:
    """The planted task with places among logits as labels: cold 0, warm 1."""
    data = task()
    numbers = [[int(label == "warm") for label in some] for some in (data.train_labels, data.test_labels)]
    return replace(data, train_labels=numbers[0], test_labels=numbers[1])


@pytest.fixture(scope="module")
def classifier(encoder: Encoder, classes: Task) -> Encoder:
    """The planted encoder with a readout as its last layer, which has learnt that the mark means warm."""
    readout = linear_readout(C=100.0).fit(encoder.embed(classes.train).numpy(), classes.train_labels)
    head = nn.Linear(readout.coef_.shape[1], 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.concatenate([-readout.coef_, readout.coef_])))
    return as_encoder(nn.Sequential(*encoder.module.children(), head))


def state(encoder: Encoder) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in encoder.module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_an_encoder_loses_the_mark_and_keeps_the_task(encoder: Encoder) -> None:
    before = state(encoder)
    data = replace(task(), readouts={kind: linear_readout(kind, C=100.0) for kind in ("logistic", "svm")})
    result = train_unlearning(encoder, MARK, data, schedule=replace(QUICK, epochs=8))
    assert same(before, state(encoder))
    assert result.encoder.base is encoder
    first, last = result.history.iloc[0], result.history.iloc[-1]
    assert result.history["epoch"].tolist() == list(range(9))
    assert last["similarity_shift"] < 0.3 * first["similarity_shift"]
    table = compare_mitigations({"none": encoder, "unlearnt": result.encoder}, data, data.pairs(8))
    after = table[table["mitigation"] == "unlearnt"]
    assert (after["recovered"] > 0.6).all(), table  # of both readouts
    assert (after["cost"] < 0.05).all(), table


def test_a_random_patch_changes_as_much_as_the_mark() -> None:
    some = [np.asarray(picture) for picture in pictures(20)]
    patch = random_patch(MARK, some, seed=1)
    changes = [
        np.mean([artefact.add(image).astype(float) - image for image in some], axis=0) for artefact in (MARK, patch)
    ]
    sizes = [np.linalg.norm(change) for change in changes]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)
    assert abs((changes[0] * changes[1]).sum()) < 0.9 * sizes[0] * sizes[1]


def test_training_on_both_copies_makes_the_two_by_two_table(classifier: Encoder, classes: Task) -> None:
    runs = {name: train_unlearning(classifier, mark, classes, method="unhans", schedule=SLOW) for name, mark in
            (("A", None), ("B", MARK))}  # fmt: skip
    plain, unhansed = (runs[name].history.iloc[-1] for name in ("A", "B"))
    start = runs["A"].history.iloc[0]
    assert (start["target"], plain["target"]) == (1, 1)
    assert start["shifted"] < 0.65 < start["original"]
    assert plain["shifted"] < unhansed["shifted"] - 0.2
    assert unhansed["relevance_share"] < 0.7 * plain["relevance_share"]


def test_clarc_trains_behind_its_layer_only(classifier: Encoder, classes: Task) -> None:
    result = train_unlearning(classifier, MARK, classes, method="clarc", layer="1", schedule=SLOW)
    after, before = state(result.encoder), state(classifier)
    assert [key for key in after if not torch.equal(after[key], before[key])] == ["2.weight", "2.bias", "6.weight"]
    assert result.history["shifted"].iloc[-1] > result.history["shifted"].iloc[0] + 0.2


def test_clarc_takes_images_to_the_level_of_the_mark_and_no_further(classifier: Encoder) -> None:
    some = pictures(12, seed=5)
    change = added(classifier, "1", some, MARK)
    inputs = [torch.cat([classifier.prepare(picture) for picture in images]) for images in (marked(some), some)]
    after, before = (classifier.module[:2](x).flatten(1) for x in inputs)  # type: ignore[index]
    vector = (after.mean(0) - before.mean(0)) / (after.mean(0) - before.mean(0)).norm()
    moved = change(before.view(12, 8, 16, 16)).flatten(1)
    torch.testing.assert_close(moved @ vector, (after.mean(0) @ vector).expand(12))
    rests = (values - torch.outer(values @ vector, vector) for values in (moved, before))
    torch.testing.assert_close(*rests, atol=1e-5, rtol=0)


def test_the_direction_of_a_layer_is_that_of_its_own_output() -> None:
    """What comes behind may write over it."""
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    encoder, some = as_encoder(nn.Sequential(*layers)), pictures(70, seed=3)
    change = added(encoder, "1", some, MARK)
    module = encoder.module
    inputs = [torch.cat([encoder.prepare(picture) for picture in images]) for images in (marked(some[:64]), some[:64])]
    after, before = (module[:2](x).mean(0) for x in inputs)  # type: ignore[index]
    direction = (after - before) / (after - before).norm()
    torch.testing.assert_close(change.direction, direction, atol=1e-5, rtol=0)
    assert change.level == pytest.approx(float((direction * after).sum()), rel=1e-4)


def test_the_losses_are_what_they_say(classifier: Encoder, encoder: Encoder, classes: Task) -> None:
    indices = [3, 4, 9]
    labels_of = torch.tensor(classes.train_labels)
    expected = -sum(
        torch.log_softmax(classifier.embed(marked([classes.train[i]]))[0], 0)[labels_of[i]] for i in indices
    ) / len(indices)
    value = Unhans(classifier, MARK, classes.train, labels_of)(classifier.module, indices, RNG)
    torch.testing.assert_close(value, expected)
    nothing = Added(torch.zeros(8, 16, 16), 0.0)
    plain = Unhans(classifier, None, classes.train, labels_of)(classifier.module, indices, RNG)
    through = Clarc(Unhans(classifier, None, classes.train, labels_of), "1", nothing)(classifier.module, indices, RNG)
    torch.testing.assert_close(through, plain)
    align = Align(encoder, border(0.1), classes.train)  # it has no other place, so that only its tint is random
    untouched = [Image.fromarray(border(0.1).remove(np.asarray(picture))) for picture in classes.train]
    targets = encoder.embed(untouched)
    torch.testing.assert_close(align.targets, targets)
    zero = Align(encoder, replace(border(0.1), rgb=np.zeros_like(border(0.1).rgb)), classes.train)
    pasted = [Image.fromarray(zero.artefact.add(np.asarray(classes.train[i]))) for i in indices]
    errors = [encoder.embed(some) - targets[indices] for some in (pasted, [classes.train[i] for i in indices])]
    mean = sum(float(error.square().sum()) for error in errors) / 6 / float(targets.var(0, correction=0).sum())
    assert float(zero(encoder.module, indices, RNG)) == pytest.approx(mean, rel=1e-5)


def test_parameters_before_a_layer() -> None:
    tiny = load_encoder("tiny-clip")
    names = parameters_before(tiny, "stages.1")
    expected = [name for name, _ in tiny.module.named_parameters() if name.startswith(("stem", "stages.0", "stages.1"))]
    assert names == expected
    assert not any(parameter.requires_grad for parameter in tiny.module.parameters())


def test_an_interrupted_run_ends_with_the_same_weights(encoder: Encoder, tmp_path: Path) -> None:
    data = task(20)
    schedule = replace(QUICK, epochs=3)

    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_unlearning(encoder, MARK, data, schedule=schedule, checkpoints=tmp_path, progress=interrupt)
    seen: list[int] = []
    options: dict[str, Any] = {"schedule": schedule, "checkpoints": tmp_path}
    resumed = train_unlearning(encoder, MARK, data, progress=lambda done, _total: seen.append(done), **options)
    assert seen == [3]
    straight = train_unlearning(encoder, MARK, data, schedule=schedule)
    assert same(state(resumed.encoder), state(straight.encoder))
    assert resumed.history.equals(straight.history)
    seen.clear()
    options["schedule"] = replace(schedule, seed=1)
    train_unlearning(encoder, MARK, data, progress=lambda done, _total: seen.append(done), **options)
    assert seen == [1, 2, 3]
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        train_unlearning(encoder, MARK, data, **options)


def test_an_unlearnt_encoder_is_a_folder_and_can_be_edited(tmp_path: Path) -> None:
    tiny = load_encoder("tiny-clip")
    changed = edited(tiny, Retrain({key: value * 1.1 if value.is_floating_point() else value
                                    for key, value in tiny.module.state_dict().items()}))  # fmt: skip
    further = edited(changed, Prune("stem.2", (3,)))
    assert isinstance(further, EditedEncoder)
    loaded = load_encoder(str(save_encoder(further, tmp_path / "both")))
    some = pictures(3)
    assert torch.equal(loaded.embed(some), further.embed(some))
    assert not torch.equal(loaded.embed(some), edited(tiny, Prune("stem.2", (3,))).embed(some))
    assert "mitigated at all layers, stem.2" in loaded.card.title
    assert isinstance(loaded, EditedEncoder)
    assert torch.equal(loaded.base.embed(some), tiny.embed(some))


def test_relevance_for_an_output_has_its_sign(classifier: Encoder, classes: Task) -> None:
    cold, warm = (output_relevance(classifier, output, classes.pairs(6)) for output in (0, 1))
    assert warm > 0.05
    assert cold == pytest.approx(-warm, rel=1e-3)  # the two logits are each other's negative


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (lambda c: {"method": "forget"}, "align, unhans or clarc"),
        (lambda c: {"method": "clarc"}, "needs the layer"),
        (lambda c: {"method": "unhans", "layer": "1"}, "take none"),
        (lambda c: {"artefact": None}, "needs the artefact"),
        (lambda c: {"artefact": replace(MARK, alpha=np.zeros_like(MARK.alpha))}, "can be seen"),
        (lambda c: {"task": replace(c, test={"original": c.test["original"]})}, "shifted"),
        (lambda c: {"method": "unhans", "task": replace(c, train_labels=labels(120))}, "0 to 1"),
        (lambda c: {"method": "unhans", "task": replace(c, test_labels=[2] * 60)}, "0 to 1"),
        (lambda c: {"schedule": replace(QUICK, learning_rate=1e30)}, "smaller learning rate"),
    ],
)
def test_what_cannot_be_unlearnt(
    classifier: Encoder, classes: Task, options: Callable[[Task], dict[str, Any]], words: str
) -> None:
    asked: dict[str, Any] = {"artefact": MARK, "task": classes, "schedule": replace(QUICK, epochs=1)} | options(classes)
    with pytest.raises(InputError, match=words):
        train_unlearning(classifier, asked.pop("artefact"), asked.pop("task"), **asked)


def test_edited_encoders_and_odd_schedules_are_refused(encoder: Encoder) -> None:
    with pytest.raises(InputError, match="its base"):
        train_unlearning(edited(encoder, Prune("1", (0,))), MARK, task(10))
    with pytest.raises(InputError, match="a Task"):
        train_unlearning(encoder, "logo", "folder")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="epochs must be at least 1"):
        Schedule(epochs=0)
    with pytest.raises(InputError, match="positive number"):
        Schedule(learning_rate=float("nan"))
    with pytest.raises(InputError, match="not those of the encoder"):
        edited(encoder, Retrain({}))
