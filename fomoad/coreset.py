"""Coreset selection: few rows of a matrix that leave no row far from the nearest of them.

Greedy k-center (Sener and Savarese 2018, algorithm 1; PatchCore, Roth et al. 2022, algorithm 1) starts with
one row and always picks the row that lies farthest from all rows picked so far. Done plainly, every pick
measures its distance to every row. Here almost all of that is put off, and much of it never done:

- A row's distance to the picked rows only shrinks, so an old distance is an upper bound of the true one.
- A round takes the rows with the greatest bounds (the pool) and lets them meet the picked rows they have
  missed, in batches, as matrix products. A row that falls below the greatest bound outside the pool (the
  rival) leaves.
- The farthest rows of what is left (the block) get all distances among themselves from one more product.
  Picks are taken from the block for as long as its farthest row beats the rival: then it is the farthest
  row of all.

The picks are those of the plain algorithm, up to the rounding of float32.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

POOL_SHARE = 8
"""One row in so many is in a round's pool: more make rounds fewer and bounds sharper than is needed."""
SMALLEST_POOL = 2048
BLOCK_ROWS = 512
"""Rows that get all distances among themselves: some ten to a hundred picks, for one small matrix product."""
TILE_ROWS = 2048
BATCH_CENTRES = 128
"""A tile times a batch is large enough for a matrix product at full rate, and small enough for the cache."""
DUPLICATE = 32 * float(np.finfo(np.float32).eps)
"""Squared distances below this share of a row's squared norm are rounding errors: taken as zero."""
PICKED = -1.0
"""The bound of a picked row: below that of every other row, duplicates of picked rows included."""
FINENESS = 0.7
"""Rows are picked from a shard until all others lie within this share of the radius that the final selection will
have at least, as far as is known by then. The final radius is then about a tenth above that of a selection from the
whole matrix; finer picking costs much and brings it little lower."""
OVERSAMPLING = 4
"""From no shard more than so many times the rows that are wanted are picked."""
MOST_PICKS = 40_000
"""Nor are more than this picked, unless more are wanted: the time grows with the square of the picks."""
SHARDS_HELD = 4
"""What was picked from more shards than this is selected from at once, so that it does not pile up."""
RADIUS_ELEMENTS = 1 << 22
"""Distances held at once while the coverage radius is measured: 32 MiB."""


def greedy_k_center(
    points: NDArray[Any], count: int, seed: int, progress: Callable[[int], None] | None = None
) -> Indices:
    """Pick `count` rows of `points` by greedy k-center, the first one at random.

    Deterministic for a seed. Of rows at equal distance, as computed, the lowest index is picked. When
    nothing but duplicates of picked rows is left, they follow in the order of their indices, so the answer
    is always `count` different rows. Squared distances are off by some 1e-6 of a row's squared distance
    from the mean: rows closer than that to being equally far may change places, rows closer than that to a
    picked row are its duplicates.

    Args:
        points: (n, d) finite numbers, in memory or memory-mapped. One float32 copy of them is held.
        count: How many rows to pick, 1 to n.
        seed: Decides the first pick.
        progress: Called with the number of rows picked so far, once a round.

    Returns:
        (count,) int64 row indices in the order picked.

    Raises:
        ValueError: If `points` is not a matrix of finite numbers, or has fewer than `count` rows.
    """
    _check(points, count)
    first = int(np.random.default_rng(seed).integers(len(points)))
    with threadpool_limits(1):  # the selection has threads of its own
        selection = _Selection(points, count, first)
        while selection.picked < count:
            selection.advance()
            if progress is not None:
                progress(selection.picked)
    return selection.picks


