import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from chinspect.errors import InputError
from chinspect.execute import Store
from tests.execute._jobs import Faulty, Noise, contents, run


def writer(path, seconds, seed=0, shards=40):
    script = (
        "import sys; from tests.execute._jobs import Noise, run\n"
        f"sys.stdin.readline(); run(Noise({seed}, {shards}, seconds={seconds}), {str(path)!r})"
    )
    return subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_all_shards_are_run_once_and_read_in_order(tmp_path):
    store = run(Noise(), tmp_path)
    np.testing.assert_array_equal(store.arrays("shard"), np.repeat(np.arange(12), 5))
    np.testing.assert_array_equal(store.arrays("values")[5:10], Noise().run_shard(1)["values"])


def test_only_what_is_missing_is_run(tmp_path, monkeypatch):
    run(Noise(), tmp_path)
    for shard in (2, 5):
        (tmp_path / "shards" / f"{shard:05d}.safetensors").unlink()
    real, ran, seen = Noise.run_shard, [], []
    monkeypatch.setattr(Noise, "run_shard", lambda self, shard: ran.append(shard) or real(self, shard))
    run(Noise(), tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert sorted(ran) == [2, 5]
    assert seen == [(50, 60), (55, 60), (60, 60)]
    run(Noise(), tmp_path)
    assert len(ran) == 2


def test_an_error_stops_the_run_and_keeps_what_was_done(tmp_path):
    with pytest.raises(InputError, match="shard 7 cannot be read"):
        run(Faulty(), tmp_path)
    store = Store.open(tmp_path)
    assert 7 in store.missing()
    assert contents(tmp_path) == {name: run_of_noise(tmp_path)[name] for name in contents(tmp_path)}


def run_of_noise(tmp_path):
    run(Noise(), tmp_path / ".." / f"{tmp_path.name}-whole")
    return contents(tmp_path / ".." / f"{tmp_path.name}-whole")


@pytest.mark.parametrize("workers", [-1, 1.5, None])
def test_a_number_of_workers_that_makes_no_sense_is_refused(tmp_path, workers):
    with pytest.raises(InputError, match="workers"):
        run(Noise(), tmp_path, workers=workers)


def test_the_heavy_things_are_not_imported():
    found = subprocess.run(
        [sys.executable, "-c", "import sys, json, chinspect.execute; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"ray", "torch"} & set(json.loads(found.stdout))


def test_without_ray_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "chinspect.execute._ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install chinspect\[ray\]"):
        run(Noise(), tmp_path, workers=2)
    assert run(Noise(), tmp_path).complete


def test_four_writers_of_one_store_lose_and_double_nothing(tmp_path):
    writers = [writer(tmp_path / "many", 0.002) for _ in range(4)]
    for process in writers:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in writers] == [("", 0)] * 4
    run(Noise(n_shards=40), tmp_path / "one")
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_of_writers_that_disagree_one_wins_and_the_others_are_refused(tmp_path):
    writers = [writer(tmp_path / "many", 0.0, seed) for seed in range(3)]
    for process in writers:
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in writers]
    (winner,) = [seed for seed, process in enumerate(writers) if process.returncode == 0]
    assert sum("another seed" in error for error in errors) == 2
    run(Noise(winner, 40), tmp_path / "one")
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_a_killed_writer_loses_and_doubles_nothing(tmp_path):
    process = writer(tmp_path / "killed", 0.02)
    process.stdin.write("go\n")
    process.stdin.flush()
    while not list((tmp_path / "killed").glob("shards/*.safetensors")):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    left = len(Store.open(tmp_path / "killed").missing())
    assert 0 < left < 40
    run(Noise(n_shards=40), tmp_path / "killed")
    run(Noise(n_shards=40), tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
