"""Which candidate is the best, as far as the photos that it was judged on can tell.

The most promising candidate, by experience with other sets, is the one to beat. Another takes its place only where it
finds clearly more: of many candidates the one with the highest figure owes some of it to chance, and the more so the
fewer photos there are (docs/search.md says what this rule and others find).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field

GROUPS: Final = 20
"""Groups of photos that are left out in turn, to see by how much a figure hangs on them."""
SURE: Final = 2.0
"""Standard errors of a lead that it must exceed."""
LEAST_BY_MADE: Final = 0.03
"""A lead that is never clear where made defects alone choose: they are not real ones."""


@dataclass(frozen=True)
class Finding:
    """What a candidate finds in a part, and in the same part without each of GROUPS groups of its photos."""

    figure: float
    without: Sequence[float]

    def lead(self, other: "Finding") -> tuple[float, float]:
        """How much more this one finds than another, and the standard error of that, by the jackknife over groups.

        Both are judged on the same photos, so that what is hard for both does not count.
        """
        differences = [one - two for one, two in zip(self.without, other.without, strict=True)]
        count = len(differences)
        mean = sum(differences) / count
        spread = sum((each - mean) ** 2 for each in differences)
        return self.figure - other.figure, math.sqrt((count - 1) / count * spread)


class Choice(BaseModel):
    """Which candidate was chosen, and why."""

    best: int
    promising: int = Field(description="The most promising candidate, by experience with other sets.")
    most: int = Field(description="The candidate that finds most, as judged before any training.")
    lead: float = Field(description="How much more that finds than the most promising one.")
    error: float = Field(description="The standard error of the lead.")
    needed: float = Field(description="The lead that would have been clear.")


def choose(findings: Mapping[int, Finding], order: Sequence[int], least: float = 0.0) -> Choice:
    """The candidate that finds most where it leads the most promising one clearly, else that one.

    `order` holds all numbers in `findings`, and maybe more, the most promising first; of equal figures the more
    promising counts as more. `least` is a lead that is never clear.

    >>> first, sure, unsure = (Finding(sum(each) / 20, each) for each in ([0.85] * 20, [0.9] * 20, [0.95, 0.85] * 10))
    >>> choose({0: first, 1: sure}, [0, 1]).best, choose({0: first, 1: unsure}, [0, 1]).best
    (1, 0)
    """
    known = [number for number in order if number in findings]
    promising, most = known[0], max(known, key=lambda number: findings[number].figure)
    lead, error = findings[most].lead(findings[promising])
    needed = least + SURE * error
    best = most if lead > needed else promising
    return Choice(best=best, promising=promising, most=most, lead=lead, error=error, needed=needed)
