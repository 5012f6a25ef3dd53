"""How sure a figure is: 95 % intervals by drawing samples again, and DeLong's variance of two AUROCs.

Images of one sample are drawn together: photos of one part are no independent evidence.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE: Final = 0.95
DRAWS: Final = 1_000
"""Bootstrap draws: the ends of an interval are then sure to about a tenth of its width."""
SEED: Final = 1

Weights = NDArray[np.float64]
Statistic = Callable[[Weights], float]
"""A figure of images that count as often as their weights (N,) say; NaN where it has no meaning."""


@dataclass(frozen=True)
class Difference:
    """How far two figures are apart (second less first), its interval, and the chance of as much if nothing differs."""

    value: float
    low: float
    high: float
    p_value: float


def intervals(statistics: dict[str, Statistic], ids: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each figure: percentiles over draws of the samples `ids` (N,), with replacement.

    Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. A figure that has no meaning in some
    draw (no anomalous image was drawn) leaves that draw out; one that never has any is left out.

    >>> intervals({"share": lambda weights: weights[:5].sum() / weights.sum()}, list("abcdefghij"))
    {'share': (0.2, 0.8)}
    """
    drawn: dict[str, list[float]] = {name: [] for name in statistics}
    for weights in _draws(ids):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    ends = {name: np.quantile(finite, tails) for name, values in drawn.items() if (finite := _finite(values))}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def paired_difference(first: Statistic, second: Statistic, ids: Sequence[str]) -> Difference:
    """The difference of two figures of the same images, its interval, and a two-sided p-value, by paired draws."""
    ones = np.ones(len(ids))
    drawn = _finite([second(weights) - first(weights) for weights in _draws(ids)])
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) if drawn else (np.nan, np.nan)
    values = np.asarray(drawn)
    # One is added to both counts, so that no p-value is 0 (Davison & Hinkley 1997, eq. 4.11).
    tail = (1 + min((values <= 0).sum(), (values >= 0).sum())) / (1 + len(values))
    return Difference(second(ones) - first(ones), float(low), float(high), min(1.0, 2 * float(tail)))


def share_interval(
    drawn: tuple[float, float], among: NDArray[np.bool_], ids: Sequence[str], share: float
) -> tuple[float, float]:
    """The interval of a share of the images `among` (N,): the `drawn` one, where drawing shows any spread.

    Where all images or none count, every draw says the same; the exact interval then counts samples.
    """
    if 0 < share < 1:
        return drawn
    samples = len({sample for sample, counts in zip(ids, among, strict=True) if counts})
    return exact_interval(round(share * samples), samples)


def exact_interval(count: int, total: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper & Pearson 1934), which knows spread where all or none count.

    >>> low, high = exact_interval(0, 26)
    >>> f"{low:.2f} to {high:.2f}"
    '0.00 to 0.13'
    """
    found = stats.binomtest(count, total).proportion_ci(CONFIDENCE, "exact")
    return float(found.low), float(found.high)


def delong(first: ArrayLike, second: ArrayLike, anomalous: ArrayLike) -> Difference:
    """The difference of the AUROCs of two scores (N,) of the same images, with its interval and p-value.

    DeLong et al. 1988, eq. 4 to 7, by midranks (Sun & Xu 2014, algorithm 2). All images count as independent.
    """
    truth = np.asarray(anomalous, bool)
    areas, of_anomalies, of_normals = zip(*(_placements(np.asarray(s), truth) for s in (first, second)), strict=True)
    covariance = np.cov(np.stack(of_anomalies)) / truth.sum() + np.cov(np.stack(of_normals)) / (~truth).sum()
    difference = areas[1] - areas[0]
    deviation = float(np.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])))
    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * deviation
    p_value = 2 * float(stats.norm.sf(abs(difference) / deviation)) if deviation else float(difference == 0)
    return Difference(difference, difference - reach, difference + reach, p_value)


def weighted_auroc(scores: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> Statistic:
    """The AUROC as a figure of weights: the chance that an anomalous image scores above a normal one, ties half."""
    order = np.argsort(scores, kind="stable")
    truth = anomalous[order]
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))

    def auroc(weights: Weights) -> float:
        mine = weights[order]
        anomalies, normals = (np.add.reduceat(mine * kind, starts) for kind in (truth, ~truth))
        below = np.cumsum(normals) - normals / 2
        return _ratio(float(anomalies @ below), float(anomalies.sum() * normals.sum()))

    return auroc


def weighted_share(counted: NDArray[np.float64], among: NDArray[np.bool_]) -> Statistic:
    """The share of the images `among` (N,) that are `counted` (N,), as a figure of weights."""
    return lambda weights: _ratio(float(weights @ (counted * among)), float(weights @ among))


def weighted_f1(flagged: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> Statistic:
    """F1 of verdicts (N,) as a figure of weights: 2 TP / (2 TP + FP + FN)."""

    def f1(weights: Weights) -> float:
        hits = float(weights @ (flagged * anomalous))
        return _ratio(2 * hits, float(weights @ flagged + weights @ anomalous))

    return f1


def _draws(ids: Sequence[str]) -> Iterator[Weights]:
    """How often each image (N,) counts in each draw of as many samples as there are."""
    _, sample_of = np.unique(np.asarray(ids), return_inverse=True)
    samples = int(sample_of.max()) + 1
    random = np.random.default_rng(SEED)
    for _ in range(DRAWS):
        yield np.bincount(random.integers(samples, size=samples), minlength=samples)[sample_of].astype(float)


def _placements(
    scores: NDArray[np.float64], anomalous: NDArray[np.bool_]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The AUROC, and the share of the images of the other kind that each anomalous and each normal image beats."""
    anomalies, normals = scores[anomalous], scores[~anomalous]
    ranks = stats.rankdata(np.concatenate([anomalies, normals]))
    above = (ranks[: len(anomalies)] - stats.rankdata(anomalies)) / len(normals)
    below = 1 - (ranks[len(anomalies) :] - stats.rankdata(normals)) / len(anomalies)
    return float(above.mean()), above, below


def _finite(values: list[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
