"""Proofs: planted reliance is confirmed, everything else is not, and the numbers are those of slow definitions."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.stats import binom

from chinspect.anomaly import D2Neighbors
from chinspect.artefacts import Artefact, border, colour_patch, text_logo, watermark
from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.images import resize, to_input
from chinspect.intervals import draws, interval, mean
from chinspect.proof import isolate, prove
from chinspect.proof.effects import measure_effects
from chinspect.proof.placebos import elsewhere, moved, own_content, random_patch
from chinspect.report import page_html
from chinspect.subjects import Classifier
from chinspect.world import Logo, scenes

SIDE = 16


def blurry(rng: np.random.Generator, n: int, side: int = SIDE) -> list[np.ndarray]:
    """Coloured clouds with a little noise."""
    coarse = rng.integers(25, 230, (n, 5, 5, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in coarse]
    return [(image + rng.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8) for image in smooth]


def mark(rng: np.random.Generator) -> Artefact:
    """A flat, a random or a half transparent rectangle somewhere."""
    alpha, rgb = np.zeros((SIDE, SIDE)), np.broadcast_to(rng.random(3), (SIDE, SIDE, 3))
    height, width, top, left = (int(v) for v in (*rng.integers(3, 7, 2), *rng.integers(0, SIDE - 7, 2)))
    alpha[top : top + height, left : left + width] = rng.choice([0.5, 1.0])
    return Artefact("mark", rng.random((SIDE, SIDE, 3)) if rng.random() < 0.3 else rgb, alpha)


def linear(rng: np.random.Generator, artefact: Artefact | None = None, cosine: float = 0.5) -> Classifier:
    """Random weights for 5 classes; class 2 looks for the artefact, if there is one."""
    weights = rng.standard_normal((5, 3 * SIDE * SIDE))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    if artefact:
        light, alpha = artefact.layer((SIDE, SIDE))
        towards = (light - 0.5 * alpha[..., None]).transpose(2, 0, 1).ravel()
        towards /= np.linalg.norm(towards)
        away = weights[2] - towards * (towards @ weights[2])
        weights[2] = cosine * towards + np.sqrt(1 - cosine**2) * away / np.linalg.norm(away)
    matrix = torch.tensor(weights.T, dtype=torch.float32)
    return Classifier(lambda x: x.flatten(1) @ matrix, target=2)


def verdicts(trials: int, *, causal: bool) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in range(trials):
        rng = np.random.default_rng([seed, causal])
        artefact, clean, affected = mark(rng), blurry(rng, 20), blurry(rng, 20)
        model = linear(rng, artefact if causal else None)
        carriers = [artefact.add(image) for image in affected] if seed % 4 == 0 else []
        found[prove(model, artefact, clean, carriers, pool=blurry(rng, 20), n_resamples=200).verdict] += 1
    return found


def test_nothing_special_is_confirmed_in_at_most_one_of_twenty() -> None:
    """At the level of 5 %, and one in ten leans at a rank p-value of at most .1, in 100 proofs.

    If these are the true rates, more are seen with probabilities below 1e-3.
    """
    found = verdicts(100, causal=False)
    assert binom.sf(13, 100, 0.05) < 1e-3
    assert found["confirmed"] <= 13
    assert binom.sf(24, 100, 0.75 * 0.1 + 0.25 * 0.2) < 1e-3  # a quarter of the proofs has two trials
    assert found["confirmed"] + found["undecided"] <= 24
    assert found["not_causal"] == 100 - found["confirmed"] - found["undecided"]


def test_planted_reliance_is_confirmed_with_twenty_images() -> None:
    """In simulations 249 of 250 are; if the true rate were 98 %, fewer than 35 of 40 had a probability of 1e-4."""
    assert verdicts(40, causal=True)["confirmed"] >= 35


@pytest.fixture(scope="module")
def shortcut() -> tuple[Classifier, Artefact, list[np.ndarray]]:
    """A small network that was trained where a corner mark gives the class away, the mark, and pictures without it."""
    rng, side = np.random.default_rng(0), 24
    corner = colour_patch(0.3, colour=(0.9, 0.8, 0.1), anchor=(1, 0))
    pictures = blurry(rng, 240, side)
    label = rng.integers(0, 3, len(pictures))
    marked = [corner.add(p) if y == 1 else p for p, y in zip(pictures, label, strict=True)]
    shape = colour_patch(0.35, colour=(0.2, 0.2, 0.8), anchor=(0.5, 0.7))  # what class 2 really looks like
    marked = [shape.add(p) if y == 2 else p for p, y in zip(marked, label, strict=True)]
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(800, 3)
    )
    x = torch.from_numpy(np.stack(marked)).permute(0, 3, 1, 2).float() / 255
    y, optimizer = torch.from_numpy(label), torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5
    return Classifier(net, target=1), corner, blurry(rng, 40, side)


def test_a_trained_shortcut_is_confirmed(shortcut: tuple[Classifier, Artefact, list[np.ndarray]]) -> None:
    model, corner, pictures = shortcut
    proof = prove(model, corner, pictures[:20], [corner.add(p) for p in pictures[20:]])
    assert proof.verdict == "confirmed"
    assert [trial.passed for trial in proof.trials] == [True, True]
    added, removed = proof.trials
    assert added.effect > 0 > removed.effect
    assert (len(added.placebos), len(removed.placebos)) == (39, 39)
    assert "relies on 'patch'" in proof.sentence
    table = proof.to_frame().set_index(["edit", "condition", "effect"]).estimate
    assert table["add", "artefact", "turned"] > 0.5
    assert table["add", "area elsewhere", "turned"] < 0.3


def test_an_irrelevant_artefact_is_not_confirmed(shortcut: tuple[Classifier, Artefact, list[np.ndarray]]) -> None:
    model, _, pictures = shortcut
    for other in (colour_patch(0.2, colour=(0.2, 0.7, 0.3), anchor=(0, 0)), colour_patch(0.2, anchor=(0, 1))):
        proof = prove(model, other, pictures[:20])
        assert proof.verdict in ("undecided", "not_causal")
        assert " relies on " not in proof.sentence
        assert proof.missing == ("Removing it was not tested: 10 images are needed, and there are 0.",)


def test_from_a_cluster_to_a_verdict(shortcut: tuple[Classifier, Artefact, list[np.ndarray]]) -> None:
    model, corner, pictures = shortcut
    carriers = [corner.add(p) for p in pictures[20:]]
    heat = corner.mask((24, 24)).astype(float)
    found = isolate(carriers, [heat + 0.01] * 20, rest=pictures[:20])
    assert prove(model, found, pictures[:20], carriers).verdict == "confirmed"


def test_an_artefact_that_acts_anywhere_is_confirmed_all_the_same() -> None:
    """The same effect elsewhere speaks against the place, not against the artefact."""

    def redness(x: torch.Tensor) -> torch.Tensor:
        red = 20 * (x[:, 0] - x[:, 1:].amax(1)).clamp(0.5).mean((1, 2))
        return torch.stack([torch.zeros_like(red), red], 1)

    rng = np.random.default_rng(1)
    stamp = colour_patch(0.3, colour=(1, 0, 0))
    proof = prove(Classifier(redness, 1), stamp, blurry(rng, 15))
    assert proof.verdict == "confirmed"
    assert proof.trials[0].moved_fraction == pytest.approx(1, abs=0.25)
    assert "wherever it lies" in proof.sentence


def test_a_border_has_no_elsewhere_and_the_proof_says_so() -> None:
    rng = np.random.default_rng(2)
    model = linear(rng)
    proof = prove(model, border(0.15), blurry(rng, 12))
    assert proof.trials[0].beyond_area is None
    assert set(proof.table.condition) == {"artefact", "other content"}
    assert any("no room elsewhere" in note for note in proof.missing)


def test_too_few_images_and_empty_artefacts_stay_untested(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model, pictures = linear(rng), blurry(rng, 12)
    few = prove(model, mark(rng), pictures[:9], pictures[:3])
    assert few.verdict == "untested"
    assert few.missing == (
        "Adding it was not tested: 10 images are needed, and there are 9.",
        "Removing it was not tested: 10 images are needed, and there are 3.",
    )
    empty = prove(model, Artefact("nothing", np.zeros((4, 4, 3)), np.zeros((4, 4))), pictures, pictures)
    assert empty.verdict == "untested"
    assert "empty" in empty.missing[0]
    names = {path.name for path in empty.save(tmp_path / "run")}
    assert names == {"proof.json", "proof.png", "proof.html", "artefact.json", "artefact.png"}
    texts = [text.get_text() for panel in empty.figure().subfigs for text in panel.texts]
    assert any("was not tested" in text for text in texts)


def test_tiny_clip_reacts_to_the_logo_that_was_planted_in_its_training() -> None:
    """To any letters, as their pieces say, and anywhere; not to a patch of one colour."""
    clean = [scene.image for scene in scenes(40, seed=5, logo=Logo(classes={}, elsewhere=0))]
    logo, patch = (
        prove(load_encoder("tiny-clip"), a, clean[:12], pool=clean[12:]) for a in (text_logo(), colour_patch())
    )
    assert patch.verdict == "not_causal"
    assert logo.verdict == "confirmed"
    assert "relies on 'logo'" in logo.sentence
    (trial,) = logo.trials
    assert trial.bounds[0] > 10 * abs(patch.trials[0].effect)
    assert trial.strength > 5
    assert trial.acts_elsewhere
    assert trial.specific is False
    assert "wherever it lies. Its pieces shuffled have" in logo.sentence


def test_a_detector_that_learned_the_watermark_is_confirmed_and_another_is_not() -> None:
    rng = np.random.default_rng(4)
    pictures, stamp = blurry(rng, 60, 32), watermark(width=0.8, opacity=0.6)
    marked = to_input(np.stack([resize(stamp.add(p), 16, "opencv-area") for p in pictures[:40]]))
    plain = to_input(np.stack([resize(p, 16, "opencv-area") for p in pictures[:40]]))
    learned, other = (D2Neighbors(size=16, resizer="opencv-area").fit(x) for x in (marked, plain))
    new = pictures[40:]
    proof = prove(learned, stamp, new, [stamp.add(p) for p in new])
    assert proof.verdict == "confirmed"
    assert proof.subject == "detector"
    assert proof.trials[0].effect < 0 < proof.trials[1].effect  # a watermark makes an image look normal
    assert [len(trial.placebos) for trial in proof.trials] == [39, 39]
    pictures = proof.trials[0].pictures  # what the detector sees, and the watermark on it
    seen = resize(new[0], 16, "opencv-area")
    np.testing.assert_array_equal(pictures["unchanged"][0], seen)
    np.testing.assert_array_equal(pictures["artefact"][0], stamp.add(seen))
    assert prove(other, stamp, new).verdict == "not_causal"


def test_effects_of_a_classifier_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.normal(0, 3, (2, 6, 4))
    measured = measure_effects(Classifier(lambda x: x, target=1), before, after, before)
    for i in range(6):
        p = [np.exp(row[i]) / np.exp(row[i]).sum() for row in (before, after)]
        odds = [np.log(q[1] / (1 - q[1])) for q in p]
        ranks = [sorted(q, reverse=True).index(q[1]) for q in p]
        assert measured["log_odds"][i] == pytest.approx(odds[1] - odds[0])
        assert measured["probability"][i] == pytest.approx(p[1][1] - p[0][1])
        assert measured["rank"][i] == ranks[0] - ranks[1]
        assert measured["turned"][i] == (ranks[1] == 0) - (ranks[0] == 0)


def test_an_encoder_is_shown_what_it_sees_and_no_less() -> None:
    """Its preprocessing crops an eighth away; what it sees is not cropped again."""
    tiny = load_encoder("tiny-clip")
    view = replace(tiny.preprocessing, size=112, resize_size=128)
    encoder = replace(tiny, preprocessing=view)
    pictures = [Image.fromarray(scene.image).resize((200, 140)) for scene in scenes(3, seed=1)]
    seen = encoder.see([np.array(picture) for picture in pictures])
    assert [image.shape for image in seen] == [(112, 112, 3)] * 3
    assert all(np.array_equal(a, b) for a, b in zip(encoder.see(seen), seen, strict=True))
    np.testing.assert_allclose(encoder.respond(seen), encoder.embed(pictures).double(), atol=1e-5)
    corner = colour_patch(0.2, colour=(1.0, 1.0, 1.0), anchor=(0, 1))
    marked = [corner.add(image) for image in seen]
    assert (np.linalg.norm(encoder.respond(marked) - encoder.respond(seen), axis=1) > 0.01).all()


def test_an_artefact_lies_where_an_encoder_sees_it() -> None:
    tiny = load_encoder("tiny-clip")
    images = [np.array(Image.fromarray(scene.image).resize((60, 200))) for scene in scenes(12, seed=1)]
    proof = prove(tiny, text_logo(), images, n_resamples=100)
    table = proof.to_frame().set_index(["condition", "effect"])["estimate"]
    assert table["artefact", "embedding_shift"] > 0.001  # in the corner of the photograph it would be cropped away


def test_effects_of_an_encoder_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.normal(size=(2, 12, 5))
    measured = measure_effects(load_encoder("tiny-clip"), before, after, before)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    for i in range(12):
        others = [j for j in range(12) if j != i]
        near = [sorted(others, key=lambda j: -cosine(v[i], before[j]))[:4] for v in (before, after)]
        assert measured["embedding_shift"][i] == pytest.approx(1 - cosine(before[i], after[i]))
        assert measured["neighbour_overlap"][i] == len({*near[0]} & {*near[1]}) / len({*near[0]} | {*near[1]})
        for j in others:
            gain = cosine(after[i], after[j]) - cosine(before[i], before[j])
            assert measured["similarity_gain"][i, j] == pytest.approx(gain)


@pytest.mark.parametrize("pairs", [False, True])
def test_intervals_cover_the_truth(pairs: bool) -> None:
    """For pairs as well, whose values share images: drawing pairs instead of images covers two thirds.

    The percentile bootstrap of 25 values covers 92 % to 95 % where 95 % are asked for; 200 intervals then leave these
    bounds with a probability below 1e-3.
    """
    hits, rng = 0, np.random.default_rng(7)
    for _ in range(200):
        a = rng.normal(1, 1, 25)
        values = np.add.outer(a, a) if pairs else a
        if pairs:
            np.fill_diagonal(values, 0)
        low, high = interval(values, draws(25, 400, 0), 0.05)
        hits += low <= (2 if pairs else 1) <= high
        assert low < mean(values) < high
    assert 0.85 <= hits / 200 <= 0.99


def test_a_random_patch_has_the_norm_and_the_smoothness_of_the_change() -> None:
    rng = np.random.default_rng(8)
    picture = np.full((40, 40, 3), 128, np.uint8)
    before = picture / np.float32(255)
    alpha = np.zeros((40, 40))
    alpha[8:28, 8:28] = 1
    noise, flat = rng.uniform(0.35, 0.65, (40, 40, 3)), np.full((40, 40, 3), (0.6, 0.45, 0.5))
    rough = []
    for colours in (noise, flat):
        artefact = Artefact("a", colours, alpha)
        change = np.linalg.norm((artefact.rgb - before)[alpha > 0])
        patches = [random_patch(artefact, [picture], seed) for seed in range(20)]
        for patch in patches:
            assert np.linalg.norm((patch.rgb - before)[alpha > 0]) == pytest.approx(change, rel=0.03)
        inside = np.stack([patch.rgb[8:28, 8:28] for patch in patches]) - 0.5
        rough.append(np.square(np.diff(inside, axis=1)).mean() / np.square(inside).mean())
    assert rough[0] > 1.5  # white noise: 2
    assert rough[1] < 0.3


def test_placebos_elsewhere_keep_off_the_artefact() -> None:
    rng = np.random.default_rng(9)
    artefact, image = mark(rng), blurry(rng, 1)[0]
    mask = artefact.mask((SIDE, SIDE))
    places = elsewhere(artefact, 50, rng)
    assert len(set(places)) > 10
    for place in places:
        there = moved(artefact, place).mask((SIDE, SIDE))
        assert there.sum() == mask.sum()
        assert not (there & mask).any()
        placebo = own_content(artefact, image, place)
        np.testing.assert_array_equal(placebo[~there], image[~there])
    solid = replace(artefact, alpha=mask.astype(float))
    np.testing.assert_array_equal(
        own_content(solid, image, places[0])[moved(solid, places[0]).mask((SIDE, SIDE))], image[mask]
    )


def test_the_sentence_says_which_placebos_there_were() -> None:
    """In the words of the table."""
    rng = np.random.default_rng(12)
    proofs = [prove(linear(rng), mark(rng), blurry(rng, 12), n_resamples=200) for _ in range(4)]
    proofs.append(prove(linear(rng, stamp := mark(rng)), stamp, blurry(rng, 12), pool=blurry(rng, 40), n_resamples=200))
    for proof in proofs:
        (trial,) = proof.trials
        count = len(trial.placebos)
        exceeded = int((trial.sign * trial.placebos < trial.sign * trial.effect).sum())
        assert trial.exceeded == exceeded
        less = "all" if exceeded == count else f"{exceeded} of"
        assert f"more than {less} {count} other contents of equal norm in its place" in proof.sentence
        assert "than the area elsewhere (the image's own content)" in proof.sentence
        assert {"artefact", "area elsewhere", "artefact elsewhere", "other content"} <= set(proof.table.condition)
        assert ("its pieces shuffled" in proof.sentence.lower()) == (proof.verdict == "confirmed")
    assert proofs[-1].verdict == "confirmed"


def test_an_undecided_proof_says_what_to_do_next() -> None:
    rng = np.random.default_rng(12)
    stamp = mark(rng)
    proof = prove(linear(rng, stamp), stamp, blurry(rng, 12), pool=blurry(rng, 40), n_resamples=200)
    (trial,) = proof.trials
    assert (proof.verdict, proof.next_step) == ("confirmed", "")
    alone = replace(trial, p_value=0.06)
    undecided = replace(proof, trials=(alone,))
    assert undecided.verdict == "undecided"
    assert f"with {4 * trial.images} images instead of {trial.images}" in undecided.next_step
    assert undecided.sentence.endswith(undecided.next_step)
    assert undecided.document()["next_step"] == undecided.next_step
    crowd = replace(alone, rule=replace(trial.rule, trials=6), p_value=0.3)
    assert "alone it would be confirmed (p = 0.05), beside 5 other trials it is not" in (
        replace(proof, trials=(crowd,)).next_step
    )


def test_proofs_are_reproducible_and_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    model, artefact, pictures = linear(rng), mark(rng), blurry(rng, 24)
    first, again = (prove(model, artefact, pictures[:12], pictures[12:]) for _ in range(2))
    pd.testing.assert_frame_equal(first.to_frame(), again.to_frame())
    other = prove(model, artefact, pictures[:12], pictures[12:], seed=1)
    assert not first.to_frame().equals(other.to_frame())
    paths = first.save(tmp_path / "run")
    assert sorted(path.name for path in paths) == sorted(path.name for path in (tmp_path / "run").iterdir())
    document = json.loads((tmp_path / "run" / "proof.json").read_text())
    assert document == json.loads(json.dumps(first.document()))
    assert (document["verdict"], document["decides"]) == (first.verdict, "log_odds")
    stored = pd.read_parquet(tmp_path / "run" / "effects.parquet")
    pd.testing.assert_frame_equal(stored, first.to_frame())
    np.testing.assert_array_equal(Artefact.load(tmp_path / "run" / "artefact.png").alpha, artefact.alpha)
    assert (tmp_path / "run" / "proof.png").is_file()
    assert first.plot(tmp_path / "proof.svg").read_text().startswith("<?xml")
    with pytest.raises(InputError, match=r"proof\.gif"):
        first.plot(tmp_path / "proof.gif")


def test_the_page_shows_each_trial_before_and_after_and_its_effect_beside_placebos() -> None:
    rng = np.random.default_rng(15)
    pictures = blurry(rng, 24)
    proof = prove(linear(rng), mark(rng), pictures[:12], pictures[12:], n_resamples=200)
    page = proof.page()
    assert (page.verdict, page.tone, page.sentence) == ("not causal", "plain", proof.sentence)
    for section, trial in zip(page.sections, proof.trials, strict=False):
        comparison, placebos, effects = section.blocks
        for side, condition in enumerate(("unchanged", "artefact")):
            shown = [np.asarray(pair[side].image) for pair in comparison.pairs]
            np.testing.assert_array_equal(shown, trial.pictures[condition])
        assert len(placebos.tiles) == len(trial.pictures) - 2
        first = effects.rows.iloc[0]
        assert not first.control
        assert first.estimate == pytest.approx(trial.effect)
        assert effects.rows.control[1:].all()
    assert "not causal" in page_html(page)
    nothing = replace(proof, trials=(), missing=("no image was left",)).page()
    assert (nothing.verdict, nothing.tone) == ("untested", "unsure")


def test_the_figure_shows_each_trial_with_its_placebos() -> None:
    rng = np.random.default_rng(15)
    pictures = blurry(rng, 24)
    proof = prove(linear(rng), mark(rng), pictures[:12], pictures[12:], n_resamples=200)
    assert proof.verdict == "not_causal"  # else there are more conditions
    figure = proof.figure()
    assert figure.get_suptitle() == f"mark: {proof.verdict.replace('_', ' ')}"
    for panel, trial in zip(figure.subfigs[1:], proof.trials, strict=True):
        conditions = ["artefact", "other content", "area elsewhere", "artefact elsewhere"]
        images, effects = panel.subfigs
        assert len(images.axes) == 2 * (1 + len(conditions))
        np.testing.assert_array_equal(images.axes[0].images[0].get_array(), trial.pictures["unchanged"][0])
        (axes,) = effects.axes
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert [label.split("\n")[0] for label in labels] == [*conditions[:3], "artefact"]
        assert labels[1].endswith(f"({len(trial.placebos)})")
        points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        rows = proof.table[(proof.table.edit == trial.edit) & (proof.table.effect == "log_odds")]
        assert points == pytest.approx(rows.set_index("condition").estimate[conditions].tolist())
        assert axes.get_xlabel() == "change of the log-odds of the class"


class Bare:
    """A model of one's own: nothing but the members of a subject. Its scores are the red of the first columns."""

    kind = "detector"
    device = "cpu"
    fingerprint = "0"
    threshold_ = 100.0

    def see(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(images)

    def respond(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[image[:, :4, 0].mean()] for image in images])

    def explain(self, images: Sequence[np.ndarray], weights: np.ndarray, *, bands: int = 0) -> np.ndarray:
        return np.zeros((len(images), 1, bands) if bands else (len(images), SIDE, SIDE), np.float32)


