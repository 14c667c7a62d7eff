"""Six fish and two other animals, facing right, within about one unit of the origin. Colours are drawn at random."""

import numpy as np
from numpy.random import Generator

from chinspect.world.sketch import Colour, Drawing, box, circle, ellipse, limb, named, polygon, shade, trapezoid

BLACK = (20, 20, 24)
WHITE = (244, 242, 236)
ORANGE = (250, 150, 30)


def tench(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A plain, high-backed fish with a broad tail."""
    depth = rng.uniform(0.28, 0.38)
    scales = [ellipse(shade(body, 1.25), x, y, 0.07, 0.05, 8) for x in (-0.35, -0.1, 0.15) for y in (-0.12, 0.02)]
    return [
        polygon(accent, (-0.5, 0.0), (-1.0, -0.36), (-0.88, 0.0), (-1.0, 0.36)),
        polygon(accent, (-0.4, -depth * 0.7), (-0.2, -depth - 0.2), (0.2, -depth - 0.12), (0.3, -depth * 0.7)),
        polygon(accent, (-0.1, depth * 0.8), (-0.3, depth + 0.18), (0.1, depth * 0.9)),
        ellipse(body, 0.12, 0.0, 0.76, depth),
        *scales,
        *_eye(0.62, -0.08, 0.08),
    ]


def great_white_shark(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A spindle with a pale belly, a triangular fin and a crescent tail."""
    fin = rng.uniform(-0.58, -0.46)
    grey = shade(accent, 0.55)
    back = [(-0.2, -0.2), (0.4, -0.22), (0.8, -0.1), (1.0, 0.0), (0.7, 0.1), (0.0, 0.1)]
    belly = [(0.0, 0.04), (0.96, 0.02), (0.7, 0.14), (0.2, 0.2), (-0.2, 0.14)]
    return [
        polygon(grey, (-0.72, 0.0), (-1.05, -0.5), (-0.86, -0.02), (-1.0, 0.3), (-0.74, 0.06)),
        polygon(grey, (-0.12, -0.16), (-0.18, fin), (0.22, -0.18)),
        polygon(grey, (0.2, 0.1), (-0.1, 0.5), (0.4, 0.12)),
        polygon(grey, (-0.8, 0.02), *back),
        polygon(WHITE, (-0.8, 0.03), *belly),
        limb(shade(body, 0.5), (0.72, 0.08), (0.9, 0.05), 0.035),
        *[limb(BLACK, (x, -0.1), (x - 0.03, 0.08), 0.025) for x in (0.36, 0.44, 0.52)],
        *_eye(0.74, -0.05, 0.045),
    ]


def stingray(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """Two wide wings seen from above, with spots and a whip-like tail."""
    span = rng.uniform(0.55, 0.7)
    bend = rng.uniform(-0.25, 0.25)
    front = [(0.78, -0.03), (0.6, -0.14), (0.32, -0.26), (0.06, -span)]
    wing = [*front, (-0.12, -0.9 * span), (-0.3, -0.26), (-0.5, -0.08)]
    return [
        limb(shade(body, 0.7), (-0.4, 0.0), (-0.8, bend / 2), 0.08),
        limb(shade(body, 0.7), (-0.8, bend / 2), (-1.15, bend), 0.05),
        polygon(body, *wing, *[(x, -y) for x, y in wing[::-1]]),
        *[ellipse(accent, x, y, 0.06, 0.06, 8) for x, y in ((0.0, -0.2), (0.0, 0.2), (0.3, 0.0), (-0.15, 0.0))],
        *_eye(0.52, -0.1, 0.05),
        *_eye(0.52, 0.1, 0.05),
    ]


def puffer(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A ball with spikes, a pale belly and a tiny tail."""
    radius = rng.uniform(0.52, 0.6)
    reach = np.where(np.arange(36) % 2 == 0, radius + 0.16, radius)
    return [
        polygon(accent, (-radius, 0.0), (-0.95, -0.2), (-0.9, 0.2)),
        (circle(36) * reach[:, None], shade(body, 0.6)),
        ellipse(body, 0.0, 0.0, radius, radius),
        ellipse(WHITE, 0.05, 0.22, radius * 0.75, radius * 0.55),
        polygon(accent, (-0.1, 0.0), (-0.4, 0.12), (-0.35, -0.16)),
        *_eye(0.32, -0.18, 0.11),
    ]


def eel(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A long winding band."""
    x = np.linspace(-1.0, 0.92, 17)
    phase = rng.uniform(0, 2 * np.pi)
    y = 0.24 * np.sin(x * rng.uniform(4.5, 6.0) + phase)
    half = np.interp(x, [-1.0, -0.6, 0.7, 0.92], [0.015, 0.09, 0.12, 0.07])
    fin, back, belly = (np.stack([x, edge], axis=1) for edge in (y - half - 0.05, y - half, y + half))
    return [
        (np.concatenate([fin[2:-4], back[2:-4][::-1]]), accent),
        (np.concatenate([back, belly[::-1]]), body),
        ellipse(body, x[-1], y[-1], 0.1, 0.085, 12),
        *_eye(x[-1], y[-1] - 0.02, 0.04),
    ]


def anemone_fish(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A small oval fish with three white bands across."""
    depth = rng.uniform(0.36, 0.44)
    bands = [
        trapezoid(WHITE, height, -height, x - 0.02, x, x + 0.15, x + 0.13)
        for x, height in ((0.3, depth * 0.86), (-0.12, depth * 0.96), (-0.55, depth * 0.55))
    ]
    return [
        ellipse(accent, -0.8, 0.0, 0.22, 0.24, 12),
        ellipse(accent, 0.0, -depth, 0.45, 0.16, 12),
        ellipse(accent, -0.1, depth, 0.3, 0.14, 12),
        ellipse(body, 0.04, 0.0, 0.74, depth),
        *bands,
        ellipse(accent, 0.12, 0.1, 0.14, 0.1, 10),
        *_eye(0.6, -0.08, 0.07),
    ]


def duck(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A bird with a round head, a flat bill and a wing."""
    neck = rng.uniform(-0.5, -0.38)
    return [
        polygon(shade(body, 0.8), (-0.5, 0.1), (-0.95, -0.2), (-0.6, 0.3)),
        ellipse(body, -0.05, 0.2, 0.66, 0.34),
        polygon(accent, (0.2, 0.1), (0.3, neck), (0.58, neck), (0.58, 0.2)),
        ellipse(accent, 0.46, neck, 0.23, 0.21),
        polygon(ORANGE, (0.62, neck - 0.06), (0.98, neck + 0.02), (0.96, neck + 0.1), (0.62, neck + 0.1)),
        polygon(shade(body, 0.6), (-0.5, 0.05), (0.2, 0.08), (0.0, 0.34), (-0.35, 0.32)),
        *_eye(0.52, neck - 0.06, 0.05),
    ]


def tortoise(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A domed shell with plates, four stout legs and a small head."""
    height = rng.uniform(0.5, 0.62)
    angles = np.linspace(np.pi, 2 * np.pi, 13)
    plates = [(-0.36, 0.0, 0.12, 0.1), (0.36, 0.0, 0.12, 0.1), (0.0, -0.02, 0.12, 0.1)]
    plates += [(-0.18, -0.24, 0.11, 0.09), (0.18, -0.24, 0.11, 0.09)]
    return [
        *[box(accent, x, 0.1, x + 0.18, 0.42) for x in (-0.56, -0.3, 0.14, 0.4)],
        polygon(accent, (-0.6, 0.12), (-0.88, 0.24), (-0.6, 0.2)),
        limb(accent, (0.55, 0.1), (0.85, -0.08), 0.18),
        ellipse(accent, 0.86, -0.12, 0.16, 0.13, 12),
        (np.stack([0.68 * np.cos(angles), 0.15 + height * np.sin(angles)], axis=1), body),
        *[ellipse(shade(body, 0.6), *plate, 6) for plate in plates],
        *_eye(0.9, -0.15, 0.04),
    ]


def _eye(x: float, y: float, radius: float) -> Drawing:
    return [ellipse(WHITE, x, y, radius, radius, 10), ellipse(BLACK, x, y, radius * 0.55, radius * 0.55, 8)]


FISH = named(tench, great_white_shark, stingray, puffer, eel, anemone_fish)
ANIMALS = FISH | named(duck, tortoise)
