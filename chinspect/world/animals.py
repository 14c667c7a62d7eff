"""Six fish and two other animals, facing right, within about one unit of the origin. Colours are drawn at random."""

from collections.abc import Callable

import numpy as np

from chinspect.world.sketch import Colour, Part, box, ellipse, limb, polygon, shade

BLACK, WHITE, ORANGE = (20, 20, 24), (244, 242, 236), (250, 150, 30)


def tench(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A plain, high-backed fish with a broad tail."""
    depth = rng.uniform(0.28, 0.38)
    scales = [ellipse(x, y, 0.07, 0.05, shade(body, 1.25), 8) for x in (-0.35, -0.1, 0.15) for y in (-0.12, 0.02)]
    return [
        polygon([(-0.5, 0.0), (-1.0, -0.36), (-0.88, 0.0), (-1.0, 0.36)], accent),
        polygon([(-0.4, -depth * 0.7), (-0.2, -depth - 0.2), (0.2, -depth - 0.12), (0.3, -depth * 0.7)], accent),
        polygon([(-0.1, depth * 0.8), (-0.3, depth + 0.18), (0.1, depth * 0.9)], accent),
        ellipse(0.12, 0.0, 0.76, depth, body),
        *scales,
        *_eye(0.62, -0.08, 0.08),
    ]


def great_white_shark(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A spindle with a pale belly, a triangular fin and a crescent tail."""
    fin = rng.uniform(-0.58, -0.46)
    grey = shade(accent, 0.55)
    gills = [limb((x, -0.1), (x - 0.03, 0.08), 0.025, BLACK) for x in (0.36, 0.44, 0.52)]
    return [
        polygon([(-0.72, 0.0), (-1.05, -0.5), (-0.86, -0.02), (-1.0, 0.3), (-0.74, 0.06)], grey),
        polygon([(-0.12, -0.16), (-0.18, fin), (0.22, -0.18)], grey),
        polygon([(0.2, 0.1), (-0.1, 0.5), (0.4, 0.12)], grey),
        polygon([(-0.8, 0.02), (-0.2, -0.2), (0.4, -0.22), (0.8, -0.1), (1.0, 0.0), (0.7, 0.1), (0.0, 0.1)], grey),
        polygon([(-0.8, 0.03), (0.0, 0.04), (0.96, 0.02), (0.7, 0.14), (0.2, 0.2), (-0.2, 0.14)], WHITE),
        limb((0.72, 0.08), (0.9, 0.05), 0.035, shade(body, 0.5)),
        *gills,
        *_eye(0.74, -0.05, 0.045),
    ]


def stingray(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """Two wide wings seen from above, with spots and a whip-like tail."""
    span = rng.uniform(0.55, 0.7)
    bend = rng.uniform(-0.25, 0.25)
    wing = [
        (0.78, -0.03),
        (0.6, -0.14),
        (0.32, -0.26),
        (0.06, -span),
        (-0.12, -0.9 * span),
        (-0.3, -0.26),
        (-0.5, -0.08),
    ]
    spots = [ellipse(x, y, 0.06, 0.06, accent, 8) for x, y in ((0.0, -0.2), (0.0, 0.2), (0.3, 0.0), (-0.15, 0.0))]
    return [
        limb((-0.4, 0.0), (-0.8, bend / 2), 0.08, shade(body, 0.7)),
        limb((-0.8, bend / 2), (-1.15, bend), 0.05, shade(body, 0.7)),
        (np.array(wing + [(x, -y) for x, y in wing[::-1]]), body),
        *spots,
        *_eye(0.52, -0.1, 0.05),
        *_eye(0.52, 0.1, 0.05),
    ]


def puffer(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A ball with spikes, a pale belly and a tiny tail."""
    radius = rng.uniform(0.52, 0.6)
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    reach = np.where(np.arange(36) % 2 == 0, radius + 0.16, radius)
    spikes = np.stack([np.cos(angles) * reach, np.sin(angles) * reach], axis=1)
    return [
        polygon([(-radius, 0.0), (-0.95, -0.2), (-0.9, 0.2)], accent),
        (spikes, shade(body, 0.6)),
        ellipse(0.0, 0.0, radius, radius, body),
        ellipse(0.05, 0.22, radius * 0.75, radius * 0.55, WHITE),
        polygon([(-0.1, 0.0), (-0.4, 0.12), (-0.35, -0.16)], accent),
        *_eye(0.32, -0.18, 0.11),
    ]


def eel(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A long winding band."""
    x = np.linspace(-1.0, 0.92, 17)
    phase = rng.uniform(0, 2 * np.pi)
    y = 0.24 * np.sin(x * rng.uniform(4.5, 6.0) + phase)
    half = np.interp(x, [-1.0, -0.6, 0.7, 0.92], [0.015, 0.09, 0.12, 0.07])
    back, belly = np.stack([x, y - half], axis=1), np.stack([x, y + half], axis=1)[::-1]
    stripe = np.concatenate([np.stack([x, y - half - 0.05], axis=1)[2:-4], back[2:-4][::-1]])
    return [
        (stripe, accent),
        (np.concatenate([back, belly]), body),
        ellipse(x[-1], y[-1], 0.1, 0.085, body, 12),
        *_eye(float(x[-1]), float(y[-1]) - 0.02, 0.04),
    ]


def anemone_fish(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A small oval fish with three white bands across."""
    depth = rng.uniform(0.36, 0.44)
    bands = [
        polygon([(x, -height), (x + 0.15, -height), (x + 0.13, height), (x - 0.02, height)], WHITE)
        for x, height in ((0.3, depth * 0.86), (-0.12, depth * 0.96), (-0.55, depth * 0.55))
    ]
    return [
        ellipse(-0.8, 0.0, 0.22, 0.24, accent, 12),
        ellipse(0.0, -depth, 0.45, 0.16, accent, 12),
        ellipse(-0.1, depth, 0.3, 0.14, accent, 12),
        ellipse(0.04, 0.0, 0.74, depth, body),
        *bands,
        ellipse(0.12, 0.1, 0.14, 0.1, accent, 10),
        *_eye(0.6, -0.08, 0.07),
    ]


def duck(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A bird with a round head, a flat bill and a wing."""
    neck = rng.uniform(-0.5, -0.38)
    return [
        polygon([(-0.5, 0.1), (-0.95, -0.2), (-0.6, 0.3)], shade(body, 0.8)),
        ellipse(-0.05, 0.2, 0.66, 0.34, body),
        polygon([(0.2, 0.1), (0.3, neck), (0.58, neck), (0.58, 0.2)], accent),
        ellipse(0.46, neck, 0.23, 0.21, accent),
        polygon([(0.62, neck - 0.06), (0.98, neck + 0.02), (0.96, neck + 0.1), (0.62, neck + 0.1)], ORANGE),
        polygon([(-0.5, 0.05), (0.2, 0.08), (0.0, 0.34), (-0.35, 0.32)], shade(body, 0.6)),
        *_eye(0.52, neck - 0.06, 0.05),
    ]


def tortoise(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A domed shell with plates, four stout legs and a small head."""
    height = rng.uniform(0.5, 0.62)
    angles = np.linspace(np.pi, 2 * np.pi, 13)
    dome = np.stack([0.68 * np.cos(angles), 0.15 + height * np.sin(angles)], axis=1)
    plates = [ellipse(x, y, 0.12, 0.1, shade(body, 0.6), 6) for x, y in ((-0.36, 0.0), (0.36, 0.0), (0.0, -0.02))]
    plates += [ellipse(x, -0.24, 0.11, 0.09, shade(body, 0.6), 6) for x in (-0.18, 0.18)]
    return [
        *[box(x, 0.1, x + 0.18, 0.42, accent) for x in (-0.56, -0.3, 0.14, 0.4)],
        polygon([(-0.6, 0.12), (-0.88, 0.24), (-0.6, 0.2)], accent),
        limb((0.55, 0.1), (0.85, -0.08), 0.18, accent),
        ellipse(0.86, -0.12, 0.16, 0.13, accent, 12),
        (dome, body),
        *plates,
        *_eye(0.9, -0.15, 0.04),
    ]


def _eye(x: float, y: float, radius: float) -> list[Part]:
    return [ellipse(x, y, radius, radius, WHITE, 10), ellipse(x, y, radius * 0.55, radius * 0.55, BLACK, 8)]


FISH: dict[str, Callable[[np.random.Generator, Colour, Colour], list[Part]]] = {
    "tench": tench,
    "great white shark": great_white_shark,
    "stingray": stingray,
    "puffer": puffer,
    "eel": eel,
    "anemone fish": anemone_fish,
}
ANIMALS = FISH | {"duck": duck, "tortoise": tortoise}
