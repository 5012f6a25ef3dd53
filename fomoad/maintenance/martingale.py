"""A bet against "nothing has changed", whose capital hardly ever grows much while that is true.

A conformal test martingale (Vovk, Nouretdinov and Gammerman, "Testing exchangeability on-line", ICML 2003). While new
scores are exchangeable with those of the reference, the next score falls with equal probability into each of the gaps
that the reference's and all earlier scores leave. A bet on the bins can then be fair to the last digit: capital times
the ratio of what was bet on a bin to its probability is a martingale that starts at 1. By Ville's inequality the
probability that it *ever* reaches 1 / a is at most a.

Bets are a mixture: on scores that became higher, on lower ones (betting functions k p^(k - 1) of the p-value p, eq. 8
there, several k), and on any other lasting shape, learnt from the last few hundred p-values. Each of them wakes up at
an unknown time: a share of the capital that still sleeps joins it at every image, so that weeks of calm cost little
(the idea of the Simple Jumper, Vovk et al., "Retrain or not retrain", COPA 2021, with a rate that falls with time).

All functions take many streams at once, the leading axis S, so that promises can be tested on thousands.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

POWERS: Final = np.array([0.1, 0.3, 0.6, 0.85])
"""The k of the betting functions: the smallest wins fastest on blatant changes, the largest on slight ones."""
PIECES: Final = 10
"""Parts of 0 to 1 that the shape of p-values is learnt in."""
MEMORY: Final = 0.99
"""What is left of an observation's weight one image later, in the learnt shape."""
PRIOR: Final = 2.0
"""How many observations of each part are taken for seen beforehand, in the learnt shape."""
HALF_AWAKE: Final = 2.0
"""The sleeping share after n images is log HALF_AWAKE / log(HALF_AWAKE + n): slower than any power of n."""
DIRECTIONS: Final = ("higher", "lower", "other")
"""What can be bet on: scores that became higher, or lower, or whose distribution took another shape."""
NOTHING: Final = 1e-300
"""In place of no capital, which has no logarithm."""
_DIRECTION_OF: Final = np.concatenate([np.repeat([0, 1], len(POWERS)), [2]])
HIGHER: Final = np.concatenate([np.full(len(POWERS), 1 / len(POWERS)), np.zeros(len(POWERS) + 1)])
"""Shares of the capital where it is bet on higher scores alone."""
ALL: Final = np.concatenate([np.full(2 * len(POWERS), 1 / (3 * len(POWERS))), [1 / 3]])
"""Shares of the capital where a third of it is bet on each direction."""


@dataclass
class Stakes:
    """Bets of several kinds on several streams: logarithms of what each kind's awake capital is, (S, E).

    `gains` (S, E) is the logarithm of what each would have made since the image of number `since` (S, E), which it
    began to gain from: the change is about there (Page's cumulative sum, Biometrika 1954). `seen` (S,) counts bets.
    """

    awake: Floats
    gains: Floats
    since: Integers
    seen: Integers

    @classmethod
    def none(cls, streams: int, kinds: int) -> "Stakes":
        """Before the first image: all capital, 1 in each stream, sleeps."""
        shape = (streams, kinds)
        return cls(
            np.full(shape, np.log(NOTHING)), np.zeros(shape), np.ones(shape, np.int64), np.zeros(streams, np.int64)
        )

    def bet(self, log_ratios: Floats, shares: Floats, numbers: Integers, of: NDArray[np.bool_]) -> None:
        """Take the log ratios (S, E) of the images of these `numbers` (S,), in those streams `of` (S,) which have one.

        A log ratio is the logarithm of what was bet on what came, to its probability. `shares` (E,), which sum to 1,
        divide what wakes up.
        """
        waking = _sleeping(self.seen) - _sleeping(self.seen + 1)
        woken = np.log(np.maximum(waking[:, None] * shares, NOTHING))
        awake = np.logaddexp(self.awake, woken) + log_ratios
        fresh = self.gains <= 0
        since = np.where(fresh, numbers[:, None], self.since)
        gains = np.where(fresh, 0, self.gains) + log_ratios
        chosen = of[:, None]
        self.awake, self.since, self.gains = (
            np.where(chosen, new, old) for new, old in ((awake, self.awake), (since, self.since), (gains, self.gains))
        )
        self.seen = self.seen + of

    def log_capital(self) -> Floats:
        """The logarithm (S,) of each stream's capital, asleep and awake."""
        capital: Floats = np.logaddexp(np.logaddexp.reduce(self.awake, axis=1), np.log(_sleeping(self.seen)))
        return capital


