"""Coreset selection from more rows than memory holds.

Which rows greedy k-center picks hangs on few of them: those in sparse regions. Ene, Im and Moseley ("Fast clustering
using MapReduce", KDD 2011) therefore sample rows, drop those that lie near the sample, and sample again from what is
left. Here rows are dropped that lie near a selection from the sample, and some of the picks are kept back for the few
rows that are found last, so that the selection covers all rows about as closely as one that sees them all at once.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.coreset import Floats, Indices, Selection, beyond, greedy_k_center

Read = Callable[[], Iterable[NDArray[Any]]]
"""Starts a reading of a whole matrix: (n_i, d) blocks, top to bottom."""
Block = tuple[Indices, Floats]
"""Row indices (n,) in the whole matrix, and the rows (n, d)."""

FIRST_PART = 0.8
"""Share of the picks that are made before the last reading. Half of them would raise the radius by a tenth; nearly all
would leave too few for the rows that the last reading finds."""


def streamed_k_center(read: Read, count: int, seed: int, held: int) -> Indices:
    """Pick `count` rows of a matrix by greedy k-center from the part of it that matters, found in three readings.

    1. A uniform sample of `held` rows is kept, and `count` of them are selected.
    2. What lies farther from these than all of the sample is kept too: a uniform sample of it, where it is more than
       `held` / 2 rows. FIRST_PART of `count` are selected anew from all that is kept.
    3. What lies farther from those than all that is kept is kept too: the farthest of it, where it is more than
       `held` / 2 rows. The selection goes on to `count`.

    A matrix of at most `held` rows is read once, and the picks are those of `greedy_k_center`. At most 2 `held` rows
    are in memory, beside a block that is read, its copy, and a byte for every row of the matrix.

    Args:
        read: Called for each reading.
        count: How many rows to pick. Where the matrix has more than `held` rows, fewer than `held`.
        seed: Decides the samples and the first pick.
        held: How many rows the sample has.

    Returns:
        (count,) int64 row indices in the order picked.

    Raises:
        ValueError: If `count` is out of range, or what is read is not a matrix of finite numbers.
    """
    random = np.random.default_rng(seed)
    kept = _Kept(2 * held)
    seen = kept.add_sample(_numbered(read()), held, random)
    if seen <= held:
        return greedy_k_center(kept.rows, count, seed)
    if not 1 <= count < held:
        raise ValueError(f"count must be 1 to {held - 1}, fewer than the rows held, got {count}")
    first = int(random.integers(held))
    centre = kept.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    kept.rows[:] -= centre
    with threadpool_limits(1):  # the selection has threads of its own
        selection = _finished(Selection(kept.rows, count, first))
        far = _far(read(), centre, selection, kept.among(seen))
        kept.add_sample(((indices, rows) for indices, rows, _ in far), held // 2, random)
        selection = _finished(Selection(kept.rows, max(1, round(FIRST_PART * count)), first))
        kept.add_farthest(_far(read(), centre, selection, kept.among(seen)), held // 2)
        selection.extend(kept.rows, count)
        return kept.indices[_finished(selection).picks]


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

    def add_sample(self, blocks: Iterable[Block], size: int, random: np.random.Generator) -> int:
        """Keep a uniform sample of `size` rows, or all if they are fewer; returns how many came.

        Algorithm R (Vitter, "Random sampling with a reservoir", 1985): the row of number i takes a place among
        0 to i at random, if there is such a place, from the row that had it.
        """
        seen = 0
        for indices, rows in blocks:
            if not self._count and not seen:
                self._rows = np.empty((self._most, rows.shape[1]), np.float32)
            numbers = np.arange(seen, seen + len(rows))
            places = np.where(numbers < size, numbers, random.integers(numbers + 1))
            taken = np.flatnonzero(places < size)
            self._rows[self._count + places[taken]] = rows[taken]
            self._indices[self._count + places[taken]] = indices[taken]
            seen += len(rows)
        self._count += min(seen, size)
        return seen

    def add_farthest(self, blocks: Iterable[tuple[Indices, Floats, Floats]], size: int) -> None:
        """Keep the `size` rows of the greatest distances (n,), which the blocks hold beside indices and rows."""
        distances = np.full(size, -np.inf, np.float32)
        kept_rows, kept_indices = (store[self._count : self._count + size] for store in (self._rows, self._indices))
        for indices, rows, offered in blocks:
            both = np.append(distances, offered)
            stays = np.zeros(len(both), np.bool_)
            stays[np.argpartition(-both, size - 1)[:size]] = True
            gone, come = np.flatnonzero(~stays[:size]), np.flatnonzero(stays[size:])
            distances[gone], kept_rows[gone], kept_indices[gone] = offered[come], rows[come], indices[come]
        found = np.flatnonzero(distances > -np.inf)
        kept_rows[: len(found)], kept_indices[: len(found)] = kept_rows[found], kept_indices[found]
        self._count += len(found)


def _numbered(blocks: Iterable[NDArray[Any]]) -> Iterator[Block]:
    """The blocks with their rows' indices. Raises ValueError where one is not a matrix of finite numbers."""
    read = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] == 0:
            raise ValueError(f"blocks must be matrices with at least one column, got shape {block.shape}")
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise ValueError(f"row {read + int(np.argmin(finite))} is not finite")
        yield np.arange(read, read + len(block)), block
        read += len(block)


def _far(
    blocks: Iterable[NDArray[Any]], centre: Floats, selection: Selection, kept: NDArray[np.bool_]
) -> Iterator[tuple[Indices, Floats, Floats]]:
    """The rows, less `centre`, that lie farther from the picked ones than all that were selected from.

    Yields their indices, themselves and their distances. Rows that are `kept` are passed over: rounding may put the
    farthest of them just beyond the radius.
    """
    radius = selection.radius()
    latest_first = selection.centres[::-1].copy()  # the first are those far out, which few rows are near
    for indices, block in _numbered(blocks):
        rows = np.subtract(block, centre, dtype=np.float32)
        found, distances = beyond(rows, latest_first, radius)
        new = ~kept[indices[found]]
        yield indices[found][new], rows[found[new]], distances[new]


def _finished(selection: Selection) -> Selection:
    """The selection with all of its rows picked."""
    while selection.picked < len(selection.picks):
        selection.advance()
    return selection
