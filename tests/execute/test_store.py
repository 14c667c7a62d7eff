import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chinspect.errors import InputError, MachineError
from chinspect.execute import Store
from tests.execute._jobs import contents

DESCRIPTION = {
    "encoder": "tiny",
    "fingerprint": "0123456789abcdef",
    "composite": "epsilon_plus_flat",
    "preprocessing": {"size": 64, "mean": (0.5, 0.5, 0.5)},
    "images": ["a.png", "b.png"],
}
KINDS = ("bool", "int8", "uint16", "int64", "float16", "float32", "float64", ">f4", ">i2")


def filled(path, n_shards=4, description=DESCRIPTION):
    store = Store(path, description, n_shards)
    for shard in range(n_shards):
        store.write(shard, arrays_of(shard))
    return store


def arrays_of(shard):
    generator = np.random.default_rng(shard)
    return {"table": generator.normal(size=(3, 4, 2)).astype(np.float16), "number": np.full(3, shard)}


def shard_file(store, shard):
    return store.path / "shards" / f"{shard:05d}.safetensors"


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_in_any_split_order_and_layout(data):
    kind = np.dtype(data.draw(st.sampled_from(KINDS)))
    whole = data.draw(hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    parts = np.split(whole, cuts)
    layout = data.draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda a: a[::-1][::-1]]))
    order = data.draw(st.permutations(range(len(parts))))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, DESCRIPTION, len(parts))
        for done, shard in enumerate(order):
            assert store.missing() == sorted(order[done:])
            store.write(shard, {"a": layout(parts[shard])})
        again = Store.open(folder)
        assert again.complete
        np.testing.assert_array_equal(again.arrays("a"), whole)
        assert again.arrays("a").dtype == kind.newbyteorder("=")
        for shard, part in enumerate(parts):
            for row in range(len(part)):
                np.testing.assert_array_equal(again.row(shard, "a", row), part[row])


def test_single_numbers_and_empty_shards_are_kept(tmp_path):
    store = Store(tmp_path, {}, 2)
    store.write(0, {"number": np.float64(3.5)})
    store.write(1, {})
    assert store.read(0)["number"] == np.float64(3.5)
    assert store.read(1) == {}


def test_a_shard_that_is_there_stays(tmp_path):
    store = filled(tmp_path)
    before = contents(tmp_path)
    store.write(2, arrays_of(99))
    assert contents(tmp_path) == before
    np.testing.assert_array_equal(store.read(2)["table"], arrays_of(2)["table"])


def test_the_description_comes_back_and_the_same_one_goes_on(tmp_path):
    filled(tmp_path)
    before = contents(tmp_path)
    reordered = dict(reversed(DESCRIPTION.items()))
    assert Store(tmp_path, reordered, 4).complete
    assert Store.open(tmp_path).description == json.loads(json.dumps(DESCRIPTION))
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"composite": "epsilon"}, "composite"),
        ({"fingerprint": "0123456789abcdee"}, "fingerprint"),
        ({"preprocessing": {"size": 64, "mean": (0.5, 0.5, 0.4)}}, "preprocessing.mean"),
        ({"preprocessing": {"size": 64.0, "mean": (0.5, 0.5, 0.5)}}, "preprocessing.size"),
        ({"preprocessing": {"size": 64}}, "preprocessing.mean"),
        ({"images": ["a.png", "b.png", "c.png"]}, "images"),
        ({"fresh": None}, "fresh"),
    ],
)
def test_a_changed_parameter_is_refused_by_its_name_and_nothing_is_touched(tmp_path, changed, name):
    filled(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=rf"another {name} \("):
        Store(tmp_path, DESCRIPTION | changed, 4)
    assert contents(tmp_path) == before


def test_another_number_of_shards_and_other_libraries_are_refused(tmp_path, monkeypatch):
    filled(tmp_path)
    with pytest.raises(InputError, match="another n_shards"):
        Store(tmp_path, DESCRIPTION, 5)
    monkeypatch.setattr("chinspect.execute._manifest.version", lambda name: "0.0" if name == "numpy" else "1")
    with pytest.raises(InputError, match=r"another versions\."):
        Store(tmp_path, DESCRIPTION, 4)
    assert Store.open(tmp_path).complete


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5]) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=1), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3), st.dictionaries(st.sampled_from("abc"), values))
def test_two_descriptions_share_a_store_only_if_they_are_the_same(first, second):
    with tempfile.TemporaryDirectory() as folder:
        Store(folder, first, 1)
        if json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True):
            Store(folder, second, 1)
        else:
            with pytest.raises(InputError, match="holds results of another"):
                Store(folder, second, 1)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, np.float32(1), b"bytes"])