@dataclass
class Drift:
    """The martingale. `counts` (S, B) says how many earlier scores fell into each bin; `shape` (S, PIECES) is learnt.

    `gaps` (B,) are those of the reference's bins, `shares` (E,) of each kind of bet. One image of each stream at a
    time: `take`.

    >>> drift = Drift.start(np.array([1, 1, 1, 1]), HIGHER)
    >>> for _ in range(30):
    ...     drift.take(np.array([3]), np.array([1]), np.array([True]))
    >>> drift.stakes.log_capital().round(1).tolist(), drift.direction()[1].tolist()
    ([5.7], [1])
    """

    gaps: Integers
    shares: Floats
    counts: Integers
    shape: Floats
    stakes: Stakes

    @classmethod
    def start(cls, gaps: Integers, shares: Floats, streams: int = 1) -> "Drift":
        """Before the first image."""
        return cls(
            gaps,
            shares,
            np.zeros((streams, len(gaps)), np.int64),
            np.zeros((streams, PIECES)),
            Stakes.none(streams, len(shares)),
        )

    def take(self, bins: Integers, numbers: Integers, of: NDArray[np.bool_]) -> None:
        """Take the bin (S,) that the score of the image of each stream's number (S,) fell into, in the streams `of`."""
        lowest, highest = p_interval(self.gaps + self.counts, bins)
        self.stakes.bet(self._log_ratios(lowest, highest), self.shares, numbers, of)
        overlaps = _overlaps(lowest, highest) / (highest - lowest)[:, None]
        self.shape = np.where(of[:, None], MEMORY * self.shape + overlaps, self.shape)
        self.counts[np.flatnonzero(of), bins[of]] += 1

    def direction(self) -> tuple[Integers, Integers]:
        """Which of DIRECTIONS (S,) has the most capital, and the number (S,) of the image it began to gain from."""
        best = self.stakes.awake.argmax(axis=1)
        return _DIRECTION_OF[best], self.stakes.since[np.arange(len(best)), best]

    def _log_ratios(self, lowest: Floats, highest: Floats) -> Floats:
        width = highest - lowest
        width = (highest - lowest)[:, None]
        upper = highest[:, None] ** POWERS - lowest[:, None] ** POWERS
        lower = (1 - lowest[:, None]) ** POWERS - (1 - highest[:, None]) ** POWERS
        learnt = (self.shape + PRIOR) / (self.shape + PRIOR).sum(axis=1, keepdims=True) * PIECES
        other = (_overlaps(lowest, highest) * learnt).sum(axis=1, keepdims=True)
        ratios: Floats = np.log(np.concatenate([upper, lower, other], axis=1) / width)
        return ratios


def p_interval(weights: Integers, bins: Integers) -> tuple[Floats, Floats]:
    """Between which p-values (S,) a score lies that fell into a bin (S,), given each bin's `weights` (S, B).

    A bin's probability is its share of the weights, and the p-value the probability of scores as high. Where in the
    interval it lies is not known; averaged over it, as bets are here, a fair bet stays fair.

    >>> [bound.tolist() for bound in p_interval(np.array([[1, 2, 1]]), np.array([2]))]
    [[0.0], [0.25]]
    """
    from_above = np.cumsum(weights[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(len(bins))
    total = from_above[:, 0]
    highest = from_above[rows, bins] / total
    return (from_above[rows, bins] - weights[rows, bins]) / total, highest


def _overlaps(lowest: Floats, highest: Floats) -> Floats:
    """How much of each of PIECES equal parts of 0 to 1 lies between two bounds (S,): (S, PIECES)."""
    borders = np.arange(PIECES + 1) / PIECES
    upper = np.minimum(highest[:, None], borders[1:])
    overlaps: Floats = np.maximum(upper - np.maximum(lowest[:, None], borders[:-1]), 0)
    return overlaps


def _sleeping(seen: NDArray[Any]) -> Floats:
    """The share of the capital that still sleeps after so many images."""
    share: Floats = np.log(HALF_AWAKE) / np.log(HALF_AWAKE + seen)
    return share
