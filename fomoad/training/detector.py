"""Image in, anomaly map out: a backbone, its features and a scorer as one function."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from fomoad.backbones.graph import Ranges
from fomoad.features.pooling import Features
from fomoad.scorers.scorer import Scorer


@dataclass(frozen=True)
class DetectorGraph:
    """A fitted detector.

    `divisor` is the score that the graph calls 1. With `ranges`, the backbone computes as int8 kernels do; the
    scorer must have been fitted on such features. `highest_score` is then where the int8 output's range ends.
    """

    features: Features
    scorer: Scorer
    divisor: float = 1.0
    ranges: Ranges | None = None
    highest_score: float | None = None

    def graph(self, images: tf.Tensor) -> tf.Tensor:
        """Anomaly maps (N, rows, columns) of images (N, height, width, channels)."""
        if self.ranges is None:
            scores = self.scorer.graph(self.features.graph(images))
        else:
            codes, units = self.features.codes(images, self.ranges)
            scores = self.scorer.of_codes(units.scale, units.zero).graph(*codes)
        if self.divisor != 1.0:
            scores = scores * np.float32(1 / self.divisor)
        if self.highest_score is not None:
            scores = tf.quantization.fake_quant_with_min_max_args(scores, 0.0, self.highest_score, num_bits=8)
        return scores