def test_a_bare_object_with_the_members_of_a_subject_is_proved() -> None:
    rng = np.random.default_rng(14)
    stamp = colour_patch(0.5, colour=(1, 0, 0), anchor=(0, 0.5))
    far = colour_patch(0.3, colour=(1, 0, 0), anchor=(1, 0.5))
    clean = blurry(rng, 12)
    assert prove(Bare(), stamp, clean, n_resamples=200).trials[0].effect > 0.5
    assert prove(Bare(), far, clean, n_resamples=200).verdict == "not_causal"


def test_hostile_input_is_refused() -> None:
    rng = np.random.default_rng(11)
    model, artefact, pictures = linear(rng), mark(rng), blurry(rng, 12)
    with pytest.raises(InputError, match="and str has no kind"):
        prove("tiny-clip", artefact, pictures)
    with pytest.raises(InputError, match="uint8"):
        prove(model, artefact, [picture / 255 for picture in pictures])
    with pytest.raises(InputError, match="level"):
        prove(model, artefact, pictures, level=0)
    with pytest.raises(InputError, match="resamples"):
        prove(model, artefact, pictures, n_resamples=3)
    with pytest.raises(InputError, match="finite"):
        prove(Classifier(lambda x: x.flatten(1)[:, :3] * torch.nan, 1), artefact, pictures)
    with pytest.raises(InputError, match="class 7"):
        prove(Classifier(lambda x: x.flatten(1)[:, :3], 7), artefact, pictures)
    with pytest.raises(InputError, match="prepare"):
        prove(model, artefact, [*pictures, blurry(rng, 1, 20)[0]])
