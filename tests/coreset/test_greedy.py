"""Greedy k-center against the plain algorithm, done in float64 one pick at a time."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fomoad.coreset.greedy import Selection, coverage_radius, greedy_k_center
from tests.support.matrices import Matrix, clustered_points, random_points, skewed_points


def plain_greedy(points: Matrix, count: int, first: int) -> tuple[list[int], float]:
    """The picks, and the greatest distance of any row to the nearest of them."""
    exact = points.astype(np.float64)
    nearest = np.full(len(points), np.inf)
    picks = [first]
    while True:
        nearest = np.minimum(nearest, np.linalg.norm(exact - exact[picks[-1]], axis=1))
        if len(picks) == count:
            return picks, float(nearest.max())
        picks.append(int(nearest.argmax()))


def assert_each_pick_is_a_farthest_row(points: Matrix, picks: NDArray[np.int64]) -> None:
    """Follow the picks in float64: each is as far from those before it as any, up to rounding."""
    exact = points.astype(np.float64)
    nearest = np.full(len(points), np.inf)
    assert len(set(picks.tolist())) == len(picks)
    for before, pick in pairwise(picks):
        nearest = np.minimum(nearest, np.linalg.norm(exact - exact[before], axis=1))
        assert nearest[pick] == pytest.approx(nearest.max(), rel=2e-5)


@pytest.mark.parametrize(
    ("points", "count"),
    [
        pytest.param(random_points(1, 3), 1, id="one row"),
        pytest.param(random_points(50, 1), 10, id="one column"),
        pytest.param(random_points(400, 7), 400, id="all rows"),
        pytest.param(random_points(3000, 16), 700, id="random, more rows than a pool"),
        pytest.param(random_points(9000, 8), 600, id="random, many rounds"),
        pytest.param(clustered_points(9000, 12, 30), 400, id="clustered"),
        pytest.param(skewed_points(9000, 24), 400, id="skewed"),
    ],
)
def test_every_pick_is_the_farthest_row(points: Matrix, count: int) -> None:
    picks = greedy_k_center(points, count, seed=7)
    assert picks.dtype == np.int64
    assert_each_pick_is_a_farthest_row(points, picks)


@pytest.mark.parametrize(("rows", "columns", "count"), [(8, 3, 16), (1000, 4, 600), (6000, 7, 500)])
def test_where_arithmetic_is_exact_ties_go_to_the_lowest_index(rows: int, columns: int, count: int) -> None:
    """Small integers with a mean of zero: no rounding anywhere, many rows at equal distances."""
    half = np.random.default_rng(3).integers(-4, 5, (rows, columns)).astype(np.float32)
    points = np.concatenate([half, -half])
    picks = greedy_k_center(points, count, seed=3)
    expected, _ = plain_greedy(points, count, first=int(picks[0]))
    assert picks.tolist() == expected


def test_ties_beyond_the_pool_go_to_the_lowest_index() -> None:
    """Two points, many times over: all copies of one tie for the second pick, the rest is duplicates."""
    points = np.repeat(np.array([[-1.0, 0.0], [1.0, 0.0]], np.float32), 4000, axis=0)
    picks = greedy_k_center(points, 4, seed=0)
    first = int(picks[0])
    second = 4000 if first < 4000 else 0
    left = [row for row in range(8000) if row not in (first, second)]
    assert picks.tolist() == [first, second, *left[:2]]


def test_duplicates_are_picked_last_and_in_order() -> None:
    different = 60
    points = np.tile(random_points(different, 5), (50, 1))
    picks = greedy_k_center(points, 100, seed=1)
    assert sorted(picks[:different] % different) == list(range(different))
    left = np.setdiff1d(np.arange(len(points)), picks[:different])
    assert picks[different:].tolist() == left[:40].tolist()


@pytest.mark.parametrize("value", [0.0, 0.1, 12345.678])
def test_constant_points_give_different_rows(value: float) -> None:
    picks = greedy_k_center(np.full((5000, 9), value, np.float32), 40, seed=0)
    assert picks[1:].tolist() == [row for row in range(40) if row != picks[0]][:39]


@settings(max_examples=100, deadline=None)
@given(
    points=st.tuples(st.integers(1, 40), st.integers(1, 4)).flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.integers(-3, 3).map(float))
    ),
    data=st.data(),
)
def test_every_pick_is_a_farthest_row_of_a_small_grid(points: Matrix, data: st.DataObject) -> None:
    """Small grids of integers are full of ties and duplicates, where several selections are right."""
    count = data.draw(st.integers(1, len(points)))
    picks = greedy_k_center(points, count, seed=data.draw(st.integers(0, 3)))
    assert_each_pick_is_a_farthest_row(points, picks)


def test_memory_mapped_and_double_precision_points_give_the_same_picks(tmp_path: Path) -> None:
    points = random_points(5000, 10)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r", allow_pickle=False)
    picks = greedy_k_center(points, 200, seed=0).tolist()
    assert greedy_k_center(mapped, 200, seed=0).tolist() == picks
    assert greedy_k_center(points.astype(np.float64), 200, seed=0).tolist() == picks


def test_points_stay_as_they_were_and_progress_ends_at_the_count() -> None:
    points = random_points(3000, 6)
    before = points.copy()
    seen: list[int] = []
    greedy_k_center(points, 250, seed=0, progress=seen.append)
    assert (points == before).all()
    assert seen == sorted(seen)
    assert seen[-1] == 250


@pytest.mark.parametrize(
    ("points", "count", "message"),
    [
        (random_points(5, 2), 0, "count must be 1 to 5"),
        (random_points(5, 2), 6, "count must be 1 to 5"),
        (random_points(5, 2)[0], 1, "must be a matrix"),
        (np.zeros((5, 0), np.float32), 1, "at least one column"),
        (np.array([[0.0], [np.nan], [1.0]], np.float32), 1, "not finite"),
        (np.array([[0.0], [1e30], [1.0]], np.float32), 1, "too large"),
    ],
)
def test_bad_input_is_refused(points: Matrix, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        greedy_k_center(points, count, seed=0)


@pytest.mark.parametrize("count", [1, 50, 1500])
def test_the_coverage_radius_is_the_plain_one(count: int) -> None:
    points = 100 + random_points(6000, 6)
    picks, radius = plain_greedy(points, count, first=4)
    assert coverage_radius(points, points[picks]) == pytest.approx(radius, rel=1e-6)


def test_the_coverage_radius_of_covered_points_is_zero() -> None:
    points = np.full((30, 4), 0.1, np.float32)
    assert coverage_radius(points, points[:2]) == 0


@pytest.mark.parametrize("count", [1, 300])
def test_the_radius_of_a_selection_is_the_plain_one(count: int) -> None:
    points = skewed_points(9000, 24)
    points -= points.mean(axis=0)
    selection = Selection(points, count, first=7)
    selection.finish()
    assert selection.radius() == pytest.approx(plain_greedy(points, count, first=7)[1], rel=1e-5)


def test_a_selection_goes_on_with_more_rows() -> None:
    points = clustered_points(9000, 12, 30)
    selection = Selection(points[:6000], 100, first=3)
    selection.finish()
    first_picks = selection.picks.tolist()
    selection.extend(points, 250)
    selection.finish()
    exact = points.astype(np.float64)
    nearest = np.min([np.linalg.norm(exact - exact[pick], axis=1) for pick in first_picks], axis=0)
    assert selection.picks[:100].tolist() == first_picks
    for pick in selection.picks[100:]:
        assert nearest[pick] == pytest.approx(nearest.max(), rel=2e-5)
        nearest = np.minimum(nearest, np.linalg.norm(exact - exact[pick], axis=1))
