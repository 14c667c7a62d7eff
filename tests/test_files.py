"""Files are whole or not there, readable as the umask says, and places that cannot be written to are told early."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from chinspect.errors import InputError, MachineError
from chinspect.files import (
    check_output_file,
    check_output_folder,
    claim_file,
    claim_folder,
    creating,
    replacing,
)


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], indirect=True)
@pytest.mark.parametrize("writer", [replacing, creating])
def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int, writer) -> None:
    with writer(tmp_path / "a.safetensors") as temporary:
        save_file({"a": np.zeros(3)}, temporary)  # which replaces the temporary file by one of the owner alone
    with writer(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("a.safetensors", "a.json"), 0o666 & ~umask)


@pytest.mark.parametrize("writer", [replacing, creating])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, writer) -> None:
    (tmp_path / "a").write_text("before")
    with pytest.raises(RuntimeError, match="full"), writer(tmp_path / "a") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError("full")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "before"}


def test_the_last_one_replaces_and_the_first_one_creates(tmp_path: Path) -> None:
    for text in ("first", "second"):
        for writer in (replacing, creating):
            with writer(tmp_path / writer.__name__) as temporary:
                temporary.write_text(text)
    assert (tmp_path / "replacing").read_text() == "second"
    assert (tmp_path / "creating").read_text() == "first"


@pytest.mark.parametrize(
    ("check", "name", "words"),
    [
        (check_output_file, "folder", "folder' is a folder"),
        (check_output_file, "no/such/file", "no/such/file' does not exist"),
        (check_output_file, "file/below", "file/below' does not exist"),
        (check_output_folder, "file", "file' is a file"),
        (check_output_folder, "file/below/it", "file' is a file"),
    ],
)
def test_places_that_cannot_be_written_to(tmp_path: Path, check, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words):
        check(tmp_path / name)


def test_a_check_makes_nothing(tmp_path: Path) -> None:
    check_output_file(tmp_path / "new")
    check_output_folder(tmp_path / "new" / "below")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("writer", [replacing, creating])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota"), ValueError("I/O error (os error 28)")]
)
def test_a_full_disk_is_told_as_such_and_leaves_what_was_there(tmp_path: Path, writer, error: Exception) -> None:
    (tmp_path / "a").write_text("before")
    with pytest.raises(MachineError, match=r"is full, and 'a' cannot be written"), writer(tmp_path / "a"):
        raise error
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "before"}


def test_results_are_replaced_when_asked_for_and_inputs_never(tmp_path: Path) -> None:
    claim_folder(tmp_path / "new", ["result"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "result.csv").touch()
    (tmp_path / "result.txt").touch()  # of somebody else
    with pytest.raises(InputError, match=r"'.*result\.csv' is there already.*--force"):
        claim_folder(tmp_path, ["result"])
    claim_folder(tmp_path, ["result"], inputs=[None, tmp_path / "result.txt"], force=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "result.csv")
    for source in (tmp_path / "result.csv", tmp_path, link):
        with pytest.raises(InputError, match="no output replaces an input"):
            claim_folder(tmp_path, ["result"], inputs=[source], force=True)
    with pytest.raises(InputError, match="no output replaces an input"):
        claim_file(tmp_path / "result.csv", inputs=[link], force=True)
    claim_file(tmp_path / "result.csv", force=True)
    claim_file(tmp_path / "another.csv", inputs=[tmp_path])
