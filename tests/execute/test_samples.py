import numpy as np
import pandas as pd
import pytest
from PIL import Image

from chinspect.errors import InputError
from chinspect.execute import load_samples

NAMES = ("b.png", "a.png", "sub/NA.png")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(NAMES):
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(tmp_path / name)
    return tmp_path


def table(path, content):
    frame = pd.DataFrame(content)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def test_a_folder_is_listed_by_path(folder):
    samples = load_samples(folder)
    assert samples.names == ("a.png", "b.png", "sub/NA.png")
    assert samples.paths == [folder / name for name in samples.names]
    assert samples.labels is None


def test_a_list_keeps_its_order_and_may_be_absolute(folder):
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbfb.png\r\n\n" + str(folder / "a.png").encode())
    samples = load_samples(folder / "list.txt")
    assert samples.names == ("b.png", str(folder / "a.png"))
    assert samples.paths == [folder / "b.png", folder / "a.png"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_gives_paths_and_labels(folder, suffix):
    samples = load_samples(table(folder / f"t{suffix}", {"label": ["cat", "NA", "1"], "path": NAMES}))
    assert samples.names == NAMES
    assert samples.labels == ("cat", "NA", "1")
    assert load_samples(table(folder / f"u{suffix}", {"path": NAMES})).labels is None


def test_an_index_opens_an_image(folder):
    samples = load_samples(folder)
    assert len([image.size for image in samples]) == len(samples)
    assert samples[0].mode == "RGB"


def test_the_digest_notices_what_was_added_renamed_edited_or_labelled_anew(folder):
    digests = [load_samples(folder).digest, load_samples(folder).digest]
    assert digests[0] == digests[1]
    Image.new("RGB", (16, 16)).save(folder / "c.png")
    digests.append(load_samples(folder).digest)
    (folder / "c.png").rename(folder / "d.png")
    digests.append(load_samples(folder).digest)
    Image.new("RGB", (16, 16), "red").save(folder / "d.png")
    digests.append(load_samples(folder).digest)
    tables = [table(folder / f"{labels}.csv", {"path": NAMES, "label": list(labels)}) for labels in ("xyz", "xyy")]
    digests += [load_samples(path).digest for path in tables]
    assert len(set(digests)) == len(digests) - 1


def test_an_image_that_went_away_meanwhile_is_named(folder):
    samples = load_samples(folder)
    (folder / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png' cannot be read"):
        samples.digest  # noqa: B018


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"file": ["a.png"]}, "no column 'path', only file"),
        ({"path": ["a.png", "none.png"]}, "none.png', which is no file"),
        ({"path": ["a.png", "sub"]}, "sub', which is no file"),
        ({"path": ["a.png", "b.png", "a.png"]}, "lists 'a.png' 2 times"),
        ({"path": ["a.png", " "], "label": ["x", "y"]}, "row 1 .* has no path"),
        ({"path": ["a.png", None], "label": ["x", "y"]}, "row 1 .* has no path"),
        ({"path": ["a.png", "b.png"], "label": ["x", " "]}, "row 1 .* has no label"),
        ({"path": ["a.png", "b.png"], "label": [None, "x"]}, "row 0 .* has no label"),
        ({"path": ["a.png", "b.png"], "label": [1.0, np.nan]}, "row 1 .* has no label"),
        ({"path": np.array([], dtype=str)}, "lists no images"),
        ({"path": ["a.png\0"]}, "which is no file"),
    ],
)
def test_tables_that_make_no_sense_are_refused(folder, suffix, content, match):
    with pytest.raises(InputError, match=match):
        load_samples(table(folder / f"t{suffix}", content))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("t.csv", b"", "cannot be read"),
        ("t.csv", b"\xff\xfe\x00", "cannot be read"),
        ("t.parquet", b"PAR1 nothing", "cannot be read"),
        ("t.parquet", b"", "cannot be read"),
        ("list.txt", b"\n \n", "lists no images"),
        ("list.txt", b"\x89PNG\r\n\xff", "no text file"),
        ("list.txt", b"none.png", "which is no file"),
        ("list.txt", b"a.png\na.png", "lists 'a.png' 2 times"),
    ],
)
def test_files_that_make_no_sense_are_refused(folder, name, content, match):
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        load_samples(folder / name)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_samples(tmp_path / "none")
    with pytest.raises(InputError, match="no images"):
        load_samples(tmp_path)
