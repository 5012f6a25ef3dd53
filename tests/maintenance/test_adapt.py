"""States that take in photos again and again; and a single one, of which nothing is left to score it by."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fomoad.maintenance import adapt_gmm, adapt_patchcore
from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.patchcore import PatchCoreScorer
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


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(1, 6), st.floats(-1e3, 1e3, width=32)), min_size=1, max_size=4), st.booleans())
def test_any_updates_after_another_leave_a_state_to_score_with(steps: list[tuple[int, float]], mixture: bool) -> None:
    """Of the same size, with a finite score for every image that was taken in, however far off those are."""
    random = np.random.default_rng(0)
    cells = random.normal(size=(60, 2)).astype(np.float32)
    state = state_of(cells)
    if not mixture:
        assert isinstance(state.fit.scorer, GmmScorer)
        bank = PatchCoreScorer(state.fit.scorer.standardise, cells[:20], np.arange(20), 1)
        fit = replace(state.fit, scorer=bank, cells=None)
        state = replace(state, fit=fit, int8_fit=fit)
    size, highest = state.fit.scorer.size, state.fit.highest
    for count, centre in steps:
        new = random.normal(centre, 1, (count, 1, 1, 2)).astype(np.float32)
        fits = adapt_gmm.adapt(state, new, new, 1) if mixture else adapt_patchcore.adapt(state, new, new)
        ids = (*state.sample_ids, *(f"{len(state.sample_ids)} {number}" for number in range(count)))
        state = replace(state, sample_ids=ids, fit=fits[0], int8_fit=fits[1])
    for fit in (state.fit, state.int8_fit):
        assert fit.scorer.size == size
        assert len(fit.held_out_scores) == len(fit.samples) == len(state.sample_ids)
        assert np.isfinite(fit.held_out_scores).all()
        assert len(np.unique(fit.samples)) == len(fit.samples)
        assert np.isfinite(fit.scorer.score(np.concatenate([cells[:, None, None], new]))).all()
        assert fit.trained == 60
    assert mixture or state.fit.highest == highest
