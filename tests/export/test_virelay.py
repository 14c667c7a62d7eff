"""The project is opened by the real ViRelAy, and each of its routes is asked."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from chinspect.errors import InputError
from chinspect.export import export_virelay, project_of, read_run
from chinspect.spray import SpRAy

COUNT, SIDE = 40, 32


@pytest.fixture(scope="module")
def inputs():
    """Images with two maps that cannot be compared, one that repeats another, and a mark in eight."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, 3, SIDE, SIDE + 8), dtype=np.uint8)
    maps = (rng.random((COUNT, 16, 20)) ** 8 * rng.choice([-1, 1], (COUNT, 16, 20))).astype(np.float32)
    maps[:8, 12:15, 1:4] += 2
    maps[20], maps[21, 3, 3], maps[30] = 0, np.nan, maps[12]
    return images, maps, np.array(["cat", "dog / <b>"])[np.arange(COUNT) % 2]


@pytest.fixture(scope="module")
def spray(inputs):
    return SpRAy(n_surrogates=5, n_eigenvectors=6).fit(inputs[1])


@pytest.fixture(scope="module")
def project(inputs, spray, tmp_path_factory):
    pytest.importorskip("h5py")
    images, maps, labels = inputs
    return export_virelay(project_of(spray, images, maps, labels), tmp_path_factory.mktemp("virelay"))


def command():
    """The viewer, or that of the environment that the variable names: it asks for an older Pillow."""
    beside = Path(sys.executable).with_name("virelay")
    named = os.environ.get("CHINSPECT_TEST_VIRELAY", str(beside) if beside.exists() else "virelay")
    return shutil.which(named) or pytest.skip("virelay is not installed")


