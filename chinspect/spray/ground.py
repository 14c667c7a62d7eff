"""What a candidate lies on, in words: text, the border, a corner, the centre, a colour.

Looked at are the cells where the template reaches a quarter of its largest value, in up to `_LOOKED_AT` members and as
many other images:

* **text** (needs ``chinspect[text]``): in how many members at least half of the positive relevance in these cells lies
  on cells of which a quarter is text. Said where that are most of them, and Wilson's interval lies above that of other
  images with text over half of these cells.
* **border**: a frame of an eighth of the sides holds most of the template, and each of its four sides a tenth.
  **corner**, **centre**: one ninth of the image holds half of it.
* **colour**: the commonest of eleven basic colours in these cells covers most of them in members, and by 30 points less
  in other images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chinspect.images import can_read, read_text
from chinspect.intervals import wilson
from chinspect.spray.candidates import Candidate
from chinspect.spray.run import SprayRun

Cells = NDArray[np.bool_]
Values = NDArray[np.float64]
_LOOKED_AT = 16  # images of each kind: an interval of a rate is then a quarter wide, and reading takes seconds
_CORE = 0.25  # of the largest value of a template
_MOST = 0.5
_FRAME = 1 / 8  # of the sides
_SIDE = 0.1  # of the template, on each of the four sides of a border
_TEXT = 0.25  # of a cell: letters fill a cell of a coarse map seldom
_COLOURED = 0.3  # less in other images, or the colour is that of the data set
_ONE_COLOUR = 0.6
_GREY = 0.15  # saturation below which a colour has no name of its own
_DARK, _LIGHT = 0.2, 0.8  # values of black and white
# Upper ends of ranges of the hue, in degrees.
_HUES = ((15, "red"), (45, "orange"), (70, "yellow"), (170, "green"), (260, "blue"), (300, "purple"), (345, "pink"))


def grounded(run: SprayRun) -> SprayRun:
    """The run with words for what each flagged candidate lies on; as it is where there are no images."""
    if run.picture is None or run.spectra:
        return run
    return replace(
        run,
        findings=[
            replace(finding, ground=ground_of(run, finding.candidate)) if finding.candidate.flagged else finding
            for finding in run.findings
        ],
    )


def ground_of(run: SprayRun, candidate: Candidate) -> dict[str, str]:
    """What a candidate lies on, each name with what is known about it, which may be empty.

    For example ``{"text": "'SAMPLE', in 14 of 16 of them and 0 of 16 others", "a corner": ""}``.
    """
    template = np.clip(candidate.template, 0, None).astype(float)
    if not template.any():
        return {}
    core = template >= _CORE * template.max()
    members = _some(candidate.indices)
    others = _some(np.setdiff1d(run.spray.kept_, candidate.indices))
    pictures = [[_pixels(run, index) for index in indices] for indices in (members, others)]
    # a template has the size at which maps are compared, which may be smaller than theirs
    weights = [_pooled(np.clip(run.maps[index], 0, None).astype(float), core.shape) * core for index in members]
    text = _text(pictures[0], weights, pictures[1], core) if can_read() else {}
    return text | _place(template) | _colour(pictures[0], pictures[1], core)


def _some(indices: NDArray[np.intp]) -> NDArray[np.intp]:
    """Evenly spread."""
    count = min(len(indices), _LOOKED_AT)
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)] if count else indices


def _pixels(run: SprayRun, index: int) -> NDArray[np.uint8]:
    assert run.picture is not None
    return np.asarray(run.picture(int(index)).convert("RGB"))


def _text(
    members: Sequence[NDArray[np.uint8]], weights: Sequence[Values], others: Sequence[NDArray[np.uint8]], core: Cells
) -> dict[str, str]:
    """Text, what it says if that is the same in a third of those that have it, and how often it is there."""
    read: Counter[str] = Counter()
    hits = 0
    for picture, weight in zip(members, weights, strict=True):
        words = _text_below(picture, weight)
        hits += bool(words)
        read.update(words)
    elsewhere = sum(bool(_text_below(picture, core.astype(float))) for picture in others)
    low, _ = wilson(hits, len(members))
    _, high = wilson(elsewhere, len(others)) if others else (0.0, 0.0)
    if hits <= _MOST * len(members) or low <= high:
        return {}
    word, count = read.most_common(1)[0]
    quoted = f"{word!r}, " if count >= hits / 3 else ""
    return {"text": f"{quoted}in {hits} of {len(members)} of them and {elsewhere} of {len(others)} others"}


def _text_below(picture: NDArray[np.uint8], weight: Values) -> set[str]:
    """What the text says that lies under most of a weight (h, w), if there is such text."""
    covers = {}
    total = np.zeros(weight.shape, dtype=bool)
    for line in read_text(picture):
        cover = _pooled(line.mask.astype(float), weight.shape) >= _TEXT
        total |= cover
        if weight[cover].sum() > 0:
            covers[line.words] = cover
    return set(covers) if weight[total].sum() > _MOST * weight.sum() > 0 else set()


def _place(template: Values) -> dict[str, str]:
    height, width = template.shape
    down = max(round(_FRAME * height), 1)
    across = max(round(_FRAME * width), 1)
    fractions = template / template.sum()
    sides = [fractions[:down], fractions[-down:], fractions[:, :across], fractions[:, -across:]]
    if 1 - fractions[down:-down, across:-across].sum() > _MOST and min(side.sum() for side in sides) >= _SIDE:
        return {"the border": ""}
    thirds = [np.array_split(np.arange(side), 3) for side in template.shape]
    ninths = np.array([[fractions[np.ix_(rows, columns)].sum() for columns in thirds[1]] for rows in thirds[0]])
    row, column = np.unravel_index(ninths.argmax(), ninths.shape)
    if ninths[row, column] <= _MOST:
        return {}
    if row != 1 and column != 1:
        return {"a corner": ""}
    return {"the centre": ""} if row == column == 1 else {}


def _colour(members: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]], core: Cells) -> dict[str, str]:
    """The colour that members show and others do not, if there is one."""
    inside = _colours(members, core)
    outside = _colours(others, core)
    name, count = inside.most_common(1)[0]
    fraction = count / inside.total()
    usual = outside[name] / max(outside.total(), 1)
    if fraction < _ONE_COLOUR or fraction - usual < _COLOURED:
        return {}
    return {name: f"{fraction:.0%} of its area, {usual:.0%} in others"}


def _colours(pictures: Sequence[NDArray[np.uint8]], core: Cells) -> Counter[str]:
    """How many pixels in some cells of pictures have which basic colour."""
    total: Counter[str] = Counter()
    for picture in pictures:
        total.update(basic_colours(picture[_enlarged(core, picture.shape[:2])]).tolist())
    return total


def basic_colours(pixels: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Names (n,) of the colours of pixels (n, 3): of eleven basic ones (Berlin and Kay 1969), as HSV tells them."""
    import cv2

    hue, saturation, value = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[0].T
    names = np.full(len(pixels), "red", dtype="U8")
    for end, name in reversed(_HUES):
        names[hue <= end] = name
    names[(names == "orange") & (value < 0.6)] = "brown"  # a dark orange
    names[saturation < _GREY] = "grey"
    names[(saturation < _GREY) & (value > _LIGHT)] = "white"
    names[value < _DARK] = "black"
    return names


def _pooled(values: Values, size: tuple[int, ...]) -> Values:
    """Area means (h, w) of values (H, W)."""
    import cv2

    return np.asarray(cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_AREA))


def _enlarged(cells: Cells, size: tuple[int, ...]) -> Cells:
    """Cells (h, w) at the size (H, W) of a picture."""
    rows = np.arange(size[0]) * cells.shape[0] // size[0]
    columns = np.arange(size[1]) * cells.shape[1] // size[1]
    return cells[np.ix_(rows, columns)]
