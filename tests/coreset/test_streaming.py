"""Selection from a sample and what it leaves uncovered, against greedy k-center on the whole matrix."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from fomoad.coreset.greedy import coverage_radius, greedy_k_center
from fomoad.coreset.readings import Part
from fomoad.coreset.streaming import streamed_k_center
from tests.support.matrices import Matrix, clustered_points, random_points, skewed_points


@dataclass
class InParts:
    """A matrix in so many parts, each in two blocks; `readings` counts how often it was read."""

    points: Matrix
    parts: int
    readings: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.points)

    def read(self, part: Part[Any]) -> Iterator[Any]:
        self.readings.append(1)
        for rows in np.array_split(np.arange(len(self.points)), self.parts):
            start, stop = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
            middle = (start + stop) // 2
            yield part(iter([(start, self.points[start:middle]), (middle, self.points[middle:stop])]))


@pytest.mark.parametrize(
    "points", [random_points(12_000, 8), clustered_points(12_000, 12, 30), skewed_points(12_000, 24)]
)
@pytest.mark.parametrize("held", [6000, 1500])
def test_a_streamed_selection_covers_as_well_as_an_exact_one(points: Matrix, held: int) -> None:
    for seed in range(3):
        exact = points[greedy_k_center(points, 300, seed)]
        picks = streamed_k_center(InParts(points, 50), 300, seed, held)
        assert len(set(picks.tolist())) == 300
        assert coverage_radius(points, points[picks]) <= 1.1 * coverage_radius(points, exact)


def test_many_picks_cover_as_well_as_exact_ones() -> None:
    """So many that rows are compared with neighbourhoods of them first."""
    points = clustered_points(24_000, 12, 30)
    exact = points[greedy_k_center(points, 3000, seed=1)]
    picks = streamed_k_center(InParts(points, 5), 3000, seed=1, held=12_000)
    assert coverage_radius(points, points[picks]) <= 1.1 * coverage_radius(points, exact)


def test_single_rows_far_out_are_found_whatever_the_sample_holds() -> None:
    points = random_points(20_000, 6)
    outliers = np.random.default_rng(0).choice(len(points), 25, replace=False)
    points[outliers] += 1000 * np.sign(points[outliers])
    picks = streamed_k_center(InParts(points, 30), 200, seed=0, held=800)
    exact = greedy_k_center(points, 200, seed=0)
    assert coverage_radius(points, points[picks]) <= 1.1 * coverage_radius(points, points[exact])


def test_rows_that_fit_into_the_sample_are_read_once_and_selected_from_as_they_are() -> None:
    points = random_points(4000, 5)
    matrix = InParts(points, 3)
    picks = streamed_k_center(matrix, 90, seed=5, held=4000)
    assert len(matrix.readings) == 1
    assert picks.tolist() == greedy_k_center(points, 90, seed=5).tolist()
    streamed_k_center(matrix, 90, seed=5, held=3999)
    assert len(matrix.readings) == 4


def test_a_seed_gives_the_same_picks_and_another_seed_others() -> None:
    points = clustered_points(9000, 12, 30)
    picks = [streamed_k_center(InParts(points, 20), 100, seed, held=2000).tolist() for seed in (1, 1, 2)]
    assert picks[0] == picks[1]
    assert picks[0] != picks[2]


def test_copies_of_few_rows_give_different_rows() -> None:
    points = np.tile(random_points(20, 5), (200, 1))
    picks = streamed_k_center(InParts(points, 10), 50, seed=1, held=300)
    assert len(set(picks.tolist())) == 50
    assert set((picks[:20] % 20).tolist()) == set(range(20))


def test_rows_at_all_places_are_as_likely_to_be_picked() -> None:
    """Rows of one distribution: where the picks come from shows what the sample is made of."""
    random = np.random.default_rng(0)
    drawn = []
    for seed in range(40):
        points = random.standard_normal((1000, 2), np.float32)
        drawn.append(streamed_k_center(InParts(points, 20), 25, seed, held=100))
    assert chisquare(np.bincount(np.concatenate(drawn) // 100, minlength=10)).pvalue > 1e-3


def test_memory_does_not_grow_with_the_rows() -> None:
    held, columns, block = 2000, 64, 1000

    class Made:
        """A part for each block."""

        def __init__(self, blocks: int) -> None:
            self.blocks = blocks

        def __len__(self) -> int:
            return self.blocks * block

        def read(self, part: Part[Any]) -> Iterator[Any]:
            random = np.random.default_rng(3)
            for number in range(self.blocks):
                yield part(iter([(number * block, random.random((block, columns), np.float32))]))

    def peak_of(blocks: int) -> int:
        tracemalloc.start()
        streamed_k_center(Made(blocks), 100, seed=0, held=held)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    assert peak_of(60) - peak_of(20) < 40 * block * columns


@pytest.mark.parametrize("count", [0, 13, 101])
def test_a_count_that_cannot_be_picked_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="count must be 1 to 12"):
        streamed_k_center(InParts(random_points(100, 3), 4), count, seed=0, held=50)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((5, 0), np.float32), "at least one column"),
        (np.zeros(5, np.float32), "must be matrices"),
        (np.array([[0.0], [1.0], [np.nan]], np.float32), "row 2 is not finite"),
        (np.zeros((0, 3), np.float32), "count must be 1 to 0"),
    ],
)
def test_bad_input_is_refused(points: Matrix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        streamed_k_center(InParts(points, 3), 1, seed=0, held=50)
