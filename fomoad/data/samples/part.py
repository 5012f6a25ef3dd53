"""The sample data's part: a milled aluminium cover with a bored boss, bolts, dowel pins, a slot and a label."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.data.samples.canvas import Canvas, Plane, box, disc, hexagon

PLATE: Final = (0.78, 0.62)
"""Half width and half height of the cover."""
PLATE_HEIGHT: Final = 0.16
BOSS: Final = (-0.27, 0.0)
BOSS_RADIUS: Final = 0.35
BORE_RADIUS: Final = 0.2
BOLTS: Final = ((-0.61, -0.45), (0.61, -0.45), (-0.61, 0.45), (0.61, 0.45))
BOLT_RADIUS: Final = 0.105
PINS: Final = ((0.02, 0.47), (0.2, 0.47))
PIN_RADIUS: Final = 0.055
LABEL: Final = (0.4, 0.0)
LABEL_HALF: Final = (0.21, 0.27)
SLOT: Final = (0.12, -0.46)
SLOT_HALF: Final = (0.2, 0.06)

ALUMINIUM: Final = (0.31, 0.32, 0.335)
BLACK_STEEL: Final = (0.055, 0.055, 0.065)
ZINC: Final = (0.55, 0.54, 0.5)
BRASS: Final = (0.42, 0.28, 0.07)
PAPER: Final = (0.66, 0.64, 0.57)
INK: Final = (0.04, 0.04, 0.05)
LOGO_BLUE: Final = (0.02, 0.1, 0.38)
BELT: Final = (0.035, 0.055, 0.05)
DARK: Final = (0.01, 0.01, 0.012)

_TEXTURE_SIDE: Final = 512
_BRUSH_LENGTH: Final = 24


@dataclass(frozen=True)
class Placed:
    """A component: its centre in part units and its turn in radians."""

    x: float
    y: float
    angle: float


@dataclass(frozen=True)
class Part:
    """One specimen of the cover: what differs from one good part to the next, and which components it has."""

    bolts: tuple[Placed, ...]
    pins: tuple[Placed, ...]
    label: Placed | None
    grain: tuple[int, int]
    """Where on the texture the specimen's brushing starts."""
    belt_grain: tuple[int, int]
    serial: int
    bare_holes: tuple[tuple[float, float], ...] = field(default=())
    """Threaded holes without a bolt."""


def good_part(rng: Generator, variation: float) -> Part:
    """Return a specimen within tolerance: `variation` scales how much good parts differ."""

    def placed(x: float, y: float, play: float, turn: float) -> Placed:
        return Placed(
            x + variation * rng.normal(0, play), y + variation * rng.normal(0, play), rng.uniform(-turn, turn)
        )

    return Part(
        bolts=tuple(placed(x, y, 0.003, np.pi / 6) for x, y in BOLTS),
        pins=tuple(placed(x, y, 0.002, 0.0) for x, y in PINS),
        label=placed(*LABEL, 0.007, 0.02 * variation),
        grain=(int(rng.integers(_TEXTURE_SIDE)), int(rng.integers(_TEXTURE_SIDE))),
        belt_grain=(int(rng.integers(_TEXTURE_SIDE)), int(rng.integers(_TEXTURE_SIDE))),
        serial=int(rng.integers(2**16)),
    )


def draw_part(canvas: Canvas, part: Part) -> None:
    """Draw the cover on the belt."""
    _draw_plate(canvas, part)
    _draw_boss(canvas.window(*BOSS, BOSS_RADIUS + 0.05))
    _draw_slot(canvas.window(*SLOT, SLOT_HALF[0] + 0.05))
    for x, y in part.bare_holes:
        _draw_threaded_hole(canvas.window(x, y, BOLT_RADIUS), x, y)
    for pin in part.pins:
        _draw_pin(canvas.window(pin.x, pin.y, 2 * PIN_RADIUS), pin)
    if part.label is not None:
        _draw_label(canvas.window(part.label.x, part.label.y, 0.4), part.label, part.serial)
    for bolt in part.bolts:
        _draw_bolt(canvas.window(bolt.x, bolt.y, 2 * BOLT_RADIUS), bolt)


