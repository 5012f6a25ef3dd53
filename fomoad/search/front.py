"""Which candidates are worth what they cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from fomoad.search.choice import Finding

TIE: Final = 0.002
"""Detection that differs by less than this is no reason to keep a dearer model."""


def front(values: Mapping[int, Sequence[float]]) -> list[int]:
    """The positions that no other one beats, the cheapest first.

    `values` are detection, higher is better, then costs, lower is better. One beats another if no cost of it is higher
    and its detection is not lower by TIE or more; of two that beat each other, the one with more detection, then less
    cost, then the lower position stays.

    >>> front({0: (0.9, 100, 10), 1: (0.9, 200, 10), 2: (0.95, 300, 10), 3: (0.951, 300, 10)})
    [0, 3]
    """
    order = sorted(values, key=lambda position: (-values[position][0], *values[position][1:], position))
    kept: list[int] = []
    for position in order:
        detection, *costs = values[position]
        if not any(_beats(values[other], detection, costs) for other in kept):
            kept = [other for other in kept if not _beats(values[position], values[other][0], values[other][1:])]
            kept.append(position)
    return sorted(kept, key=lambda position: (*values[position][1:], position))


def clear_front(findings: Mapping[int, Finding], costs: Mapping[int, Sequence[float]]) -> list[int]:
    """The positions that are worth a training in full, the cheapest first.

    One that costs no less than another in anything must find more than it does, by over a standard error and over TIE:
    less may be chance, and the cheaper one will do. Costs are above 0.

    >>> low, high = Finding(0.90, [0.90] * 20), Finding(0.95, [0.95] * 20)
    >>> unsure = Finding(0.92, [0.88, 0.96] * 10)
    >>> clear_front({0: low, 1: high, 2: unsure}, {0: (100, 10), 1: (200, 10), 2: (150, 10)})
    [0, 1]
    """
    kept: list[int] = []
    for position in sorted(findings, key=lambda one: (math.prod(costs[one]), -findings[one].figure, one)):
        cheaper = [one for one in kept if _no_dearer(costs[one], costs[position])]
        leads = [findings[position].lead(findings[one]) for one in cheaper]
        if all(lead > max(TIE, error) for lead, error in leads):
            kept.append(position)
    return kept


def _beats(values: Sequence[float], detection: float, costs: Sequence[float]) -> bool:
    return values[0] > detection - TIE and _no_dearer(values[1:], costs)


def _no_dearer(costs: Sequence[float], others: Sequence[float]) -> bool:
    return all(mine <= other for mine, other in zip(costs, others, strict=True))
