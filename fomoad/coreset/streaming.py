"""Coreset selection from more rows than memory holds.

Which rows greedy k-center picks depends on few of them: those in sparse regions. Ene, Im and Moseley ("Fast clustering
using MapReduce", KDD 2011) therefore sample rows, drop those that lie near the sample, and sample again from what is
left. Here rows are dropped that lie near a selection from the sample, and some of the picks are kept back for the few
rows that are found last, so that the selection covers all rows about as closely as one that sees them all at once.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.coreset.greedy import Floats, Indices, Selection, greedy_k_center, in_tiles, lower, squared_norms
from fomoad.coreset.neighbourhoods import FEW, Neighbourhoods

Read = Callable[[], Iterable[NDArray[Any]]]
"""Starts a reading of a whole matrix: (n_i, d) blocks, top to bottom."""
Block = tuple[Indices, Floats]
"""Row indices (n,) in the whole matrix, and the rows (n, d)."""

FIRST_PART = 0.8
"""Share of the picks that are made before the last reading. Half of them would raise the radius by a tenth; nearly all
would leave too few for the rows that the last reading finds."""
TILE_ROWS = 4096
"""Rows that a thread compares with neighbourhoods at a time."""


def streamed_k_center(read: Read, count: int, seed: int, held: int) -> Indices:
    """Pick `count` rows of a matrix by greedy k-center from the part of it that matters, found in three readings.

    1. A uniform sample of at most `held` rows is kept, and `count` of them are selected.
    2. What lies farther from these than all of the sample is kept too, or a uniform sample of it, at most `held` / 2
       rows. FIRST_PART of `count` are selected again from all that is kept.
    3. What lies farther from those than all that is kept is kept too, or the farthest of it, at most `held` / 2 rows.
       The selection goes on to `count`.

    A matrix of at most `held` rows is read once, and the picks are those of `greedy_k_center`. At most 2 `held` rows
    are in memory, beside a block that is read, its copy, and a byte for every row of the matrix.

    Args:
        read: Called for each reading.
        count: How many rows to pick. Where the matrix has more than `held` rows, at most `held` / 4.
        seed: Decides the samples and the first pick.
        held: How many rows the sample has at most.

    Returns:
        (count,) int64 row indices in the order picked.

    Raises:
        ValueError: If `count` is out of range, or what is read is not a matrix of finite numbers.
    """
    random = np.random.default_rng(seed)
    kept = _Kept(2 * held)
    total = kept.add_sample(_numbered(_checked(read())), held, random)
    if total <= held:
        return greedy_k_center(kept.rows, count, seed)
    if not 1 <= count <= held // 4:
        raise ValueError(f"count must be 1 to {held // 4}, a quarter of the rows held, got {count}")
    first = int(random.integers(len(kept.rows)))
    centre = kept.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    kept.rows[:] -= centre
    with threadpool_limits(1):  # the selection has threads of its own
        selection = Selection(kept.rows, count, first)
        selection.finish()
        cover = _Cover(selection, kept.among(total))
        kept.add_sample(_numbered(read(), centre), held // 2, random, cover)
        selection = Selection(kept.rows, max(1, round(FIRST_PART * count)), first)
        selection.finish()
        kept.add_farthest(_numbered(read(), centre), held // 2, _Cover(selection, kept.among(total)))
        selection.extend(kept.rows, count)
        selection.finish()
        return kept.indices[selection.picks]


class _Cover:
    """What lies within the radius of a selection: no farther from a picked row than all that were selected from."""

    def __init__(self, selection: Selection, kept: NDArray[np.bool_]) -> None:
        """`kept` are the rows of the whole matrix that were selected from."""
        self._kept = kept
        self._squared_radius = selection.radius() ** 2
        self._neighbourhoods = Neighbourhoods(selection.centres)
        self._centres = selection.centres
        self._norms = squared_norms(selection.centres)

    def beyond(self, indices: Indices, rows: Floats) -> tuple[Indices, Floats]:
        """Which of `rows` (n, d), of these `indices`, it does not cover, and their distances to the nearest pick.

        Rows that are kept count as covered: rounding may put the farthest of them just beyond the radius.
        """
        nearest = np.empty(len(rows), np.float32)

        def meet(tile: Indices) -> None:
            nearest[tile] = self._squared_distances(rows[tile])

        in_tiles(meet, np.arange(len(rows)), TILE_ROWS)
        found = np.flatnonzero((nearest > self._squared_radius) & ~self._kept[indices])
        return found, np.sqrt(nearest[found])

    def _squared_distances(self, rows: Floats) -> Floats:
        """Squared distances (n,) to the nearest pick, or upper bounds of them that are within the radius."""
        norms = squared_norms(rows)
        bounds = np.full(len(rows), np.inf, np.float32)
        for some, members in self._neighbourhoods.of(rows) if len(self._centres) > FEW else ():
            squared = self._norms[members] - 2 * rows[some] @ self._centres[members].T
            bounds[some] = squared.min(axis=1) + norms[some]
        left = np.flatnonzero(bounds > self._squared_radius)
        exact = np.full(len(left), np.inf, np.float32)
        latest_first = slice(None, None, -1)  # the first are far out, and few rows near them
        lower(
            exact, rows[left], norms[left], self._centres[latest_first], self._norms[latest_first], self._squared_radius
        )
        bounds[left] = exact
        return bounds


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

    def among(self, total: int) -> NDArray[np.bool_]:
        """Which rows (total,) of the whole matrix these are."""
        among = np.zeros(total, np.bool_)
        among[self.indices] = True
        return among

    def add_sample(
        self, blocks: Iterable[Block], size: int, random: np.random.Generator, cover: _Cover | None = None
    ) -> int:
        """Keep the rows that `cover` leaves out, or a uniform sample of them of at most `size`.

        Whenever that is exceeded, half of them go, drawn by lot, and of the rows to come only half are looked at.
        Returns how many rows came.
        """
        came, held, share = 0, 0, 1.0
        lots = np.empty(size)
        for indices, rows in blocks:
            came += len(rows)
            drawn = random.random(len(rows))
            some = np.flatnonzero(drawn < share)
            if cover is not None:
                some = some[cover.beyond(indices[some], rows[some])[0]]
            while held + len(some) > size:
                share /= 2
                stay = np.flatnonzero(lots[:held] < share)
                self._move(self._count + stay, self._count)
                held = len(stay)
                lots[:held] = lots[stay]
                some = some[drawn[some] < share]
            self._put(slice(self._count + held, self._count + held + len(some)), indices[some], rows[some])
            lots[held : held + len(some)] = drawn[some]
            held += len(some)
        self._count += held
        return came

    def add_farthest(self, blocks: Iterable[Block], size: int, cover: _Cover) -> None:
        """Keep the rows that `cover` leaves out, or the `size` farthest of them."""
        distances = np.full(size, -np.inf, np.float32)
        for indices, rows in blocks:
            found, offered = cover.beyond(indices, rows)
            both = np.append(distances, offered)
            stay = np.zeros(len(both), np.bool_)
            stay[np.argpartition(-both, size - 1)[:size]] = True
            gone, come = np.flatnonzero(~stay[:size]), np.flatnonzero(stay[size:])
            distances[gone] = offered[come]
            self._put(self._count + gone, indices[found[come]], rows[found[come]])
        found = np.flatnonzero(distances > -np.inf)
        self._move(self._count + found, self._count)
        self._count += len(found)

    def _put(self, places: slice | Indices, indices: Indices, rows: Floats) -> None:
        if not self._rows.size:
            self._rows = np.empty((self._most, rows.shape[1]), np.float32)
        self._indices[places], self._rows[places] = indices, rows

    def _move(self, places: Indices, start: int) -> None:
        """Move what is at `places`, in ascending order, to `start` and what follows."""
        self._put(slice(start, start + len(places)), self._indices[places], self._rows[places])


def _checked(blocks: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """The same blocks. Raises ValueError where one is not a matrix of finite numbers."""
    read = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] == 0:
            raise ValueError(f"blocks must be matrices with at least one column, got shape {block.shape}")
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise ValueError(f"row {read + int(np.argmin(finite))} is not finite")
        yield block
        read += len(block)


def _numbered(blocks: Iterable[NDArray[Any]], centre: Floats | float = 0.0) -> Iterator[Block]:
    """The blocks less `centre`, as float32, with their rows' indices."""
    read = 0
    for block in blocks:
        yield np.arange(read, read + len(block)), np.subtract(block, centre, dtype=np.float32)
        read += len(block)
