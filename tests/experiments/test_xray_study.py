"""The X-ray study on generated X-rays whose cause of failure is known: the letters of one hospital."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from chinspect.datasets import XrayImages, load_github, load_nih
from chinspect.errors import InputError
from chinspect.intervals import wilson
from chinspect.readouts import score_groups
from experiments.xray import scores
from experiments.xray.data import divided, patient_interval
from experiments.xray.edits import moved_away
from experiments.xray.relevance import sharpest
from experiments.xray.scores import rate_interval
from experiments.xray.text import text_masks
from experiments.xray.text_quality import on_generated

TABLES = ("annotations", "sources", "tasks", "relevance", "edits", "pairs", "strategies")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, run_study: Callable[..., None]) -> Path:
    out = tmp_path_factory.mktemp("study")
    run_study("xray", "--smoke", "--out", out.name, cwd=out.parent)
    return out


def test_every_table_and_figure_is_there(study: Path) -> None:
    for name in TABLES:
        assert len(pd.read_csv(study / f"{name}.csv")) > 0
        assert r"\toprule" in (study / f"{name}.tex").read_text()
    figures = ["annotations", "sources", "relevance", "edits"]
    for path in [study / f"{name}.png" for name in figures] + [study / "tiny-clip" / "pairs" / "pair-text-1.png"]:
        with Image.open(path) as image:
            assert min(image.size) > 300
    assert not list(study.rglob("*.part"))


def test_one_source_fails_and_a_source_of_one_class_has_no_rate(study: Path) -> None:
    rows = pd.read_csv(study / "sources.csv").set_index("group")
    assert rows.loc["nih", "fpr"] == 0
    assert rows.loc["github", "fpr"] > 40
    assert pd.isna(rows.loc["nih", "fnr"])
    assert rows.loc["github", "paper_fpr"] == 51
    assert rows.loc["github", "fpr_low"] < rows.loc["github", "fpr"] < rows.loc["github", "fpr_high"]
    assert pd.isna(rows.loc["all", "paper_fpr"])
    assert rows["paper_balanced_accuracy"].dropna().to_dict() == {"all": 87.5, "nih": 100}
    assert "paper_accuracy" not in rows  # of other mixtures of classes
    assert "81.7 called class-balanced" in rows.loc["github", "paper_note"]
    assert rows.loc["nih", "fpr_low"] == 0 < rows.loc["nih", "fpr_high"]  # no mistake among few is no certainty
    inside = rows["balanced_accuracy"].between(rows["balanced_accuracy_low"], rows["balanced_accuracy_high"])
    assert inside.all()
    tasks = pd.read_csv(study / "tasks.csv").set_index("task")
    assert tasks.loc["source, without COVID-19", "balanced_accuracy"] > 70


def test_relevance_lies_on_the_letters_and_not_in_other_places_of_their_shape(study: Path) -> None:
    rows = pd.read_csv(study / "relevance.csv").set_index(["source", "covid"])
    sick = rows.loc[("github", 1)]
    assert sick["share"] > 5 * sick["area"]
    assert sick["density_text_low"] > 5
    assert sick["density_mirrored_high"] < 1
    assert (rows["text_less_sharpest_low"] > 0).all()


def test_decisions_follow_the_letters_and_no_placebo(study: Path) -> None:
    rows = pd.read_csv(study / "edits.csv").set_index(["state", "source"])
    gone, added = rows.loc[("painted out", "github")], rows.loc[("added", "nih")]
    assert gone["shift_high"] < -0.5
    assert gone["fpr"] < gone["fpr_before"] - 20
    assert added["shift_low"] > 0.5
    assert added["fpr"] > added["fpr_before"] + 20
    for placebo in (rows.loc[("elsewhere", "github")], rows.loc[("smoothed", "nih")]):
        assert abs(placebo["shift"]) < 0.1
        assert placebo["flips"] == 0


def test_pairs_that_letters_make_similar_are_drawn_from_those(study: Path) -> None:
    rows = pd.read_csv(study / "pairs.csv")
    assert (rows["text_a"] > 2 * rows["area_a"]).mean() > 0.8
    assert rows["score"].is_monotonic_decreasing


def test_letters_are_found_where_they_are_and_nowhere_else() -> None:
    row = on_generated(30, seed=1)
    assert row["image_recall"] > 0.9
    assert row["false_alarms"] < 0.1
    assert row["pixel_iou"] > 0.6
    assert row["pixel_precision"] > 0.9


def test_masks_of_ones_own_are_read_and_must_fit(tmp_path: Path) -> None:
    image, mask = tmp_path / "chest.jpg", tmp_path / "masks" / "chest.png"
    mask.parent.mkdir()
    Image.new("L", (40, 30)).save(image)
    with pytest.raises(InputError, match="does not exist"):
        text_masks([image], mask.parent)
    Image.new("L", (40, 30), 255).save(mask)
    assert text_masks([image], mask.parent)[0].all()
    Image.new("L", (30, 40), 255).save(mask)
    with pytest.raises(InputError, match="mask of 'chest"):
        text_masks([image], mask.parent)


def test_test_sets_are_balanced_as_in_the_paper_and_no_patient_is_in_both_parts(study: Path) -> None:
    images = load_nih(study / "generated" / "nih") + load_github(study / "generated" / "github")
    train, test = divided(images, seed=3)
    assert sum(test.labels) == len(test) / 2
    assert {*test.sources} == {"nih", "github"}
    assert not {*train.patients} & {*test.patients}
    assert len(train) + len(test) == len(images)


def test_placebos_have_the_shape_of_the_text_and_lie_beside_it() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[3:7, 5:20] = True
    for seed in range(5):
        moved = moved_away(mask, seed)
        assert moved.sum() == mask.sum()
        assert not (moved & mask).any()
    picture = np.zeros((40, 60), np.uint8)
    picture[3:7, 5:20:2] = 255  # the text itself, which must not count
    picture[30:34, 31:46:2] = 255
    sharp = sharpest(Image.fromarray(picture), mask)
    assert sharp[30:34, 31:46].mean() > 0.9
    assert sharp.sum() == mask.sum()


def test_intervals_draw_patients_and_not_images() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=10), 20)
    alike = patient_interval(values, np.repeat([f"p{i}" for i in range(10)], 20))
    alone = patient_interval(values, [f"p{i}" for i in range(200)])
    assert alike[1] - alike[0] > 3 * (alone[1] - alone[0])
    assert np.isnan(patient_interval(values[:80], np.repeat(["a", "b", "c", "d"], 20))).all()


def alike(labels: list[int], called: list[int], images: int) -> tuple[XrayImages, np.ndarray]:
    """Patients with as many images each, which are all answered alike; every third is one of NIH."""
    n = len(labels) * images
    patients = tuple(f"p{i // images}" for i in range(n))
    sources = tuple("nih" if i // images % 3 == 0 else "github" for i in range(n))
    columns = (tuple(Path(f"{i}.png") for i in range(n)), tuple(np.repeat(labels, images).tolist()), sources)
    return XrayImages(*columns, patients, ("",) * n), np.repeat(called, images)


def test_scores_of_patients_with_many_images_have_wider_intervals_than_wilsons() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(120) < 0.4).astype(int)
    called = np.where(rng.random(120) < 0.7, labels, 1 - labels)
    for images, widening in ((1, 1.0), (16, 4.0)):
        some, answers = alike(labels.tolist(), called.tolist(), images)
        rows = scores.by_group(some, answers, some.sources).set_index("group")
        naive = score_groups(some.labels, answers, some.sources, positive=1).set_index("group")
        for rate in ("accuracy", "fpr", "fnr"):
            own, other = (table[f"{rate}_high"] - table[f"{rate}_low"] for table in (rows, naive))
            assert (own / other).to_numpy() == pytest.approx(widening, rel=0.3)
            assert rows[rate].equals(naive[rate])
        assert (rows["balanced_accuracy_low"] < rows["balanced_accuracy"]).all()


def test_intervals_of_scores_hold_the_truth_where_patients_differ() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    naive = 0
    patients, sick = np.repeat(np.arange(40), 6), np.repeat(np.arange(40) < 15, 6)
    for _ in range(150):
        skill = np.repeat(rng.beta(1.4, 0.6, 40), 6)  # 70 % on average, and rarely near it
        right = rng.random(240) < skill
        low, high = rate_interval(right, [sick, ~sick], patients)
        hits += low <= 0.7 <= high
        low, high = wilson(int(right.sum()), 240)
        naive += low <= 0.7 <= high
    assert hits / 150 > 0.88
    assert naive / 150 < 0.8


def test_few_patients_and_answers_that_are_all_right_have_wilsons_interval() -> None:
    patients, every = np.repeat(np.arange(9), 5), np.full(45, True)
    assert rate_interval(every, [every], patients) == wilson(9, 9)
    few = patients < 3
    assert rate_interval(patients < 1, [few], patients) == pytest.approx(wilson(1, 3))
    halves = rate_interval(every, [few, ~few], patients)
    assert halves == pytest.approx(wilson(8, 8))  # 4 / (1/3 + 1/6)
    assert np.isnan(rate_interval(every, [~every], patients)).all()
