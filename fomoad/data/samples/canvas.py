"""The surface that a photo is drawn on: colour, relief and gloss at every pixel, in the part's own coordinates.

Shapes are signed distances in part units (below 0 inside; the photo is 2 units wide), so that edges come out
smooth at every resolution and in every pose.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""Shape (rows, columns)."""
Colour = tuple[float, float, float]
"""Share of red, green and blue light that comes back, linear."""


@dataclass(frozen=True)
class Pose:
    """Where the part lies in the photo: turned by `angle` (radians), moved (photo units), then enlarged."""

    angle: float
    shift_x: float
    shift_y: float
    zoom: float


@dataclass(frozen=True)
class Canvas:
    """All planes have the shape (side, side), or that of a window on them; they are drawn on in place."""

    side: int
    pose: Pose
    x: Plane
    y: Plane
    colour: NDArray[np.float32]
    """Shape (rows, columns, 3)."""
    relief: Plane
    """Height above the belt in part units."""
    gloss: Plane
    """Share of light that is mirrored."""
    solid: Plane
    """1 where the part has a surface, 0 on the belt and in holes."""
    defect: Plane
    """1 where a defect is."""

    @property
    def pixel(self) -> float:
        """Width of a pixel in part units: the softness of an edge."""
        return 2 / (self.side * self.pose.zoom)

    def window(self, x: float, y: float, radius: float) -> "Canvas":
        """Return the part of the canvas within `radius` of a point, as views: drawing there is cheaper."""
        cos, sin = np.cos(self.pose.angle), np.sin(self.pose.angle)
        column = (self.pose.zoom * (cos * x - sin * y) + self.pose.shift_x + 1) * self.side / 2
        row = (self.pose.zoom * (sin * x + cos * y) + self.pose.shift_y + 1) * self.side / 2
        reach = radius * self.pose.zoom * self.side / 2 + 2
        rows = slice(max(0, int(row - reach)), max(0, int(row + reach) + 1))
        columns = slice(max(0, int(column - reach)), max(0, int(column + reach) + 1))
        planes = (self.x, self.y, self.colour, self.relief, self.gloss, self.solid, self.defect)
        return Canvas(self.side, self.pose, *(plane[rows, columns] for plane in planes))

    def cover(self, distance: Plane, softness: float = 0.0) -> Plane:
        """Return how much of every pixel lies inside a shape, 0 to 1, with an edge at least a pixel wide."""
        return np.clip(0.5 - distance / max(self.pixel, softness), 0, 1)

    def paint(self, cover: Plane, colour: Colour | NDArray[Any], gloss: float | None = None) -> None:
        """Give the covered pixels a colour (one, or one a pixel) and a gloss."""
        blend = cover[..., None]
        self.colour[...] += blend * (np.asarray(colour, np.float32) - self.colour)
        if gloss is not None:
            self.gloss[...] += cover * (np.float32(gloss) - self.gloss)

    def shade(self, cover: Plane, factor: float) -> None:
        """Multiply the colour of the covered pixels."""
        self.colour[...] *= (1 + cover * np.float32(factor - 1))[..., None]

    def lift(self, cover: Plane, height: float | Plane) -> None:
        """Bring the covered pixels to a height."""
        self.relief[...] += cover * (np.asarray(height, np.float32) - self.relief)

    def mark(self, cover: Plane) -> None:
        """Call the covered pixels a defect."""
        np.maximum(self.defect, cover, out=self.defect)


def blank(side: int, pose: Pose) -> Canvas:
    """Return an empty canvas of `side` by `side` pixels whose coordinates follow the pose."""
    axis = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side)) - 1
    across, down = (axis - pose.shift_x) / pose.zoom, (axis - pose.shift_y) / pose.zoom
    cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    x = cos * across[None, :] + sin * down[:, None]
    y = cos * down[:, None] - sin * across[None, :]
    planes = [np.zeros((side, side), np.float32) for _ in range(4)]
    return Canvas(side, pose, x, y, np.zeros((side, side, 3), np.float32), *planes)


def disc(x: Plane, y: Plane, radius: float) -> Plane:
    """Distance from a circle round the origin."""
    return np.asarray(np.hypot(x, y) - np.float32(radius))


def box(x: Plane, y: Plane, half_width: float, half_height: float, corner: float) -> Plane:
    """Distance from a rectangle round the origin with corners of the radius `corner`."""
    beyond_x = np.abs(x) - np.float32(half_width - corner)
    beyond_y = np.abs(y) - np.float32(half_height - corner)
    outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0))
    return np.asarray(outside + np.minimum(np.maximum(beyond_x, beyond_y), 0) - np.float32(corner))


def hexagon(x: Plane, y: Plane, radius: float, angle: float) -> Plane:
    """Distance (exact at the sides) from a hexagon whose sides are `radius` from the origin."""
    normals = [angle + turn * np.pi / 3 for turn in range(3)]
    sides = [np.abs(np.float32(np.cos(n)) * x + np.float32(np.sin(n)) * y) for n in normals]
    return np.maximum(np.maximum(sides[0], sides[1]), sides[2]) - np.float32(radius)


def polyline(x: Plane, y: Plane, points: NDArray[np.float64]) -> tuple[Plane, Plane]:
    """Return every pixel's distance from a line through `points` (n, 2), and how far along it (0 to 1) that is."""
    nearest = np.full(x.shape, np.inf, np.float32)
    along = np.zeros(x.shape, np.float32)
    segments = len(points) - 1
    for index, (start, end) in enumerate(pairwise(points)):
        step_x, step_y = (end - start).astype(np.float32)
        from_x, from_y = x - np.float32(start[0]), y - np.float32(start[1])
        share = np.clip((from_x * step_x + from_y * step_y) / (step_x**2 + step_y**2 + 1e-12), 0, 1)
        distance = np.hypot(from_x - share * step_x, from_y - share * step_y)
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        along = np.where(closer, (index + share) / segments, along)
    return nearest, along
