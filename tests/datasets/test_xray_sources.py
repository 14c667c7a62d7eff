"""The two X-ray sources as they lie on disk, what is refused of them, and the split by patients."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chinspect.datasets import XrayImages, load_github, load_nih, load_xray_folders
from chinspect.errors import InputError

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
NIH_ROWS = (
    "00000001_000.png,Cardiomegaly,0,1,58,M,PA,2682,2749,0.143,0.143,",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,PA,2894,2729,0.143,0.143,",
    "00000002_000.png,No Finding,0,2,81,M,PA,2500,2048,0.171,0.171,",
    "00000013_000.png,Pneumonia,0,13,60,F,AP,2048,2500,0.168,0.168,",
)
GITHUB_HEADER = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,"
    "view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)
GITHUB_IMAGES = (
    ("2", "Pneumonia/Viral/COVID-19", "PA", "X-ray", "images", "auntminnie-a.jpeg"),
    ("2", "Pneumonia/Viral/COVID-19", "PA", "X-ray", "images", "auntminnie-b.jpeg"),
    ("13", "Pneumonia/Viral/COVID-19", "L", "X-ray", "images", "nejmoa_f1-L.jpeg"),
    ("19", "Pneumonia/Viral/COVID-19", "Axial", "CT", "images", "ct-slice.jpg"),
    ("20", "Pneumonia/Viral/COVID-19", "AP Supine", "X-ray", "images", "supine.jpg"),
    ("21", "Pneumonia/Viral/COVID-19", "Coronal", "CT", "volumes", "coronacases_001.nii.gz"),
    ("3", "Pneumonia/Viral/SARS", "AP", "X-ray", "images", "SARS-Fig8a.jpeg"),
    ("478", "No Finding", "AP", "X-ray", "images", "02b973.png"),
    ("479", "todo", "PA", "X-ray", "images", "todo.png"),
)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (16, 12), 90).save(path)


def github_row(patient: str, finding: str, view: str, modality: str, folder: str, name: str) -> str:
    unknown = "," * 13
    note = '"A note, with ""quotes"",\nand a second line."'
    return f"{patient},0,M,65,{finding}{unknown},{view},{modality},2020,Wuhan,{folder},{name},,,,{note},,"


@pytest.fixture
def nih(tmp_path: Path) -> Path:
    root = tmp_path / "nih"
    for row in NIH_ROWS:
        picture(root / "images" / row.split(",")[0])
    (root / "Data_Entry_2017.csv").write_text("\n".join([NIH_HEADER, *NIH_ROWS]) + "\n")
    return root


@pytest.fixture
def github(tmp_path: Path) -> Path:
    root = tmp_path / "github"
    for *_, folder, name in GITHUB_IMAGES:
        if folder == "images":
            picture(root / folder / name)
    lines = [GITHUB_HEADER, *(github_row(*row) for row in GITHUB_IMAGES)]
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    root = tmp_path / "folders"
    for name in ("000_auntminnie-a-2020", "001_auntminnie-b-2020", "002_03BF7561-A9BA-4C3C", "003_5A78BCA9-5B7A"):
        picture(root / "github_covid19" / f"{name}.jpg")
    for name in ("000_00000032_001", "001_00000032_002", "002_00000061_000"):
        picture(root / "nih_no_findings" / f"{name}.jpg")
    picture(root / "nih_pneumonia" / "000_00000061_012.jpg")
    return root


def test_nih_is_listed_with_patients_and_findings(nih: Path) -> None:
    images = load_nih(nih)
    assert [path.name for path in images.paths] == [row.split(",")[0] for row in NIH_ROWS]
    assert images.patients == ("nih:00000001", "nih:00000001", "nih:00000002", "nih:00000013")
    assert images.findings[1] == "Cardiomegaly|Emphysema"
    assert {*images.labels} == {0}
    assert {*images.sources} == {"nih"}


def test_nih_in_twelve_archives_and_the_newer_table(nih: Path) -> None:
    before = load_nih(nih)
    for number, path in enumerate(sorted((nih / "images").iterdir()), 1):
        place = nih / f"images_{number:03d}" / "images"
        place.mkdir(parents=True)
        path.rename(place / path.name)
    (nih / "images").rmdir()
    (nih / "Data_Entry_2017.csv").rename(nih / "Data_Entry_2017_v2020.csv")
    after = load_nih(nih)
    assert [path.parts[-3:] for path in after.paths[:1]] == [("images_001", "images", "00000001_000.png")]
    assert (after.patients, after.findings) == (before.patients, before.findings)


def test_rows_may_end_with_a_comma_more_than_the_header(nih: Path) -> None:
    before, table = load_nih(nih), nih / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("[x,y],", "[x,y]"))
    assert load_nih(nih) == before


def test_github_keeps_frontal_x_rays_and_counts_them(github: Path) -> None:
    images = load_github(github)
    names = [path.name for path in images.paths]
    assert names == ["auntminnie-a.jpeg", "auntminnie-b.jpeg", "SARS-Fig8a.jpeg", "02b973.png", "todo.png"]
    assert images.labels == (1, 1, 0, 0, 0)
    assert images.patients[:3] == ("github:2", "github:2", "github:3")
    assert images.notes == ("5 of 9 images of github are X-rays of the views PA, AP with a finding.",)
    assert "supine.jpg" in [path.name for path in load_github(github, views=("PA", "AP", "AP Supine")).paths]


def test_the_table_of_github_may_lie_elsewhere(github: Path, tmp_path: Path) -> None:
    table = (github / "metadata.csv").rename(tmp_path / "mine.csv")
    assert len(load_github(github, metadata=table)) == 5


@pytest.mark.parametrize(
    ("finding", "label"),
    [
        ("COVID-19", 1),
        ("COVID-19, ARDS", 1),
        ("Pneumonia/Viral/COVID-19", 1),
        ("Pneumonia/Viral/SARS", 0),
        ("not COVID-19", 0),
    ],
)
def test_positive_is_a_finding_that_names_covid_19_as_a_part(github: Path, finding: str, label: int) -> None:
    text = (github / "metadata.csv").read_text().replace(",todo,", f',"{finding}",')
    (github / "metadata.csv").write_text(text)
    assert load_github(github).labels[-1] == label


def test_folders_know_patients_from_names(folders: Path) -> None:
    images = load_xray_folders(folders)
    assert images.labels == (1, 1, 1, 1, 0, 0, 0, 0)
    assert images.sources == ("github",) * 4 + ("nih",) * 4
    assert images.findings[4:] == ("no findings",) * 3 + ("pneumonia",)
    assert images.patients[0] == images.patients[1] == "github:auntminnie"
    assert len({*images.patients[1:4]}) == 3
    assert images.patients[4] == images.patients[5] == "nih:00000032"
    assert images.patients[6] == images.patients[7] == "nih:00000061"
    assert "file names" in images.notes[0]


Damage = Callable[[Path], None]


def replaced(name: str, old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        path = root / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


def removed(name: str) -> Damage:
    return lambda root: (root / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (removed("Data_Entry_2017.csv"), "has no table Data_Entry_2017_v2020.csv or"),
        (replaced("Data_Entry_2017.csv", "Patient ID", "Patient"), "no column 'Patient ID', only Image Index"),
        (removed("images/00000002_000.png"), "1 of 4 images .* are missing, such as '00000002_000.png'"),
        (replaced("Data_Entry_2017.csv", "00000001_001.png", "00000001_000.png"), "'00000001_000.png' twice"),
        (replaced("Data_Entry_2017.csv", ",0,13,", ",0,thirteen,"), "patient 'thirteen', which is no number"),
        (lambda root: (root / "Data_Entry_2017.csv").write_text(NIH_HEADER), "lists no images"),
        (lambda root: (root / "Data_Entry_2017.csv").write_bytes(b"\xff\xfe\x00PNG"), "cannot be read"),
    ],
)
def test_damage_of_nih_is_named(nih: Path, damage: Damage, message: str) -> None:
    damage(nih)
    with pytest.raises(InputError, match=message):
        load_nih(nih)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (removed("metadata.csv"), "metadata.csv' cannot be read"),
        (replaced("metadata.csv", "modality", "kind"), "no column 'modality', only patientid"),
        (removed("images/SARS-Fig8a.jpeg"), "1 of 5 images .* missing, such as 'images/SARS-Fig8a.jpeg'"),
        (replaced("metadata.csv", "auntminnie-b.jpeg", "auntminnie-a.jpeg"), "'images/auntminnie-a.jpeg' twice"),
        (replaced("metadata.csv", "COVID-19", "SARS"), "lists no X-ray with COVID-19"),
        (replaced("metadata.csv", ",PA,", ",L,"), "lists no X-ray with COVID-19"),
        (replaced("metadata.csv", "images,todo.png", "../nih,todo.png"), "'../nih/todo.png' .* lies outside"),
    ],
)
def test_damage_of_github_is_named(github: Path, damage: Damage, message: str) -> None:
    damage(github)
    with pytest.raises(InputError, match=message):
        load_github(github)


def test_images_that_are_not_wanted_need_not_be_there(github: Path) -> None:
    for name in ("ct-slice.jpg", "supine.jpg", "nejmoa_f1-L.jpeg"):
        (github / "images" / name).unlink()
    assert len(load_github(github)) == 5


def test_folders_of_one_kind_or_none_are_refused(folders: Path, tmp_path: Path) -> None:
    (folders / "github_covid19").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="folders SOURCE_class of both kinds"):
        load_xray_folders(folders)
    with pytest.raises(InputError, match="does not exist"):
        load_xray_folders(tmp_path / "nowhere")


def test_sources_are_joined_and_an_image_is_in_one_of_them(nih: Path, github: Path) -> None:
    images = load_nih(nih) + load_github(github)
    assert len(images) == 9
    assert images.limited(3, seed=0).sources == ("nih",) * 3 + ("github",) * 3
    with pytest.raises(InputError, match="4 images are in both parts"):
        images + load_nih(nih)


def drawn(kinds: list[tuple[int, int, int]]) -> XrayImages:
    """Images by (patient, source, label)."""
    n = range(len(kinds))
    sources = tuple(("nih", "github")[source] for _, source, _ in kinds)
    patients = tuple(f"{source}:{patient}" for (patient, _, _), source in zip(kinds, sources, strict=True))
    paths, findings = tuple(Path(f"{i}.png") for i in n), tuple("unknown" for _ in n)
    return XrayImages(paths, tuple(label for *_, label in kinds), sources, patients, findings)


TWO_OF_EACH = [
    (patient, source, label) for source in (0, 1) for label in (0, 1) for patient in (90 + label, 95 + label)
]


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1), st.integers(0, 1)), max_size=60),
    share=st.floats(0.1, 0.6),
    seed=st.integers(0, 5),
)
def test_no_patient_is_ever_in_both_parts(kinds: list[tuple[int, int, int]], share: float, seed: int) -> None:
    images = drawn(kinds + TWO_OF_EACH)
    train, test = images.split(share, seed=seed)
    assert not {*train.patients} & {*test.patients}
    assert sorted(train.paths + test.paths) == sorted(images.paths)
    for source in ("nih", "github"):
        assert source in train.sources
        assert source in test.sources
    assert images.split(share, seed=seed) == (train, test)


def test_the_share_holds_in_each_source_and_class() -> None:
    rng = np.random.default_rng(0)
    kinds = [(i, source, label) for source in (0, 1) for label in (0, 1) for i in range(200 * label, 200 * label + 200)]
    images = drawn([kind for kind in kinds for _ in range(int(rng.integers(1, 5)))])
    _, test = images.split(0.2, seed=1)
    for source in ("nih", "github"):
        for label in (0, 1):
            counts = [
                sum(pair == (source, label) for pair in zip(part.sources, part.labels, strict=True))
                for part in (test, images)
            ]
            assert abs(counts[0] / counts[1] - 0.2) < 0.01
    assert images.split(0.2, seed=2)[1] != test


def test_splits_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(InputError, match="'github' has one patient with the label 1"):
        drawn([*TWO_OF_EACH[:-1]]).split(seed=0)
    with pytest.raises(InputError, match="between 0 and 1, not 1"):
        drawn(TWO_OF_EACH).split(1.0, seed=0)
