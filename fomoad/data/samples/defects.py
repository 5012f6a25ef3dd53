"""The defects of the sample data: what is done to a good part, or to its surface, and where that shows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.data.samples.canvas import Canvas, box, disc, polyline
from fomoad.data.samples.part import (
    BOLT_RADIUS,
    BORE_RADIUS,
    BOSS,
    DARK,
    LABEL_HALF,
    PIN_RADIUS,
    PLATE,
    Part,
    Placed,
)

MarkDefect = Callable[[Canvas], None]
"""Draws a defect on the finished part, or only marks where a component is missing or misplaced."""

SMALLEST_DEFECT: Final = 0.004
"""Area in part units squared below which a surface defect would hide in a hole; it is then put elsewhere."""


def missing_piece(part: Part, rng: Generator, strength: float) -> tuple[Part, MarkDefect]:
    """Leave out a bolt, a dowel pin or the label. A missing piece has no strength: it is there or not."""
    del strength
    kind = rng.choice(["bolt", "bolt", "pin", "label"])
    if kind == "label" and part.label is not None:
        return replace(part, label=None), _mark_label(part.label)
    if kind == "bolt":
        index = int(rng.integers(len(part.bolts)))
        gone = part.bolts[index]
        bolts = part.bolts[:index] + part.bolts[index + 1 :]
        return replace(part, bolts=bolts, bare_holes=((gone.x, gone.y),)), _mark_disc(gone, BOLT_RADIUS)
    index = int(rng.integers(len(part.pins)))
    pins = part.pins[:index] + part.pins[index + 1 :]
    return replace(part, pins=pins), _mark_disc(part.pins[index], PIN_RADIUS)


def misplaced_piece(part: Part, rng: Generator, strength: float) -> tuple[Part, MarkDefect]:
    """Stick the label on askew, or let a bolt lie beside its hole."""
    if part.label is not None and rng.random() < 0.5:
        turn = rng.choice([-1, 1]) * strength * rng.uniform(0.2, 0.45)
        askew = Placed(
            part.label.x + strength * rng.uniform(-0.08, 0.0),
            part.label.y + strength * rng.uniform(-0.07, 0.07),
            part.label.angle + turn,
        )
        return replace(part, label=askew), _both(_mark_label(part.label), _mark_label(askew))
    index = int(rng.integers(len(part.bolts)))
    hole = part.bolts[index]
    direction = np.arctan2(-hole.y, -hole.x) + rng.uniform(-0.6, 0.6)
    distance = min(strength, 1.3) * rng.uniform(0.09, 0.16)
    loose = Placed(hole.x + distance * np.cos(direction), hole.y + distance * np.sin(direction), hole.angle)
    bolts = (*part.bolts[:index], loose, *part.bolts[index + 1 :])
    moved = replace(part, bolts=bolts, bare_holes=((hole.x, hole.y),))
    return moved, _both(_mark_disc(hole, BOLT_RADIUS), _mark_disc(loose, BOLT_RADIUS))


def scratch(part: Part, rng: Generator, strength: float) -> tuple[Part, MarkDefect]:
    """Draw something hard over the surface: a bright, slightly bent groove that thins out at its ends."""

    def draw(canvas: Canvas) -> None:
        centre, heading = _point_on_plate(rng), rng.uniform(0, np.pi)
        length, bend = rng.uniform(0.35, 0.8), rng.uniform(-0.25, 0.25)
        along = np.linspace(-0.5, 0.5, 9)
        points = _turned(np.stack([length * along, bend * length * (along**2 - 0.1)], axis=1), heading) + centre
        distance, share = polyline(canvas.x, canvas.y, points)
        half_width = strength * rng.uniform(0.011, 0.017) * (1 - (2 * share - 1) ** 4)
        groove = canvas.cover(distance - half_width, 0.012) * canvas.solid
        canvas.paint(min(1.0, 0.85 * strength) * groove, (0.72, 0.72, 0.74), 0.6)
        canvas.relief[...] -= 0.012 * groove
        canvas.mark(canvas.cover(distance - half_width - 0.01) * canvas.solid)

    return part, _redrawn_until_it_shows(draw)


def stain(part: Part, rng: Generator, strength: float) -> tuple[Part, MarkDefect]:
    """Leave oil, rust or a dried splash: a blot of irregular outline through which the surface still shows."""

    def draw(canvas: Canvas) -> None:
        centre = _point_on_plate(rng)
        x, y = canvas.x - np.float32(centre[0]), canvas.y - np.float32(centre[1])
        angle, radius = np.arctan2(y, x), np.hypot(x, y)
        outline = np.float32(rng.uniform(0.09, 0.17)) * np.ones_like(x)
        for wave in range(2, 7):
            phase = rng.uniform(0, 2 * np.pi)
            outline *= 1 + rng.uniform(0.05, 0.4) / wave * np.sin(wave * angle + phase)
        cover = canvas.cover(radius - outline, 0.03) * canvas.solid
        colours = [(0.09, 0.06, 0.03), (0.3, 0.11, 0.03), (0.07, 0.07, 0.08)]
        opacity = min(0.95, strength * rng.uniform(0.5, 0.75))
        # A dried rim is denser than the middle.
        rim = np.exp(-(((radius - outline) / 0.03) ** 2))
        canvas.paint(opacity * cover * (0.75 + 0.25 * rim), colours[rng.integers(3)], 0.15)
        canvas.mark(cover)

    return part, _redrawn_until_it_shows(draw)


def crack(part: Part, rng: Generator, strength: float) -> tuple[Part, MarkDefect]:
    """Let a jagged dark line run in from the bore or from the plate's edge, with a branch."""

    def draw(canvas: Canvas) -> None:
        start, heading = _crack_start(rng)
        main = _jagged(rng, start, heading, rng.uniform(0.35, 0.55))
        branch = _jagged(rng, main[4], heading + rng.choice([-1, 1]) * rng.uniform(0.5, 0.9), 0.2)
        for points, width in ((main, 0.011), (branch, 0.007)):
            distance, share = polyline(canvas.x, canvas.y, points)
            half_width = strength * width * (1 - 0.7 * share)
            cover = canvas.cover(distance - half_width) * canvas.solid
            canvas.paint(cover, DARK, 0.0)
            canvas.relief[...] -= 0.02 * cover
            canvas.mark(canvas.cover(distance - half_width - 0.01) * canvas.solid)

    return part, _redrawn_until_it_shows(draw)


