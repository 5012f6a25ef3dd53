"""What a watch leaves for a person to look at, in constant memory: the course over time, and where in the map."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_POINTS: Final = 400
RECENT: Final = 0.98
"""What is left of an image's weight one image later, in what is recent: the last fifty or so count."""
MOST_POSITIONS: Final = 10_000
"""Larger anomaly maps are not followed."""
ENOUGH: Final = 20
"""Images before a map of them means something."""


@dataclass
class Course:
    """Points (image number, logarithms of the capitals for drift and rate, recent share flagged, at most 1).

    At most MOST_POINTS: where they are too many, every second goes and the others stand for twice as many images.
    """

    points: list[tuple[int, float, float, float]] = field(default_factory=list)
    stride: int = 1
    share: float = 0.0

    def take(self, image: int, drift: float, rate: float, flagged: bool) -> None:
        """Take what the image of this number led to."""
        weight = max(1 - RECENT, 1 / image)
        self.share += weight * (flagged - self.share)
        if image % self.stride:
            return
        self.points.append((image, drift, rate, self.share))
        if len(self.points) > MOST_POINTS:
            self.stride *= 2
            self.points = [point for point in self.points if point[0] % self.stride == 0]


@dataclass
class Positions:
    """Anomaly maps of passed images: sums of scores and of their squares in calm times, and the recent mean.

    All are (rows, columns). `calm` counts the images of the sums; `seen` those of the recent mean.
    """

    calm: int
    seen: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    recent: NDArray[np.float64]

    @classmethod
    def start(cls, shape: tuple[int, int]) -> "Positions":
        """Before the first map."""
        return cls(0, 0, np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def take(self, grid: NDArray[np.float64], calm: bool) -> None:
        """Take an image's map. In `calm` times, it is one of those that later maps are compared with."""
        self.seen += 1
        self.recent += max(1 - RECENT, 1 / self.seen) * (grid - self.recent)
        if calm:
            self.calm += 1
            self.total += grid
            self.squares += grid**2

    def moved(self) -> NDArray[np.float64] | None:
        """How far each position's recent mean is from what it was in calm times, in deviations of one image.

        None before there are enough calm images.
        """
        if self.calm < ENOUGH:
            return None
        mean = self.total / self.calm
        deviation = np.sqrt(np.maximum(self.squares / self.calm - mean**2, 0))
        moved: NDArray[np.float64] = (self.recent - mean) / np.maximum(deviation, 1e-3 * max(deviation.max(), 1e-12))
        return moved
