"""Eight vehicles seen from the side, facing right. They differ in shape; their colours are drawn at random.

Coordinates: x from -1 (rear) to 1 (front), y down, the ground near 0.45.
"""

import numpy as np
from numpy.random import Generator

from chinspect.world.sketch import Colour, Drawing, box, ellipse, limb, named, polygon, shade, trapezoid

BLACK = (28, 28, 32)
STEEL = (150, 152, 158)
GLASS = (150, 185, 205)
WHITE = (240, 240, 236)
AMBER = (255, 170, 20)
RED = (225, 35, 35)
BLUE = (40, 80, 235)


def minivan(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """One rounded box with three side windows and a sloping front."""
    roof = rng.uniform(-0.4, -0.33)
    rear = [(-0.95, 0.32), (-0.97, 0.0), (-0.85, roof + 0.07), (-0.7, roof)]
    bonnet = [(0.62, -0.07), (0.9, 0.02), (0.97, 0.14), (0.96, 0.32)]
    return [
        polygon(body, *rear, (0.2, roof), (0.36, roof + 0.07), *bonnet),
        trapezoid(GLASS, -0.06, roof + 0.08, -0.88, -0.8, -0.46, -0.46),
        box(GLASS, -0.4, roof + 0.08, -0.04, -0.06),
        polygon(GLASS, (0.02, -0.06), (0.02, roof + 0.08), (0.26, roof + 0.09), (0.5, -0.06)),
        box(shade(accent, 0.8), -0.9, 0.1, 0.6, 0.13),
        box(AMBER, 0.88, 0.08, 0.96, 0.16),
        *_wheels(0.32, 0.155, -0.58, 0.6),
    ]


def moving_van(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A tall plain cargo box that juts out over a small cab."""
    top = rng.uniform(-0.72, -0.62)
    cab = [(0.48, 0.32), (0.48, -0.24), (0.74, -0.28), (0.84, -0.04), (0.98, 0.02), (0.98, 0.32)]
    return [
        box(BLACK, -0.95, 0.22, 0.9, 0.32),
        box(body, -1.0, top, 0.46, 0.26),
        polygon(body, (0.46, top), (0.76, top + 0.03), (0.76, -0.34), (0.46, -0.24)),
        polygon(accent, (-1.0, 0.02), (0.46, -0.26), (0.46, -0.1), (-1.0, 0.18)),
        polygon(shade(accent, 0.9), *cab),
        polygon(GLASS, (0.54, -0.04), (0.54, -0.2), (0.71, -0.22), (0.79, -0.04)),
        *_wheels(0.33, 0.15, -0.62, 0.68),
    ]


def police_van(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """An upright van with a light bar, a chequered band and barred windows."""
    top = rng.uniform(-0.5, -0.43)
    bar = rng.uniform(-0.15, 0.1)
    # two rows of checks, the lower one shifted by a check
    checks = [
        box(WHITE, left + 0.32 * i, y, right + 0.32 * i, y + 0.09)
        for left, right, y, count in ((-0.95, -0.79, 0.0, 6), (-0.79, -0.63, 0.09, 5))
        for i in range(count)
    ]
    return [
        polygon(body, (-0.97, 0.32), (-0.97, top), (0.44, top), (0.7, -0.1), (0.94, 0.0), (0.97, 0.32)),
        box(shade(accent, 0.55), -0.97, 0.0, 0.95, 0.18),
        *checks,
        *[box(GLASS, x, top + 0.1, x + 0.26, -0.08) for x in (-0.88, -0.54)],
        *[box(BLACK, x, top + 0.1, x + 0.025, -0.08) for x in (-0.8, -0.71, -0.46, -0.37)],
        trapezoid(GLASS, -0.08, top + 0.09, 0.1, 0.1, 0.4, 0.58),
        box(BLUE, bar, top - 0.13, bar + 0.2, top),
        box(RED, bar + 0.2, top - 0.13, bar + 0.4, top),
        *_wheels(0.33, 0.15, -0.6, 0.6),
    ]


def fire_engine(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A long body with roller shutters, a crew cab and a ladder on the roof."""
    lift = rng.uniform(0.04, 0.22)
    rungs = [(x, (x - 0.34) * lift / 1.4) for x in np.linspace(-1.0, 0.28, 9)]
    return [
        box(body, -1.0, -0.32, 0.3, 0.32),
        polygon(body, (0.3, 0.32), (0.3, -0.42), (0.88, -0.42), (0.98, -0.1), (1.0, 0.32)),
        *[box(STEEL, x, -0.24, x + 0.34, 0.14) for x in (-0.94, -0.54, -0.14)],
        *[box(shade(STEEL, 0.7), -0.94, y, 0.2, y + 0.02) for y in (-0.16, -0.06, 0.04)],
        box(accent, -1.0, 0.2, 1.0, 0.25),
        box(GLASS, 0.36, -0.34, 0.58, -0.08),
        trapezoid(GLASS, -0.08, -0.34, 0.64, 0.64, 0.85, 0.93),
        box(BLUE, 0.5, -0.5, 0.74, -0.42),
        limb(WHITE, (-1.06, -0.46 - lift), (0.34, -0.46), 0.045),
        limb(WHITE, (-1.06, -0.46 - lift + 0.14), (0.34, -0.46 + 0.12), 0.045),
        *[limb(WHITE, (x, -0.36 + rise), (x, -0.5 + rise), 0.035) for x, rise in rungs],
        *_wheels(0.33, 0.15, -0.56, 0.66),
    ]


def garbage_truck(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A cab, a ribbed compactor with a rounded top and a sloping hopper at the rear."""
    top = rng.uniform(-0.64, -0.56)
    hopper = [(-0.78, top + 0.12), (-1.0, -0.08), (-1.02, 0.22), (-0.86, 0.34), (-0.62, 0.26)]
    front = [(0.26, top), (0.42, top + 0.12), (0.42, 0.22)]
    return [
        box(BLACK, -0.86, 0.18, 0.92, 0.3),
        polygon(body, (-0.62, 0.22), (-0.62, top + 0.08), (-0.48, top), *front),
        *[box(shade(body, 0.65), x, top + 0.06, x + 0.045, 0.18) for x in (-0.44, -0.2, 0.04, 0.28)],
        polygon(accent, (-0.62, top + 0.08), *hopper),
        polygon(shade(accent, 0.45), (-0.74, top + 0.3), (-0.92, -0.04), (-0.94, 0.16), (-0.74, 0.16)),
        polygon(shade(body, 0.9), (0.5, 0.3), (0.5, -0.4), (0.9, -0.4), (0.97, -0.06), (0.98, 0.3)),
        trapezoid(GLASS, -0.06, -0.32, 0.6, 0.6, 0.86, 0.92),
        *_wheels(0.33, 0.14, -0.48, -0.16, 0.7),
    ]


def pickup(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A low car with an open bed behind its cab."""
    roof = rng.uniform(-0.4, -0.34)
    return [
        polygon(body, (-1.0, 0.3), (-1.0, -0.04), (-0.12, -0.04), (0.56, -0.04), (0.92, 0.02), (0.98, 0.3)),
        trapezoid(body, -0.04, roof, -0.14, -0.08, 0.3, 0.58),
        box(shade(body, 0.6), -0.98, -0.1, -0.16, -0.04),
        box(accent, -0.94, 0.06, -0.2, 0.1),
        trapezoid(GLASS, -0.04, roof + 0.07, -0.06, -0.02, 0.1, 0.1),
        trapezoid(GLASS, -0.04, roof + 0.07, 0.15, 0.15, 0.27, 0.47),
        box(AMBER, 0.88, 0.06, 0.96, 0.14),
        *_wheels(0.3, 0.18, -0.62, 0.62),
    ]


def tow_truck(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A bonneted cab, a flat bed, and a crane boom with cable and hook over the rear."""
    tip = (rng.uniform(-0.95, -0.75), rng.uniform(-0.72, -0.55))
    hook = (tip[0], rng.uniform(-0.25, -0.05))
    return [
        box(BLACK, -0.98, 0.12, 0.9, 0.28),
        box(accent, -0.98, 0.06, 0.16, 0.18),
        polygon(shade(accent, 0.7), (-0.3, 0.1), (-0.06, -0.2), (0.08, 0.1)),
        limb(accent, (0.1, 0.06), tip, 0.11),
        limb(BLACK, tip, hook, 0.035),
        ellipse(BLACK, hook[0], hook[1] + 0.05, 0.07, 0.07, 10),
        polygon(body, (0.16, 0.3), (0.16, -0.36), (0.5, -0.36), (0.64, -0.06), (0.94, 0.0), (0.98, 0.3)),
        trapezoid(GLASS, -0.06, -0.28, 0.24, 0.24, 0.46, 0.56),
        box(AMBER, 0.24, -0.45, 0.44, -0.36),
        *_wheels(0.3, 0.17, -0.58, 0.62),
    ]


def trailer_truck(rng: Generator, body: Colour, accent: Colour) -> Drawing:
    """A tractor that pulls a long trailer on many small wheels."""
    top = rng.uniform(-0.42, -0.34)
    return [
        box(BLACK, -1.0, 0.12, 0.98, 0.2),
        box(body, -1.0, top, 0.46, 0.14),
        box(shade(body, 0.7), -1.0, -0.04, 0.46, 0.03),
        polygon(accent, (0.56, 0.22), (0.56, top), (0.74, top), (0.79, -0.1), (0.97, -0.07), (1.0, 0.22)),
        trapezoid(GLASS, -0.1, top + 0.07, 0.63, 0.63, 0.72, 0.76),
        box(STEEL, 0.52, top - 0.08, 0.55, 0.1),
        *_wheels(0.22, 0.1, -0.88, -0.68, -0.48, 0.52, 0.84),
    ]


def _wheels(y: float, radius: float, *x: float) -> Drawing:
    tyres = [ellipse(BLACK, centre, y, radius, radius) for centre in x]
    return tyres + [ellipse(STEEL, centre, y, radius / 2, radius / 2, 10) for centre in x]


VEHICLES = named(minivan, moving_van, police_van, fire_engine, garbage_truck, pickup, tow_truck, trailer_truck)
