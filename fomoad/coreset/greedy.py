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

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.machine import processors

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
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"points must be a matrix with at least one column, got shape {points.shape}")
    if not 1 <= count <= len(points):
        raise ValueError(f"count must be 1 to {len(points)}, the number of rows, got {count}")
    rows = np.empty(points.shape, np.float32)
    np.subtract(points, np.mean(points, axis=0, dtype=np.float64).astype(np.float32), out=rows, casting="unsafe")
    first = int(np.random.default_rng(seed).integers(len(rows)))
    with threadpool_limits(1):  # the selection has threads of its own
        selection = Selection(rows, count, first)
        selection.finish(progress)
    return selection.picks


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


class Selection:
    """The state of one greedy selection.

    rows: (n, d) points, centred, so that distances from norms and products lose few digits;
    norms: (n,) their squared norms; bounds: (n,) upper bounds of their squared distances to the picked rows;
    met: (n,) how many of the first picks a bound has taken into account;
    centres: (count, d) picked rows; picks: (count,) their indices; picked: how many there are.
    """

    def __init__(self, rows: Floats, count: int, first: int) -> None:
        """Pick the row `first` of `rows`, which are not copied, as the first of `count`."""
        self.rows = rows
        self.norms = squared_norms(rows)
        self.bounds = np.full(len(rows), np.inf, np.float32)
        self.met = np.zeros(len(rows), np.int32)
        self.centres = np.empty((count, rows.shape[1]), np.float32)
        self.picks = np.empty(count, np.int64)
        self.picked = 0
        self._pick(first)
        self._meet(np.arange(len(rows)), -np.inf)

    def extend(self, rows: Floats, count: int) -> None:
        """Go on up to `count` picks, with more rows: the first of `rows` are those that there were."""
        added = len(rows) - len(self.rows)
        self.norms = np.append(self.norms, squared_norms(rows[len(self.rows) :]))
        self.bounds = np.append(self.bounds, np.full(added, np.inf, np.float32))
        self.met = np.append(self.met, np.zeros(added, np.int32))
        self.rows = rows
        left = count - len(self.picks)
        self.centres = np.concatenate([self.centres, np.empty((left, rows.shape[1]), np.float32)])
        self.picks = np.append(self.picks, np.empty(left, np.int64))

    def finish(self, progress: Callable[[int], None] | None = None) -> None:
        """Pick all rows that are left to pick; `progress` is called with the number picked so far, once a round."""
        while self.picked < len(self.picks):
            self.advance()
            if progress is not None:
                progress(self.picked)

    def advance(self) -> None:
        """One round: at least a pick, or sharper bounds for the rows that stood in its way."""
        if self.bounds.max() <= 0:
            self._fill_with_duplicates()
            return
        pool, rival, rival_row = self._pool()
        if len(pool):
            block, block_rival, position = _greatest(self.bounds[pool], BLOCK_ROWS)
            outside = int(pool[position]) if position < len(pool) else len(self.bounds)
            self._pick_from(pool[block], max((rival, -rival_row), (block_rival, -outside)))

    def radius(self) -> float:
        """The distance from the picked rows to the row that is farthest from them."""
        while True:
            pool, _, _ = self._pool()
            if len(pool):
                return math.sqrt(max(0.0, self.bounds[pool].max()))

    def _pool(self) -> tuple[Indices, float, int]:
        """Rows whose bounds are exact and at least as great as those of all others, if any; the rival and its row."""
        pool, rival, rival_row = _greatest(self.bounds, max(SMALLEST_POOL, len(self.bounds) // POOL_SHARE))
        self._meet(pool[np.argsort(self.met[pool], kind="stable")], rival)
        return pool[self.bounds[pool] >= rival], rival, rival_row

    def _pick(self, row: int) -> None:
        self.centres[self.picked] = self.rows[row]
        self.picks[self.picked] = row
        self.bounds[row] = PICKED
        self.picked += 1

    def _meet(self, rows: Indices, floor: float) -> None:
        """Lower the bounds of `rows`, least met first, by the picks they missed.

        Rows below `floor` are left with the bound they have reached.
        """

        def meet(tile: Indices) -> None:
            missed = slice(int(self.met[tile[0]]), self.picked)
            norms = self.norms[self.picks[missed]]
            bounds = self.bounds[tile]
            met = lower(bounds, self.rows[tile], self.norms[tile], self.centres[missed], norms, floor)
            self.bounds[tile] = bounds
            self.met[tile] = np.maximum(self.met[tile], missed.start + met)

        in_tiles(meet, rows)

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
            np.minimum(bounds, distances[best], out=bounds)
            bounds[best] = PICKED
            self._pick(int(block[best]))
        self.bounds[block] = bounds
        self.met[block] = self.picked

    def _fill_with_duplicates(self) -> None:
        for row in np.flatnonzero(self.bounds != PICKED)[: len(self.picks) - self.picked]:
            self._pick(int(row))


def in_tiles(work: Callable[[Indices], None], rows: Indices, size: int = TILE_ROWS) -> None:
    """Do `work` for a tile of `size` of `rows` at a time, in threads.

    The products themselves are too small to be divided among threads, which would wait for one another.
    """
    tiles = [rows[start : start + size] for start in range(0, len(rows), size)]
    with ThreadPoolExecutor(processors()) as threads:
        for _ in threads.map(work, tiles):
            pass


def lower(
    bounds: Floats, rows: Floats, norms: Floats, centres: Floats, centre_norms: Floats, floor: float
) -> NDArray[np.int32]:
    """Lower `bounds` (m,) of `rows` (m, d), with squared `norms` (m,), to their squared distances to `centres` (k, d).

    Rows below `floor` are left with the bound they have reached. Returns how many centres each has met: (m,).
    """
    buffer = np.empty((BATCH_CENTRES, len(rows)), np.float32)
    met = np.zeros(len(rows), np.int32)
    left, lowered = np.arange(len(rows)), bounds.copy()
    for start in range(0, len(centres), BATCH_CENTRES):
        batch = slice(start, start + BATCH_CENTRES)
        np.minimum(lowered, _nearest(rows, norms, centres[batch], centre_norms[batch], buffer), out=lowered)
        above = lowered >= floor
        last = batch.stop >= len(centres)
        # Dropping rows means copying the others, which pays once a quarter has gone.
        if last or np.count_nonzero(above) < 0.75 * len(left):
            bounds[left] = lowered
            met[left] = min(batch.stop, len(centres))
            left, rows, norms, lowered = left[above], rows[above], norms[above], lowered[above]
        if len(left) == 0:
            break
    return met


def squared_norms(rows: Floats) -> Floats:
    """The squared norms (n,) of rows (n, d). Raises ValueError where one is not finite."""
    norms: Floats = np.einsum("ij,ij->i", rows, rows)
    finite = np.isfinite(norms)
    if not finite.all():
        raise ValueError(f"row {int(np.argmin(finite))} of points is not finite, or too large to square")
    return norms


def _nearest(rows: Floats, norms: Floats, centres: Floats, centre_norms: Floats, buffer: Floats) -> Floats:
    """Squared distances from `rows` (m, d) to the nearest of at most BATCH_CENTRES `centres`: (m,).

    `buffer` (BATCH_CENTRES, m or more) is for the products: memory that is fresh each time costs time.
    |x - c|^2 = |x|^2 + |c|^2 - 2 x.c, with |x|^2 added after the minimum.
    """
    products = buffer[: len(centres), : len(rows)]
    np.matmul(-2 * centres, rows.T, out=products)
    products += centre_norms[:, np.newaxis]
    nearest: Floats = products.min(axis=0)
    nearest += norms
    nearest[nearest <= DUPLICATE * norms] = 0
    return nearest


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