@pytest.fixture(scope="module")
def server(project):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = [command(), str(project), "--host", "127.0.0.1", "--port", str(port)]
    quiet = os.environ | {"BROWSER": shutil.which("true") or "true"}
    with subprocess.Popen(call, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def ask(server):
    address, process = server
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(path, **query):
        url = urllib.parse.urljoin(address, path) + ("?" + urllib.parse.urlencode(query) if query else "")
        with opener.open(url, timeout=60) as answer:
            assert answer.status == 200
            body, kind = answer.read(), answer.headers.get_content_type()
        if kind == "application/json":
            return json.loads(body)
        image = Image.open(io.BytesIO(body))
        image.load()
        return image

    for _ in range(300):
        assert process.poll() is None, "the viewer ended at once"
        try:
            get("/api/projects")
        except OSError:
            time.sleep(0.2)
        else:
            return get
    raise AssertionError("the viewer does not answer")


@pytest.fixture(scope="module")
def described(ask):
    return ask("/api/projects/0")


def test_the_project_is_listed(ask, described, spray):
    assert [(one["name"], one["dataset"]) for one in ask("/api/projects")] == [("SpRAy", "images")]
    (method,) = described["analysisMethods"]
    assert method["name"] == "SpRAy"
    assert sorted(method["embeddings"]) == ["spectral", "tsne"]
    assert sorted(method["clusterings"]) == sorted([*spray.clusterings_, "candidates"])
    named = [(one["name"], one["humanReadableName"]) for one in method["categories"]]
    assert named == [("00000000", "all images"), ("00000001", "cat"), ("00000002", "dog / <b>")]


def test_every_sample_is_shown_with_its_label(ask, inputs):
    images, _, labels = inputs
    for i in range(COUNT):
        sample = ask(f"/api/projects/0/dataset/{i}")
        assert [one["name"] for one in sample["labels"]] == [labels[i]]
        shown = ask(sample["url"])
        assert shown.size == (SIDE + 8, SIDE)
        assert abs(np.asarray(shown, dtype=float).mean() - images[i].mean()) < 3


def test_every_attribution_is_painted_in_every_colour_map(ask):
    names = [one["name"] for one in ask("/api/color-maps")]
    assert len(names) >= 8
    for i in range(COUNT):
        attribution = ask(f"/api/projects/0/attributions/{i}", imageMode="overlay")
        assert attribution["index"] == i
        assert sum(attribution["prediction"]) == 1
        for name in names if i in (0, 20, 21) else names[:1]:
            assert ask(attribution["urls"][name]).size == (SIDE + 8, SIDE)
            heatmap = ask(f"/api/projects/0/attributions/{i}/heatmap", colorMap=name)
            assert heatmap.size == (SIDE + 8, SIDE)
    many = ask("/api/projects/0/attributions", indices="0,5,7", imageMode="attribution")
    assert [one["index"] for one in many] == [0, 5, 7]


def test_the_mark_is_where_the_viewer_paints_it(ask):
    heatmap = np.asarray(ask("/api/projects/0/attributions/0/heatmap", colorMap="black-fire-red").convert("L"), float)
    mark = heatmap[24:30, 2:8].mean()
    assert mark > 2 * heatmap.mean()


def test_colour_maps_have_previews(ask):
    for one in ask("/api/color-maps"):
        assert ask(one["url"]).size == (200, 20)


def test_every_analysis_answers(ask, described, spray, inputs):
    (method,) = described["analysisMethods"]
    for category in method["categories"]:
        for clustering in method["clusterings"]:
            for embedding in method["embeddings"]:
                asked = {"category": category["name"], "clustering": clustering, "embedding": embedding}
                found = ask("/api/projects/0/analyses/SpRAy", **asked)
                places = [one["attributionIndex"] for one in found["embedding"]]
                number = int(category["name"])
                assert places == [i for i in spray.kept_ if not number or i % 2 == number - 1]
                assert not {20, 21, 30} & set(places)
                assert all(np.isfinite(one["value"]).all() for one in found["embedding"])
                assert ("eigenvalues" in found) == (embedding == "spectral")
                if clustering in spray.clusterings_:
                    clusters = [one["cluster"] for one in found["embedding"]]
                    assert clusters == spray.clusterings_[clustering][places].tolist()
    candidates = ask("/api/projects/0/analyses/SpRAy", category="00000000", clustering="candidates", embedding="tsne")
    first = [one["attributionIndex"] for one in candidates["embedding"] if one["cluster"] == 1]
    assert first == spray.candidates_[0].indices.tolist()


def test_the_files_have_the_layout_that_is_read(project):
    h5py, yaml = pytest.importorskip("h5py"), pytest.importorskip("yaml")
    folder = project.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        *("analysis.h5", "attributions.h5", "data.h5", "label-map.json", "project.yaml")
    ]
    declared = yaml.safe_load(project.read_text())["project"]
    assert declared["dataset"]["input_width"] == SIDE + 8
    with h5py.File(folder / "attributions.h5") as file:
        assert file["attribution"].shape == (COUNT, 3, SIDE, SIDE + 8)
        assert file["attribution"].dtype == np.float32
        assert np.isfinite(file["attribution"][()]).all()
        assert file["index"].dtype == np.uint32
    with h5py.File(folder / "analysis.h5") as file:
        names = [(sorted(one["embedding"]), sorted(one["cluster"])) for one in file.values()]
        assert names == names[:1] * 3
        assert file["00000000/embedding/tsne"].attrs["embedding"] == "spectral"
        assert file["00000000/cluster/eigengap"].attrs["k"] >= 2


def test_without_labels_there_is_one_category(inputs, spray, tmp_path):
    h5py = pytest.importorskip("h5py")
    images, maps, _ = inputs
    project = export_virelay(project_of(spray, images[:, :1], maps[:, None]), tmp_path)
    assert [one["name"] for one in json.loads((tmp_path / "label-map.json").read_text())] == ["all images"]
    with h5py.File(project.with_name("analysis.h5")) as file:
        assert list(file) == ["00000000"]


def test_an_interrupted_export_is_no_project(inputs, spray, tmp_path):
    pytest.importorskip("h5py")
    images, maps, labels = inputs
    parts = project_of(spray, images, maps, labels)
    export_virelay(parts, tmp_path)

    def fails(i):
        if i == 7:
            raise KeyboardInterrupt
        return images[i]

    object.__setattr__(parts, "image", fails)
    with pytest.raises(KeyboardInterrupt):
        export_virelay(parts, tmp_path)
    assert not (tmp_path / "project.yaml").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_does_not_belong_together_is_refused(inputs, spray, tmp_path):
    images, maps, labels = inputs
    for wrong in (images[:5], images.astype(float), images[:, :2], images[0]):
        with pytest.raises(InputError, match=r"images are uint8 \(40, 3, H, W\), one a map"):
            project_of(spray, wrong, maps)
    with pytest.raises(InputError, match="the analysis is of 40 maps"):
        project_of(spray, images, maps[:9])
    with pytest.raises(InputError, match="one label for each or none"):
        project_of(spray, images, maps, labels[:9])


