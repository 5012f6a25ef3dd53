"""What a training starts from."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fomoad.backbones.weights import Weights
from fomoad.data.dataset import Images, Split
from fomoad.data.ignore_mask import IgnoreMask


@dataclass(frozen=True)
class TrainingData:
    """Training images that were checked, with what is known of them, and the weights of the backbone for them.

    `digest` is a SHA-256 of all images, where a cluster has read them. `ignored` says what of the images does not
    count; None: everything does.
    """

    split: Split
    images: Images
    weights: Weights
    digest: str = ""
    ignored: IgnoreMask | None = None

    @property
    def counted_pixels(self) -> NDArray[np.bool_] | None:
        """Which pixels (height, width) count; None: all do."""
        return None if self.ignored is None else self.ignored.shares < 0.5

    def without(self, rows: NDArray[np.int64]) -> "TrainingData":
        """The same without the images of these rows."""
        split = self.split.without(rows)
        assert split.images is not None
        return replace(self, split=split, images=split.images)
