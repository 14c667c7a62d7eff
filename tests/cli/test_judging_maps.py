"""``chinspect faithfulness``: one table for several methods beside controls, on a bundled model and on a real one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chinspect.encoders import load_classifier, load_encoder
from chinspect.explain import judge_methods
from tests.cli.test_cli import PHOTOGRAPHS, TRUCKS, run  # noqa: F401, a fixture

Run = Callable[..., tuple[int, str, str]]


def test_a_similarity_is_judged_on_a_model_without_classifier(run: Run, tmp_path: Path) -> None:  # noqa: F811
    arguments = ("faithfulness", TRUCKS[0], "--model", "tiny-clip", "--target", TRUCKS[1], "--method", "gradcam")
    arguments += ("--method", "lrp", "--metric", "removal", "--metric", "drop", "--metric", "coherency")
    status, out, err = run(*arguments, "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert document["methods"] == ["gradcam", "lrp"]
    assert document["controls"] == ["all-ones mask", "random mask", "centred blob"]
    assert document["score"].startswith("the similarity to")
    assert {Path(file).name for file in document["files"]} >= {"faithfulness.json", "metrics.csv", "faithfulness.png"}
    assert run(*arguments)[0] == 2  # nothing is replaced without --force
    status, out, _ = run(*arguments, "--force")
    assert status == 0
    assert "centred blob" in out
    assert "Fewer than 6 images" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((TRUCKS[0], "--model", "tiny-clip"), "without a classifier"),
        ((TRUCKS[0], "--method", "grad_cam"), "did you mean 'gradcam'"),
        ((TRUCKS[0], "--method", "lrp", "--method", "lrp"), "once each"),
        ((TRUCKS[0], "--reference", "white"), "unknown reference"),
        ((TRUCKS[0], "--target", "1000", "--method", "lrp"), "the output 1000 does not exist"),
        (("missing.png",), "missing.png"),
        ((TRUCKS[0], "--metric", "ROADS", "--method", "lrp"), "did you mean 'ROAD'"),
        ((TRUCKS[0], "--masks", "masks"), "has to hold one mask"),
    ],
)
def test_wrong_requests_end_with_one_line(run: Run, arguments: tuple[str, ...], reason: str) -> None:  # noqa: F811
    status, out, err = run("faithfulness", *arguments)
    assert (status, out) == (2, "")
    assert reason in err
    assert err.count("\n") == 1


def test_masks_are_seen_as_their_images_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder("tiny-clip")
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 255, (96, 192, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.jpg")
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask = np.zeros((96, 192), np.uint8)
        mask[:, 96:] = 255  # the right half, of which the encoder sees all but a quarter of the width
        Image.fromarray(mask).save(tmp_path / "masks" / f"{index}.png")
    paths = [tmp_path / f"{index}.jpg" for index in range(2)]
    options = {"target": TRUCKS[0], "metrics": ["relevance mass"]}
    with pytest.raises(ValueError, match="has to hold one mask"):
        judge_methods(encoder, [*paths, TRUCKS[1]], ["lrp"], masks=tmp_path / "masks", **options)
    judged = judge_methods(encoder, [path.name for path in paths], ["lrp"], masks=tmp_path / "masks", **options)
    assert judged.table.set_index("map").loc["all-ones mask", "mean"] == pytest.approx(0.5, abs=0.01)


def test_a_real_classifier_is_judged_by_the_class_it_predicts() -> None:
    classifier = load_classifier("efficientnet-lite0")
    judged = judge_methods(classifier, PHOTOGRAPHS[:1], ["gradcam"], metrics=["removal", "drop"], reference="black")
    values = dict(zip(judged.maps, judged.values[0, :, 0], strict=True))
    assert values["gradcam"] > values["all-ones mask"]
    assert judged.values[1, judged.maps.index("all-ones mask"), 0] == pytest.approx(0, abs=1e-6)
    assert judged.score == "the probability of the predicted class"
