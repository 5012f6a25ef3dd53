"""The front against brute force."""

import numpy as np
import pytest

from fomoad.search.choice import Finding
from fomoad.search.front import TIE, clear_front, front


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


@pytest.mark.parametrize("seed", range(20))
def test_what_is_trained_leads_all_that_is_cheaper_by_more_than_chance(seed: int) -> None:
    random = np.random.default_rng(seed)
    costs = {position: tuple(float(cost) for cost in random.integers(1, 5, 2)) for position in range(25)}
    findings = {}
    for position in costs:
        without = random.normal(random.uniform(0.7, 0.9), 0.005, 20)
        findings[position] = Finding(float(without.mean()), [float(each) for each in without])
    kept = clear_front(findings, costs)

    def rivals(position: int) -> list[int]:
        """Kept ones that cost no more, and that this one does not clearly lead."""
        found = []
        for other in set(kept) - {position}:
            lead, error = findings[position].lead(findings[other])
            no_dearer = all(one <= two for one, two in zip(costs[other], costs[position], strict=True))
            found += [other] if no_dearer and lead <= max(TIE, error) else []
        return found

    assert kept
    assert {position for position in costs if not rivals(position)} == set(kept)
