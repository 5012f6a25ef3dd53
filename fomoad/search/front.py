"""Which candidates no other one beats in everything."""

from collections.abc import Mapping, Sequence
from typing import Final

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


def _beats(values: Sequence[float], detection: float, costs: Sequence[float]) -> bool:
    return values[0] > detection - TIE and all(mine <= other for mine, other in zip(values[1:], costs, strict=True))
