"""Fitting a Gaussian mixture."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.features.store import Source
from fomoad.machine import processors
from fomoad.progress import log, step
from fomoad.scorers.counted import Counted
from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.standardisation import Scale, Standardisation
from fomoad.training import sampling
from fomoad.training.fit import Fit, held_out_scores, image_scores
from fomoad.training.mixture import Mixture, far_apart, maximise
from fomoad.training.sampling import Cells, Sample

Array = NDArray[np.float32]

CELLS_PER_COMPONENT: Final = 10
"""With fewer cells than this to a component, a mixture may know its cells by heart: a smaller one is tried."""
REGULARISATION: Final = 0.1
"""Added to the components' variances, in units of the features' mean variance."""
TOLERANCE: Final = 3e-2
"""Expectation-maximisation ends when a round gains less log-likelihood per cell than this."""
ANY_GAIN: Final = 1e9
"""A tolerance that ends it after the second round, the first that has one before it to compare with."""


@dataclass(frozen=True)
class GmmFit(Fit):
    """A mixture, `held_out`, the mixtures that held a fold of the images out, and the `cells` it was fitted to."""

    scorer: GmmScorer
    held_out: tuple[GmmScorer, ...]
    cells: Cells


@dataclass(frozen=True)
class GmmFitter:
    """Fits a mixture, and one more for each fold of the images, which scores that fold.

    `components` is how many there are at most. Where there are few images, the number is halved as long as the
    mixtures then find the cells of their folds more likely, which they were not fitted to.
    """

    components: int
    scale: Scale
    seed: int
    counted: Counted | None = None

    def fit(self, source: Source, sample_ids: Sequence[str]) -> GmmFit:
        """Fit to float features."""
        samples = sampling.number_samples(sample_ids)
        sample = sampling.draw(source, sample_ids, self.seed, self.counted)
        count = self._most(sample)
        fit = self._fit_all(sample, count)
        while 1 < count < self.components:
            smaller = self._fit_all(sample, count // 2)
            if _held_out_likelihood(sample, smaller) <= _held_out_likelihood(sample, fit):
                break
            count, fit = count // 2, smaller
        if count < self.components:
            log(f"For so few images the mixture has {count} components instead of {self.components}.")
        return _scored(source, sample, samples, fit)

    def scorer(self, source: Source, sample_ids: Sequence[str], rounded: bool = False) -> GmmScorer:
        """Fit one mixture to the features of all images."""
        sample = sampling.draw(source, sample_ids, self.seed, self.counted)
        with threadpool_limits(1):
            return self._fit_without(sample, self._most(sample), None, rounded)

    def refit(self, source: Source, sample_ids: Sequence[str], start: GmmFit) -> GmmFit:
        """Fit to int8 features: each mixture starts from its match in `start`."""
        samples = sampling.number_samples(sample_ids)
        sample = sampling.draw(source, sample_ids, self.seed, self.counted)

        def fit_without(fold: int | None) -> GmmScorer:
            cells, moments = sample.without(fold)
            begin = start.scorer if fold is None else start.held_out[fold]
            standardise = sampling.scale_again(moments, self.scale, begin.standardise)
            standardise = standardise.rounded(cells.positions, cells.features)
            fitted = refit_mixture(standardise.at(cells.positions, cells.features), standardise, begin)
            return replace(fitted, counted=self.counted)

        return _scored(source, sample, samples, _each(fit_without, sample))

    def shrink(self, source: Source, sample_ids: Sequence[str], fit: GmmFit, excess: int) -> None:
        """Nothing of a mixture can be left out."""

    def _most(self, sample: Sample) -> int:
        """How many components the sampled cells allow at most."""
        return max(1, min(self.components, len(sample.cells.features) // CELLS_PER_COMPONENT))

    def _fit_all(self, sample: Sample, count: int) -> list[GmmScorer]:
        return _each(functools.partial(self._fit_without, sample, count), sample)

    def _fit_without(self, sample: Sample, count: int, fold: int | None, rounded: bool = False) -> GmmScorer:
        cells, moments = sample.without(fold)
        standardise = sampling.whiten(cells, moments, self.scale, rounded)
        fitted = fit_mixture(standardise.at(cells.positions, cells.features), standardise, count, self.seed)
        return replace(fitted, counted=self.counted)


def fit_mixture(cells: Array, standardise: Standardisation, components: int, seed: int) -> GmmScorer:
    """Fit a mixture to training features (n, D) that `standardise` has been applied to.

    Expectation-maximisation starts from cells far apart (k-means++). There are no more components than cells.
    """
    start = far_apart(cells, min(components, len(cells)), seed)
    return _calibrated(_maximised(cells, start, standardise, TOLERANCE), cells)


def refit_mixture(cells: Array, standardise: Standardisation, start: GmmScorer) -> GmmScorer:
    """Fit a mixture to int8 features (n, D) in two rounds from `start`, a mixture of like features.

    Each component stays the match of its own, while more rounds would go on to other optima.
    """
    begin = Mixture(start.weights / start.weights.sum(), start.means, start.variances)
    return _calibrated(_maximised(cells, begin, standardise, ANY_GAIN), cells)


def _maximised(
    cells: Array, start: Mixture | NDArray[np.int64], standardise: Standardisation, tolerance: float
) -> GmmScorer:
    """Run expectation-maximisation, from a mixture or from the cells of these numbers."""
    floor = REGULARISATION * max(float(cells.var(axis=0).mean()), 1e-12)
    mixture = maximise(cells, start, floor, tolerance)
    return GmmScorer(standardise, mixture.weights, mixture.means, mixture.variances, mean=0.0, deviation=1.0)


def _calibrated(scorer: GmmScorer, cells: Array) -> GmmScorer:
    """The scorer, rounded where its features are, with scores standardised over the cells (n, D) that it fits."""
    scorer = scorer.rounded()
    likelihood = scorer.log_likelihood(cells)
    return replace(scorer, mean=float(likelihood.mean()), deviation=float(max(likelihood.std(), 1e-6)))


def _each(fit_without: Callable[[int | None], GmmScorer], sample: Sample) -> list[GmmScorer]:
    """The mixture of all images, then those without a fold.

    Expectation-maximisation is thousands of small products: threads wait for one another longer than they work, up to
    fifteen times longer where another process uses the cores.
    """
    with (
        step(f"Fitting a mixture to {len(sample.cells.features)} cells, and {sample.folds} to parts, for thresholds"),
        threadpool_limits(1),
        ThreadPoolExecutor(processors()) as pool,
    ):
        return list(pool.map(fit_without, [None, *range(sample.folds)]))


@dataclass(frozen=True)
class Unseen:
    """Scores images by the mixture that held their fold out; `fold_of` (N,) is the fold of each."""

    fold_of: NDArray[np.int64]
    held_out: tuple[GmmScorer, ...]

    def __call__(self, features: Array, images: NDArray[np.int64]) -> Array:
        """See ScoreUnseen."""
        scores = np.empty(len(features), np.float32)
        for fold in np.unique(self.fold_of[images]):
            mine = np.flatnonzero(self.fold_of[images] == fold)
            scores[mine] = image_scores(self.held_out[fold].score(features[mine]))
        return scores


def _scored(source: Source, sample: Sample, samples: NDArray[np.int64], mixtures: list[GmmScorer]) -> GmmFit:
    """Score every image by the mixture that held its fold out."""
    scorer, *held_out = mixtures
    unseen = Unseen(sample.fold_of, tuple(held_out))
    return GmmFit(scorer, held_out_scores(source, unseen), samples, unseen, unseen.held_out, sample.cells)


def _held_out_likelihood(sample: Sample, mixtures: list[GmmScorer]) -> float:
    """The mean log-likelihood of the sampled cells by the mixtures that held their folds out.

    To be compared between mixtures of the same folds only: each fold is standardised by the others.
    """
    total = 0.0
    for fold, mixture in enumerate(mixtures[1:]):
        cells = sample.only(fold)
        total += float(mixture.log_likelihood(mixture.standardise.at(cells.positions, cells.features)).sum())
    return total / len(sample.cells.features)
