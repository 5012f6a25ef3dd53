"""What an update would cost: defects that were found before and would not be found after it, and who is to blame."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.scorers.counted import at_places
from fomoad.scorers.scorer import Scorer
from fomoad.training.sampling import Cells

Array = NDArray[np.float32]

TOLERANCE: Final = 0.05
"""Share of the defects found before that an update, and that one image, may cost."""
LEAST: Final = 2
"""Fewer lost defects than this are chance: those near the threshold come and go with every fit."""


@dataclass(frozen=True)
class Cost:
    """Which defects (m,) were found before and after, and the share of those found before that each image (n,) costs.

    What is lost because the threshold rose, and not the score fell, is no single image's.
    """

    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    of_image: NDArray[np.float64]

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Which images (n,) cost more than is tolerated, the worst of them: without these, others may cost less."""
        known = self.before.sum()
        if known - self.after.sum() <= TOLERANCE * known:
            return np.zeros(len(self.of_image), bool)
        refused: NDArray[np.bool_] = self.of_image >= max(self.of_image.max() / 2, (LEAST - 0.5) / known)
        return refused & (self.of_image > TOLERANCE)

    @property
    def lost(self) -> float:
        """The share of the defects found before that are not found any more."""
        return float((self.before & ~self.after).sum() / max(1, self.before.sum()))


def cost(scorers: tuple[Scorer, Scorer], thresholds: tuple[float, float], defects: Cells, features: Array) -> Cost:
    """The cost of an update, from scorers and thresholds before and after it.

    `defects` are cells of known defects, `features` (n, R, C, D) those of the images that were taken in. A defect that
    is lost is the fault of the image with the cell that is most like it.
    """
    values = defects.features.astype(np.float32)
    scores = [scorer.score_at(defects.positions, values) for scorer in scorers]
    before, after = (each >= threshold for each, threshold in zip(scores, thresholds, strict=True))
    of_image = np.zeros(len(features))
    cells = at_places(features, scorers[1].counted)
    for defect in np.flatnonzero(before & (scores[1] < thresholds[0])):
        gaps = ((cells - values[defect]) ** 2).sum(axis=-1).min(axis=1)
        of_image[int(gaps.argmin())] += 1 / before.sum()
    return Cost(before, after, of_image)


def cells_of_defects(scorer: Scorer, features: Array, int8_features: Array) -> tuple[Cells, Cells]:
    """The cell that scores highest of each image of a real defect, of features (n, R, C, D) and of those of int8."""
    count, per_image = len(features), features.shape[1] * features.shape[2]
    flat = [each.reshape(count, per_image, -1) for each in (features, int8_features)]
    scores = scorer.score_at(np.tile(np.arange(per_image), count), flat[0].reshape(count * per_image, -1))
    positions = scores.reshape(count, per_image).argmax(axis=1)
    images = np.arange(count)
    first, second = (Cells(each[images, positions], positions, images) for each in flat)
    return first, second
