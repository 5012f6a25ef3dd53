"""Scores of good images that a scorer did not see to thresholds, and to what each of them promises."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fomoad.errors import UserError
from fomoad.metadata import Interval, Threshold, ThresholdChoice
from fomoad.vote import Vote

Method = Literal["max", "conformal"]
Array = NDArray[np.float32]

FALSE_POSITIVE_RATES: Final = (0.1, 0.05, 0.01)
"""The rates for which conformal thresholds are always computed."""
NO_VOTE: Final = Vote()
CONFIDENCE: Final = 0.95
FEW_SAMPLES: Final = 100
"""With fewer samples than this, a single training's false alarms may be far from what they are on the mean."""


@dataclass(frozen=True)
class HeldOut:
    """Image scores as a model file puts them out, by scorers that did not see the image's sample.

    `samples` (N,) number the sample that each of the `scores` (N,) is of. `step` is the size of the output's steps,
    None for float32.
    """

    scores: Array
    samples: NDArray[np.int64]
    step: float | None = None

    @property
    def sample_count(self) -> int:
        """How many samples there are."""
        return len(np.unique(self.samples))

    @property
    def weights(self) -> NDArray[np.float64]:
        """What each image (N,) counts as, in samples: the images of a sample count as one together."""
        _, number, count = np.unique(self.samples, return_inverse=True, return_counts=True)
        weights: NDArray[np.float64] = 1.0 / count[number]
        return weights

    def above(self, score: float) -> float:
        """The threshold that flags what is higher than a score."""
        if self.step is not None:
            return score + self.step / 2
        return float(np.nextafter(np.float32(score), np.float32(np.inf)))

    def at(self, score: float) -> float:
        """The threshold that flags a score and what is higher."""
        return score if self.step is None else score - self.step / 2


def samples_needed(rate: float) -> int:
    """How many samples a conformal threshold of this rate takes at least.

    >>> samples_needed(0.05)
    19
    """
    return math.ceil(1 / rate - 1e-9) - 1


def conformal(held_out: HeldOut, rate: float) -> float | None:
    """The threshold that an image of a new sample reaches with probability at most `rate`; None for too few samples.

    With one image a sample this is conformal prediction (Vovk et al. 2005; Angelopoulos & Bates 2021, eq. 1): among
    n + 1 exchangeable scores, the new one is above the j-th smallest of the others with probability 1 - j / (n + 1).
    With more, each image counts as its part of the sample (Lee, Barber & Willett 2023, "Distribution-free inference
    with hierarchical data", eq. 6). The threshold lies above the score found, for one that equals it is flagged.
    """
    order = np.argsort(held_out.scores, kind="stable")
    # The slack keeps a rounding error of the sum from counting as one more.
    reached = np.cumsum(held_out.weights[order]) >= (held_out.sample_count + 1) * (1 - rate) - 1e-6
    if not reached.any():
        return None
    return held_out.above(float(held_out.scores[order][np.argmax(reached)]))


def false_alarms(held_out: HeldOut, threshold: float) -> tuple[float, Interval]:
    """The share of images of new samples that a threshold flags: the mean over trainings, and where 95 % of them lie.

    Given a calibration set whose first k of n scores in order are not flagged, the share follows a beta distribution
    with parameters n + 1 - k and k (Vovk 2012, "Conditional validity of inductive conformal predictors", prop. 2a).
    It counts samples, as if a new sample's images were all flagged or none; so it is rather too wide where they vary.
    """
    flagged, passed = _beta_parameters(held_out, threshold)
    return flagged / (held_out.sample_count + 1), share_interval(flagged, passed)


def share_interval(flagged: float, passed: float) -> Interval:
    """Where 95 % of trainings lie, where the flagged share has the beta distribution of these parameters."""
    low, high = stats.beta.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], flagged, max(passed, 1e-9))
    return Interval(low=float(low), high=float(high))


def vote_alarms(held_out: HeldOut, threshold: float, vote: Vote) -> float:
    """The share of images of new samples at which a vote is an alarm, on the mean over trainings.

    Given the share of flagged images, their number among independent ones is binomial. The share varies between
    trainings as in `false_alarms`, which makes the number beta-binomial: for 1/1, its mean is that of `false_alarms`.
    """
    flagged, passed = _beta_parameters(held_out, threshold)
    return float(stats.betabinom.sf(vote.needed - 1, vote.images, flagged, max(passed, 1e-9)))


def _beta_parameters(held_out: HeldOut, threshold: float) -> tuple[float, float]:
    """Of the distribution of the flagged share: flagged samples and the new one, and passed samples."""
    passed = float(held_out.weights[held_out.scores <= threshold].sum())
    return held_out.sample_count + 1 - passed, passed


