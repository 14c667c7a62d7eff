"""Every kind of hostile or unusual file, made here: refused with a sentence, or read in the way that is promised."""

import contextlib
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import default_loader

from chinspect.errors import ImageWarning, InputError
from chinspect.images import MIN_SIDE, as_picture, open_image, to_rgb

RNG = np.random.default_rng(0)


def picture(width: int = 48, height: int = 32) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be width x height."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_image(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("suffix", "lossless"), [(".png", True), (".bmp", True), (".tiff", True), (".jpg", False)])
def test_reads_the_plain_formats(tmp_path: Path, suffix: str, lossless: bool) -> None:
    image = picture()
    image.save(tmp_path / f"a{suffix}")
    read = open_image(tmp_path / f"a{suffix}")
    assert (read.mode, read.size) == ("RGB", image.size)
    if lossless:
        np.testing.assert_array_equal(np.asarray(read), np.asarray(image))


def test_reads_lossless_webp(tmp_path: Path) -> None:
    image = picture()
    image.save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.webp")), np.asarray(image))


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", format="PNG")
    assert open_image(str(tmp_path / "a.jpg")).size == (48, 32)


def test_missing_folder_empty_and_text_have_their_own_sentences(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("This is not an image.")
    names = ("missing.png", "folder.png", "empty.png", "text.png")
    messages = [refusal(tmp_path / name) for name in names]
    for message, words in zip(messages, ("does not exist", "is a folder", "is empty", "not an image"), strict=True):
        assert words in message


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")


@pytest.mark.parametrize("size", [(40_000, 40_000), (10_000, 10_000), (2**31 - 1, 1)])
def test_bombs_are_refused_from_the_header(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    assert "decompression bomb" in refusal(tmp_path / "bomb.png")


@pytest.mark.parametrize("size", [(1, 1), (500, MIN_SIDE - 1)])
def test_tiny_images_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    picture(*size).save(tmp_path / "tiny.png")
    assert f"{size[0]} x {size[1]}" in refusal(tmp_path / "tiny.png")


@pytest.mark.parametrize("orientation", [1, 6])
def test_16_bits_that_count_from_white_are_inverted(tmp_path: Path, orientation: int) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.tiff", tiffinfo={262: 0, 274: orientation})
    assert values.astype("<u2").tobytes() in (tmp_path / "a.tiff").read_bytes()  # as they are, 0 for white
    grey = np.asarray(open_image(tmp_path / "a.tiff"))[..., 0]
    expected = 255 - np.arange(256).reshape(16, 16)
    np.testing.assert_array_equal(grey, expected if orientation == 1 else np.rot90(expected, -1))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    picture(64, 64).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(1, int(len(whole) * kept))])
    message = refusal(path)
    assert "damaged or truncated" in message or "not an image" in message


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".tiff", ".webp"])
@pytest.mark.filterwarnings("ignore::chinspect.errors.ImageWarning")  # frames may appear; Pillow's own stay silent
def test_flipped_bytes_give_an_image_or_a_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"noise{suffix}"
    picture(40, 40).save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        damaged = whole.copy()
        places = rng.integers(0, min(len(whole), 400) if seed % 2 else len(whole), 4)
        damaged[places] = rng.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(InputError):
            assert open_image(path).mode == "RGB"


def test_other_formats_are_refused(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png", format="TGA")
    (tmp_path / "b.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "c.png").write_bytes(b"%PDF-1.7\n")
    for name in ("a.png", "b.png", "c.png"):
        assert "not an image in one of the formats JPEG" in refusal(tmp_path / name)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:8, :8] = 255  # a white mark in the stored top left corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    shown = np.asarray(open_image(tmp_path / "a.png"))
    corners = {(0, 0): shown[0, 0, 0], (0, 1): shown[0, -1, 0], (1, 0): shown[-1, 0, 0], (1, 1): shown[-1, -1, 0]}
    expected = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    assert shown.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))
    assert [corner for corner, value in corners.items() if value == 255] == [expected[orientation]]
    with Image.open(tmp_path / "a.png") as given:
        assert np.array_equal(np.asarray(as_picture(given)), shown)
        assert np.array_equal(np.asarray(as_picture(as_picture(given))), shown)


