"""Eight vehicles seen from the side, facing right. They differ in shape; their colours are drawn at random.

Coordinates: x from -1 (rear) to 1 (front), y down, the ground near 0.45.
"""

from collections.abc import Callable

import numpy as np

from chinspect.world.sketch import Colour, Part, box, ellipse, limb, polygon, shade

BLACK, STEEL, GLASS = (28, 28, 32), (150, 152, 158), (150, 185, 205)
WHITE, AMBER, RED, BLUE = (240, 240, 236), (255, 170, 20), (225, 35, 35), (40, 80, 235)


def minivan(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """One rounded box with three side windows and a sloping front."""
    roof = rng.uniform(-0.4, -0.33)
    bonnet = [(0.62, -0.07), (0.9, 0.02), (0.97, 0.14), (0.96, 0.32)]
    return [
        polygon(
            [
                (-0.95, 0.32),
                (-0.97, 0.0),
                (-0.85, roof + 0.07),
                (-0.7, roof),
                (0.2, roof),
                (0.36, roof + 0.07),
                *bonnet,
            ],
            body,
        ),
        polygon([(-0.88, -0.06), (-0.8, roof + 0.08), (-0.46, roof + 0.08), (-0.46, -0.06)], GLASS),
        box(-0.4, roof + 0.08, -0.04, -0.06, GLASS),
        polygon([(0.02, -0.06), (0.02, roof + 0.08), (0.26, roof + 0.09), (0.5, -0.06)], GLASS),
        box(-0.9, 0.1, 0.6, 0.13, shade(accent, 0.8)),
        box(0.88, 0.08, 0.96, 0.16, AMBER),
        *_wheels([-0.58, 0.6], 0.32, 0.155),
    ]


def moving_van(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A tall plain cargo box that juts out over a small cab."""
    top = rng.uniform(-0.72, -0.62)
    return [
        box(-0.95, 0.22, 0.9, 0.32, BLACK),
        box(-1.0, top, 0.46, 0.26, body),
        polygon([(0.46, top), (0.76, top + 0.03), (0.76, -0.34), (0.46, -0.24)], body),
        polygon([(-1.0, 0.02), (0.46, -0.26), (0.46, -0.1), (-1.0, 0.18)], accent),
        polygon(
            [(0.48, 0.32), (0.48, -0.24), (0.74, -0.28), (0.84, -0.04), (0.98, 0.02), (0.98, 0.32)], shade(accent, 0.9)
        ),
        polygon([(0.54, -0.04), (0.54, -0.2), (0.71, -0.22), (0.79, -0.04)], GLASS),
        *_wheels([-0.62, 0.68], 0.33, 0.15),
    ]


def police_van(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """An upright van with a light bar, a chequered band and barred windows."""
    top = rng.uniform(-0.5, -0.43)
    bar = rng.uniform(-0.15, 0.1)
    checks = [box(-0.95 + 0.32 * i, 0.0, -0.79 + 0.32 * i, 0.09, WHITE) for i in range(6)]
    checks += [box(-0.79 + 0.32 * i, 0.09, -0.63 + 0.32 * i, 0.18, WHITE) for i in range(5)]
    bars = [box(x, top + 0.1, x + 0.025, -0.08, BLACK) for x in (-0.8, -0.71, -0.46, -0.37)]
    return [
        polygon([(-0.97, 0.32), (-0.97, top), (0.44, top), (0.7, -0.1), (0.94, 0.0), (0.97, 0.32)], body),
        box(-0.97, 0.0, 0.95, 0.18, shade(accent, 0.55)),
        *checks,
        box(-0.88, top + 0.1, -0.62, -0.08, GLASS),
        box(-0.54, top + 0.1, -0.28, -0.08, GLASS),
        *bars,
        polygon([(0.1, -0.08), (0.1, top + 0.09), (0.4, top + 0.09), (0.58, -0.08)], GLASS),
        box(bar, top - 0.13, bar + 0.2, top, BLUE),
        box(bar + 0.2, top - 0.13, bar + 0.4, top, RED),
        *_wheels([-0.6, 0.6], 0.33, 0.15),
    ]


def fire_engine(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A long body with roller shutters, a crew cab and a ladder on the roof."""
    lift = rng.uniform(0.04, 0.22)
    rear, front = (-1.06, -0.46 - lift), (0.34, -0.46)
    rungs = [
        limb((x, -0.36 + (x - 0.34) * lift / 1.4), (x, -0.5 + (x - 0.34) * lift / 1.4), 0.035, WHITE)
        for x in np.linspace(-1.0, 0.28, 9)
    ]
    shutters = [box(x, -0.24, x + 0.34, 0.14, STEEL) for x in (-0.94, -0.54, -0.14)]
    slats = [box(-0.94, y, 0.2, y + 0.02, shade(STEEL, 0.7)) for y in (-0.16, -0.06, 0.04)]
    return [
        box(-1.0, -0.32, 0.3, 0.32, body),
        polygon([(0.3, 0.32), (0.3, -0.42), (0.88, -0.42), (0.98, -0.1), (1.0, 0.32)], body),
        *shutters,
        *slats,
        box(-1.0, 0.2, 1.0, 0.25, accent),
        box(0.36, -0.34, 0.58, -0.08, GLASS),
        polygon([(0.64, -0.08), (0.64, -0.34), (0.85, -0.34), (0.93, -0.08)], GLASS),
        box(0.5, -0.5, 0.74, -0.42, BLUE),
        limb((rear[0], rear[1]), front, 0.045, WHITE),
        limb((rear[0], rear[1] + 0.14), (front[0], front[1] + 0.12), 0.045, WHITE),
        *rungs,
        *_wheels([-0.56, 0.66], 0.33, 0.15),
    ]


def garbage_truck(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A cab, a ribbed compactor with a rounded top and a sloping hopper at the rear."""
    top = rng.uniform(-0.64, -0.56)
    ribs = [box(x, top + 0.06, x + 0.045, 0.18, shade(body, 0.65)) for x in (-0.44, -0.2, 0.04, 0.28)]
    return [
        box(-0.86, 0.18, 0.92, 0.3, BLACK),
        polygon(
            [(-0.62, 0.22), (-0.62, top + 0.08), (-0.48, top), (0.26, top), (0.42, top + 0.12), (0.42, 0.22)], body
        ),
        *ribs,
        polygon(
            [(-0.62, top + 0.08), (-0.78, top + 0.12), (-1.0, -0.08), (-1.02, 0.22), (-0.86, 0.34), (-0.62, 0.26)],
            accent,
        ),
        polygon([(-0.74, top + 0.3), (-0.92, -0.04), (-0.94, 0.16), (-0.74, 0.16)], shade(accent, 0.45)),
        polygon([(0.5, 0.3), (0.5, -0.4), (0.9, -0.4), (0.97, -0.06), (0.98, 0.3)], shade(body, 0.9)),
        polygon([(0.6, -0.06), (0.6, -0.32), (0.86, -0.32), (0.92, -0.06)], GLASS),
        *_wheels([-0.48, -0.16, 0.7], 0.33, 0.14),
    ]


def pickup(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A low car with an open bed behind its cab."""
    roof = rng.uniform(-0.4, -0.34)
    return [
        polygon([(-1.0, 0.3), (-1.0, -0.04), (-0.12, -0.04), (0.56, -0.04), (0.92, 0.02), (0.98, 0.3)], body),
        polygon([(-0.14, -0.04), (-0.08, roof), (0.3, roof), (0.58, -0.04)], body),
        box(-0.98, -0.1, -0.16, -0.04, shade(body, 0.6)),
        box(-0.94, 0.06, -0.2, 0.1, accent),
        polygon([(-0.06, -0.04), (-0.02, roof + 0.07), (0.1, roof + 0.07), (0.1, -0.04)], GLASS),
        polygon([(0.15, -0.04), (0.15, roof + 0.07), (0.27, roof + 0.07), (0.47, -0.04)], GLASS),
        box(0.88, 0.06, 0.96, 0.14, AMBER),
        *_wheels([-0.62, 0.62], 0.3, 0.18),
    ]


def tow_truck(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A bonneted cab, a flat bed, and a crane boom with cable and hook over the rear."""
    tip = (rng.uniform(-0.95, -0.75), rng.uniform(-0.72, -0.55))
    hook = (tip[0], rng.uniform(-0.25, -0.05))
    return [
        box(-0.98, 0.12, 0.9, 0.28, BLACK),
        box(-0.98, 0.06, 0.16, 0.18, accent),
        polygon([(-0.3, 0.1), (-0.06, -0.2), (0.08, 0.1)], shade(accent, 0.7)),
        limb((0.1, 0.06), tip, 0.11, accent),
        limb(tip, hook, 0.035, BLACK),
        ellipse(hook[0], hook[1] + 0.05, 0.07, 0.07, BLACK, 10),
        polygon([(0.16, 0.3), (0.16, -0.36), (0.5, -0.36), (0.64, -0.06), (0.94, 0.0), (0.98, 0.3)], body),
        polygon([(0.24, -0.06), (0.24, -0.28), (0.46, -0.28), (0.56, -0.06)], GLASS),
        box(0.24, -0.45, 0.44, -0.36, AMBER),
        *_wheels([-0.58, 0.62], 0.3, 0.17),
    ]


def trailer_truck(rng: np.random.Generator, body: Colour, accent: Colour) -> list[Part]:
    """A tractor that pulls a long trailer on many small wheels."""
    top = rng.uniform(-0.42, -0.34)
    return [
        box(-1.0, 0.12, 0.98, 0.2, BLACK),
        box(-1.0, top, 0.46, 0.14, body),
        box(-1.0, -0.04, 0.46, 0.03, shade(body, 0.7)),
        polygon([(0.56, 0.22), (0.56, top), (0.74, top), (0.79, -0.1), (0.97, -0.07), (1.0, 0.22)], accent),
        polygon([(0.63, -0.1), (0.63, top + 0.07), (0.72, top + 0.07), (0.76, -0.1)], GLASS),
        box(0.52, top - 0.08, 0.55, 0.1, STEEL),
        *_wheels([-0.88, -0.68, -0.48, 0.52, 0.84], 0.22, 0.1),
    ]


def _wheels(places: list[float], y: float, radius: float) -> list[Part]:
    tyres = [ellipse(x, y, radius, radius, BLACK) for x in places]
    return tyres + [ellipse(x, y, radius / 2, radius / 2, STEEL, 10) for x in places]


VEHICLES: dict[str, Callable[[np.random.Generator, Colour, Colour], list[Part]]] = {
    "minivan": minivan,
    "moving van": moving_van,
    "police van": police_van,
    "fire engine": fire_engine,
    "garbage truck": garbage_truck,
    "pickup": pickup,
    "tow truck": tow_truck,
    "trailer truck": trailer_truck,
}
