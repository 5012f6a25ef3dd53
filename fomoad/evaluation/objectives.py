"""What a threshold is chosen for, from images that are known to be good or bad, and how it will do on new ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError
from fomoad.metrics.image_metrics import OperatingPoints, operating_points

FOLDS: Final = 10
REPEATS: Final = 5
"""Cross-validation is done so often, over other folds each time: its figures then hang less on one division."""
SEED: Final = 1
MARGIN: Final = 0.05
"""A threshold that flags nothing lies this share above the highest score."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """`name` is f1, recall, false-positive-rate or cost; `rate` is what the middle two keep.

    A miss costs `cost_miss`, a false alarm `cost_false_alarm`. `defect_share` is how many of the images to come show
    a defect; None: as many as of the images that the threshold is chosen from.
    """

    name: str
    rate: float = 0.0
    cost_miss: float = 1.0
    cost_false_alarm: float = 1.0
    defect_share: float | None = None

    def __str__(self) -> str:
        """The objective as it is written on the command line."""
        return f"{self.name}={self.rate:g}" if self.name in RATED else self.name


RATED: Final = ("recall", "false-positive-rate")
NAMES: Final = ("f1", *RATED, "cost")


def parse(
    text: str, cost_miss: float | None = None, cost_false_alarm: float | None = None, defect_share: float | None = None
) -> Objective:
    """The objective that `f1`, `recall=0.95`, `false-positive-rate=0.01` or `cost` stands for.

    >>> parse("recall=0.95").rate
    0.95

    Raises UserError for anything else, and for costs that the objective does not look at.
    """
    name, equals, number = text.strip().partition("=")
    costs = [cost for cost in (cost_miss, cost_false_alarm) if cost is not None]
    try:
        rate = float(number) if equals else 0.0
    except ValueError:
        rate = -1.0
    if name not in NAMES or (name in RATED) != bool(equals) or (equals and not 0 < rate < 1):
        raise UserError(f"The objective '{text}' is not known: give f1, recall=0.95, false-positive-rate=0.01 or cost.")
    if costs and name != "cost":
        raise UserError(f"--cost-miss and --cost-false-alarm belong to --objective cost, not {name}: choose one.")
    if any(not 0 < cost < np.inf for cost in costs):
        raise UserError(f"The cost {min(costs):g} cannot be used: give a number above 0.")
    if defect_share is not None and not 0 < defect_share < 1:
        raise UserError(f"The share of defects is {defect_share:g}: give a number between 0 and 1.")
    return Objective(name, rate, cost_miss or 1.0, cost_false_alarm or 1.0, defect_share)


def check_enough(anomalous: NDArray[np.bool_], objective: Objective) -> None:
    """Raise UserError where there are no images of both kinds, or too few to keep the objective's rate."""
    defects, good = int(anomalous.sum()), int((~anomalous).sum())
    if not defects or not good:
        raise UserError(
            f"A threshold is chosen from good images ({good}) and images with defects ({defects}): add some."
        )
    tail = 1 - objective.rate if objective.name == "recall" else objective.rate
    count, of_what = (defects, "images with defects") if objective.name == "recall" else (good, "images of good parts")
    if objective.name in RATED and (count + 1) * tail < 1 - 1e-9:
        needed = int(np.ceil(1 / tail - 1e-9)) - 1
        raise UserError(
            f"The objective {objective} needs at least {needed} {of_what}, there are {count}: add images or allow more."
        )


def choose(scores: Array, anomalous: NDArray[np.bool_], objective: Objective) -> float:
    """The threshold that meets the objective on images (N,) of both kinds, midway between two of their scores.

    A rate is kept for new images, on the mean, as in conformal prediction (see `fomoad.training.thresholds`): with n
    images of the kind that it is about, floor((n + 1) rate) of new and old ones may be on the wrong side.
    """
    points = operating_points(scores, anomalous)
    if objective.name == "recall":
        defects = np.sort(scores[anomalous])
        return _below(scores, float(defects[_allowed(len(defects), 1 - objective.rate) - 1]))
    if objective.name == "false-positive-rate":
        good = np.sort(scores[~anomalous])
        above = scores[scores > good[-_allowed(len(good), objective.rate)]]
        return _below(scores, float(above.min()) if len(above) else np.inf)
    value = _value(points, objective)
    best = int(np.argmax(value))
    none_flagged = -objective.cost_miss * _shares(points, objective)[0] if objective.name == "cost" else -np.inf
    return _below(scores, np.inf if none_flagged > value[best] else float(points.thresholds[best]))


def can_cross_validate(anomalous: NDArray[np.bool_], ids: Sequence[str]) -> bool:
    """Whether there are at least two samples of each kind, to choose by one and test by another."""
    return all(len(set(np.asarray(ids)[anomalous == kind])) > 1 for kind in (True, False))


def cross_validated(scores: Array, anomalous: NDArray[np.bool_], ids: Sequence[str], objective: Objective) -> Array:
    """How often (N,), of REPEATS, each image is flagged at thresholds chosen without the images of its fold.

    Images of one sample share a fold, and every fold has its part of the samples with defects.
    """
    flagged = np.zeros(len(scores))
    for repeat in range(REPEATS):
        fold_of = _folds(anomalous, ids, SEED + repeat)
        for fold in np.unique(fold_of):
            mine = fold_of == fold
            flagged[mine] += scores[mine] >= choose(scores[~mine], anomalous[~mine], objective)
    return flagged / REPEATS


def _allowed(count: int, rate: float) -> int:
    """Of `count` images the one, counted from the end, from which on at most this rate of new ones lies beyond."""
    return max(1, int(np.floor((count + 1) * rate + 1e-9)))


def _below(scores: Array, lowest: float) -> float:
    """The threshold that flags the scores from `lowest` on: midway to the next lower one, or above all for inf."""
    highest = float(scores.max())
    if lowest > highest:
        return highest + MARGIN * max(highest, float(np.finfo(np.float32).tiny))
    lower = scores[scores < lowest]
    return (lowest + float(lower.max())) / 2 if len(lower) else lowest


def _shares(points: OperatingPoints, objective: Objective) -> tuple[float, float]:
    """The shares of defects and of good parts among the images to come."""
    share = objective.defect_share or points.positives / (points.positives + points.negatives)
    return share, 1 - share


def _value(points: OperatingPoints, objective: Objective) -> Array:
    """What each threshold is worth, (thresholds,): F1, or the negative cost of an image."""
    defects, good = _shares(points, objective)
    # A fold may lack one kind: that kind then weighs nothing.
    found = defects * points.true_positives / max(1, points.positives)
    alarms = good * points.false_positives / max(1, points.negatives)
    if objective.name == "f1":
        return 2 * found / (found + alarms + defects)
    return -objective.cost_miss * (defects - found) - objective.cost_false_alarm * alarms


def _folds(anomalous: NDArray[np.bool_], ids: Sequence[str], seed: int) -> NDArray[np.int64]:
    """A fold number (N,): samples with and without defects are each dealt out in a shuffled order."""
    samples, sample_of = np.unique(np.asarray(ids), return_inverse=True)
    with_defect = np.zeros(len(samples), bool)
    with_defect[sample_of[anomalous]] = True
    random = np.random.default_rng(seed)
    fold_of = np.empty(len(samples), np.int64)
    for kind in (True, False):
        mine = random.permutation(np.flatnonzero(with_defect == kind))
        fold_of[mine] = np.arange(len(mine)) % FOLDS
    folds: NDArray[np.int64] = fold_of[sample_of]
    return folds