DEFECTS: Final = {
    "crack": crack,
    "misplaced": misplaced_piece,
    "missing": missing_piece,
    "scratch": scratch,
    "stain": stain,
}
"""Kind of defect to the function that changes a good part and says how the defect is drawn and marked."""


def _redrawn_until_it_shows(draw: MarkDefect) -> MarkDefect:
    """Return a function that draws at random places until enough of the defect lies on the part."""

    def try_places(canvas: Canvas) -> None:
        planes = (canvas.colour, canvas.relief, canvas.gloss)
        untouched = [plane.copy() for plane in planes]
        while True:
            draw(canvas)
            if float(canvas.defect.sum()) * canvas.pixel**2 >= SMALLEST_DEFECT:
                return
            canvas.defect[...] = 0
            for plane, before in zip(planes, untouched, strict=True):
                plane[...] = before

    return try_places


def _point_on_plate(rng: Generator) -> NDArray[np.float64]:
    """Return a point (2,) on the plate, away from its rim and from the bore."""
    while True:
        point = rng.uniform(-0.82, 0.82, 2) * PLATE
        if np.hypot(*(point - BOSS)) > BORE_RADIUS + 0.08:
            return np.asarray(point)


def _crack_start(rng: Generator) -> tuple[NDArray[np.float64], float]:
    """Return a point (2,) on the bore's edge or the plate's, and the direction into the material."""
    if rng.random() < 0.5:
        heading = rng.uniform(0, 2 * np.pi)
        return np.asarray(BOSS) + BORE_RADIUS * np.array([np.cos(heading), np.sin(heading)]), float(heading)
    left = rng.choice([-1, 1])
    if rng.random() < 0.5:
        return np.array([rng.uniform(-0.5, 0.5), left * PLATE[1]]), float(-left * np.pi / 2)
    return np.array([left * PLATE[0], rng.uniform(-0.25, 0.25)]), 0.0 if left < 0 else float(np.pi)


def _jagged(rng: Generator, start: NDArray[np.float64], heading: float, length: float) -> NDArray[np.float64]:
    """Return 9 points (9, 2) of a line that leaves `start` and changes direction at every point."""
    headings = heading + rng.normal(0, 0.55, 8)
    steps = length / 8 * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.asarray(np.concatenate([start[None], start + np.cumsum(steps, axis=0)]))


def _turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def _mark_disc(piece: Placed, radius: float) -> MarkDefect:
    return lambda canvas: canvas.mark(
        canvas.cover(disc(canvas.x - np.float32(piece.x), canvas.y - np.float32(piece.y), radius))
    )


def _mark_label(label: Placed) -> MarkDefect:
    cos, sin = np.float32(np.cos(label.angle)), np.float32(np.sin(label.angle))

    def mark(canvas: Canvas) -> None:
        across, down = canvas.x - np.float32(label.x), canvas.y - np.float32(label.y)
        distance = box(cos * across + sin * down, cos * down - sin * across, *LABEL_HALF, 0.03)
        canvas.mark(canvas.cover(distance))

    return mark


def _both(first: MarkDefect, second: MarkDefect) -> MarkDefect:
    def mark(canvas: Canvas) -> None:
        first(canvas)
        second(canvas)

    return mark