def test_given_pictures_pass_the_same_door(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="each side needs at least 8"):
        as_picture(Image.new("RGB", (4, 40)))
    picture = Image.new("L", (20, 30))
    assert as_picture(picture) is picture


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_greyscale_is_scaled_by_a_fixed_factor(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    grey = np.asarray(open_image(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(grey[..., 0], np.arange(256).reshape(16, 16))
    Image.fromarray((values // 15).astype(np.uint16)).save(tmp_path / f"b{suffix}")  # dark, not stretched
    assert np.asarray(open_image(tmp_path / f"b{suffix}")).max() == 17


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_12_bits_in_a_file_of_16_are_read_dark_and_told_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"chest{suffix}"
    Image.fromarray(np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)).save(path)
    with pytest.warns(ImageWarning, match=rf"chest\{suffix}' uses 0 to 4095 of its 16 bits.*multiply") as told:
        dark = [np.asarray(open_image(path)).max() for _ in range(2)]
    assert dark == [16, 16]
    assert len(told) == 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (16, 16), 1).save(tmp_path / "a.tiff")
    assert "8 or 16 bits" in refusal(tmp_path / "a.tiff")


def transparent(hidden: float, size: int = 20) -> Image.Image:
    """Red, and where it is transparent, in the last rows, blue."""
    pixels = np.zeros((size, size, 4), np.uint8)
    rows = size - round(hidden * size)
    pixels[:rows] = (200, 10, 20, 255)
    pixels[rows:] = (10, 20, 200, 0)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_as_the_libraries_of_models_do_and_told(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "half.png"
    transparent(0.5).convert(mode).save(path)
    with pytest.warns(ImageWarning, match=r"hides 50% of its pixels by transparency"):
        shown = np.asarray(open_image(path))
    if mode == "RGBA":
        assert (shown[0, 0].tolist(), shown[-1, -1].tolist()) == ([200, 10, 20], [10, 20, 200])
    # torchvision's loader of image folders, and what the preprocessing of timm and open_clip does to a picture
    np.testing.assert_array_equal(shown, np.asarray(default_loader(str(path))))


def test_pictures_with_alpha_are_told_of_too() -> None:
    with pytest.warns(ImageWarning, match="The picture hides 50%"):
        as_picture(transparent(0.5))
    premultiplied = transparent(0.5).convert("RGBa")  # hidden colours are gone, others come back
    assert to_rgb(premultiplied).getpixel((0, 0)) == (200, 10, 20)


def test_an_edge_that_is_transparent_is_not_told(tmp_path: Path) -> None:
    image = transparent(0.01, size=100)  # 1 %, as many as rounded corners hide
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png")), np.asarray(image)[..., :3])


def test_a_drawing_that_is_nothing_but_transparency_is_told(tmp_path: Path) -> None:
    """Without its alpha a black shape on transparent black is a black picture."""
    alpha = Image.linear_gradient("L").point(lambda value: 128 + value // 2)  # hides less than half of each pixel
    Image.merge("RGBA", [Image.new("L", alpha.size)] * 3 + [alpha]).save(tmp_path / "shape.png")
    with pytest.warns(ImageWarning, match=r"shape\.png' is of one colour without its transparency"):
        assert not np.asarray(open_image(tmp_path / "shape.png")).any()


@pytest.mark.parametrize(("name", "entry"), [("bytes.png", bytes([255, 0])), ("index.gif", 1)])
def test_palettes_and_their_transparent_entries(tmp_path: Path, name: str, entry: object) -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (8, 0, 16, 16))
    image.save(tmp_path / "plain.png")
    assert open_image(tmp_path / "plain.png").getpixel((12, 4)) == (200, 100, 50)
    image.save(tmp_path / name, transparency=entry)
    with pytest.warns(ImageWarning, match="hides 50%"):
        shown = open_image(tmp_path / name)
    assert (shown.getpixel((0, 0)), shown.getpixel((12, 4))) == ((10, 20, 30), (200, 100, 50))


def test_a_transparent_colour_of_an_rgb_image_is_that_colour(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), (1, 2, 3))
    image.paste((9, 9, 9), (0, 0, 16, 8))
    image.save(tmp_path / "a.png", transparency=(1, 2, 3))
    with pytest.warns(ImageWarning, match="hides 50%"):
        assert open_image(tmp_path / "a.png").getpixel((5, 12)) == (1, 2, 3)


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".jpg"), ("CMYK", ".tiff"), ("L", ".png"), ("1", ".png")])
def test_cmyk_greyscale_and_one_bit(tmp_path: Path, mode: str, suffix: str) -> None:
    Image.new("RGB", (16, 16), "white").convert(mode).save(tmp_path / f"a{suffix}")
    assert open_image(tmp_path / f"a{suffix}").getpixel((8, 8)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tiff"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **options)
    with pytest.warns(ImageWarning, match=r"holds several frames or pages, of which the first is read") as told:
        colours = {open_image(tmp_path / f"a{suffix}").getpixel((8, 8)) for _ in range(2)}
    assert colours == {(255, 0, 0)}
    assert len(told) == 1


def bmp(compression: int = 0, bits: int = 24) -> bytes:
    """A BMP of 16 x 16 pixels in a variant that the format allows."""
    body = bytes(16 * 16 * 4)
    info = struct.pack("<IiiHHIIiiII", 40, 16, 16, 1, bits, compression, len(body), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 14 + len(info) + len(body), 0, 0, 14 + len(info)) + info + body


@pytest.mark.parametrize(("variant", "reason"), [({"compression": 4}, "compression"), ({"bits": 2}, "pixel depth")])
def test_valid_variants_that_are_not_decoded_are_not_called_damaged(
    tmp_path: Path, variant: dict[str, int], reason: str
) -> None:
    (tmp_path / "a.bmp").write_bytes(bmp(**variant))
    message = refusal(tmp_path / "a.bmp")
    assert "a variant of its format that is not decoded" in message
    assert reason in message
    assert "damaged" not in message


def test_nothing_of_pillows_own_reaches_the_terminal(tmp_path: Path) -> None:
    """Files that make Pillow warn and log, read as a user does: in a process of its own, with all warnings shown."""
    odd = Image.effect_noise((16, 16), 50).convert("P")
    odd.save(tmp_path / "palette.png", transparency=bytes([255] * 256))
    exif = Image.Exif()
    exif[0x9286] = "comment"
    exif[0x0112] = 6
    Image.new("RGB", (16, 16)).save(tmp_path / "exif.jpg", exif=exif.tobytes()[:-6])
    for name, compression in (("raw.tiff", None), ("lzw.tiff", "tiff_lzw")):
        Image.effect_noise((16, 16), 50).save(tmp_path / name, compression=compression)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    code = (
        "import sys, contextlib\n"
        "from chinspect.images import open_image\n"
        "for path in sys.argv[1:]:\n"
        "    with contextlib.suppress(ValueError):\n"
        "        open_image(path)\n"
    )
    command = [sys.executable, "-W", "always", "-c", code, *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