def draw_belt(canvas: Canvas, part: Part, shadow_x: float, shadow_y: float) -> None:
    """Draw the belt with the cover's soft shadow, which falls towards (shadow_x, shadow_y) in part units."""
    noise = _sample(_SPECKLE, canvas.x, canvas.y, canvas, part.belt_grain)
    weave = np.sin((canvas.x + canvas.y) * 55) * np.sin((canvas.x - canvas.y) * 55)
    canvas.paint(np.ones_like(canvas.x), np.asarray(BELT) * (1 + 0.35 * weave + 0.25 * noise)[..., None], 0.03)
    canvas.lift(np.ones_like(canvas.x), 0.004 * weave + 0.004 * noise)
    distance = box(canvas.x - np.float32(shadow_x), canvas.y - np.float32(shadow_y), *PLATE, 0.12)
    canvas.shade(canvas.cover(distance, 0.12), 0.3)


def _draw_plate(canvas: Canvas, part: Part) -> None:
    distance = box(canvas.x, canvas.y, *PLATE, 0.13)
    cover = canvas.cover(distance)
    brush = _sample(_BRUSHED, canvas.x, canvas.y, canvas, part.grain)
    canvas.paint(cover, np.asarray(ALUMINIUM) * (1 + 0.1 * brush)[..., None], 0.35)
    canvas.lift(cover, PLATE_HEIGHT - 0.035 * np.clip(1 + distance / 0.05, 0, 1) + 0.0011 * brush)
    canvas.solid[...] = cover


def _draw_boss(canvas: Canvas) -> None:
    """A raised, turned ring round the bore, with a rubber seal in a groove."""
    x, y = canvas.x - np.float32(BOSS[0]), canvas.y - np.float32(BOSS[1])
    radius = np.hypot(x, y)
    ring = canvas.cover(radius - np.float32(BOSS_RADIUS))
    turned = np.sin(radius * 260) + 0.6 * np.sin(radius * 143 + 1)
    canvas.paint(ring, np.asarray(ALUMINIUM) * (1.12 + 0.03 * turned)[..., None], 0.45)
    slope = np.clip((np.float32(BOSS_RADIUS) - radius) / 0.03, 0, 1)
    canvas.lift(ring, PLATE_HEIGHT + 0.05 * slope + 0.0008 * turned)
    seal = np.abs(radius - np.float32(0.262)) - np.float32(0.02)
    canvas.paint(canvas.cover(seal), BLACK_STEEL, 0.12)
    canvas.lift(canvas.cover(seal), PLATE_HEIGHT + 0.05 + 0.4 * np.clip(-seal, 0, 0.02))
    bore = canvas.cover(radius - np.float32(BORE_RADIUS))
    canvas.paint(bore, np.asarray(ALUMINIUM) * np.clip(0.06 + 5 * (radius - 0.165), 0.06, 0.4)[..., None], 0.05)
    canvas.lift(bore, PLATE_HEIGHT + 0.05 - 1.2 * np.clip(BORE_RADIUS - radius, 0, 0.1))
    canvas.paint(canvas.cover(radius - np.float32(0.155)), DARK, 0.0)
    canvas.solid[...] *= 1 - bore


def _draw_slot(canvas: Canvas) -> None:
    """An oblong hole through which the belt's dark shows."""
    distance = box(canvas.x - np.float32(SLOT[0]), canvas.y - np.float32(SLOT[1]), *SLOT_HALF, SLOT_HALF[1])
    cover = canvas.cover(distance)
    canvas.paint(cover, DARK, 0.02)
    canvas.lift(cover, PLATE_HEIGHT - 0.9 * np.clip(-distance, 0, 0.06))
    canvas.solid[...] *= 1 - cover


def _draw_threaded_hole(canvas: Canvas, x: float, y: float) -> None:
    distance = disc(canvas.x - np.float32(x), canvas.y - np.float32(y), 0.06)
    cover = canvas.cover(distance)
    canvas.paint(cover, np.asarray(DARK) * np.clip(8 + 160 * distance, 1, 8)[..., None], 0.1)
    canvas.lift(cover, PLATE_HEIGHT + np.clip(distance, -0.05, 0))


def _draw_pin(canvas: Canvas, pin: Placed) -> None:
    distance = disc(canvas.x - np.float32(pin.x), canvas.y - np.float32(pin.y), PIN_RADIUS)
    canvas.shade(canvas.cover(distance - 0.012, 0.03), 0.55)
    cover = canvas.cover(distance)
    canvas.paint(cover, BRASS, 0.5)
    canvas.lift(cover, PLATE_HEIGHT + 0.02 + 0.5 * np.clip(-distance, 0, 0.018))


