"""The contract of a scoring function."""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from fomoad.geometry import CellGeometry
from fomoad.scorers.counted import Counted
from fomoad.scorers.standardisation import Standardisation

if TYPE_CHECKING:
    import tensorflow as tf

Array = NDArray[np.float32]


class Scorer(Protocol):
    """A fitted scoring function: the same computation twice, scores never below 0.

    The NumPy half needs no TensorFlow. The graph half lies in a module of its own beside it, imported on use.
    Fitted to int8 features, both halves round features and products of matrices as the int8 kernels do that the graph
    becomes.
    """

    @property
    def standardise(self) -> Standardisation:
        """What is done to features first."""

    @property
    def size(self) -> int:
        """How many mixture components or memory bank entries there are."""

    @property
    def counted(self) -> Counted | None:
        """What of an image counts; None: everything."""

    def of_codes(self, scale: Array, zero: Array) -> "Scorer":
        """The scorer of codes (..., D) in place of the features `scale` * (code - `zero`), both (D,)."""

    def rounded(self) -> Self:
        """The scorer whose large constants are in whole steps, where it computes as int8 kernels do."""

    def cells(self, features: CellGeometry) -> CellGeometry:
        """Where the scores' cells lie on the image, given where the features' do."""

    def score(self, features: Array) -> Array:
        """Scores (N, rows, columns) of features (N, R, C, D)."""

    def score_at(self, positions: NDArray[np.int64], features: Array) -> Array:
        """Scores (n,) of single feature vectors (n, D) that were taken at `positions` (n,), counted row by row."""

    def graph(self, *features: "tf.Tensor") -> "tf.Tensor":
        """Scores (N, rows, columns) of features (N, R, C, D), whole or in parts along D, as TensorFlow operations."""
