"""How well scores tell anomalous images from normal ones: pure functions, None where a figure has no meaning.

An image is called anomalous if score >= threshold, so the scores themselves are all thresholds worth trying.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Confusion:
    """Counts of images at one threshold; a positive is an image called anomalous."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def precision(self) -> float | None:
        """Share of the flagged images that are anomalous."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the anomalous images that are flagged."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the normal images that are flagged."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, as 2 TP / (2 TP + FP + FN)."""
        if self.true_positives + self.false_negatives == 0:
            return None
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class OperatingPoints:
    """What every threshold gives, from the highest score down. All arrays have shape (distinct scores,)."""

    thresholds: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]

    @property
    def positives(self) -> int:
        """Number of anomalous images: at the lowest score all of them are flagged."""
        return int(self.true_positives[-1]) if len(self.true_positives) else 0

    @property
    def negatives(self) -> int:
        """Number of normal images."""
        return int(self.false_positives[-1]) if len(self.false_positives) else 0

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the flagged images that are anomalous; at least one image is flagged everywhere."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the anomalous images that are flagged; needs at least one."""
        return self.true_positives / self.positives

    @property
    def false_positive_rate(self) -> NDArray[np.float64]:
        """Share of the normal images that are flagged; needs at least one."""
        return self.false_positives / self.negatives


def confusion(scores: ArrayLike, anomalous: ArrayLike, threshold: float) -> Confusion:
    """Count right and wrong verdicts. scores (N,), anomalous (N,) bool."""
    flagged = np.asarray(scores, np.float64) >= threshold
    truth = np.asarray(anomalous, bool)
    return Confusion(
        true_positives=int(np.sum(flagged & truth)),
        false_positives=int(np.sum(flagged & ~truth)),
        true_negatives=int(np.sum(~flagged & ~truth)),
        false_negatives=int(np.sum(~flagged & truth)),
    )


def operating_points(scores: ArrayLike, anomalous: ArrayLike) -> OperatingPoints:
    """Count what each distinct score, taken as the threshold, would flag. scores (N,), anomalous (N,) bool."""
    values = np.asarray(scores, np.float64)
    truth = np.asarray(anomalous, bool)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last_of_ties = np.flatnonzero(np.diff(values, append=-np.inf))
    flagged_anomalies = np.cumsum(truth)[last_of_ties].astype(np.int64)
    return OperatingPoints(values[last_of_ties], flagged_anomalies, last_of_ties + 1 - flagged_anomalies)


def auroc(points: OperatingPoints) -> float | None:
    """Area under the ROC curve by trapezoids, ties counting half; None without images of both kinds."""
    if not points.positives or not points.negatives:
        return None
    return area_under(points.false_positive_rate, points.recall)


def recall_at(points: OperatingPoints, false_positive_rate: float) -> float | None:
    """Recall where this share of the normal images is flagged, the ROC curve being straight between its points.

    None without images of both kinds.

    >>> recall_at(operating_points([1, 2, 3, 4, 5], [False, False, True, False, True]), 1 / 3)
    1.0
    """
    if not points.positives or not points.negatives:
        return None
    rates, recalls = points.false_positive_rate, points.recall
    below = int(np.searchsorted(rates, false_positive_rate, side="right"))
    reached = float(recalls[below - 1]) if below else 0.0
    if below == len(rates):
        return reached
    rate = float(rates[below - 1]) if below else 0.0
    share = (false_positive_rate - rate) / float(rates[below] - rate)
    return reached + share * (float(recalls[below]) - reached)


def average_precision(points: OperatingPoints) -> float | None:
    """Sum of precision times gain in recall (scikit-learn's definition); None without anomalous images."""
    if not points.positives:
        return None
    return float(np.sum(np.diff(points.recall, prepend=0.0) * points.precision))


def best_f1(points: OperatingPoints) -> tuple[float, float] | None:
    """Return the threshold of the highest F1 and that F1; of equals the one with the fewest flagged images."""
    if not points.positives:
        return None
    flagged = points.true_positives + points.false_positives
    f1 = 2 * points.true_positives / (flagged + points.positives)
    best = int(np.argmax(f1))
    return float(points.thresholds[best]), float(f1[best])


def area_under(x: NDArray[np.float64], y: NDArray[np.float64], until: float = 1.0) -> float:
    """Area by trapezoids under the curve from (0, 0) through rising points, up to x = `until`, divided by it."""
    x, y = np.concatenate([[0.0], x]), np.concatenate([[0.0], y])
    inside = x <= until
    end = np.interp(until, x, y)
    return float(np.trapezoid(np.append(y[inside], end), np.append(x[inside], until))) / until


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
