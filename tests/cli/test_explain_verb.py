import json

import pytest
from PIL import Image

from tests.cli.test_cli import PHOTOGRAPHS, TINY, run  # noqa: F401, a fixture


def test_an_image_explained(run, tmp_path):  # noqa: F811
    status, out, err = run("explain", PHOTOGRAPHS[0], "--method", "gradcam")
    assert (status, err) == (0, "")
    assert "cat.jpg: the logit of class 285 (Egyptian cat) is 9.21" in out
    assert "Without its 10% most relevant patches cat.jpg" in out
    files = {path.name for path in (tmp_path / "chinspect-out").iterdir()}
    assert files == {"explanation.json", "maps.npy", "explained.csv", "explained.parquet", "explanation.png"}
    status, out, err = run("explain", PHOTOGRAPHS[0], "--method", "gradcam")
    assert (status, out) == (2, "")
    assert "is there already" in err


def test_a_folder_and_the_similarity_to_an_image(run, tmp_path):  # noqa: F811
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.open(PHOTOGRAPHS[0]).save(tmp_path / "images" / f"{name}.png")
    status, out, err = run("explain", "images", *TINY, "--target", PHOTOGRAPHS[1], "--json", "--no-check")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert [image["explained"] for image in document["images"]] == ["the similarity to coffee.jpg"] * 2
    assert document["images"][0]["in_the_map"] == pytest.approx(1, abs=1e-3)
    assert document["method"] == "rescale"
    assert document["map_shape"] == [56, 56]
    assert len(document["files"]) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.png"], "nowhere.png"),
        ([PHOTOGRAPHS[0], "--target", "a tabby"], "no image and no class 'a tabby' (did you mean 'tabby'?)"),
        ([PHOTOGRAPHS[0], "--method", "gradcm"], "unknown method 'gradcm' (did you mean 'gradcam'?)"),
        ([PHOTOGRAPHS[0], *TINY], "'tiny-clip' is an encoder without a classifier: name an image with --target"),
        ([PHOTOGRAPHS[0], "--method", "rollout"], "has no attention of all patches to all"),
        ([PHOTOGRAPHS[0], "--method", "gradcam", "--layer", "lyer4"], "there is no layer 'lyer4'"),
        ([PHOTOGRAPHS[0], "--method", "gradcam", "--reference", "mean"], "are no options of gradcam"),
        ([PHOTOGRAPHS[0], "--composite", "epsilom"], "epsilom"),
    ],
)
def test_nonsense_is_told_in_one_line(run, tmp_path, arguments, said):  # noqa: F811
    status, out, err = run("explain", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.startswith("chinspect: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "chinspect-out").exists()
