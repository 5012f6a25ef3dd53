"""What a reading of a matrix finds in a part of it: rows of a sample, or rows that a selection does not cover.

What a part gives depends on that part alone: parts may be read in any order, and by other processes. Draws are numbered
by rows.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fomoad.coreset.greedy import Floats, Indices, Selection, in_tiles, lower, squared_norms
from fomoad.coreset.neighbourhoods import FEW, Neighbourhoods

Block = tuple[int, NDArray[Any]]
"""The number of the first row in the whole matrix, and rows (n, d) from there."""

TILE_ROWS: Final = 4096
"""Rows that a thread compares with neighbourhoods at a time."""

R = TypeVar("R", covariant=True)


class Part(Protocol[R]):
    """What a reading does with a part of the matrix, given as blocks from top to bottom."""

    def __call__(self, blocks: Iterator[Block]) -> R: ...


@dataclass(frozen=True)
class Found:
    """Rows (n, d) of the matrix that a reading found in a part, their indices and the keys (n,) they were found by."""

    indices: Indices
    keys: NDArray[np.float64]
    rows: Floats

    @classmethod
    def joined(cls, parts: list["Found"]) -> "Found":
        """All rows together, in their order."""
        names = ("indices", "keys", "rows")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Lots:
    """A uniform draw from 0 to 1 for each row of a matrix. Streams of one seed are independent."""

    seed: int
    stream: int

    def of(self, start: int, count: int) -> NDArray[np.float64]:
        """The draws (count,) of rows from `start` on."""
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, self.stream]))
        bits.advance(start)
        return np.random.Generator(bits).random(count)


@dataclass(frozen=True)
class Sampled:
    """A reading that finds rows whose draws are at least `low` and below `high`; draws are keys."""

    lots: Lots
    low: float
    high: float

    def __call__(self, blocks: Iterator[Block]) -> Found:
        """The rows that are found in a part. Raises ValueError where it is no matrix of finite numbers."""
        parts = []
        for start, rows in _checked(blocks):
            draws = self.lots.of(start, len(rows))
            some = np.flatnonzero((draws >= self.low) & (draws < self.high))
            parts.append(Found(start + some, draws[some], rows[some].astype(np.float32, copy=False)))
        return Found.joined(parts)


@dataclass(frozen=True)
class Cover:
    """What lies within `radius` of any of `centres` (m, d), or is one of the rows of these indices `kept`, ascending.

    That is what a selection covers: no row that it was made from lies farther from a picked one. Those rows count as
    covered, for rounding may put the farthest of them just beyond the radius.
    """

    centres: Floats
    kept: Indices
    radius: float

    @classmethod
    def of(cls, selection: Selection, kept: Indices) -> "Cover":
        """The cover of a selection from rows of these indices."""
        return cls(selection.centres, np.sort(kept), selection.radius())

    def beyond_distance(self, radius: float) -> "Cover":
        """The cover of a larger radius."""
        return Cover(self.centres, self.kept, max(radius, self.radius))

    def beyond(self, start: int, rows: Floats, some: Indices | None = None) -> tuple[Indices, Floats]:
        """Which of `rows` (n, d) from `start` on it leaves out, or of `some` of them, and how far they are off."""
        first, last = np.searchsorted(self.kept, (start, start + len(rows)))
        free = np.ones(len(rows), np.bool_)
        free[self.kept[first:last] - start] = False
        some = np.flatnonzero(free) if some is None else some[free[some]]
        squared = self._squared_distances(rows[some])
        found = np.flatnonzero(squared > self.radius**2)
        return some[found], np.sqrt(squared[found])

    def distances(self, rows: Floats) -> Floats:
        """The distances of those of `rows` (n, d), none of them kept, that it leaves out."""
        squared = self._squared_distances(rows)
        distances: Floats = np.sqrt(squared[squared > self.radius**2])
        return distances

    def _squared_distances(self, rows: Floats) -> Floats:
        """Squared distances (n,) to the nearest centre, or upper bounds of them that are within the radius."""
        nearest = np.empty(len(rows), np.float32)

        def meet(tile: Indices) -> None:
            nearest[tile] = self._met(rows[tile])

        in_tiles(meet, np.arange(len(rows)), TILE_ROWS)
        return nearest

    def _met(self, rows: Floats) -> Floats:
        norms = squared_norms(rows)
        bounds = np.full(len(rows), np.inf, np.float32)
        for some, members in self._neighbourhoods.of(rows) if len(self.centres) > FEW else ():
            squared = self._norms[members] - 2 * rows[some] @ self.centres[members].T
            bounds[some] = squared.min(axis=1) + norms[some]
        left = np.flatnonzero(bounds > self.radius**2)
        exact = np.full(len(left), np.inf, np.float32)
        latest_first = slice(None, None, -1)  # the first are far out, and few rows near them
        lower(exact, rows[left], norms[left], self.centres[latest_first], self._norms[latest_first], self.radius**2)
        bounds[left] = exact
        return bounds

    @functools.cached_property
    def _norms(self) -> Floats:
        return squared_norms(self.centres)

    @functools.cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        return Neighbourhoods(self.centres)


@dataclass(frozen=True)
class Uncovered:
    """A reading that finds what a cover of rows less `centre` (d,) leaves out, of rows with draws below `share`."""

    cover: Cover
    centre: Floats
    lots: Lots
    share: float

    def __call__(self, blocks: Iterator[Block]) -> Found:
        """The rows that are found in a part, less `centre`; their draws are keys."""
        parts = []
        for start, centred in _centred(blocks, self.centre):
            draws = self.lots.of(start, len(centred))
            found, _ = self.cover.beyond(start, centred, np.flatnonzero(draws < self.share))
            parts.append(Found(start + found, draws[found], centred[found]))
        return Found.joined(parts)


@dataclass(frozen=True)
class Farthest:
    """A reading that finds the `most` rows less `centre` (d,) that lie farthest outside of a cover."""

    cover: Cover
    centre: Floats
    most: int

    def __call__(self, blocks: Iterator[Block]) -> Found:
        """The rows that are found in a part, less `centre`; their distances are keys."""
        parts = []
        for start, centred in _centred(blocks, self.centre):
            found, distances = self.cover.beyond(start, centred)
            parts.append(Found(start + found, distances.astype(np.float64), centred[found]))
        every = Found.joined(parts)
        some = np.sort(np.argsort(-every.keys, kind="stable")[: self.most])
        return Found(every.indices[some], every.keys[some], every.rows[some])


def _centred(blocks: Iterable[Block], centre: Floats) -> Iterator[tuple[int, Floats]]:
    """The same blocks, their rows less `centre` (d,)."""
    for start, rows in blocks:
        yield start, np.subtract(rows, centre, dtype=np.float32)


def _checked(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same blocks. Raises ValueError where one is not a matrix of finite numbers."""
    for start, block in blocks:
        if block.ndim != 2 or block.shape[1] == 0:
            raise ValueError(f"blocks must be matrices with at least one column, got shape {block.shape}")
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise ValueError(f"row {start + int(np.argmin(finite))} is not finite")
        yield start, block
