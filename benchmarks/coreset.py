"""How fast the coreset is selected: against the usual samplers, and against what the machine can do at all.

    python -m benchmarks.coreset [--quick] [--cpu-time] [--features FEATURES.npy] [--parts PART...]

Prints Markdown. All contestants run in turn in one process on the same rows, so that a busy machine slows
each of them; ratios are of the least times. `--quick` takes a tenth of the rows and picks. `--cpu-time` counts
processor time, for a machine that others use: set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 beside it, since
threads that wait for each other count too.

Samplers that do the same for every pick are timed over their first picks, and the rest is extrapolated. They
are anomalib's `KCenterGreedy` (where it is installed), its steps alone without the random projection before them
(where torch is), the same in plain NumPy, and a better remedy: squared norms kept, a matrix-vector product a pick.

The rows are made: clusters of very different widths on a sheet of 12 dimensions, cut off at zero as
activations are, with noise. With `--features` they are the rows of a file instead.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import anomalib_peer
from fomoad.coreset.greedy import coverage_radius, greedy_k_center
from fomoad.coreset.readings import Part
from fomoad.coreset.streaming import streamed_k_center

Floats = NDArray[np.float32]
S = TypeVar("S")
Clock = Callable[[], float]
"""Seconds since some moment."""

COLUMNS = 128
ROWS = 94_080
PICKS = (940, 4_704)
MANY_ROWS = 1_000_000
MANY_PICKS = 10_000
HELD = (4, 12, 40)
"""A streamed selection samples one row in so many."""
BLOCK_ROWS = 8_000
REPEATS = 3
TIMED_PICKS = (2, 20)
"""Picks that a sampler of equal steps is timed over: almost none, for what comes before them, and some seconds more."""
PARTS = ("race", "selections", "streamed", "million")


def made_features(rows: int) -> Floats:
    """Rows like a network's activations: (rows, COLUMNS)."""
    rng = np.random.default_rng(0)
    sheet = rng.standard_normal((12, COLUMNS), dtype=np.float32)
    centres = 2 * rng.standard_normal((40, 12), dtype=np.float32)
    widths = rng.gamma(2.0, 0.3, 40).astype(np.float32)
    features = np.empty((rows, COLUMNS), np.float32)
    for start in range(0, rows, 50_000):
        part = features[start : start + 50_000]
        cluster = rng.integers(40, size=len(part))
        noise = rng.standard_normal((len(part), 12), dtype=np.float32)
        np.matmul(centres[cluster] + widths[cluster, None] * noise, sheet, out=part)
        np.maximum(part, 0, out=part)
        part += 0.3 * rng.standard_normal(part.shape, dtype=np.float32)
    return features


def subtracting_sampler(points: Floats, count: int, first: int) -> list[int]:
    """Each pick subtracts its row from all rows and takes the norms of what is left."""
    nearest = np.full(len(points), np.inf, np.float32)
    picks = [first]
    while len(picks) < count:
        nearest = np.minimum(nearest, np.linalg.norm(points - points[picks[-1]], axis=1))
        nearest[picks[-1]] = 0
        picks.append(int(nearest.argmax()))
    return picks


def subtracting_sampler_in_torch(points: Any, count: int, first: int) -> list[int]:
    """The steps of anomalib's `update_distances`, `get_new_idx` and `select_coreset_idxs`."""
    import torch

    nearest = None
    index = torch.tensor(first)
    picks = [index]
    while len(picks) < count:
        distances = torch.linalg.norm(points - points[index].squeeze(), ord=2, dim=1, keepdim=True)
        nearest = distances if nearest is None else torch.minimum(nearest, distances)
        _, index = torch.max(nearest.squeeze(1), dim=0)
        nearest.scatter_(0, index.unsqueeze(0).unsqueeze(1), 0.0)
        picks.append(index)
    return torch.stack(picks).tolist()


def anomalib_sampler(points: Any, count: int) -> list[int]:
    """anomalib's own class, with the random projection that it begins with."""
    sampler = anomalib_peer.load("anomalib.models.components", "KCenterGreedy")(points, count / len(points))
    sampler.coreset_size = count
    picks: list[int] = sampler.select_coreset_idxs()
    return picks


def norms_sampler(points: Floats, count: int, first: int) -> list[int]:
    """Each pick is one matrix-vector product: |x - c|^2 = |x|^2 + |c|^2 - 2 x.c."""
    norms = np.einsum("ij,ij->i", points, points)
    nearest = np.full(len(points), np.inf, np.float32)
    picks = [first]
    while len(picks) < count:
        pick = picks[-1]
        nearest = np.minimum(nearest, norms + norms[pick] - 2 * (points @ points[pick]))
        nearest[pick] = -1
        picks.append(int(nearest.argmax()))
    return picks


def samplers(points: Floats) -> dict[str, Callable[[int], Any]]:
    """The samplers of equal steps, by name: how many rows to pick -> picks."""
    found: dict[str, Callable[[int], Any]] = {
        "subtraction, NumPy": lambda count: subtracting_sampler(points, count, 0),
        "matrix-vector product, NumPy": lambda count: norms_sampler(points, count, 0),
    }
    try:
        import torch
    except ImportError:
        print("(torch is not installed: anomalib's sampler is left out)\n")
        return found
    tensor = torch.from_numpy(points)
    found = {"anomalib's steps, torch": lambda count: subtracting_sampler_in_torch(tensor, count, 0)} | found
    try:
        anomalib_peer.load("anomalib.models.components", "KCenterGreedy")
    except ImportError as error:
        print(f"(anomalib's own class is left out: {error})\n")
        return found
    return {"anomalib's KCenterGreedy": lambda count: anomalib_sampler(tensor, count)} | found


