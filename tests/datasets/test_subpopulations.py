"""Data sets with groups are read as they lie on disk."""

import pytest
from PIL import Image

from chinspect.datasets import load_subpopulations
from chinspect.errors import InputError


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def test_waterbirds(tmp_path):
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    for number, (y, split, place) in enumerate([(0, 0, 1), (1, 1, 1), (1, 2, 0)]):
        image(tmp_path / f"001.Bird/{number}.jpg")
        rows.append(f"{number},001.Bird/{number}.jpg,{y},{split},{place},forest/x.jpg")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    data = load_subpopulations(tmp_path)
    assert data.name == "waterbirds"
    assert data.table[["y", "a", "split"]].to_numpy().tolist() == [
        ["0", "1", "train"],
        ["1", "1", "val"],
        ["1", "0", "test"],
    ]
    assert data.split("val")["path"].tolist() == [tmp_path / "001.Bird/1.jpg"]
    (tmp_path / "001.Bird/2.jpg").unlink()
    with pytest.raises(InputError, match=r"names '.*2.jpg', which is not there"):
        load_subpopulations(tmp_path)
    (tmp_path / "metadata.csv").write_text("img_filename,y,split\na,0,0")
    with pytest.raises(InputError, match="lacks the column 'place'"):
        load_subpopulations(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_celeba(tmp_path, kind):
    names = ["000001.jpg", "000002.jpg"]
    for name in names:
        image(tmp_path / "img_align_celeba" / name)
    if kind == "csv":
        (tmp_path / "list_attr_celeba.csv").write_text(
            "image_id,Bald,Blond_Hair,Male\n000001.jpg,-1,1,-1\n000002.jpg,-1,-1,1\n"
        )
        (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\n000001.jpg,0\n000002.jpg,2\n")
    else:
        (tmp_path / "list_attr_celeba.txt").write_text(
            "2\nBald Blond_Hair Male \n000001.jpg -1  1 -1\n000002.jpg -1 -1  1\n"
        )
        (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 2\n")
    data = load_subpopulations(tmp_path)
    assert data.name == "celeba"
    assert data.table[["y", "a", "split"]].to_numpy().tolist() == [["1", "0", "train"], ["0", "1", "test"]]


def test_urbancars(tmp_path):
    for split in ("train", "val", "test"):
        image(tmp_path / split / "obj-country_bg-urban_co_occur_obj-country" / "0.jpg")
        image(tmp_path / split / "obj-urban_bg-urban_co_occur_obj-urban" / "1.jpg")
    data = load_subpopulations(tmp_path)
    assert data.name == "urbancars"
    assert data.split("test")[["y", "a"]].to_numpy().tolist() == [
        ["country", "urban, country"],
        ["urban", "urban, urban"],
    ]


def test_tables_of_subpopbench(tmp_path):
    image(tmp_path / "x/1.png")
    image(tmp_path / "x/2.png")
    table = tmp_path / "metadata_x.csv"
    table.write_text("id,filename,split,y,a\n0,x/1.png,0,3,1\n1,x/2.png,2,1,0\n")
    data = load_subpopulations(tmp_path, metadata=table)
    assert data.table["y"].tolist() == ["3", "1"]
    with pytest.raises(InputError, match="no images in its split 'val'"):
        data.split("val")
    table.write_text("filename,split,y,a\nx/1.png,7,3,1\n")
    with pytest.raises(InputError, match="a split is 0 for training"):
        load_subpopulations(tmp_path, metadata=table)


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(InputError, match="none of the layouts waterbirds, celeba, urbancars"):
        load_subpopulations(tmp_path)
