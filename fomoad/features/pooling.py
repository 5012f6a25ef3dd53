"""Images to a grid of feature vectors: backbone layers brought to one grid, joined and pooled."""

from dataclasses import dataclass
from typing import Final

import tensorflow as tf

from fomoad.backbones import graph
from fomoad.backbones.graph import Network, Ranges


@dataclass(frozen=True)
class Pooling:
    """Average pooling of the joined features over windows of size x size cells, which never leave the grid."""

    size: int
    stride: int = 1


STOCK_POOLING = Pooling(size=3, stride=2)
"""The pooling of Edge Impulse's GMM block: a grid of (side / 8) / 2 - 1 cells a side."""
_INTO_FLOAT: Final = 0.5
"""A factor that the converter to TFLite can only apply in float32: else it would resize and pool in int8, and round
the results again."""


@dataclass(frozen=True)
class Features:
    """How a network's outputs become one feature vector a cell.

    All outputs are resized to the grid of the network's output `grid_of`, joined along the channels in the
    network's order, and pooled.
    """

    network: Network
    grid_of: str
    pooling: Pooling

    def graph(self, images: tf.Tensor, ranges: Ranges | None = None) -> tf.Tensor:
        """Features (N, rows, columns, D) of images (N, height, width, channels), as TensorFlow operations."""
        outputs = graph.run(self.network, images, ranges)
        rows, columns = outputs[self.grid_of].shape[1:3]
        if ranges is not None:
            outputs = {name: output * _INTO_FLOAT for name, output in outputs.items()}
        # Each is pooled before they are joined: on a large grid, they would take most of a microcontroller's memory.
        pooled = [self._pool(_resize(outputs[name], rows, columns)) for name in self.network.outputs]
        features = pooled[0] if len(pooled) == 1 else tf.concat(pooled, axis=-1)
        return features if ranges is None else features * (1 / _INTO_FLOAT)

    def _pool(self, features: tf.Tensor) -> tf.Tensor:
        if self.pooling.size == 1 and self.pooling.stride == 1:
            return features
        return tf.nn.avg_pool2d(features, self.pooling.size, self.pooling.stride, "VALID")


def _resize(tensor: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
    if tuple(tensor.shape[1:3]) == (rows, columns):
        return tensor
    if tensor.shape[1] >= 2 * rows - 1 and tensor.shape[2] >= 2 * columns - 1:
        # Bilinear resizing would skip every other cell of a finer grid; averaging uses all of them.
        tensor = tf.nn.avg_pool2d(tensor, 2, 2, "SAME")
        if tuple(tensor.shape[1:3]) == (rows, columns):
            return tensor
    return tf.image.resize(tensor, (rows, columns), method="bilinear")
