import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.images import resize, to_input
from chinspect.proof import prove_candidates
from chinspect.proof.candidates import _divided, _members_and_rest
from chinspect.relevance import Method
from chinspect.report import page_html
from chinspect.spray import SpRAy, SprayRun, analyse, analyse_maps
from chinspect.spray.contents import FILES
from chinspect.spray.figure import draw_sheet, draw_spectrum
from chinspect.spray.maps import load_labels, load_maps
from chinspect.spray.run import Finding
from tests.spray._planted import plant

CARRIERS, COUNT = 12, 60


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-clip")


@pytest.fixture(scope="module")
def planted(tmp_path_factory, encoder):
    """Scenes with a logo in a fifth, explained by what makes each embedding long: the logo is."""
    folder = plant(tmp_path_factory.mktemp("run") / "images", COUNT, CARRIERS)
    return analyse(encoder, folder, explain="output", n_surrogates=19, method=Method("lrp"))


@pytest.fixture(scope="module")
def saved(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chinspect.spray.analysis.STRONGEST", 3)
        planted.save(folder)
    return folder


def noise(count=40, side=12):
    """Maps with nothing in common."""
    return np.random.default_rng(0).random((count, side, side)).astype(np.float32) ** 6


def test_the_planted_logo_is_found_and_its_place_told(planted):
    best = planted.spray.flagged_[0]
    assert set(best.indices.tolist()) <= set(range(CARRIERS))
    assert best.size >= 10  # two of the logos hold little relevance
    assert best.position == "at the lower left"
    assert planted.sentence.startswith("1 of ")
    assert planted.candidates().finding[0].startswith(f"{best.size} of 60 images share")


def test_by_any_method_the_carriers_of_a_logo_are_one_candidate(encoder, tmp_path):
    """Reference maps of weak and of strong logos used to be two."""
    run = analyse(encoder, plant(tmp_path / "images", COUNT, CARRIERS), explain="output", n_surrogates=9)
    carriers = [np.intersect1d(c.indices, np.arange(CARRIERS)) for c in run.spray.flagged_]
    (found,) = [indices for indices in carriers if len(indices) > 1]
    assert len(found) >= 10


def test_the_folder_says_what_the_run_says(planted, saved):
    document = json.loads((saved / "run.json").read_text())
    assert document["sentence"] == planted.sentence
    assert document["explanation"]["fingerprint"] == load_encoder("tiny-clip").fingerprint
    assert document["verdict"] == "candidate"
    assert document["candidates"][0]["purity"] is None
    np.testing.assert_array_equal(np.load(saved / "maps.npy"), planted.maps)
    samples = pd.read_parquet(saved / "samples.parquet")
    assert samples.name.tolist() == list(planted.names)
    best = planted.spray.flagged_[0].indices.tolist()
    assert samples.flagged.map(list).tolist() == [[1] if i in best else [] for i in range(COUNT)]
    assert (samples.state == "analysed").all()
    assert samples[["x", "y", "axis_1", "strategy_distance", "value"]].notna().all(axis=None)
    clusters = [name for name in samples if name.startswith("cluster_")]
    assert "cluster_eigengap" in clusters
    np.testing.assert_array_equal(samples.cluster_eigengap, planted.spray.labels_)
    table = pd.read_csv(saved / "candidates.csv")
    assert len(table) == len(planted.findings) == len(pd.read_parquet(saved / "candidates.parquet"))
    members = pd.read_csv(saved / "candidates" / "1" / "members.csv")
    assert members.name.tolist() == [planted.names[i] for i in best]
    np.testing.assert_array_equal(np.load(saved / "candidates/1/mean_map.npy"), planted.spray.flagged_[0].mean_map)


def test_the_page_leads_with_the_candidate_and_shows_every_image_once_in_the_plane(planted, saved):
    page = planted.page()
    assert page.tone == "unsure"
    lead, rest = page.sentence.split("\n")
    assert lead.startswith(f"{planted.spray.flagged_[0].size} of {COUNT} images share ")
    assert rest == planted.sentence
    section = page.sections[0]
    assert (section.title, section.tone) == ("Candidate 1", "unsure")
    members = next(block for block in section.blocks if getattr(block, "caption", "").startswith("Members"))
    best = planted.spray.flagged_[0].indices
    assert {tile.name for tile in members.tiles} <= {planted.names[i] for i in best}
    assert members.tiles[0].name == planted.names[planted.spray.flagged_[0].medoids[0]]
    (plane,) = page.sections[1].blocks
    assert list(plane.names) == list(planted.names)
    assert [i for i, group in enumerate(plane.groups) if group == "Candidate 1"] == best.tolist()
    assert len(plane.tiles) == COUNT
    text = (saved / "spray.html").read_text(encoding="utf-8")
    assert all(name in text for name in planted.names)
    assert len(text) < 4e6


def test_a_page_of_maps_alone_has_no_images_and_is_one_all_the_same():
    spray = SpRAy(n_surrogates=0).fit(noise())
    text = page_html(SprayRun(spray, noise(), [f"map {i}" for i in range(40)]).page())
    assert "All images by strategy" in text


def test_every_figure_is_a_picture_that_is_not_empty(saved):
    figures = sorted(saved.rglob("*.png"))
    assert {figure.name for figure in figures} == {"spectrum.png", "embedding.png", "sheet.png"}
    for figure in figures:
        with Image.open(figure) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_nothing_temporary_stays_and_a_second_run_takes_the_place_of_the_first(planted, tmp_path):
    run = replace(planted, findings=planted.findings[:1])
    run.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == set(FILES)
    stranger = tmp_path / "candidates" / "99"
    stranger.mkdir()
    run.save(tmp_path)
    assert not stranger.exists()
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def test_a_run_that_fails_leaves_the_candidates_of_the_last_one(planted, saved, tmp_path, monkeypatch):
    run = replace(planted, findings=planted.findings[:1])
    run.save(tmp_path)
    broken = replace(run, picture=lambda i: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.save(tmp_path)
    assert (tmp_path / "candidates" / "1" / "sheet.png").is_file()
    assert not (tmp_path / "run.json").exists()  # where it is, all is
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def test_folders_of_others_are_left_alone(planted, tmp_path):
    (tmp_path / "candidates").mkdir()
    (tmp_path / "candidates" / "thesis.txt").touch()
    with pytest.raises(InputError, match="not from an earlier run"):
        planted.save(tmp_path)
    assert (tmp_path / "candidates" / "thesis.txt").exists()


def test_what_is_left_out_is_said(tmp_path):
    maps = noise()
    maps[3], maps[5, 0, 0], maps[7] = 0, np.nan, maps[2]
    run = SprayRun(SpRAy(n_surrogates=0).fit(maps), maps, [f"map {i}" for i in range(40)])
    samples = run.samples()
    assert samples.state[[3, 5, 7]].tolist() == ["no relevance", "not finite", "duplicate"]
    assert samples.duplicate_of[7] == 2
    assert samples.axis_1[7] == samples.axis_1[2]
    assert samples.axis_1[[3, 5]].isna().all()
    assert "nothing was compared with chance" in run.sentence
    assert run.document()["without_relevance"] == [3]
    replace(run, findings=run.findings[:1]).save(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["not_finite"] == [5]


def test_a_run_without_candidates_is_saved_too(tmp_path):
    maps = np.eye(5, dtype=np.float32)[:, :, None] * np.ones(4, np.float32)
    run = SprayRun(SpRAy(n_surrogates=0).fit(maps), maps, list("abcde"))
    assert run.findings == []
    run.save(tmp_path)
    assert len(pd.read_csv(tmp_path / "candidates.csv")) == len(pd.read_parquet(tmp_path / "candidates.parquet")) == 0
    assert run.sentence.startswith("0 of 0 sets of alike maps are flagged")


def test_spectra_are_drawn_and_cannot_be_tested(tmp_path, encoder):
    spectra = noise(40, 16)[:, :1]
    spectra[:10, 0, 12] += 4
    run = SprayRun(
        SpRAy(n_surrogates=0).fit(spectra),
        spectra,
        list(map(str, range(40))),
        picture=lambda i: Image.new("RGB", (8, 8)),
    )
    forced = replace(run.findings[0], candidate=replace(run.findings[0].candidate, flagged=True, verdict="candidate"))
    tested = prove_candidates(encoder, replace(run, findings=[forced]))
    assert tested.findings[0].candidate.verdict == "candidate"
    assert "nothing can be cut out" in tested.findings[0].note
    assert "frequencies" in tested.findings[0].candidate.position
    tested.save(tmp_path)


class Reader:
    """A stand-in for a detector: the score is how sharp the white edges in the lower left corner are, as in letters."""

    kind = "detector"
    device = "cpu"
    fingerprint = "0"
    threshold_ = 0.5

    def __init__(self, weight):
        self.weight = weight

    def see(self, images):
        return [resize(image, 128, "pillow-bilinear") for image in images]

    def explain(self, images, weights, *, bands=0):
        raise NotImplementedError

    def respond(self, images):
        x = to_input(np.stack(images))
        noise = x[:, :, :32].mean((1, 2, 3)).numpy()
        grey = x[:, :, -24:, 8:66].amin(1)
        logo = (grey[..., 1:] - grey[..., :-1]).abs().numpy().reshape(len(x), -1)
        return (self.weight * np.sort(logo, axis=1)[:, -100:].mean(1) + 0.05 * noise)[:, None]


def test_what_the_model_relies_on_is_confirmed_and_nothing_else(planted, tmp_path, monkeypatch):
    monkeypatch.setattr("chinspect.proof.candidates._TESTED_ON", CARRIERS)
    relies, ignores = (prove_candidates(Reader(weight), planted) for weight in (1.0, 0.0))
    assert relies.findings[0].candidate.verdict == relies.verdict == "confirmed"
    assert ignores.findings[0].candidate.verdict == ignores.verdict == "not_causal"
    assert "1 confirmed by an intervention" in relies.sentence
    assert all(finding.proof is None for finding in relies.findings[1:])
    assert planted.findings[0].candidate.verdict == "candidate"  # the run itself is as it was
    replace(relies, findings=relies.findings[:1]).save(tmp_path)
    assert json.loads((tmp_path / "candidates/1/proof/proof.json").read_text())["verdict"] == "confirmed"
    assert (tmp_path / "candidates/1/proof.png").is_file()
    assert json.loads((tmp_path / "run.json").read_text())["confirmed"] == 1


def test_a_test_without_a_decision_is_not_called_untestable(planted, encoder, monkeypatch):
    monkeypatch.setattr("chinspect.proof.candidates._TESTED_ON", CARRIERS)
    tested = prove_candidates(encoder, planted)
    best = tested.findings[0]
    undecided = replace(best, candidate=replace(best.candidate, verdict="undecided"))
    run = replace(tested, findings=[undecided, *tested.findings[1:]])
    assert "(1 tested without a decision)" in run.sentence
    assert "decides nothing" in undecided.candidate.headline
    assert "not tested" in planted.findings[0].candidate.headline


def test_what_was_not_tested_is_said(planted, encoder, monkeypatch):
    monkeypatch.setattr("chinspect.proof.candidates._TESTED_ON", 20)
    monkeypatch.setattr("chinspect.proof.proving.MIN_IMAGES", 15)
    best = replace(planted, findings=planted.findings[:1])
    finding = prove_candidates(Reader(1.0), best).findings[0]
    assert finding.proof is not None
    count = finding.candidate.size
    assert finding.note.startswith(
        f"Removing it was not tested: 15 images are needed, and there are {count}. It was isolated"
    )
    assert finding.note in finding.sentence(COUNT)


def test_a_test_is_made_on_other_images_and_not_on_copies_or_on_those_that_look_alike():
    maps = noise(90)
    maps[:30, 8:11, 1:4] += 3
    maps[60:62] = maps[:2]  # copies
    run = SprayRun(SpRAy(n_surrogates=9).fit(maps), maps, [f"map {i}" for i in range(90)])
    best = run.findings[0].candidate
    assert set(range(30)) | {60, 61} <= set(best.indices.tolist())
    members, rest = _members_and_rest(run, best)
    assert members.tolist() == list(range(30))
    assert rest.tolist() == [*range(30, 60), *range(62, 90)]
    fewer = replace(best, indices=np.arange(20))  # of a class, say
    assert _members_and_rest(run, fewer)[1].tolist() == rest.tolist()
    isolated, tested = _divided(members)
    assert (len(isolated), len(tested)) == (15, 15)
    assert not set(isolated) & set(tested)
    assert [len(part) for part in _divided(np.arange(200))] == [64, 32]
    assert [part.tolist() for part in _divided(np.arange(19))] == [list(range(19))] * 2


def test_without_surrogates_chance_explains_nothing(tmp_path):
    maps = noise()
    run = SprayRun(SpRAy(n_surrogates=0).fit(maps), maps, [f"map {i}" for i in range(40)])
    assert run.findings[0].candidate.headline.startswith("NOT TESTED")
    assert run.findings[0].candidate.outcome == "not tested"
    assert "Not compared with chance" in run.candidates().finding[0]
    plain = run.document()["candidates"][0]
    assert (plain["p_value"], plain["q_value"]) == (None, None)


def test_maps_over_pictures_are_drawn_without_a_word(caplog):
    """Values of any size stay colours: matplotlib logs a warning for pixels out of range."""
    maps = noise()
    run = SprayRun(
        SpRAy(n_surrogates=0).fit(maps), maps, list("m" * 40), picture=lambda i: Image.new("RGB", (32, 32), "white")
    )
    maps *= np.random.default_rng(0).normal(size=(40, 1, 1)) * 3
    figure = draw_sheet(run, 1)
    figure.canvas.draw()
    assert not caplog.records
    tiles = [image.get_array() for axes in figure.axes for image in axes.images]
    assert all(tile.min() >= 0 and tile.max() <= 1 for tile in tiles if tile.ndim == 3)


def test_a_sheet_shows_members_and_others_with_and_without_their_maps(planted):
    figure = draw_sheet(planted, 1)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["mean map of the members, own scale", "what they share and others have not"]
    assert titles[2:4] == ["members", "members, with their maps"]
    assert titles[4:] == ["other images", "other images, with their maps"]
    assert [len(axes.images) for axes in figure.axes[2:]] == [8] * 4
    texts = [text.get_text() for text in figure.texts]
    assert texts[:2] == ["Candidate 1", planted.findings[0].candidate.headline]
    assert any(f"members      {planted.spray.flagged_[0].size} of {COUNT}" in text for text in texts)
    alone = draw_sheet(replace(planted, picture=None), 1)
    assert [axes.get_title(loc="left") for axes in alone.axes[2:]] == [titles[3], titles[5]]


def test_the_figure_of_a_run_has_a_point_an_image_and_a_number_a_candidate(planted):
    figure = planted.figure()
    axes = figure.axes[0]
    assert len(axes.collections[0].get_offsets()) == COUNT
    assert len(axes.collections[1].get_offsets()) == planted.spray.flagged_[0].size
    assert [text.get_text() for text in axes.texts] == ["1"]
    title = " ".join(axes.get_title(loc="left").split())
    assert title == f"{planted.sentence} Explained: {planted.explained}."
    assert "output" in planted.explained
    assert planted.explained.endswith("tiny-clip, method lrp")
    nothing = replace(planted, findings=[Finding(replace(f.candidate, flagged=False)) for f in planted.findings])
    greys = {tuple(row) for points in nothing.figure().axes[0].collections for row in points.get_edgecolors()[:, :3]}
    assert all(red == green == blue for red, green, blue in greys)


def test_the_figure_of_eigenvalues_names_the_number_of_clusters(planted):
    axes = draw_spectrum(planted).axes[0]
    assert len(axes.lines[0].get_xdata()) == len(planted.spray.eigenvalues_)
    clusters = len(np.unique(planted.spray.labels_))
    assert f"into {clusters} clusters" in axes.texts[0].get_text()
    assert "eigenvalue" in axes.get_xlabel()


def test_a_run_tells_itself_in_a_line_and_in_a_notebook(planted):
    assert repr(planted) == f"<SprayRun: {planted.sentence}>"
    (table,) = planted.overview().values()
    assert table["images"][0] == planted.spray.flagged_[0].size
    assert table["verdict"][0] == "candidate"
    page = planted._repr_html_()
    assert planted.sentence in page
    assert "data:image/png" in page


def test_more_candidates_than_are_printed_are_counted(planted):
    run = replace(planted, findings=planted.findings[:1] * 9)
    ((title, table),) = run.overview().items()
    assert title == f"8 of 9 shown; all in candidates.csv; {run.others} more sets are less distinct and not listed"
    assert len(table) == 8


def test_a_data_set_is_analysed_by_class_and_its_explanations_stay(tmp_path, encoder):
    folder = plant(tmp_path / "images", 8, 0)
    (folder / "broken.png").write_bytes(b"no image")
    labels = ["a", "b"] * 4 + ["c"]
    run = analyse(encoder, folder, explain="output", labels=labels, n_surrogates=0, path=tmp_path / "run")
    assert run.labels == labels[:8]
    assert run.made["unreadable"] == ["broken.png"]
    assert run.notes[0].startswith("Without their 10% most relevant patches 8 images lose ")
    assert run.notes[1:] == ["1 image cannot be read, left out: broken.png"]
    (store,) = (tmp_path / "run" / "explanations").iterdir()
    assert store.name.startswith("output-")
    np.testing.assert_array_equal(run.scores["value"].shape, (8,))
    with pytest.raises(InputError, match="one for each of 9 images, and there are 8"):
        analyse(encoder, folder, labels=labels[:8])
    with pytest.raises(InputError, match="'neighbours' explains an encoder"):
        analyse(Reader(1.0), folder, explain="neighbours")


def test_maps_of_another_tool_are_analysed_with_their_images(tmp_path, encoder):
    folder = plant(tmp_path / "images", 8, 0)
    maps = noise(8)[:, None] * np.ones((1, 3, 1, 1), np.float32)
    run = analyse_maps(maps, images=folder, subject=encoder, labels=[1, 2] * 4, n_surrogates=0)
    np.testing.assert_allclose(run.maps, 3 * noise(8), rtol=1e-6)
    assert run.names == tuple(f"{i:03d}.png" for i in range(8))
    assert run.picture(0).size == (encoder.preprocessing.size,) * 2
    assert analyse_maps(noise(8), n_surrogates=0).names[7] == "map 7"
    with pytest.raises(InputError, match="there are 9 maps and 8 images"):
        analyse_maps(noise(9), images=folder)


def test_images_that_count_once_are_counted(tmp_path):
    maps = noise()
    run = SprayRun(SpRAy(n_surrogates=0).fit(maps), maps, [f"map {i}" for i in range(40)])
    assert run.repeated == run.document()["repeated"] == ""
    maps[7] = maps[9] = maps[2]
    run = SprayRun(SpRAy(n_surrogates=0).fit(maps), maps, [f"map {i}" for i in range(40)])
    assert run.document()["repeated"] == "2 of 40 images repeat another and count once, as map 7 repeats map 2."


def test_without_images_a_candidate_stays_one(planted, encoder):
    tested = prove_candidates(encoder, replace(planted, picture=None))
    assert tested.findings[0].candidate.verdict == "candidate"
    assert "there are no images" in tested.findings[0].note


def test_labels_come_from_folders_tables_and_arrays(tmp_path):
    paths = [tmp_path / "a" / "1.png", tmp_path / "b" / "2.png"]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    names = ["a/1.png", "b/2.png"]
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nb/2.png,dog\na/1.png,cat\n")
    np.save(tmp_path / "labels.npy", np.array([4, 2]))
    assert load_labels("folder", names, paths) == ["a", "b"]
    assert load_labels(str(table), names, paths) == ["cat", "dog"]
    assert load_labels(str(tmp_path / "labels.npy"), names, None) == ["4", "2"]
    table.write_text("path,label\nb/2.png,dog\n")
    with pytest.raises(InputError, match=r"leave out 1 images, such as .*1\.png"):
        load_labels(str(table), names, paths)
    table.write_text("path\nb/2.png\na/1.png\n")
    with pytest.raises(InputError, match="need the columns path and label"):
        load_labels(str(table), names, paths)
    with pytest.raises(InputError, match="belong to images"):
        load_labels("folder", names, None)


class Bomb:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((3, 4)), "holds float64 (3, 4)"),
        (np.zeros((0, 4, 4)), "holds float64 (0, 4, 4)"),
        (np.zeros((3, 4, 4), complex), "holds complex128"),
        (np.array([["a"]]), "holds <U1"),
        (np.array([Bomb()], dtype=object), "cannot be read as an .npy file without pickled objects"),
        (b"", "cannot be read"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999, 9, 9), }", "cannot"),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_hostile_maps_are_answered_with_one_sentence(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "maps.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError) as raised:
        load_maps(path)
    assert said in str(raised.value)
    assert not Path("exploded").exists()


def test_channels_are_summed(tmp_path):
    maps = np.random.default_rng(0).normal(size=(4, 3, 5, 6))
    np.save(tmp_path / "maps.npy", maps)
    np.testing.assert_allclose(load_maps(tmp_path / "maps.npy"), maps.sum(1), rtol=1e-5)
