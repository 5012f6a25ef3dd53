"""What a new normal image's score is compared with: the training images' held-out scores, in a few dozen bins."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

TAIL: Final = 10
"""At either end, so many held-out scores bound a bin each: what is rare tells most."""
MIDDLE: Final = 24
"""Bins of about equal share in between."""
SEED: Final = 7


@dataclass(frozen=True)
class Reference:
    """Held-out scores of training images, and the threshold that was set by them.

    `scores` (r,) are those below the threshold, in order; `reaching` is how many reach it. A new normal score falls
    with equal probability into each of the r + `reaching` + 1 gaps that they leave. `edge_ranks` (B - 1,) are the
    ranks, counted from 1, of the scores that bound the B bins.

    >>> reference = Reference.of([0.5, 1.0, 2.0, 4.0], threshold=3.0)
    >>> reference.gaps.tolist(), reference.reaching
    ([1, 1, 1, 1], 1)
    >>> reference.bins(np.array([0.1, 1.5]), np.zeros(2)).tolist()
    [0, 2]
    """

    scores: NDArray[np.float64]
    threshold: float
    reaching: int
    edge_ranks: NDArray[np.int64]

    @classmethod
    def of(cls, held_out_scores: ArrayLike, threshold: float) -> "Reference":
        """The reference of held-out scores (n,), of any order, and a threshold."""
        ordered = np.sort(np.asarray(held_out_scores, np.float64))
        passed = ordered[ordered < threshold]
        return cls(passed, float(threshold), len(ordered) - len(passed), _edge_ranks(len(passed)))

    @property
    def gaps(self) -> NDArray[np.int64]:
        """How many gaps between passed scores each bin (B,) is made of."""
        return np.diff(np.concatenate([[0], self.edge_ranks, [len(self.scores) + 1]]))

    @property
    def digest(self) -> str:
        """A digest of all of it: counts that were made by one reference mean nothing for another."""
        content = self.scores.tobytes() + np.float64(self.threshold).tobytes() + bytes(str(self.reaching), "ascii")
        return hashlib.sha256(content).hexdigest()

    def bins(self, scores: NDArray[Any], lots: NDArray[np.float64]) -> NDArray[np.int64]:
        """The bin (...) of each passed score (...). Among equal scores, a lot (...) from 0 to 1 decides the order.

        Equal scores are common in int8 models. In random order they are exchangeable like others (Vovk, Gammerman and
        Shafer 2005, section 2.2, smoothed p-values).
        """
        below, upto = (np.searchsorted(self.scores, scores, side) for side in ("left", "right"))
        rank = below + np.floor(lots * (upto - below + 1)).astype(np.int64)
        bins: NDArray[np.int64] = np.searchsorted(self.edge_ranks, rank, "right").astype(np.int64)
        return bins

    def counted(self) -> "Reference":
        """The reference of a stream of which a device only counts how many scores fell between `counter_edges`.

        There a score is the number of its counter, from 0, and a lot from 0 to 1 that is added: equal numbers are in
        random order. Flagged images are those of the last counter.
        """
        edges = self.counter_edges
        lots = np.random.default_rng(SEED).random(len(self.scores))
        numbers = np.searchsorted(edges, self.scores, "right") + lots
        return Reference(np.sort(numbers), float(len(edges) + 1), self.reaching, self.edge_ranks)

    @property
    def counter_edges(self) -> NDArray[np.float64]:
        """Ascending scores; a score's counter is the number of those that are not above it, flagged images aside."""
        edges: NDArray[np.float64] = np.unique(self.scores[self.edge_ranks - 1])
        return edges


def _edge_ranks(count: int) -> NDArray[np.int64]:
    """Ranks of the scores that bound the bins: each of the first and last TAIL, and some evenly spread between."""
    if count <= 2 * TAIL + MIDDLE:
        return np.arange(1, count + 1)
    inner = np.round(np.linspace(TAIL, count - TAIL + 1, MIDDLE + 1)).astype(np.int64)
    tails = np.arange(1, TAIL + 1), np.arange(count - TAIL + 1, count + 1)
    ranks: NDArray[np.int64] = np.unique(np.concatenate([tails[0], inner, tails[1]]))
    return ranks