def _draw_bolt(canvas: Canvas, bolt: Placed) -> None:
    """A black socket head cap screw on a zinc washer."""
    x, y = canvas.x - np.float32(bolt.x), canvas.y - np.float32(bolt.y)
    washer, head = disc(x, y, BOLT_RADIUS), disc(x, y, 0.78 * BOLT_RADIUS)
    canvas.shade(canvas.cover(washer - 0.015, 0.05), 0.5)
    canvas.paint(canvas.cover(washer), ZINC, 0.4)
    canvas.lift(canvas.cover(washer), PLATE_HEIGHT + 0.012)
    canvas.shade(canvas.cover(head - 0.006, 0.03), 0.35)
    cover = canvas.cover(head)
    canvas.paint(cover, BLACK_STEEL, 0.3)
    canvas.lift(cover, PLATE_HEIGHT + 0.05 + 0.7 * np.clip(-head, 0, 0.025))
    socket = hexagon(x, y, 0.4 * BOLT_RADIUS, bolt.angle)
    canvas.paint(canvas.cover(socket), DARK, 0.02)
    canvas.lift(canvas.cover(socket), PLATE_HEIGHT + 0.03)


def _draw_label(canvas: Canvas, label: Placed, serial: int) -> None:
    """A paper sticker: logo bar, lines of print, and a barcode of the part's number and the serial number."""
    cos, sin = np.float32(np.cos(label.angle)), np.float32(np.sin(label.angle))
    across, down = canvas.x - np.float32(label.x), canvas.y - np.float32(label.y)
    x, y = cos * across + sin * down, cos * down - sin * across
    distance = box(x, y, *LABEL_HALF, 0.03)
    canvas.shade(canvas.cover(distance - 0.008, 0.025), 0.7)
    cover = canvas.cover(distance)
    canvas.paint(cover, PAPER, 0.08)
    canvas.lift(cover, PLATE_HEIGHT + 0.006)
    canvas.paint(canvas.cover(box(x, y + 0.2, 0.18, 0.04, 0.005)), LOGO_BLUE)
    for line, width in enumerate((0.34, 0.26, 0.3)):
        print_row = box(x + np.float32(0.17 - width / 2), y + np.float32(0.11 - 0.06 * line), width / 2, 0.014, 0)
        letters = (np.floor((x + 0.3) * 60 + 7 * line) % 4 > 0).astype(np.float32)
        canvas.paint(0.8 * canvas.cover(print_row) * letters, INK)
    canvas.paint(_barcode(canvas, x, y, serial), INK)


def _barcode(canvas: Canvas, x: Plane, y: Plane, serial: int) -> Plane:
    """Return the bars' cover: 16 that all parts share, then 16 of the serial number."""
    bits = np.array([(0xB5A3 >> bit) & 1 for bit in range(16)] + [(serial >> bit) & 1 for bit in range(16)])
    column = np.clip((x + 0.17) * (32 / 0.34), 0, 31).astype(np.intp)
    bars: Plane = bits[column].astype(np.float32)
    return bars * canvas.cover(box(x, y - 0.17, 0.17, 0.065, 0))


def _sample(texture: NDArray[np.float32], x: Plane, y: Plane, canvas: Canvas, start: tuple[int, int]) -> Plane:
    """Look a texture up with one of its values a pixel, fixed to the part."""
    texels = np.float32(1 / canvas.pixel)
    rows = (y * texels).astype(np.int32) + start[0]
    columns = (x * texels).astype(np.int32) + start[1]
    return np.asarray(texture[rows % _TEXTURE_SIDE, columns % _TEXTURE_SIDE])


def _textures() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return white noise, and noise drawn out along the rows as brushing is; mean 0, deviation 1."""
    noise = np.random.default_rng(0).normal(size=(_TEXTURE_SIDE, _TEXTURE_SIDE)).astype(np.float32)
    strokes = np.cumsum(np.concatenate([noise, noise[:, :_BRUSH_LENGTH]], axis=1), axis=1)
    brushed = strokes[:, _BRUSH_LENGTH:] - strokes[:, :-_BRUSH_LENGTH]
    return noise, brushed / brushed.std()


_SPECKLE, _BRUSHED = _textures()
