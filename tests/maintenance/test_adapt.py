"""A mixture that takes in a single photo, of which nothing is left to score it by."""

import numpy as np

from fomoad.maintenance import adapt_gmm
from fomoad.scorers.standardisation import Standardisation
from fomoad.training.fit_gmm import fit_mixture
from fomoad.training.sampling import Cells
from fomoad.training.state import KeptFit, TrainingState


def state_of(cells: np.ndarray) -> TrainingState:
    """A state of images of one cell."""
    one = np.ones((1, 1, 2), np.float32)
    scorer = fit_mixture(cells, Standardisation(one, 0 * one, np.eye(2, dtype=np.float32)), 4, 1)
    count = len(cells)
    kept = Cells(cells.astype(np.float16), np.zeros(count, np.int64), np.arange(count))
    scores = scorer.score(cells[:, None, None])[:, 0, 0]
    fit = KeptFit(scorer, scores, np.arange(count), kept, None, count)
    return TrainingState(tuple(map(str, range(count))), None, None, {}, fit, fit)  # type: ignore[arg-type]


def test_one_photo_and_twenty_of_a_new_kind() -> None:
    """One is scored by the mixture without it; of twenty, unseen ones of their kind score far lower than before."""
    random = np.random.default_rng(0)
    state = state_of(random.normal(size=(300, 2)).astype(np.float32))
    one = np.full((1, 1, 1, 2), 6, np.float32)
    floats, _ = adapt_gmm.adapt(state, one, one, 1)
    assert floats.held_out_scores[-1] == state.fit.scorer.score(one)[0, 0, 0]
    twenty = random.normal(8, 0.5, (20, 1, 1, 2)).astype(np.float32)
    floats, rounded = adapt_gmm.adapt(state, twenty, twenty, 1)
    unseen = random.normal(8, 0.5, (50, 1, 1, 2)).astype(np.float32)
    before = np.median(state.fit.scorer.score(unseen))
    for fit in (floats, rounded):
        assert np.median(fit.scorer.score(unseen)) < 0.2 * before
        assert len(fit.held_out_scores) == len(fit.samples) == 320
        assert fit.scorer.size == state.fit.scorer.size
    assert np.abs(floats.held_out_scores[:300] - state.fit.held_out_scores).mean() < 0.5
