import os

import numpy as np
import pytest
from PIL import Image

from chinspect.encoders import load_encoder
from chinspect.errors import InputError, MachineError
from chinspect.execute import Store
from chinspect.similarity import SimilarityIndex
from tests.execute._jobs import Faulty, Mortal, Noise, Threads, contents, run

ray = pytest.importorskip("ray", reason="needs Ray: pip install chinspect[ray]")
worker_resources = pytest.importorskip("chinspect.execute._ray").worker_resources


@pytest.fixture(scope="module")
def cluster():
    """Two CPUs for this file's tests; `run` finds Ray at work and leaves it so."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.fixture
def markers(tmp_path):
    (tmp_path / "markers").mkdir()
    return tmp_path / "markers"


def test_workers_write_byte_for_byte_what_this_process_writes(cluster, tmp_path):
    seen = []
    run(Noise(seconds=0.1), tmp_path / "ray", workers=3, progress=lambda *counts: seen.append(counts))
    run(Noise(), tmp_path / "here")
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert seen == [(5 * done, 60) for done in range(1, 13)]


def test_a_worker_that_dies_costs_a_try_and_no_result(cluster, tmp_path, markers):
    run(Mortal(markers=str(markers), seconds=0.1), tmp_path / "ray", workers=2)
    assert len(os.listdir(markers)) == 1
    run(Noise(), tmp_path / "here")
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


def test_a_shard_that_kills_three_workers_is_named_and_the_others_stay(cluster, tmp_path, markers):
    with pytest.raises(MachineError, match="died 3 times in shard 3"):
        run(Mortal(markers=str(markers), deaths=99), tmp_path / "ray", workers=1)
    assert len(os.listdir(markers)) == 3
    assert {0, 1, 2} & {*Store.open(tmp_path / "ray").missing()} == set()


def test_bad_input_in_a_worker_is_bad_input_here(cluster, tmp_path):
    with pytest.raises(InputError, match=r"^shard 7 cannot be read\.$"):
        run(Faulty(), tmp_path, workers=1)


def test_other_errors_come_with_the_workers_traceback(cluster, tmp_path):
    with pytest.raises(ZeroDivisionError, match=r"(?s)_jobs\.py.*run_shard.*by design"):
        run(Faulty(kind="other"), tmp_path, workers=1)


def test_a_worker_has_its_share_of_the_threads(cluster, tmp_path):
    np.testing.assert_array_equal(run(Threads(n_shards=1), tmp_path, workers=1).arrays("threads"), 2)


def test_an_index_built_by_workers_equals_one_built_here(cluster, tmp_path):
    for number, noise in enumerate(np.random.default_rng(0).integers(0, 255, (18, 64, 64, 3), dtype=np.uint8)):
        Image.fromarray(noise).save(tmp_path / f"{number:02}.png")
    encoder = load_encoder("tiny-clip")
    first, second = (SimilarityIndex.build(encoder, tmp_path, tmp_path / f"{n}", workers=n) for n in (0, 2))
    assert contents(first.path) == contents(second.path)


def test_a_job_of_a_gpu_is_refused_where_there_is_none(cluster, tmp_path):
    with pytest.raises(InputError, match="no GPU"):
        run(Noise(device="cuda"), tmp_path, workers=2)


@pytest.mark.parametrize(
    ("nodes", "workers", "device", "expected"),
    [
        ([{"CPU": 8}], 2, "cpu", (4, 0)),
        ([{"CPU": 8}], 3, "cpu", (2, 0)),
        ([{"CPU": 6}, {"CPU": 2}], 2, "cpu", (3, 0)),  # four of each would leave one waiting
        ([{"CPU": 4}, {"CPU": 4}], 1, "cpu", (4, 0)),  # no worker spans two machines
        ([{"CPU": 2}], 5, "cpu", (1, 0)),
        ([{}, {"CPU": 4}], 2, "cpu", (2, 0)),
        ([{"CPU": 16, "GPU": 2}], 2, "cuda", (8, 1)),
        ([{"CPU": 16, "GPU": 1}], 3, "cuda", (5, 0.3333)),
        ([{"CPU": 64}, {"CPU": 8, "GPU": 4}], 4, "cuda", (2, 1)),  # the CPUs beside the GPUs count
    ],
)
def test_shares_let_all_workers_run_at_once(nodes, workers, device, expected):
    assert worker_resources(nodes, workers, device) == expected