def extrapolated(sample: Callable[[int], Any], count: int, clock: Clock) -> float:
    """Seconds for `count` picks of a sampler that does the same for each."""
    few, more = TIMED_PICKS
    start, end = (seconds(partial(sample, taken), clock) for taken in TIMED_PICKS)
    return start + (end - start) / (more - few) * (count - few)


def seconds(work: Callable[[], Any], clock: Clock) -> float:
    start = clock()
    work()
    return clock() - start


def matmul_rate(clock: Clock) -> float:
    """Multiply-adds a second of a large float32 matrix product."""
    a = np.random.default_rng(0).standard_normal((2048, 2048), dtype=np.float32)
    return 2048**3 / min(seconds(lambda: a @ a, clock) for _ in range(3))


def read_rate(points: Floats, clock: Clock) -> float:
    """Bytes a second of a pass over the matrix that does next to nothing with it."""
    flat = points.reshape(-1)
    return points.nbytes / min(seconds(flat.max, clock) for _ in range(3))


def race(points: Floats, count: int, repeats: int, clock: Clock) -> None:
    """One table: every contestant's least time, and its ratio to ours."""
    others = samplers(points)
    times: dict[str, list[float]] = {name: [] for name in (*others, "fomoad")}
    rates, reads = [], []
    for _ in range(repeats):
        rates.append(matmul_rate(clock))
        reads.append(read_rate(points, clock))
        times["fomoad"].append(seconds(lambda: greedy_k_center(points, count, 0), clock))
        for name, sample in others.items():
            times[name].append(extrapolated(sample, count, clock))
    best = {name: min(values) for name, values in times.items()}
    print(f"### {len(points):,} x {points.shape[1]}, {count:,} picks\n")
    print("| sampler | seconds | of ours |\n| --- | ---: | ---: |")
    for name, value in best.items():
        print(f"| {name} | {value:.2f} | {value / best['fomoad']:.1f} |")
    limits = {
        f"every distance once, at {2e-9 * max(rates):.0f} GFLOP/s": points.size * count / max(rates),
        f"every byte once, at {1e-9 * max(reads):.1f} GB/s": points.nbytes / max(reads),
    }
    for name, value in limits.items():
        print(f"| limit: {name} | {value:.3f} | {value / best['fomoad']:.3f} |")
    print(flush=True)


def compare_selections(points: Floats, count: int) -> None:
    """Whether the picks are those of the plain sampler, or as good."""
    picks = greedy_k_center(points, count, 0)
    plain = subtracting_sampler(points, count, int(picks[0]))
    same = int(np.count_nonzero(picks == plain))
    ratio = coverage_radius(points, points[picks]) / coverage_radius(points, points[plain])
    print(f"{count:,} picks of {len(points):,} rows, against the plain NumPy sampler: {same:,} the same,")
    print(f"coverage radius {ratio:.4f} times its.\n", flush=True)


@dataclass(frozen=True)
class _Parts:
    """A matrix (n, d) that is read BLOCK_ROWS at a time."""

    points: Floats

    def __len__(self) -> int:
        return len(self.points)

    def read(self, part: Part[S]) -> Iterator[S]:
        for start in range(0, len(self.points), BLOCK_ROWS):
            yield part(iter([(start, self.points[start : start + BLOCK_ROWS])]))


def compare_streamed(points: Floats, count: int, repeats: int, clock: Clock) -> None:
    """Coverage radius and time of the selection that holds few rows, against the exact one."""

    held_rows = [len(points) // share for share in HELD if len(points) // share >= 4 * count]
    times: dict[int, list[float]] = {held: [] for held in (len(points), *held_rows)}
    radii: dict[int, list[float]] = {held: [] for held in times}
    for seed in range(repeats):
        for held in times:
            start = clock()
            picks = streamed_k_center(_Parts(points), count, seed, held)
            times[held].append(clock() - start)
            radii[held].append(coverage_radius(points, points[picks]))
    exact = float(np.mean(radii[len(points)]))
    print(f"### Streamed: {len(points):,} x {points.shape[1]}, {count:,} picks, {repeats} seeds\n")
    print("| rows sampled | coverage radius | of the exact one: mean, worst | seconds |")
    print("| ---: | ---: | ---: | ---: |")
    for held, found in radii.items():
        name = f"{held:,}" if held < len(points) else "all (exact)"
        ratios = f"{np.mean(found) / exact:.3f}, {max(found) / exact:.3f}"
        print(f"| {name} | {np.mean(found):.3f} | {ratios} | {min(times[held]):.2f} |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows and picks")
    parser.add_argument("--features", type=Path, help="an .npy matrix with the rows to use")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time, not elapsed time")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="what to run (default: all)")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    scale = 10 if options.quick else 1
    if options.features:
        points = np.load(options.features, allow_pickle=False)[: ROWS // scale].astype(np.float32)
    else:
        points = made_features(ROWS // scale)
    if "race" in options.parts:
        for count in PICKS:
            race(points, count // scale, REPEATS, clock)
    if "selections" in options.parts:
        compare_selections(points, PICKS[0] // scale)
    if "streamed" in options.parts:
        for count in PICKS:
            compare_streamed(points, count // scale, REPEATS, clock)
    if "million" in options.parts and not options.features:
        race(made_features(MANY_ROWS // scale), MANY_PICKS // scale, 1, clock)


if __name__ == "__main__":
    main()