def composable_k_center(
    shards: Iterable[NDArray[Any]], count: int, seed: int, progress: Callable[[int], None] | None = None
) -> tuple[Floats, Indices]:
    """Pick `count` rows of a matrix that comes in pieces: from every piece, then from what was picked there.

    Greedy k-center composes: rows picked from every shard, and `count` of their union, cover all rows within
    a constant factor of the best radius (Malkomes et al. 2015). How many rows of a shard are needed depends on
    the final radius: each selection of `count` rows or more tells how large it will be at least. Held are one
    shard and a copy of it (at the start two shards, since a single one is selected from as it is), and of the
    shards before it at most (SHARDS_HELD + 1) * OVERSAMPLING * `count` rows, however many there are; twice the
    latter at times.

    Args:
        shards: (n_i, d) matrices; together they are the matrix, top to bottom. Each is looked at once.
        count: How many rows to pick.
        seed: Decides the first pick of every selection.
        progress: Called with the number of rows read so far, once a shard.

    Returns:
        (count, d) float32 rows, and their (count,) int64 indices in the whole matrix, in the order picked.

    Raises:
        ValueError: If a shard is not a matrix of finite numbers, or all together have fewer than `count`
        rows.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    filled = (shard for shard in shards if len(shard))
    start = list(itertools.islice(filled, 2))
    if len(start) == 1:
        picks = greedy_k_center(start[0], count, seed)
        if progress is not None:
            progress(len(start[0]))
        return np.asarray(start[0][picks], dtype=np.float32), picks
    seeds = np.random.default_rng(seed)
    rows: list[Floats] = []
    indices: list[Indices] = []
    read, radius = 0, 0.0
    for shard in itertools.chain(_handed_over(start), filled):
        picks, radius = _cover(shard, count, radius, int(seeds.integers(2**32)))
        rows.append(np.asarray(shard[picks], dtype=np.float32))
        indices.append(picks + read)
        read += len(shard)
        if sum(map(len, rows)) > SHARDS_HELD * OVERSAMPLING * count:
            union, places = _united(rows, indices)
            picks, radius = _cover(union, count, radius, int(seeds.integers(2**32)))
            rows, indices = [union[picks]], [places[picks]]
        if progress is not None:
            progress(read)
    if count > read:
        raise ValueError(f"count must be at most {read}, the number of rows of all shards, got {count}")
    union, places = _united(rows, indices)
    picks = greedy_k_center(union, count, seed)
    return union[picks], places[picks]


def coverage_radius(points: NDArray[Any], centres: NDArray[Any]) -> float:
    """The greatest Euclidean distance from a row of `points` (n, d) to the nearest row of `centres` (k, d).

    Computed in float64 and in blocks: memory does not grow with n.
    """
    origin = np.mean(centres, axis=0, dtype=np.float64)
    centres = centres - origin
    norms = np.einsum("ij,ij->i", centres, centres)
    step = max(1, RADIUS_ELEMENTS // len(centres))
    farthest = 0.0
    for start in range(0, len(points), step):
        block = points[start : start + step] - origin
        nearest = np.min(norms - 2 * (block @ centres.T), axis=1) + np.einsum("ij,ij->i", block, block)
        farthest = max(farthest, float(nearest.max()))
    return float(np.sqrt(farthest))


def _cover(points: NDArray[Any], count: int, radius: float, seed: int) -> tuple[Indices, float]:
    """Pick rows until all others lie within FINENESS times the radius of a selection of `count` rows.

    `radius` is what that is known to be at least; returned with the picks is what is known now.
    """
    _check(points, 1)
    first = int(np.random.default_rng(seed).integers(len(points)))
    most = max(count, min(OVERSAMPLING * count, MOST_PICKS))
    counted = False
    with threadpool_limits(1):  # the selection has threads of its own
        selection = _Selection(points, min(most, len(points)), first)
        while selection.picked < len(selection.picks):
            if selection.picked >= count and not counted:
                counted, radius = True, max(radius, selection.reach)
            if selection.reach < FINENESS * radius:
                break
            selection.advance()
    return selection.picks[: selection.picked], radius


def _united(rows: list[Floats], indices: list[Indices]) -> tuple[Floats, Indices]:
    """All rows and their indices; the lists are emptied, so that nothing is held twice."""
    united = np.concatenate(rows), np.concatenate(indices)
    rows.clear()
    indices.clear()
    return united


def _handed_over(shards: list[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """The shards, each let go of as the next is asked for."""
    while shards:
        yield shards.pop(0)


def _check(points: NDArray[Any], count: int) -> None:
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"points must be a matrix with at least one column, got shape {points.shape}")
    if not 1 <= count <= len(points):
        raise ValueError(f"count must be 1 to {len(points)}, the number of rows, got {count}")


class _Selection:
    """The state of one greedy selection.

    rows: (n, d) the points less their mean, so that distances from norms and products lose few digits;
    norms: (n,) their squared norms; bounds: (n,) upper bounds of their squared distances to the picked rows;
    met: (n,) how many of the first picks a bound has taken into account;
    centres: (count, d) picked rows; picks: (count,) their indices; picked: how many there are;
    reach: how far the latest pick was from those before it.
    """

    def __init__(self, points: NDArray[Any], count: int, first: int) -> None:
        n, d = points.shape
        mean = np.mean(points, axis=0, dtype=np.float64).astype(np.float32)
        self.rows = np.empty((n, d), np.float32)
        np.subtract(points, mean, out=self.rows, casting="unsafe")
        self.norms = np.einsum("ij,ij->i", self.rows, self.rows)
        finite = np.isfinite(self.norms)
        if not finite.all():
            raise ValueError(f"row {int(np.argmin(finite))} of points is not finite, or too large to square")
        self.bounds = np.full(n, np.inf, np.float32)
        self.met = np.zeros(n, np.int32)
        self.centres = np.empty((count, d), np.float32)
        self.picks = np.empty(count, np.int64)
        self.picked = 0
        self.reach = np.inf
        self._pick(first)
        self._meet(np.arange(n), -np.inf)

    def advance(self) -> None:
        """One round: at least a pick, or sharper bounds for the rows that stood in its way."""
        if self.bounds.max() <= 0:
            self._fill_with_duplicates()
            return
        pool, rival, rival_row = _greatest(self.bounds, max(SMALLEST_POOL, len(self.bounds) // POOL_SHARE))
        self._meet(pool[np.argsort(self.met[pool], kind="stable")], rival)
        pool = pool[self.bounds[pool] >= rival]
        if len(pool):
            block, block_rival, position = _greatest(self.bounds[pool], BLOCK_ROWS)
            outside = int(pool[position]) if position < len(pool) else len(self.bounds)
            self._pick_from(pool[block], max((rival, -rival_row), (block_rival, -outside)))

    def _pick(self, row: int) -> None:
        self.centres[self.picked] = self.rows[row]
        self.picks[self.picked] = row
        self.bounds[row] = PICKED
        self.picked += 1

    def _meet(self, rows: Indices, floor: float) -> None:
        """Lower the bounds of `rows`, least met first, by the picks they missed.

        Rows below `floor` are left with the bound they have reached. A thread takes a tile at a time; the products
        themselves are too small to be divided among threads, which would wait for one another.
        """
        tiles = [rows[start : start + TILE_ROWS] for start in range(0, len(rows), TILE_ROWS)]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for _ in threads.map(lambda tile: self._meet_tile(tile, floor), tiles):
                pass

    def _meet_tile(self, tile: Indices, floor: float) -> None:
        """The same for rows that are few enough to be taken at once."""
        buffer = np.empty((BATCH_CENTRES, len(tile)), np.float32)
        rows, norms, bounds = self.rows[tile], self.norms[tile], self.bounds[tile]
        for start in range(int(self.met[tile[0]]), self.picked, BATCH_CENTRES):
            stop = min(start + BATCH_CENTRES, self.picked)
            np.minimum(bounds, self._nearest(rows, norms, start, stop, buffer), out=bounds)
            above = bounds >= floor
            # Dropping rows means copying the others, which pays once a quarter has gone.
            if stop == self.picked or np.count_nonzero(above) < 0.75 * len(tile):
                self.bounds[tile] = bounds
                self.met[tile] = np.maximum(self.met[tile], stop)
                tile, rows, norms, bounds = tile[above], rows[above], norms[above], bounds[above]
            if len(tile) == 0:
                break

    def _nearest(self, rows: Floats, norms: Floats, start: int, stop: int, buffer: Floats) -> Floats:
        """Squared distances from `rows` (m, d) to the nearest of the picks `start` to `stop`: (m,).

        `buffer` (BATCH_CENTRES, m or more) is for the products: memory that is fresh each time costs time.
        |x - c|^2 = |x|^2 + |c|^2 - 2 x.c, with |x|^2 added after the minimum.
        """
        products = buffer[: stop - start, : len(rows)]
        np.matmul(-2 * self.centres[start:stop], rows.T, out=products)
        products += self.norms[self.picks[start:stop], np.newaxis]
        nearest: Floats = products.min(axis=0)
        nearest += norms
        nearest[nearest <= DUPLICATE * norms] = 0
        return nearest

    def _pick_from(self, block: Indices, rival: tuple[float, int]) -> None:
        """Pick from the rows `block`, whose bounds are exact, for as long as the farthest beats `rival`.

        A rival is a bound and the negative of a row: of equal bounds the lower row wins.
        """
        rows, norms, bounds = self.rows[block], self.norms[block], self.bounds[block]
        distances = rows @ rows.T
        distances *= -2
        distances += norms
        distances += norms[:, np.newaxis]
        distances[distances <= DUPLICATE * norms] = 0
        while self.picked < len(self.picks):
            best = int(bounds.argmax())
            if bounds[best] <= 0 or (bounds[best], -block[best]) <= rival:
                break
            self.reach = float(bounds[best]) ** 0.5
            np.minimum(bounds, distances[best], out=bounds)
            bounds[best] = PICKED
            self._pick(int(block[best]))
        self.bounds[block] = bounds
        self.met[block] = self.picked

    def _fill_with_duplicates(self) -> None:
        left = np.flatnonzero(self.bounds != PICKED)
        self.picks[self.picked :] = left[: len(self.picks) - self.picked]
        self.picked = len(self.picks)


def _greatest(values: Floats, size: int) -> tuple[Indices, float, int]:
    """The `size` greatest of `values` (n,), the lowest positions among equals.

    Returns their positions in ascending order, and the greatest value left out with its lowest position:
    minus infinity and the number of values where nothing is left out.
    """
    if size >= len(values):
        return np.arange(len(values)), -np.inf, len(values)
    place = len(values) - size - 1
    rival = np.partition(values, place)[place]
    above = np.flatnonzero(values > rival)
    equal = np.flatnonzero(values == rival)
    spare = size - len(above)
    return np.sort(np.concatenate([above, equal[:spare]])), float(rival), int(equal[spare])
