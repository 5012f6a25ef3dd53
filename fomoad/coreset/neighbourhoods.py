"""Where the nearest of many points most likely is, so that few of them have to be looked at."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from fomoad.coreset.greedy import Floats, Indices

FEW: Final = 2048
"""Of so few points, it takes no longer to look at all."""
SCOUTS: Final = 256
NEIGHBOURS: Final = 512
"""Points in a neighbourhood. The nearest of them to a row is seldom much farther than the nearest of all."""


class Neighbourhoods:
    """The points that are nearest to each of some scouts.

    Scouts are the last points: where greedy k-center picked them, the first are those far out, which few rows are near.
    """

    def __init__(self, points: Floats) -> None:
        """Find the neighbourhoods among points (m, d)."""
        self._scouts = points[-SCOUTS:]
        count = min(NEIGHBOURS, len(points))
        squared = np.einsum("md,md->m", points, points) - 2 * self._scouts @ points.T
        self._members: Indices = np.argpartition(squared, count - 1, axis=1)[:, :count]

    def of(self, rows: Floats) -> Iterator[tuple[Indices, Indices]]:
        """Yield which of `rows` (n, d) are nearest to the same scout, and the points of its neighbourhood."""
        norms = np.einsum("sd,sd->s", self._scouts, self._scouts)
        nearest = np.argmin(norms - 2 * rows @ self._scouts.T, axis=1)
        for scout in np.unique(nearest):
            yield np.flatnonzero(nearest == scout), self._members[scout]
