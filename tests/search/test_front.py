"""The front against brute force."""

import numpy as np
import pytest

from fomoad.search.front import TIE, front


@pytest.mark.parametrize("seed", range(20))
def test_nothing_outside_the_front_is_better_than_all_of_it(seed: int) -> None:
    """Detection in steps larger than a tie, so that dominance is the plain one."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 6, (30, 3))
    values = {position: (2 * TIE * row[0], float(row[1]), float(row[2])) for position, row in enumerate(drawn)}

    def dominated(position: int) -> bool:
        mine = values[position]
        return any(
            other[0] >= mine[0] and other[1] <= mine[1] and other[2] <= mine[2] and (other != mine or number < position)
            for number, other in values.items()
            if number != position
        )

    assert sorted(front(values)) == [position for position in values if not dominated(position)]
