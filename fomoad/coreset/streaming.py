"""Coreset selection from more rows than memory holds.

Which rows greedy k-center picks depends on few of them: those in sparse regions. Ene, Im and Moseley ("Fast clustering
using MapReduce", KDD 2011) therefore sample rows, drop those that lie near the sample, and sample again from what is
left. Here rows are dropped that lie near a selection from the sample, and some of the picks are kept back for the few
rows that are found last, so that the selection covers all rows about as closely as one that sees them all at once.

Readings map over parts of the matrix (fomoad.coreset.readings). How many rows a reading will find is told beforehand by
scouts, a sample beside the first one.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final, Protocol, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from fomoad.coreset.greedy import Floats, Indices, Selection, greedy_k_center
from fomoad.coreset.readings import Cover, Farthest, Found, Lots, Part, Sampled, Uncovered

FIRST_PART: Final = 0.8
"""Share of the picks that are made before the last reading. Half of them would raise the radius by a tenth; nearly all
would leave too few for the rows that the last reading finds."""
SCOUTS_SHARE: Final = 1 / 4
"""Scouts that there are for a row of the sample."""
ROOM: Final = 0.9
"""Share of the room for a second sample that the scouts' forecast is to fill: they are some tenths of a percent off."""
FARTHEST: Final = 2.0
"""Rows that the last reading brings, by the scouts' forecast, for a row that is kept of them."""
DRAWS: Final = 1 << 22
"""Draws that are counted at a time."""

S = TypeVar("S")


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
