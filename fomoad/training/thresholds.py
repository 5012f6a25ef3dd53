"""Scores of good images to a threshold."""

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError
from fomoad.metadata import ConformalThreshold, Threshold

Method = Literal["max", "conformal"]

FALSE_POSITIVE_RATES: Final = (0.1, 0.05, 0.01)
"""The rates for which conformal thresholds are always computed."""


def conformal(scores: NDArray[np.float32], rate: float) -> ConformalThreshold:
    """The threshold that a new normal image reaches with probability at most `rate`.

    `scores` (n,) are image scores of normal images that the scorer was not fitted on. Among n + 1 exchangeable
    scores the new one is above the j-th smallest of the others with probability at most 1 - j / (n + 1)
    (Vovk et al. 2005; Angelopoulos & Bates 2021, eq. 1), so j = ceil((n + 1) (1 - rate)). The threshold is the
    next number above that score, because a score that equals the threshold counts as anomalous.
    """
    needed = math.ceil(1 / rate) - 1
    # The slack keeps ceil from counting a rounding error of the product as one more.
    rank = math.ceil((len(scores) + 1) * (1 - rate) - 1e-9)
    if rank > len(scores):
        return ConformalThreshold(false_positive_rate=rate, threshold=None, images_needed=needed)
    score = np.float32(np.sort(scores)[rank - 1])
    above = float(np.nextafter(score, np.float32(np.inf)))
    return ConformalThreshold(false_positive_rate=rate, threshold=above, images_needed=needed)


def choose(
    train_scores: NDArray[np.float32], held_out_scores: NDArray[np.float32], method: Method, rate: float
) -> Threshold:
    """The threshold to use, and those to choose from.

    `train_scores` (n,) are the training images' scores, whose highest is the stock rule's threshold;
    `held_out_scores` (n,) are theirs by scorers that did not see them, which conformal thresholds need. `rate` is
    the false-positive rate that the method `conformal` is to keep.

    Raises UserError where there are too few images for the rate, or all scores are 0.
    """
    highest = float(train_scores.max())
    chosen = conformal(held_out_scores, rate)
    if method == "conformal" and chosen.threshold is None:
        raise UserError(
            f"A false-positive rate of {rate:g} needs at least {chosen.images_needed} training images, there are "
            f"{len(held_out_scores)}: add images, raise --false-positive-rate, or use --threshold-method max."
        )
    suggested = chosen.threshold if method == "conformal" and chosen.threshold is not None else highest
    if not 0 < suggested < math.inf:
        raise UserError("The training images are all alike, so no threshold can be told: add images that differ.")
    rates = sorted({*FALSE_POSITIVE_RATES, rate}, reverse=True)
    candidates = [conformal(held_out_scores, each) for each in rates]
    return Threshold(suggested=suggested, method=method, max_train=highest, conformal=candidates)
