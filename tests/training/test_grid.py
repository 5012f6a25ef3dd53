"""The grids of anomaly maps, which device code is written for."""

from pathlib import Path

import pytest
import tensorflow as tf

from fomoad.backbones.weights import Weights
from fomoad.settings import TrainSettings
from fomoad.training.models import build_features


class _Shape:
    """Images of which only the shape is asked."""

    def __init__(self, side: int) -> None:
        self.shape = (side, side, 3)


@pytest.mark.parametrize(("side", "expected"), [(96, 5), (160, 9), (224, 13)])
def test_the_mixture_s_grid_is_that_of_the_stock_block(random_weights: Path, side: int, expected: int) -> None:
    """Its cells are 16 pixels apart: 8 apart they would take five times the instructions, and the arena of a small
    microcontroller."""
    settings = TrainSettings(scoring_function="gmm", backbone="mobilenet-v2-0.35")
    features = build_features(settings, _Shape(side), Weights("random", random_weights, "mobilenet-v2-0.35"))  # type: ignore[arg-type]
    assert tuple(features.graph(tf.zeros((1, side, side, 3))).shape[1:3]) == (expected, expected)


@pytest.mark.parametrize(("side", "window"), [(96, 2), (224, 3)])
def test_patchcore_scores_each_cell_of_an_eighth(random_weights: Path, side: int, window: int) -> None:
    """A window of w cells leaves w - 1 positions fewer, which the highest of all windows over a cell gives back."""
    settings = TrainSettings(scoring_function="patchcore", backbone="mobilenet-v2-0.35")
    features = build_features(settings, _Shape(side), Weights("random", random_weights, "mobilenet-v2-0.35"))  # type: ignore[arg-type]
    rows = features.graph(tf.zeros((1, side, side, 3))).shape[1]
    assert features.pooling.size == window
    assert rows + features.pooling.size - 1 == side // 8
