import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.similarity import SimilarityIndex, explain_similarity
from tests.similarity.conftest import picture

N = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    generator = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("images")
    (path / "sub").mkdir()
    for number in range(N):
        picture(generator, 80, 64).save(path / ("sub" if number % 2 else ".") / f"{number:02}.png")
    (path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n rest is missing")
    return path


@pytest.fixture(scope="module")
def index(encoder, folder, tmp_path_factory):
    return SimilarityIndex.build(encoder, folder, tmp_path_factory.mktemp("index") / "i", patch_size=16)


def test_every_readable_image_is_in_and_the_others_are_named(index):
    assert len(index) == N
    assert index.unreadable() == ["broken.png"]
    assert index.grid == (4, 4)


def test_stored_pairs_equal_fresh_ones_to_half_precision(index, encoder, folder):
    fresh = explain_similarity(encoder, folder / index.names[3], folder / index.names[12])
    np.testing.assert_allclose(index.relevance(3, 12), fresh.relevance, atol=2e-3 * np.abs(fresh.relevance).max())
    np.testing.assert_allclose(
        index.marginal(3, 12), fresh.marginals()[0], atol=2e-3 * np.abs(fresh.marginals()[0]).max()
    )
    stored = index.explain(3, 12)
    assert stored.similarity == pytest.approx(fresh.similarity, rel=1e-5)
    assert stored.top_pairs(1)[0].box_a == fresh.top_pairs(1)[0].box_a


def test_a_stored_pair_draws_but_has_no_frequencies(index, tmp_path):
    stored = index.explain(0, 1, metric="cosine")
    assert stored.plot(tmp_path / "pair.png").exists()
    with pytest.raises(InputError, match="explain_similarity"):
        stored.by_frequency(3)


def test_neighbours_are_those_of_the_cosine(index):
    vectors = index.embeddings / np.linalg.norm(index.embeddings, axis=1, keepdims=True)
    order = np.argsort(-(vectors @ vectors[5]))
    found = index.neighbours(5, 4)
    assert [j for j, _ in found] == [j for j in order if j != 5][:4]
    assert len(index.neighbours(5, 100)) == N - 1
    for call in (lambda: index.neighbours(5, metric="cos"), lambda: index.explain(0, 1, metric="cos")):
        with pytest.raises(InputError, match="unknown metric 'cos': choose dot or cosine"):
            call()


def test_an_index_opens_without_the_encoder(index):
    again = SimilarityIndex.open(index.path)
    np.testing.assert_array_equal(again.relevance(0, 1), index.relevance(0, 1))


def test_building_again_changes_nothing(index, encoder, folder):
    stamp = {path: path.stat().st_mtime_ns for path in index.path.rglob("*") if path.is_file()}
    SimilarityIndex.build(encoder, folder, index.path, patch_size=16)
    assert stamp == {path: path.stat().st_mtime_ns for path in index.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changed", "match"), [({"patch_size": 32}, "patch_size"), ({"composite": "epsilon"}, "composite")]
)
def test_another_making_is_refused(index, encoder, folder, changed, match):
    with pytest.raises(InputError, match=match):
        SimilarityIndex.build(encoder, folder, index.path, **{"patch_size": 16, **changed})


def test_a_changed_encoder_is_refused(index, encoder, folder):
    import copy

    other = copy.deepcopy(encoder.module)
    next(other.parameters()).data.mul_(1.01)
    with pytest.raises(InputError, match="fingerprint"):
        SimilarityIndex.build(Encoder("random", other, encoder.preprocessing, encoder.card), folder, index.path)


def test_progress_counts_up(encoder, folder, tmp_path):
    seen = []
    SimilarityIndex.build(encoder, folder, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(16, N + 1), (N + 1, N + 1)]


@pytest.mark.parametrize("content", [None, "{", '{"layout": 99}', "[]"])
def test_what_is_no_index_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="index"):
        SimilarityIndex.open(tmp_path)


def test_an_incomplete_index_is_refused(encoder, folder, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        SimilarityIndex.build(encoder, folder, tmp_path, progress=stop)
    with pytest.raises(InputError, match="not complete"):
        SimilarityIndex.open(tmp_path)
    assert len(SimilarityIndex.build(encoder, folder, tmp_path)) == N


SCRIPT = """
import sys
import torch
from chinspect.encoders import load_encoder
from chinspect.similarity import SimilarityIndex
torch.set_num_threads(1)  # as the test itself: sums of other threads round otherwise
print("start", flush=True)
encoder = load_encoder("tiny-clip")
SimilarityIndex.build(encoder, sys.argv[1], sys.argv[2], progress=lambda *_: print("shard", flush=True))
"""


def test_a_killed_build_goes_on(tmp_path):
    from chinspect.encoders import load_encoder

    generator = np.random.default_rng(2)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(64):
        picture(generator, 64, 64).save(images / f"{number:02}.png")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(images), str(tmp_path / "killed")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "start\n"
        assert process.stdout.readline() == "shard\n"
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    encoder = load_encoder("tiny-clip")
    resumed = SimilarityIndex.build(encoder, images, tmp_path / "killed")
    whole = SimilarityIndex.build(encoder, images, tmp_path / "whole")
    assert resumed.names == whole.names
    for i in range(0, 64, 7):
        np.testing.assert_array_equal(resumed.contributions(i), whole.contributions(i))


def test_the_manifest_says_how_it_was_made(index):
    manifest = json.loads((index.path / "manifest.json").read_text())["description"]
    assert manifest["encoder"] == "random"
    assert len(manifest["fingerprint"]) == 16
    assert manifest["images"] == sorted([*index.names, "broken.png"])
