"""What a test says of made defects, and of real ones beside them."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fomoad.data.dataset import Split
from fomoad.defects import extent
from fomoad.detection import summary, trials
from fomoad.evaluation.results import RealDefects, Results
from fomoad.inference.model import GridModel
from fomoad.metadata import Detection

MIN_IMAGES: Final = 10
"""With fewer good images, nothing that can be said of defects on them would hold."""
SEED: Final = 1
NEIGHBOURS: Final = np.ones((3, 3), int)
"""Diagonal neighbours belong to one region."""


def measure(model: GridModel, split: Split, results: Results) -> Detection | None:
    """Make defects on test images that are all good, and see which the model finds; None where they are few."""
    images = split.images
    if images is None or len(results.images) < MIN_IMAGES:
        return None

    def score(inputs: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        del rows
        highest: NDArray[np.float32] = model.score(inputs).max(axis=(1, 2))
        return highest

    made = trials.run(images, np.arange(len(images)), SEED, {"model": score}, results.model.counted_pixels())
    good = np.array([image.score for image in results.images], np.float32)
    side = min(images.shape[:2])
    return summary.describe(made.on_photos(split.tiling), made.scores["model"], good, results.threshold, side, "test")


def real_defects(results: Results, masks: Iterable[NDArray[np.bool_]]) -> RealDefects | None:
    """How large the defects of the test images are, (height, width) masks in row order, and which were found.

    What lies nearest to an ignored cell is no defect.
    """
    counted = results.model.counted_pixels()
    sizes, found = [], []
    for image, whole in zip(results.images, masks, strict=True):
        mask = whole if counted is None else whole & counted
        if image.anomalous and mask.any():
            regions, count = ndimage.label(mask, NEIGHBOURS)
            sizes.append(max(extent(regions == number) for number in range(1, count + 1)))
            found.append(image.score >= results.threshold)
    if not sizes:
        return None
    curve = summary.fitted(np.array(sizes), np.array(found), "real", summary.ALL)
    return RealDefects(size=[round(size, 2) for size in sizes], found=found, curve=curve)