def cross_conformal_bound(rate: float, samples: int, folds: int) -> float:
    """What theory warrants for scores from cross-validation: twice the rate and a little (Barber et al. 2021, thm 4).

    The theorem is about CV+, which asks every fold's scorer about a new image. Here one scorer of all images answers:
    it knows more than any fold's, so its scores of new images are rather lower, and fewer are flagged.
    """
    folds = min(folds, samples)
    extra = min(2 * (1 - 1 / folds) / (samples / folds + 1), (1 - folds / samples) / (folds + 1))
    return min(1.0, 2 * rate + extra)


def choose(
    held_out: HeldOut, method: Method, rate: float, folds: int, highest: float | None = None, vote: Vote = NO_VOTE
) -> Threshold:
    """The thresholds to choose from, the one that the method suggests, and the one that evidence speaks for.

    `rate` is the false-positive rate that conformal thresholds and the recommended one are to keep; the `folds` are
    those of the held-out scores. `highest` is the threshold of the rule `max`, where it is not these scores' own.
    What a `vote` does is stated beside; thresholds are chosen for single images.

    Raises UserError where there are too few samples for the rate, or all scores are 0.
    """
    found = conformal(held_out, rate)
    if method == "conformal" and found is None:
        raise UserError(
            f"A false-positive rate of {rate:g} needs at least {samples_needed(rate)} samples, there are "
            f"{held_out.sample_count}: add images of other good parts, raise --false-positive-rate, or use "
            "--threshold-method max."
        )
    max_train = held_out.at(float(held_out.scores.max())) if highest is None else highest
    suggested = found if method == "conformal" and found is not None else max_train
    if not 0 < suggested < math.inf:
        raise UserError("The training images are all alike, so no threshold can be found: add images that differ.")
    rates = sorted({*FALSE_POSITIVE_RATES, rate}, reverse=True)
    choices = [_choice(held_out, "max", max_train, None, folds, vote)]
    choices += [_choice(held_out, "conformal", conformal(held_out, each), each, folds, vote) for each in rates]
    return Threshold(
        suggested=suggested,
        method=method,
        max_train=max_train,
        choices=choices,
        recommended=recommend(choices, rate),
        warning=_warning(held_out.sample_count, choices),
    )


def with_made_defects(threshold: Threshold, scores: Array, rate: float) -> Threshold:
    """The thresholds with the share of made defects that each finds, given their scores (M,); chosen by that."""
    choices = [
        choice
        if choice.threshold is None
        else choice.model_copy(update={"made_defects_found": float((scores >= choice.threshold).mean())})
        for choice in threshold.choices
    ]
    return threshold.model_copy(update={"choices": choices, "recommended": recommend(choices, rate)})


def recommend(choices: list[ThresholdChoice], rate: float) -> float | None:
    """Of the thresholds that keep the rate, the one that finds most made defects; of equals the highest.

    Without made defects, the lowest that keeps it; with too few samples for any, the highest there is.
    """
    known = [choice for choice in choices if choice.threshold is not None]
    keeping = [choice for choice in known if (choice.expected_false_alarms or 0.0) <= rate + 1e-9]
    if not keeping:
        return max((choice.threshold or 0.0 for choice in known), default=None)
    if any(choice.made_defects_found is None for choice in keeping):
        return min(choice.threshold or 0.0 for choice in keeping)
    return max(keeping, key=lambda choice: (choice.made_defects_found or 0.0, choice.threshold or 0.0)).threshold


def _choice(
    held_out: HeldOut, rule: Method, threshold: float | None, rate: float | None, folds: int, vote: Vote
) -> ThresholdChoice:
    samples = held_out.sample_count
    if threshold is None:
        assert rate is not None
        return ThresholdChoice(rule=rule, false_positive_rate=rate, threshold=None, samples_needed=samples_needed(rate))
    expected, interval = false_alarms(held_out, threshold)
    return ThresholdChoice(
        rule=rule,
        false_positive_rate=rate,
        threshold=threshold,
        samples_needed=2 if rate is None else samples_needed(rate),
        expected_false_alarms=expected,
        false_alarms_interval=interval,
        expected_vote_alarms=None if vote == NO_VOTE else vote_alarms(held_out, threshold, vote),
        theoretical_bound=cross_conformal_bound(rate or 1 / (samples + 1), samples, folds),
    )


def _warning(samples: int, choices: list[ThresholdChoice]) -> str | None:
    """What few samples mean for the thresholds, and what would help."""
    if samples >= FEW_SAMPLES:
        return None
    most = choices[0].false_alarms_interval
    reach = f": at the highest training score, up to {most.high:.0%} of new good parts may be flagged" if most else ""
    return (
        f"{samples} samples tell little about rare false alarms{reach}. Train with at least {FEW_SAMPLES} photos of "
        "different good parts, or let fomoad calibrate choose the threshold from some good and defective ones."
    )
