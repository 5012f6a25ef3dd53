"""A compiled backbone as bytes: what a process without TensorFlow needs to compute features."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fomoad.features.store import Extract
from fomoad.inference.runtimes import load_tflite


@dataclass(frozen=True)
class BackboneFile:
    """The bytes (n,) of a TFLite model that computes features, `batch` images at a time."""

    content: NDArray[np.uint8]
    batch: int

    def load(self) -> Extract:
        """Ready to run in this process."""
        return load_tflite(self.content.tobytes(), "backbone", self.batch).score