def test_a_description_that_is_no_json_is_refused(tmp_path, value):
    with pytest.raises(InputError, match="plain JSON"):
        Store(tmp_path / "s", {"value": value}, 1)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema": 99}', '{"schema": 1}', "[" * 100_000])
def test_what_is_no_store_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(InputError):
            Store(tmp_path, DESCRIPTION, 1)
    with pytest.raises(InputError):
        Store.open(tmp_path)


def test_a_manifest_that_was_edited_is_refused(tmp_path):
    filled(tmp_path)
    file = tmp_path / "manifest.json"
    file.write_text(file.read_text().replace("epsilon_plus_flat", "epsilon"))
    with pytest.raises(InputError, match="was changed"):
        Store.open(tmp_path)


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    store = filled(tmp_path)
    file, whole = shard_file(store, 1), shard_file(store, 1).read_bytes()
    generator = np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*generator.integers(0, len(whole) * 8, 400), *generator.integers(header * 8, len(whole) * 8, 100)]
    for place in places:
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << (place % 8)
        file.write_bytes(changed)
        with pytest.raises(InputError, match=r"00001\.safetensors"):
            Store.open(tmp_path).read(1)


def test_no_truncation_goes_unnoticed(tmp_path):
    store = filled(tmp_path)
    file, whole = shard_file(store, 1), shard_file(store, 1).read_bytes()
    for length in [0, 1, 7, 8, 9, *np.random.default_rng(0).integers(0, len(whole), 60), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged or truncated"):
            Store.open(tmp_path).read(1)
    file.write_bytes(whole + b"\0")
    with pytest.raises(InputError, match="damaged or truncated"):
        store.read(1)


def test_an_array_is_checked_before_its_first_row_is_given_out(tmp_path):
    store = filled(tmp_path)
    file, whole = shard_file(store, 1), shard_file(store, 1).read_bytes()
    at = whole.index(arrays_of(1)["table"].tobytes())
    file.write_bytes(whole[: at + 40] + b"\xff" + whole[at + 41 :])
    with pytest.raises(InputError, match="'table'"):
        store.row(1, "table", 0)
    np.testing.assert_array_equal(store.arrays("number"), np.repeat(np.arange(4), 3))


def test_shards_of_another_store_or_place_are_refused(tmp_path):
    store, other = filled(tmp_path / "a"), filled(tmp_path / "b", description={"encoder": "other"})
    shard_file(store, 2).write_bytes(shard_file(other, 2).read_bytes())
    shard_file(store, 1).write_bytes(shard_file(store, 0).read_bytes())
    for shard in (1, 2):
        with pytest.raises(InputError, match="another store or place"):
            store.read(shard)


def test_what_is_not_there_is_named(tmp_path):
    store = Store(tmp_path, DESCRIPTION, 4)
    store.write(0, arrays_of(0))
    with pytest.raises(InputError, match=r"00001\.safetensors' is missing"):
        store.arrays("table")
    with pytest.raises(InputError, match="has no 'tables': it has number, table"):
        store.row(0, "tables", 0)
    for shard in (-1, 4):
        with pytest.raises(InputError, match=f"4 shards, and no shard {shard}"):
            store.write(shard, arrays_of(0))
    for count in (0, -1, 2.0):
        with pytest.raises(InputError, match="at least one shard"):
            Store(tmp_path / "none", DESCRIPTION, count)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    store = Store(tmp_path, DESCRIPTION, 1)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MachineError, match="is full"):
        store.write(0, arrays_of(0))
    assert os.listdir(tmp_path / "shards") == []


def test_a_disk_without_hard_links_serves_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = filled(tmp_path)
    assert store.complete
    assert sorted(path.suffix for path in tmp_path.rglob("*") if path.is_file()) == [".json", *[".safetensors"] * 4]


def test_leftovers_of_the_dead_go_and_those_of_the_living_and_of_other_hosts_stay(tmp_path):
    store = filled(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = platform.node()
    names = {pid: f".00000.safetensors.{host}.{pid}.01234567.part" for pid in (gone.pid, os.getpid())}
    foreign = [f".00000.safetensors.x{host}.{gone.pid}.01234567.part", ".hidden", f"{gone.pid}.part"]
    for name in [*names.values(), *foreign]:
        (tmp_path / "shards" / name).write_bytes(b"half")
    Store.open(tmp_path)
    assert (tmp_path / "shards" / names[gone.pid]).exists()  # who only reads removes nothing
    Store(tmp_path, DESCRIPTION, 4)
    left = {path.name for path in (tmp_path / "shards").iterdir()} - {shard_file(store, i).name for i in range(4)}
    assert left == {names[os.getpid()], *foreign}
