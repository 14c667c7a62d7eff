"""A page with every block, names from strangers, and planted matches."""

import numpy as np
import pandas as pd
from PIL import Image

from chinspect.report import (
    Comparison,
    Gallery,
    Histogram,
    Intervals,
    Page,
    PairViewer,
    Paragraph,
    Picture,
    Scatter,
    Section,
    Table,
    Tile,
)

HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "\"quotes' & <b>bold</b>.png",
    "\u202egpj.exe",
    "شعار تجاري.png",
    "</script><script>document.title='owned'</script>.png",
    "a" * 300 + ".png",
    "[x](javascript:alert(1)) | `c` @you www.evil.org https://evil.org {{ 7 * 7 }}",
    "broken \udc80 name\x00.png",
    "--><svg/onload=alert(1)>",
)
POINTS = 40
GROUPED = 9
PLANTED = ((1, 2), (3, 0))
"""The patch of the left image and that of the right one that make all of the similarity but a little."""


def images(count, side=64):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((side, side)) for one in small]


def example_page():
    rng = np.random.default_rng(1)
    pictures = images(POINTS)
    tiles = [Tile(picture, f"image {i}.png", "", rng.normal(size=(7, 7))) for i, picture in enumerate(pictures)]
    hostile = [Tile(tiles[i].image, name, name, tiles[i].relevance) for i, name in enumerate(HOSTILE)]
    relevance = np.zeros((4, 4, 5, 5))
    relevance[*PLANTED[0], *PLANTED[1]] = 2.0
    relevance[0, 0, 0, 0] = -0.5
    low = np.roll(relevance, 1, axis=1)
    intervals = pd.DataFrame(
        {
            "name": ["logo added", HOSTILE[0], "nothing"],
            "estimate": [0.3, 0.01, np.nan],
            "low": [0.2, -0.02, np.nan],
            "high": [0.4, 0.03, np.nan],
            "control": [False, True, True],
        }
    )
    names = [HOSTILE[i] if i < GROUPED else f"image {i}.png" for i in range(POINTS)]
    groups = [HOSTILE[4] if i < GROUPED else "" for i in range(POINTS)]
    place = np.where(np.arange(POINTS) < GROUPED, 5.0, 0.0)
    # as objects, since pandas' own strings hold no halves of characters
    files = pd.Series(HOSTILE, dtype=object)
    numbers = pd.DataFrame({"file_name": files, "value": np.linspace(0, 1, len(HOSTILE)), "flagged": True})
    numbers.loc[1, "value"] = np.nan
    sections = [
        Section(
            "Candidate 1",
            [
                Paragraph("It is confirmed.", "bad"),
                Paragraph("This is open.", "unsure"),
                Paragraph("This is well.", "good"),
                Gallery(hostile, f"Members {HOSTILE[1]}"),
                Comparison([(tiles[0], tiles[1]), (hostile[0], hostile[1])], ("without", "with"), "The same images"),
                Intervals(intervals, "change of the score", "Effect beside placebos"),
                Picture(pictures[0], HOSTILE[0], HOSTILE[1]),
            ],
            note="confirmed by an intervention",
            tone="bad",
        ),
        Section(
            "Pair",
            [
                PairViewer(
                    (pictures[0], pictures[1]),
                    ("left.png", HOSTILE[0]),
                    {"all": relevance, "low": low},
                    float(relevance.sum()),
                    "What matches what?",
                )
            ],
        ),
        Section(
            "All images",
            [
                Scatter(
                    place + rng.normal(size=POINTS) / 4, rng.normal(size=POINTS), names, groups, "The plane", tiles
                ),
                Histogram({"normal": rng.normal(size=90), HOSTILE[0]: rng.normal(2, 1, 60)}, "score", "Scores", 1.5),
                Table(numbers, "Numbers"),
            ],
            note="2 candidates",
            tone="unsure",
        ),
    ]
    made = {"versions": {"chinspect": "1"}, "command": HOSTILE[0], "seeds": [0, 1], "none": None}
    return Page(f"Photographs {HOSTILE[4]}", "confirmed", "bad", f"The model relies on {HOSTILE[0]}.", sections, made)
