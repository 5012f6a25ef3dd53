"""At the end of a training: which made defects its model files find, on images that the scorers did not see."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.detection import summary, trials
from fomoad.detection.trials import Score
from fomoad.features.store import Extract
from fomoad.progress import log
from fomoad.training.fit import Fit
from fomoad.training.model_files import Model
from fomoad.training.thresholds import with_made_defects
from fomoad.training.training_data import TrainingData

Array = NDArray[np.float32]

MIN_IMAGES: Final = 10
"""With fewer good images, nothing that can be said of defects on them would hold."""
MOST_IMAGES: Final = 320
"""Images that defects are made on at most."""


@dataclass(frozen=True)
class Tested:
    """A model file, the fit that it is made of, and what computes that fit's features."""

    model: Model
    fit: Fit
    extract: Extract

    def score(self, inputs: Array, rows: NDArray[np.int64]) -> Array:
        """The scores (n,) that the file would put out if it had not seen the images of these rows (n,)."""
        return self.model.output_transform(self.fit.score_unseen(self.extract(inputs), rows))


def record_detection(data: TrainingData, tested: dict[str, Tested], rate: float, seed: int) -> None:
    """Make defects on training images, score them by every file, and write what is found into the files' records.

    The files' thresholds are then recommended by it, as far as they keep the rate of false alarms.

    Images are scored by scorers that were fitted without them, as for thresholds. Of a photo that is cut into tiles,
    the defect is on one of them, and found if that tile's score reaches the photo's threshold.
    """
    split, images = data.split, data.images
    if len(split.photos()) < MIN_IMAGES:
        log(f"Made defects take {MIN_IMAGES} training images or more: how small a defect is found stays unknown.")
        return
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(images))[:MOST_IMAGES])
    scorers: dict[str, Score] = {name: each.score for name, each in tested.items()}
    made = trials.run(images, rows, seed, scorers, data.counted_pixels)
    for name, each in tested.items():
        good = each.model.output_transform(each.fit.held_out_scores)
        threshold = each.model.record.threshold.suggested
        side = min(images.shape[:2])
        found = summary.describe(made.on_photos(split.tiling), made.scores[name], good, threshold, side, "train")
        each.model.record.detection = found
        each.model.record.threshold = with_made_defects(each.model.record.threshold, made.scores[name], rate)
        log(f"{name}: {summary.sentence(found)}")
