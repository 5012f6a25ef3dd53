"""Coreset selection from more rows than memory holds.

Which rows greedy k-center picks depends on few of them: those in sparse regions. Ene, Im and Moseley ("Fast clustering
using MapReduce", KDD 2011) therefore sample rows, drop those that lie near the sample, and sample again from what is
left. Here rows are dropped that lie near a selection from the sample, and some of the picks are kept back for the few
rows that are found last, so that the selection covers all rows about as closely as one that sees them all at once.

A reading maps over parts of the matrix, and what a part gives depends on that part alone: parts may be read in any
order, and by other processes. Draws are numbered by rows. How many rows a reading will find is told beforehand by
scouts, a sample beside the first one.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.coreset.greedy import Floats, Indices, Selection, greedy_k_center, in_tiles, lower, squared_norms
from fomoad.coreset.neighbourhoods import FEW, Neighbourhoods

Block = tuple[int, NDArray[Any]]
"""The number of the first row in the whole matrix, and rows (n, d) from there."""

FIRST_PART: Final = 0.8
"""Share of the picks that are made before the last reading. Half of them would raise the radius by a tenth; nearly all
would leave too few for the rows that the last reading finds."""
TILE_ROWS: Final = 4096
"""Rows that a thread compares with neighbourhoods at a time."""
SCOUTS_SHARE: Final = 1 / 4
"""Scouts that there are for a row of the sample."""
ROOM: Final = 0.9
"""Share of the room for a second sample that the scouts' forecast is to fill: they are some tenths of a percent off."""
FARTHEST: Final = 2.0
"""Rows that the last reading brings, by the scouts' forecast, for a row that is kept of them."""
DRAWS: Final = 1 << 22
"""Draws that are counted at a time."""

R = TypeVar("R", covariant=True)
S = TypeVar("S")


class Part(Protocol[R]):
    """What a reading does with a part of the matrix, given as blocks from top to bottom."""

    def __call__(self, blocks: Iterator[Block]) -> R: ...


class Matrix(Protocol):
    """A matrix that is read part by part."""

    def __len__(self) -> int:
        """How many rows there are."""

    def read(self, part: Part[S]) -> Iterator[S]:
        """Yield `part` of each part of the matrix, from top to bottom."""


