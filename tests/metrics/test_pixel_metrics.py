"""Figures per pixel against scikit-learn and against a loop over thresholds and regions."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn import metrics as sklearn_metrics

from fomoad.geometry import Axis, CellGeometry, evenly
from fomoad.metrics.pixel_metrics import aupro_without, count_pixels

HEIGHT, WIDTH = 40, 56
CELLS = CellGeometry(Axis(5, 7.0, 6.0, 9.0), Axis(7, 5.0, 8.0, 8.0))
"""Unevenly over the image, as a network's are."""


def _grids_and_masks(seed: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Grids that see defects more or less well; masks with several regions, two of them touching at a corner."""
    random = np.random.default_rng(seed)
    masks = np.zeros((8, HEIGHT, WIDTH), np.uint8)
    for mask in masks[:5]:
        for _ in range(int(random.integers(1, 4))):
            top, left = random.integers(0, HEIGHT - 10), random.integers(0, WIDTH - 10)
            mask[top : top + random.integers(2, 10), left : left + random.integers(2, 10)] = 255
    masks[5, 10:14, 10:14] = masks[5, 14:18, 14:18] = 255
    small = [np.asarray(Image.fromarray(mask).resize((7, 5), Image.Resampling.BOX)) for mask in masks]
    return (random.gamma(2, 1, (8, 5, 7)) + strength * np.array(small) / 255).astype(np.float32), masks


def _aupro_by_loops(scores: np.ndarray, masks: np.ndarray, limit: float = 0.3) -> float:
    """Bergmann et al. 2021, equation 2, at every tenth of a percent of normal pixels."""
    regions = []
    for image, mask in enumerate(masks):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [scores[image][labels == label] for label in range(1, count + 1)]
    normal = scores[masks == 0]
    thresholds = np.quantile(normal, np.linspace(1, 0, 1001))
    rates = np.array([0.0] + [np.mean(normal >= threshold) for threshold in thresholds])
    overlaps = np.array([0.0] + [np.mean([np.mean(r >= t) for r in regions]) for t in thresholds])
    steps = np.linspace(0, limit, 10_001)
    return float(np.mean(np.interp(steps, rates, overlaps)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("strength", [0.0, 3.0, 30.0])
def test_auroc_is_that_of_scikit_learn(seed, strength):
    grids, masks = _grids_and_masks(seed, strength)
    scores = np.stack([CELLS.upsample(grid, HEIGHT, WIDTH) for grid in grids])
    expected = sklearn_metrics.roc_auc_score(masks.ravel() > 0, scores.ravel())
    assert count_pixels(grids, masks > 0, CELLS).auroc() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("strength", [0.0, 3.0, 30.0])
def test_aupro_is_that_of_a_loop(seed, strength):
    grids, masks = _grids_and_masks(seed, strength)
    scores = np.stack([CELLS.upsample(grid, HEIGHT, WIDTH) for grid in grids])
    assert count_pixels(grids, masks > 0, CELLS).aupro() == pytest.approx(_aupro_by_loops(scores, masks), abs=5e-3)


def test_aupro_without_a_group_is_that_of_the_others():
    grids, masks = _grids_and_masks(1, 3.0)
    groups = np.array([0, 0, 1, 1, 1, 1, 2, 2])
    found = aupro_without(grids, masks, CELLS, groups, 4)
    for group in range(4):
        kept = groups != group
        assert found[group] == pytest.approx(count_pixels(grids[kept], masks[kept], CELLS).aupro(), abs=1e-3)
    assert aupro_without(grids[:2], masks[:2], CELLS, np.zeros(2, int), 1) == [0.0]


def test_regions_that_touch_at_a_corner_are_one():
    grids, masks = _grids_and_masks(0, 1.0)
    assert count_pixels(grids[5:6], masks[5:6] > 0, CELLS).regions == 1


def test_a_perfect_grid_scores_one_and_a_blind_one_does_not():
    masks = np.zeros((2, 16, 16), bool)
    masks[0, :8, :8] = True
    at_pixels = masks.astype(np.float32)
    assert count_pixels(at_pixels, masks, evenly((16, 16), (16, 16))).auroc() == 1
    assert count_pixels(at_pixels, masks, evenly((16, 16), (16, 16))).aupro() == pytest.approx(1)
    blind = np.ones((2, 4, 4), np.float32)
    assert count_pixels(blind, masks, evenly((4, 4), (16, 16))).auroc() == pytest.approx(0.5)
    assert count_pixels(blind, masks, evenly((4, 4), (16, 16))).aupro() == pytest.approx(0.15)


def test_ignored_cells_and_the_pixels_nearest_to_them_do_not_count():
    """Worked by hand: 4 x 4 cells of 4 x 4 pixels, the left half ignored, with scores that would turn everything."""
    cells = evenly((4, 4), (16, 16))
    counted = np.arange(4) >= np.full((4, 1), 2)
    grids = np.array([np.full((4, 4), 1.0), np.full((4, 4), 2.0)], np.float32)
    grids[0, :, :2] = 9
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[1, :, 8:] = 1
    masks[0, 2:6, :8] = 1
    found = count_pixels(grids, masks, cells, counted)
    # Every pixel of the right half has its image's one score: no 0 of a neighbour is mixed in.
    assert (found.normal.sum(), found.defect.sum(), found.regions) == (128, 128, 1)
    assert found.auroc() == 1
    assert found.aupro() == pytest.approx(1)
    masks[1, :, :8] = 1
    masks[1, 0:3, 8:] = 0  # a region that goes on behind the mask: its size is that of what counts
    again = count_pixels(grids, masks, cells, counted)
    assert again.regions == 1
    assert again.overlap.sum() == pytest.approx(1)
