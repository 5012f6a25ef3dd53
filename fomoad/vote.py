"""N-of-M voting over a video: an alarm where N of the last M images are flagged."""

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

MOST_IMAGES: Final = 32
"""As many verdicts as the device's code keeps."""


@dataclass(frozen=True)
class Vote:
    """An alarm takes `needed` flagged images among the last `images`.

    >>> str(Vote.parse("3/4"))
    '3/4'
    """

    needed: int = 1
    images: int = 1

    @classmethod
    def parse(cls, text: str) -> "Vote":
        """A vote that is written as N/M. Raises ValueError for one that cannot be held."""
        match = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text.strip())
        vote = cls(*map(int, match.groups())) if match else None
        if vote is None or not 1 <= vote.needed <= vote.images <= MOST_IMAGES:
            raise ValueError(f"Use N/M as in 3/4: 1 to M of the last M images, and at most {MOST_IMAGES}")
        return vote

    def __str__(self) -> str:
        return f"{self.needed}/{self.images}"


class Voter:
    """Counts verdicts as they come. Before there are M images, those there are count."""

    def __init__(self, vote: Vote) -> None:
        self._needed = vote.needed
        self._history: deque[bool] = deque(maxlen=vote.images)

    def add(self, flagged: bool) -> bool:
        """Add an image's verdict; whether there is an alarm.

        >>> voter = Voter(Vote(2, 3))
        >>> [voter.add(flagged) for flagged in (True, False, True, False, False)]
        [False, False, True, False, False]
        """
        self._history.append(flagged)
        return sum(self._history) >= self._needed