def streamed_k_center(matrix: Matrix, count: int, seed: int, held: int) -> Indices:
    """Pick `count` rows of a matrix by greedy k-center from the part of it that matters, found in three readings.

    1. A uniform sample of at most `held` rows is kept, and `count` of them are selected.
    2. What lies farther from these than all of the sample is kept too, or a uniform sample of it, at most `held` / 2
       rows. FIRST_PART of `count` are selected again from all that is kept.
    3. What lies farther from those than all that is kept is kept too, or the farthest of it, at most `held` / 2 rows.
       The selection goes on to `count`.

    A matrix of at most `held` rows is read once, and the picks are those of `greedy_k_center`. At most 2 `held` rows
    and the scouts are in memory, beside what a part gives.

    Args:
        matrix: What is read.
        count: How many rows to pick. Where the matrix has more than `held` rows, at most `held` / 4.
        seed: Decides the samples and the first pick.
        held: How many rows the sample has at most.

    Returns:
        (count,) int64 row indices in the order picked.

    Raises:
        ValueError: If `count` is out of range, or what is read is not a matrix of finite numbers.
    """
    total = len(matrix)
    if total <= held:
        every = _Kept(total)
        for found in matrix.read(Sampled(Lots(seed, 0), 0.0, 1.0)):
            every.add(found.indices, found.rows)
        return greedy_k_center(every.rows, count, seed)
    if not 1 <= count <= held // 4:
        raise ValueError(f"count must be 1 to {held // 4}, a quarter of the rows held, got {count}")
    kept, scouts = _Kept(2 * held), _Kept(held)
    share = _share(Lots(seed, 0), total, held)
    for found in matrix.read(Sampled(Lots(seed, 0), 0.0, share * (1 + SCOUTS_SHARE))):
        sampled = found.keys < share
        kept.add(found.indices[sampled], found.rows[sampled])
        scouts.add(found.indices[~sampled], found.rows[~sampled])
    first = int(np.random.default_rng(seed).integers(len(kept.rows)))
    centre = kept.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    kept.rows[:] -= centre
    scouts.rows[:] -= centre
    with threadpool_limits(1):  # the selection has threads of its own
        selection = Selection(kept.rows, count, first)
        selection.finish()
        cover = Cover.of(selection, kept.indices)
        expected = len(cover.distances(scouts.rows)) / max(1, len(scouts.rows)) * total
        share = 1.0 if expected == 0 else 2.0 ** min(0, math.floor(math.log2(ROOM * (held // 2) / expected)))
        kept.add_sample(matrix.read(Uncovered(cover, centre, Lots(seed, 1), share)), held // 2, share)
        selection = Selection(kept.rows, max(1, round(FIRST_PART * count)), first)
        selection.finish()
        cover = Cover.of(selection, kept.indices)
        distances = np.sort(cover.distances(scouts.rows))[::-1]
        place = math.ceil(FARTHEST * (held // 2) / total * len(scouts.rows))
        if place < len(distances):
            cover = cover.beyond_distance(float(distances[place]))
        kept.add_farthest(matrix.read(Farthest(cover, centre, held // 2)), held // 2)
        selection.extend(kept.rows, count)
        selection.finish()
        return kept.indices[selection.picks]


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
        for start, rows in blocks:
            centred = np.subtract(rows, self.centre, dtype=np.float32)
            draws = self.lots.of(start, len(rows))
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
        for start, rows in blocks:
            centred = np.subtract(rows, self.centre, dtype=np.float32)
            found, distances = self.cover.beyond(start, centred)
            parts.append(Found(start + found, distances.astype(np.float64), centred[found]))
        every = Found.joined(parts)
        some = np.sort(np.argsort(-every.keys, kind="stable")[: self.most])
        return Found(every.indices[some], every.keys[some], every.rows[some])


class _Kept:
    """Rows (n, d) and their indices (n,) in the whole matrix, of at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._rows = np.empty((0, 0), np.float32)
        self._indices = np.empty(most, np.int64)

    @property
    def rows(self) -> Floats:
        return self._rows[: self._count]

    @property
    def indices(self) -> Indices:
        return self._indices[: self._count]

    def add(self, indices: Indices, rows: Floats) -> None:
        """Keep these rows too."""
        self._put(slice(self._count, self._count + len(rows)), indices, rows)
        self._count += len(rows)

    def add_sample(self, parts: Iterable[Found], size: int, share: float) -> None:
        """Keep rows whose draws are below `share`, or a uniform sample of them of at most `size`.

        Whenever that is exceeded, half of them go, drawn by lot.
        """
        held = 0
        lots = np.empty(size)
        for found in parts:
            some = np.flatnonzero(found.keys < share)
            while held + len(some) > size:
                share /= 2
                stay = np.flatnonzero(lots[:held] < share)
                self._move(self._count + stay, self._count)
                held = len(stay)
                lots[:held] = lots[stay]
                some = some[found.keys[some] < share]
            self._put(slice(self._count + held, self._count + held + len(some)), found.indices[some], found.rows[some])
            lots[held : held + len(some)] = found.keys[some]
            held += len(some)
        self._count += held

    def add_farthest(self, parts: Iterable[Found], size: int) -> None:
        """Keep these rows, or the `size` farthest of them."""
        distances = np.full(size, -np.inf)
        for found in parts:
            both = np.append(distances, found.keys)
            stay = np.zeros(len(both), np.bool_)
            stay[np.argpartition(-both, size - 1)[:size]] = True
            gone, come = np.flatnonzero(~stay[:size]), np.flatnonzero(stay[size:])
            distances[gone] = found.keys[come]
            self._put(self._count + gone, found.indices[come], found.rows[come])
        kept = np.flatnonzero(distances > -np.inf)
        self._move(self._count + kept, self._count)
        self._count += len(kept)

    def _put(self, places: slice | Indices, indices: Indices, rows: Floats) -> None:
        if not self._rows.size:
            self._rows = np.empty((self._most, rows.shape[1]), np.float32)
        self._indices[places], self._rows[places] = indices, rows

    def _move(self, places: Indices, start: int) -> None:
        """Move what is at `places`, in ascending order, to `start` and what follows."""
        self._put(slice(start, start + len(places)), self._indices[places], self._rows[places])


def _share(lots: Lots, total: int, most: int) -> float:
    """The largest of 1, 1/2, 1/4 and so on so that at most `most` of `total` draws are below it."""
    share, below = 1.0, np.empty(0)
    for start in range(0, total, DRAWS):
        drawn = lots.of(start, min(DRAWS, total - start))
        below = np.append(below, drawn[drawn < share])
        while len(below) > most:
            share /= 2
            below = below[below < share]
    return share


def _checked(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same blocks. Raises ValueError where one is not a matrix of finite numbers."""
    for start, block in blocks:
        if block.ndim != 2 or block.shape[1] == 0:
            raise ValueError(f"blocks must be matrices with at least one column, got shape {block.shape}")
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise ValueError(f"row {start + int(np.argmin(finite))} is not finite")
        yield start, block
