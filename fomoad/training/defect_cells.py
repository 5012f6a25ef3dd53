"""Cells of made defects, kept so that an update can be held to finding them again."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data import scaling
from fomoad.data.pixel_images import StoredPixels
from fomoad.defects.make import made_set
from fomoad.features.store import Extract
from fomoad.progress import step
from fomoad.scorers.scorer import Scorer
from fomoad.training.sampling import Cells
from fomoad.training.training_data import TrainingData

DEFECTS: Final = 100
"""Made defects that are kept."""


def draw(data: TrainingData, extract: Extract, int8_extract: Extract, scorer: Scorer, seed: int) -> tuple[Cells, Cells]:
    """Make defects on training images, and take of each the cell whose score rises most.

    Returns their float features and those of int8 kernels, of the same cells.
    """
    images = data.images
    rows = np.arange(min(len(images), DEFECTS)) * len(images) // min(len(images), DEFECTS)
    with step(f"Making {DEFECTS} defects, for updates to be held to"):
        defects = list(made_set(StoredPixels(images, rows), DEFECTS, seed, where=data.counted_pixels))
        owners = rows[np.array([defect.image for defect in defects], np.int64)]
        made = scaling.from_pixels(np.array([defect.pixels for defect in defects]), images.scaling)
        found, before = extract(made), extract(images.rows(owners))
        gains = _scores(scorer, found) - _scores(scorer, before)
        if scorer.counted is not None:
            gains[:, ~scorer.counted.places.ravel()] = -np.inf
        positions = gains.argmax(axis=1)
        both = [each.reshape(len(made), -1, each.shape[-1]) for each in (found, int8_extract(made))]
    first, second = (Cells(each[np.arange(len(made)), positions], positions, owners) for each in both)
    return first, second


def _scores(scorer: Scorer, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (N, R C) of every cell's own features (N, R, C, D)."""
    count, cells = len(features), features.shape[1] * features.shape[2]
    flat = features.reshape(count * cells, -1)
    return scorer.score_at(np.tile(np.arange(cells), count), flat).reshape(count, cells)
