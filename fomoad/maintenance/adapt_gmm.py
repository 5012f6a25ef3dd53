"""A mixture that takes in new normal cells and keeps its number of components."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.scorers.counted import at_places
from fomoad.scorers.gmm import GmmScorer
from fomoad.training.fit import image_scores
from fomoad.training.fit_gmm import CELLS_PER_COMPONENT, REGULARISATION
from fomoad.training.mixture import Mixture, far_apart, maximise
from fomoad.training.sampling import FOLDS, MAX_CELLS, Cells, assign_folds
from fomoad.training.state import KeptFit, TrainingState

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

ROUNDS: Final = 5
"""Rounds of expectation-maximisation: from where it was, a mixture need not go far."""
GAIN: Final = 1e-3
"""It ends before that where a round gains less log-likelihood per cell."""
MOST_MOVED: Final = 1 / 4
"""Share of the components that are set on new cells at most."""
COVERED: Final = 0.95
"""New cells are covered that score no higher than this share of the kept ones."""
MOST_CELLS: Final = 2 * MAX_CELLS
"""Cells that are kept after an update at most: more updates thin out all of them alike."""


def adapt(state: TrainingState, features: Array, int8_features: Array, seed: int) -> tuple[KeptFit, KeptFit]:
    """Both fits of a state with features (n, R, C, D) of new normal images taken in, float ones and those of int8.

    Components that weigh least are set on new cells that the mixture does not cover, then a few rounds of
    expectation-maximisation over kept and new cells follow (`refit`). The standardisation stays, and scores are
    standardised over the kept cells, so that kept scores stay comparable; they move as those of their own image's kept
    cells did. New images are scored by mixtures that were refitted without them.
    """
    floats, rounded = state.fit.scorer, state.int8_fit.scorer
    assert isinstance(floats, GmmScorer)
    assert isinstance(rounded, GmmScorer)
    assert state.fit.cells is not None
    assert state.int8_fit.cells is not None
    count = len(features)
    fold_of = assign_folds([str(image) for image in range(count)], FOLDS, seed) if count > 1 else np.zeros(1, np.int64)
    held_out = np.empty((2, count), np.float32)
    for fold in [None, *np.unique(fold_of)] if count > 1 else [None]:
        mine = np.ones(count, bool) if fold is None else fold_of != fold
        new, int8_new = _cells(features[mine], floats), _cells(int8_features[mine], rounded)
        moved, onto = _moves(floats, state.fit.cells, new, seed)
        fitted = refit(floats, state.fit.cells, new, moved, onto)
        int8_fitted = refit(rounded, state.int8_fit.cells, int8_new, moved, onto)
        if fold is None:
            scorers = fitted, int8_fitted
        else:
            held_out[0, ~mine] = image_scores(fitted.score(features[~mine]))
            held_out[1, ~mine] = image_scores(int8_fitted.score(int8_features[~mine]))
    if count == 1:  # nothing like it is left to score it by
        held_out = np.array([image_scores(floats.score(features)), image_scores(rounded.score(int8_features))])
    images = len(state.sample_ids)
    return (
        _kept(state.fit, floats, scorers[0], features, held_out[0], images, seed),
        _kept(state.int8_fit, rounded, scorers[1], int8_features, held_out[1], images, seed),
    )


def refit(scorer: GmmScorer, kept: Cells, new: Cells, moved: Indices, onto: Indices) -> GmmScorer:
    """A mixture refitted to kept and new cells, after the components `moved` (m,) were set `onto` (m,) new cells."""
    standardise = scorer.standardise
    old_cells, new_cells = (standardise.at(each.positions, each.features.astype(np.float32)) for each in (kept, new))
    cells = np.concatenate([old_cells, new_cells])
    weights, means, variances = scorer.weights.copy(), scorer.means.copy(), scorer.variances.copy()
    if len(moved):
        means[moved] = new_cells[onto]
        variances[moved] = np.median(variances)
        weights[moved] = max(len(new_cells) / len(cells) / len(moved), float(np.median(weights)))
    weights /= weights.sum()
    floor = REGULARISATION * max(float(old_cells.var(axis=0).mean()), 1e-12)
    with threadpool_limits(1):
        mixture = maximise(cells, Mixture(weights, means, variances), floor, GAIN, ROUNDS)
    fitted = replace(scorer, weights=mixture.weights, means=mixture.means, variances=mixture.variances).rounded()
    likelihood = fitted.log_likelihood(old_cells)
    return replace(fitted, mean=float(likelihood.mean()), deviation=float(max(likelihood.std(), 1e-6)))


def _moves(scorer: GmmScorer, kept: Cells, new: Cells, seed: int) -> tuple[Indices, Indices]:
    """Which components to set onto which new cells: the lightest, onto cells far apart that are not covered."""
    known = scorer.score_at(kept.positions, kept.features.astype(np.float32))
    scores = scorer.score_at(new.positions, new.features)
    uncovered = np.flatnonzero(scores > np.quantile(known, COVERED))
    count = min(len(uncovered) // CELLS_PER_COMPONENT, int(len(scorer.weights) * MOST_MOVED))
    if count == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    scaled = scorer.standardise.at(new.positions[uncovered], new.features[uncovered])
    chosen = far_apart(scaled, count, seed)
    return np.argsort(scorer.weights, kind="stable")[:count], uncovered[chosen]


def _kept(
    fit: KeptFit, before: GmmScorer, after: GmmScorer, features: Array, held_out: Array, images: int, seed: int
) -> KeptFit:
    """What is kept after an update; `images` is how many there were before."""
    assert fit.cells is not None
    cells = fit.cells
    values = cells.features.astype(np.float32)
    highest = np.zeros((2, int(cells.images.max()) + 1), np.float32)
    for row, scorer in enumerate((before, after)):
        np.maximum.at(highest[row], cells.images, scorer.score_at(cells.positions, values))
    change = np.zeros(max(len(fit.held_out_scores), highest.shape[1]), np.float32)
    change[: highest.shape[1]] = highest[1] - highest[0]
    new = _cells(features, after, images)
    joined = Cells(
        np.concatenate([cells.features, new.features.astype(np.float16)]),
        np.concatenate([cells.positions, new.positions]),
        np.concatenate([cells.images, new.images]),
    )
    stay = np.sort(np.random.default_rng(seed).permutation(len(joined.images))[:MOST_CELLS])
    old = np.maximum(fit.held_out_scores + change[: len(fit.held_out_scores)], 0)
    return replace(
        fit,
        scorer=after,
        held_out_scores=np.concatenate([old, held_out]).astype(np.float32),
        samples=np.concatenate([fit.samples, fit.samples.max() + 1 + np.arange(len(features))]),
        cells=Cells(joined.features[stay], joined.positions[stay], joined.images[stay]),
    )


def _cells(features: Array, scorer: GmmScorer, first: int = 0) -> Cells:
    """Every cell that counts of images with features (n, R, C, D), which are numbered from `first`."""
    found, counted = at_places(features, scorer.counted), scorer.counted
    places = np.arange(found.shape[1]) if counted is None else np.flatnonzero(counted.places)
    count, per_image, dimensions = found.shape
    return Cells(
        found.reshape(count * per_image, dimensions),
        np.tile(places, count),
        np.arange(first, first + count).repeat(per_image),
    )
