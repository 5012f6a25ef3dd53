"""Neighbourhoods against all distances."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fomoad.coreset.neighbourhoods import NEIGHBOURS, SCOUTS, Neighbourhoods
from tests.support.matrices import clustered_points, random_points


def test_each_row_meets_the_points_around_its_nearest_scout_once() -> None:
    points, rows = clustered_points(3000, 8, 20), clustered_points(700, 8, 20)
    scouts = points[-SCOUTS:]
    nearest_scout = cdist(rows, scouts).argmin(axis=1)
    order = np.argsort(cdist(scouts, points), axis=1)
    met = []
    for some, members in Neighbourhoods(points).of(rows):
        (scout,) = set(nearest_scout[some].tolist())
        assert set(members.tolist()) == set(order[scout, :NEIGHBOURS].tolist())
        met.extend(some.tolist())
    assert sorted(met) == list(range(700))


@pytest.mark.parametrize("count", [1, 100, NEIGHBOURS])
def test_few_points_are_one_neighbourhood(count: int) -> None:
    points = random_points(count, 5)
    for _, members in Neighbourhoods(points).of(random_points(50, 5)):
        assert sorted(members.tolist()) == list(range(count))
