"""Which cells count, against sums over small parts of pixels; and fits that leave places out, against fits without."""

from typing import Any

import numpy as np
import pytest

from fomoad.features.store import FeatureSource, StoredFeatures
from fomoad.geometry import Axis, CellGeometry
from fomoad.scorers.counted import Counted
from fomoad.training.fit import Fitter
from fomoad.training.fit_gmm import GmmFitter
from fomoad.training.fit_patchcore import PatchCoreFitter

FINE = 20
PLACES = CellGeometry(Axis(4, 7.3, 6.4, 12.8), Axis(5, 5.1, 8.0, 16.0))
"""Places of windows of 2 x 2 cells, which begin outside of the image and end beyond it."""
CELLS = CellGeometry(PLACES.vertical.spread(2), PLACES.horizontal.spread(2))
HEIGHT, WIDTH = 30, 42
KEPT = np.s_[:, :, 1:3]
"""Of grids (N, 4, 4, ...)."""


def _covered(ignored: np.ndarray, cells: CellGeometry) -> np.ndarray:
    """The share of each cell's window, as far as it lies on the image, in parts of a FINEth of a pixel."""
    fine = ignored.repeat(FINE, axis=0).repeat(FINE, axis=1)
    shares = np.empty(cells.shape)
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            edges = (*cells.vertical.window_of(row, row + 1), *cells.horizontal.window_of(column, column + 1))
            top, bottom, left, right = (max(0, round(edge * FINE)) for edge in edges)
            shares[row, column] = fine[top:bottom, left:right].mean()
    return shares


@pytest.mark.parametrize("seed", range(8))
def test_what_is_covered_by_half_does_not_count(seed: int) -> None:
    random = np.random.default_rng(seed)
    ignored = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(3):
        top, left = random.integers(0, HEIGHT), random.integers(0, WIDTH)
        ignored[top : top + random.integers(3, 20), left : left + random.integers(3, 20)] = 1
    for cells in (PLACES, CELLS):
        np.testing.assert_allclose(cells.shares(ignored), _covered(ignored, cells), atol=0.02)
    counted = Counted.of(ignored, PLACES, CELLS)
    places, shares = _covered(ignored, PLACES), _covered(ignored, CELLS)
    sure = np.abs(places - 0.5) > 0.02
    np.testing.assert_array_equal(counted.places[sure], (places < 0.5)[sure])
    for row, column in np.ndindex(*CELLS.shape):
        mine = counted.places[max(0, row - 1) : row + 1, max(0, column - 1) : column + 1]
        if abs(shares[row, column] - 0.5) > 0.02:
            assert counted.cells[row, column] == (shares[row, column] < 0.5 and mine.any())
    # A place that counts is not lost: one of its cells counts.
    for row, column in np.argwhere(counted.places):
        assert counted.cells[row : row + 2, column : column + 2].any()


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_exactly_half_is_ignored(kept: float) -> None:
    axis = Axis(2, 2.0, 4.0, 4.0)
    ignored = np.full((8, 8), kept, np.float32)
    ignored[:, [0, 1, 4, 5]] = 1 - kept
    assert not Counted.of(ignored, CellGeometry(axis, axis), CellGeometry(axis, axis)).cells.any()


def _source(grids: np.ndarray) -> FeatureSource:
    """Features (N, R, C, D) in place of images."""
    return FeatureSource(StoredFeatures(grids), lambda rows: rows, 2**29)


def _fitters(counted: Counted | None) -> list[Fitter[Any]]:
    return [
        GmmFitter(16, "place", 1, counted),
        GmmFitter(16, "global", 1, counted),
        PatchCoreFitter(0.2, 1, 1, "place", 2**29, 1, counted),
        PatchCoreFitter(0.2, 3, 1, "none", 2**29, 1, counted),
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_fit_is_that_of_the_places_that_count_alone(number: int) -> None:
    """As if the grid had no others: the same bank or mixture, held-out scores and scores, whatever lies there."""
    random = np.random.default_rng(0)
    grids = random.normal(2, 1, (24, 4, 4, 6)).astype(np.float32)
    garbage = grids.copy()
    garbage[:, :, [0, 3]] = random.normal(-500, 300, (24, 4, 2, 6))
    places = np.zeros((4, 4), bool)
    places[None][KEPT] = True
    counted = Counted(places, places)
    ids = [str(row) for row in range(24)]

    def fits(features: np.ndarray, only: Counted | None) -> Any:
        mine = _fitters(only)[number]
        fit = mine.fit(_source(features), ids)
        return fit, mine.refit(_source(features), ids, fit), mine.scorer(_source(features), ids)

    whole, alone = fits(garbage, counted), fits(grids[KEPT].copy(), None)
    for masked, cropped in zip(whole[:2], alone[:2], strict=True):
        np.testing.assert_allclose(masked.held_out_scores, cropped.held_out_scores, rtol=1e-5)
    scorers = [(a.scorer, b.scorer) for a, b in zip(whole[:2], alone[:2], strict=True)] + [(whole[2], alone[2])]
    for masked, cropped in scorers:
        found = masked.score(garbage)
        np.testing.assert_allclose(found[KEPT], cropped.score(grids[KEPT]), rtol=1e-4, atol=1e-4)
        assert not found[:, ~places].any()
        at = masked.score_at(np.arange(16), garbage[0].reshape(16, 6)).reshape(4, 4)
        np.testing.assert_allclose(at, found[0], rtol=1e-4, atol=1e-4)
        # Rounded for int8, a value half-way between two codes may go either way.
        close = np.isclose(masked.graph(garbage).numpy(), found, rtol=1e-3, atol=1e-2)
        assert close.mean() >= (1 if masked.standardise.rounding is None else 0.99)


def test_windows_give_no_score_of_an_ignored_place_to_a_cell() -> None:
    """PatchCore with windows of 2: cells (5 x 5) are the highest of the places (4 x 4) that count, by a loop."""
    random = np.random.default_rng(2)
    grids = random.normal(0, 1, (30, 4, 4, 6)).astype(np.float32)
    places = random.random((4, 4)) < 0.6
    cells = np.ones((5, 5), bool)
    cells[1, 1] = cells[4, 4] = False
    ids = [str(row) for row in range(30)]
    fitter = PatchCoreFitter(0.1, 1, 2, "place", 2**29, 1, Counted(places, cells))
    fit = fitter.fit(_source(grids), ids)
    grids[0] *= 5
    alone = fit.scorer.score_at(np.tile(np.arange(16), 30), grids.reshape(-1, 6)).reshape(30, 4, 4)
    expected = np.zeros((30, 5, 5), np.float32)
    for image, row, column in np.ndindex(30, 4, 4):
        if places[row, column]:
            part = expected[image, row : row + 2, column : column + 2]
            np.maximum(part, alone[image, row, column], out=part)
    expected[:, ~cells] = 0
    np.testing.assert_allclose(fit.scorer.score(grids), expected, rtol=1e-5)
    np.testing.assert_allclose(fit.scorer.graph(grids).numpy(), expected, rtol=1e-3, atol=1e-2)
    assert places.ravel()[fit.patches % 16].all()
