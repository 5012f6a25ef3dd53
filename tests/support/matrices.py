"""Made rows to select from."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def random_points(n: int, d: int) -> Matrix:
    return np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)


def clustered_points(n: int, d: int, clusters: int) -> Matrix:
    rng = np.random.default_rng(1)
    centres = 10 * rng.standard_normal((clusters, d), dtype=np.float32)
    return centres[rng.integers(clusters, size=n)] + rng.standard_normal((n, d), dtype=np.float32)


def skewed_points(n: int, d: int) -> Matrix:
    """Like features after an activation: far from the origin, never negative, of few true dimensions."""
    rng = np.random.default_rng(2)
    features = random_points(n, 4) @ rng.standard_normal((4, d), dtype=np.float32)
    return np.maximum(features, 0, dtype=np.float32) + np.float32(20)