def test_pictures_of_several_sizes_are_refused(inputs, spray, tmp_path):
    pytest.importorskip("h5py")
    parts = project_of(spray, inputs[0], inputs[1])
    object.__setattr__(parts, "image", lambda i: np.zeros((3, 8 + i, 8), np.uint8))
    with pytest.raises(InputError, match=r"image 1 is \(3, 9, 8\), the first one \(3, 8, 8\)"):
        export_virelay(parts, tmp_path)


@pytest.mark.parametrize("name", ["h5py", "yaml"])
def test_without_its_libraries_the_message_names_the_extra(inputs, spray, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"need h5py and PyYAML: pip install 'chinspect\[virelay\]'"):
        export_virelay(project_of(spray, inputs[0], inputs[1]), tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.fixture(scope="module")
def run(inputs, spray, tmp_path_factory):
    """A run with images on disk, larger than the viewer shows them."""
    from chinspect.spray.run import SprayRun

    folder = tmp_path_factory.mktemp("run")
    images, maps, labels = inputs
    paths = []
    for i, pixels in enumerate(images):
        paths.append(folder / f"{i:02d}.png")
        Image.fromarray(pixels.transpose(1, 2, 0)).save(paths[-1])
    names = [path.name for path in paths]
    SprayRun(spray, maps, names, paths=paths, labels=labels, made={"method": "given"}).save(folder / "run")
    return folder / "run"


def test_a_saved_run_has_the_same_parts(run, inputs, spray):
    images, maps, labels = inputs
    found, expected = read_run(run), project_of(spray, images, maps, labels)
    np.testing.assert_array_equal(found.maps, expected.maps)
    np.testing.assert_array_equal(found.analysed, expected.analysed)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.embedding, expected.embedding, atol=1e-6)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues)
    assert found.clusterings.keys() == expected.clusterings.keys()
    for name, clusters in found.clusterings.items():
        np.testing.assert_array_equal(clusters, expected.clusterings[name])
    assert found.image(3).shape == (3, 224, 224)
    assert found.image(3).dtype == np.uint8
    assert abs(found.image(3).mean() - images[3].mean()) < 2


def test_pictures_are_cut_as_the_model_sees_them(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    document = json.loads((run / "run.json").read_text())
    document["explanation"] = {
        "encoder": "tiny",
        "method": "Output",
        "preprocessing": {
            **{"size": 32, "resize": "shortest", "interpolation": "bilinear"},
            **{"mean": [0, 0, 0], "std": [1, 1, 1], "resize_size": None},
        },
    }
    (tmp_path / "run" / "run.json").write_text(json.dumps(document))
    found = read_run(tmp_path / "run")
    assert (found.model, found.method) == ("tiny", "Output")
    whole, cut = read_run(run).image(0), found.image(0)
    inside = np.asarray(Image.fromarray(whole.transpose(1, 2, 0)).crop((22, 0, 202, 224)).resize((224, 224)), float)
    away = np.abs(inside.transpose(2, 0, 1) - cut).mean()
    assert away < 0.5 * np.abs(whole.astype(float) - cut).mean()


def test_the_command_writes_beside_the_run(run, monkeypatch):
    pytest.importorskip("h5py")
    from chinspect.cli.app import app

    said = CliRunner().invoke(app, ["virelay", str(run), "--json"])
    assert said.exit_code == 0, said.output
    project = Path(json.loads(said.stdout)["project"])
    assert project == run / "virelay" / "project.yaml"
    assert project.is_file()


def test_folders_without_a_run_or_without_images_are_refused(run, tmp_path):
    with pytest.raises(InputError, match="holds no finished run of 'chinspect spray'"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"kind": "stress"}')
    with pytest.raises(InputError, match="holds no finished run"):
        read_run(tmp_path)
    shutil.copytree(run, tmp_path / "bare")
    table = pd.read_parquet(run / "samples.parquet").drop(columns="path")
    table.to_parquet(tmp_path / "bare" / "samples.parquet")
    with pytest.raises(InputError, match="has no images, which ViRelAy shows"):
        read_run(tmp_path / "bare")
