"""Images to a grid of feature vectors: backbone layers brought to one grid, joined and pooled."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.backbones import graph
from fomoad.backbones.graph import Network, Ranges
from fomoad.backbones.positions import positions
from fomoad.geometry import Axis, CellGeometry, mean


@dataclass(frozen=True)
class Pooling:
    """Average pooling of the joined features over windows of size x size cells, which never leave the grid."""

    size: int
    stride: int = 1


STOCK_POOLING = Pooling(size=3, stride=2)
"""The pooling of Edge Impulse's GMM block: a grid of (side / 8) / 2 - 1 cells a side."""


def averaged(features: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Pool features (N, rows, columns, D) that were computed without pooling, as the graph does.

    >>> averaged(np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1), Pooling(2)).ravel()
    array([1.5], dtype=float32)
    """
    size, stride = pooling.size, pooling.stride
    rows, columns = (count - size + 1 for count in features.shape[1:3])
    shape = (len(features), -(-rows // stride), -(-columns // stride), features.shape[3])
    total = np.zeros(shape, np.float32)
    for down in range(size):
        for right in range(size):
            total += features[:, down : down + rows : stride, right : right + columns : stride]
    return total / np.float32(size**2)


@dataclass(frozen=True)
class Units:
    """What int8 codes of D features stand for: value = `scale` * (code - `zero`), both (D,)."""

    scale: NDArray[np.float32]
    zero: NDArray[np.float32]


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
        if ranges is None:
            return _joined(self._parts(graph.run(self.network, images)))
        codes, units = self.codes(images, ranges)
        return (_joined(codes) - units.zero) * units.scale

    def channels(self) -> tuple[int, ...]:
        """How many features are of the first of the network's outputs, of the first two, and so on."""
        widths = graph.channels(self.network)
        return tuple(np.cumsum([widths[name] for name in self.network.outputs]).tolist())

    def codes(self, images: tf.Tensor, ranges: Ranges) -> tuple[list[tf.Tensor], Units]:
        """The same features in the codes of the int8 network's outputs, resized and pooled in float32, not yet joined.

        Joined in float32, they would take most of a microcontroller's memory. The converter to TFLite can make them in
        float32 only: else it would resize and pool in int8, and round the results again. `fomoad.export.widening` then
        takes away what this adds to them.
        """
        outputs, scales, zeros = graph.run(self.network, images, ranges), [], []
        for name, output in outputs.items():
            low, high = ranges[name]
            scale = np.float32((high - low) / graph.INT8_STEPS)
            zero = np.float32(np.round(graph.LOWEST_CODE - low / scale))
            outputs[name] = output * (1 / scale) + zero
            scales.append(np.full(output.shape[-1], scale))
            zeros.append(np.full(output.shape[-1], zero))
        return self._parts(outputs), Units(np.concatenate(scales), np.concatenate(zeros))

    def _parts(self, outputs: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        rows, columns = outputs[self.grid_of].shape[1:3]
        return [self._pool(_resize(outputs[name], rows, columns)) for name in self.network.outputs]

    def cells(self) -> CellGeometry:
        """Where the feature vectors lie on the image: the mean of where the joined layers' cells do.

        A layer counts by the inverse square of its stride: cells twice as far apart say a quarter of where.
        """
        found = positions(self.network)
        grid = found[self.grid_of]

        def placed(layer: Axis, to: Axis) -> Axis:
            return _resized_axis(layer, to.count).pooled(self.pooling.size, self.pooling.stride)

        layers = [found[name] for name in self.network.outputs]
        return mean(
            [
                CellGeometry(placed(layer.vertical, grid.vertical), placed(layer.horizontal, grid.horizontal))
                for layer in layers
            ],
            [layer.vertical.stride**-2 for layer in layers],
        )

    def _pool(self, features: tf.Tensor) -> tf.Tensor:
        if self.pooling.size == 1 and self.pooling.stride == 1:
            return features
        return tf.nn.avg_pool2d(features, self.pooling.size, self.pooling.stride, "VALID")


def _joined(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def _resize(tensor: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
    if tuple(tensor.shape[1:3]) == (rows, columns):
        return tensor
    if tensor.shape[1] >= 2 * rows - 1 and tensor.shape[2] >= 2 * columns - 1:
        # Bilinear resizing would skip every other cell of a finer grid; averaging uses all of them.
        tensor = tf.nn.avg_pool2d(tensor, 2, 2, "SAME")
        if tuple(tensor.shape[1:3]) == (rows, columns):
            return tensor
    return tf.image.resize(tensor, (rows, columns), method="bilinear")


def _resized_axis(axis: Axis, count: int) -> Axis:
    """What `_resize` does, along one side."""
    if axis.count >= 2 * count - 1 and axis.count != count:
        axis = axis.slid(2, 2, (0, axis.count % 2))
    return axis.resized(count)
