"""Ranges for int8 tensors, measured on training images."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad import network
from fomoad.network import Network


def calibrate(network_: Network, batches: Iterable[NDArray[np.float32]]) -> dict[str, tuple[float, float]]:
    """The lowest and highest value of every tensor over the images, 0 included."""
    ranges: dict[str, tuple[float, float]] = {}
    function = tf.function(lambda images: network.run(network_, images, every=True))
    for images in batches:
        for name, tensor in function(tf.constant(images)).items():
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, float(np.min(tensor))), max(high, float(np.max(tensor)))
    return ranges
