"""Preprocessing against torchvision and open_clip, and the geometry of the way back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from chinspect.errors import InputError
from chinspect.images import Preprocessing, cropped_in_words

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [(64, 64), (100, 60), (60, 101), (333, 47), (20, 30)]


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def preprocessing(**changes: object) -> Preprocessing:
    return Preprocessing(
        **({"size": 32, "resize": "shortest", "interpolation": "bilinear", "mean": MEAN, "std": STD} | changes)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize_size", [None, 41])
def test_equals_torchvision(size: tuple[int, int], interpolation: str, resize_size: int | None) -> None:
    mode = transforms.InterpolationMode(interpolation)
    reference = transforms.Compose(
        [
            transforms.Resize(resize_size or 32, mode),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    ours = preprocessing(interpolation=interpolation, resize_size=resize_size)(picture(*size))
    assert (ours.shape, ours.dtype) == ((3, 32, 32), torch.float32)
    torch.testing.assert_close(ours, reference(picture(*size)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", ["shortest", "squash"])
def test_equals_open_clip(size: tuple[int, int], resize: str) -> None:
    from open_clip.transform import image_transform

    reference = image_transform(32, is_train=False, mean=MEAN, std=STD, resize_mode=resize, interpolation="bicubic")
    ours = preprocessing(resize=resize, interpolation="bicubic")(picture(*size))
    torch.testing.assert_close(ours, reference(picture(*size)), rtol=0, atol=1e-6)


def test_visible_is_the_input_before_normalisation() -> None:
    image = picture(100, 60)
    shown = preprocessing().visible(image)
    assert (shown.mode, shown.size) == ("RGB", (32, 32))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    pixels = (preprocessing()(image) * std + mean).mul(255).round().byte().permute(1, 2, 0)
    np.testing.assert_array_equal(pixels.numpy(), np.asarray(shown))


def test_other_modes_are_converted_on_the_way() -> None:
    grey = picture(40, 40).convert("L")
    torch.testing.assert_close(preprocessing()(grey), preprocessing()(grey.convert("RGB")))


@pytest.mark.parametrize(
    ("resize", "resize_size", "original", "expected"),
    [
        ("shortest", None, (64, 64), (0, 0, 64, 64)),
        ("shortest", None, (128, 64), (32, 0, 96, 64)),  # resized to 64 x 32, 16 columns cut off on each side
        ("shortest", None, (64, 192), (0, 64, 64, 128)),
        ("squash", None, (128, 64), (0, 0, 128, 64)),
        ("shortest", 64, (128, 128), (32, 32, 96, 96)),
    ],
)
def test_the_whole_input_maps_to_the_crop(
    resize: str, resize_size: int | None, original: tuple[int, int], expected: tuple[int, ...]
) -> None:
    boxes = preprocessing(resize=resize, resize_size=resize_size).to_original([(0, 0, 32, 32)], original)
    np.testing.assert_allclose(boxes, [expected])


def test_a_box_finds_the_mark_that_it_covers() -> None:
    """A white square in the image is seen somewhere by the network; its box maps back onto the square."""
    pixels = np.zeros((90, 150, 3), np.uint8)
    pixels[30:50, 60:80] = 255
    preprocess = preprocessing(size=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    rows, columns = (preprocess(Image.fromarray(pixels))[0] > 0.5).nonzero().T
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    np.testing.assert_allclose(preprocess.to_original(box, (150, 90)), (60, 30, 80, 50), atol=90 / 64)


@given(st.integers(8, 500), st.integers(8, 500), st.sampled_from(["shortest", "squash"]), st.integers(32, 48))
@settings(deadline=None)
def test_boxes_stay_inside_and_in_order(width: int, height: int, resize: str, resize_size: int) -> None:
    preprocess = preprocessing(resize=resize, resize_size=resize_size)
    grid = np.array([(x, y, x + 8, y + 8) for y in range(0, 32, 8) for x in range(0, 32, 8)])
    boxes = preprocess.to_original(grid, (width, height))
    assert (boxes >= 0).all()
    assert (boxes[:, [0, 2]] <= width).all()
    assert (boxes[:, [1, 3]] <= height).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_extreme_aspect_is_refused_before_it_is_enlarged() -> None:
    with pytest.raises(InputError, match="8 x 80000000"):
        preprocessing(size=224).visible(_Strip())  # type: ignore[arg-type]


class _Strip:
    """Stands in for an image that would be too large to build here."""

    size = (8, 80_000_000)
    width, height = size


@pytest.mark.parametrize(
    "changes",
    [{"resize": "longest"}, {"interpolation": "nearest"}, {"size": 0}, {"resize_size": 16}, {"std": (0.0, 1.0, 1.0)}],
)
def test_unknown_values_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        preprocessing(**changes)


@pytest.mark.parametrize("size", SIZES)
def test_a_padded_picture_keeps_all_and_its_aspect(size: tuple[int, int]) -> None:
    padded = preprocessing(resize_size=40).fitted("pad")
    shown = np.asarray(padded.visible(Image.new("RGB", size, (255, 0, 0))))
    border = tuple(round(255 * value) for value in MEAN)
    inside = (shown == (255, 0, 0)).all(-1)
    assert ((shown == border).all(-1) | inside).all()
    assert inside.any(0).sum() == max(int(32 * size[0] / max(size)), 1)
    assert inside.any(1).sum() == max(int(32 * size[1] / max(size)), 1)
    np.testing.assert_allclose(padded.to_original([0, 0, 32, 32], size), (0, 0, *size))
    assert padded.seen(size) == pytest.approx(1)
    assert preprocessing(resize="squash", resize_size=40).fitted("squash").seen(size) == pytest.approx(1)
    assert preprocessing().fitted("crop") == preprocessing().fitted(None) == preprocessing()


def test_what_a_crop_cuts_away_is_counted_over_a_data_set(tmp_path) -> None:
    for number, size in enumerate([(64, 64), (64, 66), (128, 64), (64, 256)]):
        picture(*size).save(tmp_path / f"{number}.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    paths = sorted(tmp_path.iterdir())
    text = cropped_in_words(preprocessing(), paths)
    assert text.startswith("2 of 4 images lose more than 10% of the picture to the network's crop (62% in the median)")
    assert cropped_in_words(preprocessing().fitted("pad"), paths) == ""
