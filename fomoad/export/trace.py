"""One trace of a detector that every format is converted from."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

INPUT_NAME = "image"
OUTPUT_NAME = "scores"


class Exported(tf.Module):  # type: ignore[misc]
    """A function from one image [1, height, width, channels] to its score grid, traced once."""

    def __init__(self, graph: Callable[[tf.Tensor], tf.Tensor], input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        spec = tf.TensorSpec((1, *input_shape), tf.float32, name=INPUT_NAME)
        self.function = tf.function(lambda image: {OUTPUT_NAME: graph(image)}, input_signature=[spec], autograph=False)
        self.concrete: Any = self.function.get_concrete_function()

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of the function's output without the batch: (rows, columns) for a score grid."""
        return tuple(self.concrete.structured_outputs[OUTPUT_NAME].shape[1:])
