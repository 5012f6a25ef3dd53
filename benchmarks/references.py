"""The scorers that fomoad is measured against, written plainly, over the same backbone features."""

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from fomoad.coreset.greedy import greedy_k_center

Array = NDArray[np.float32]

STOCK_DIMENSIONS = 32
"""The stock block does not publish its projection's; of 16, 32 and 64, this is the middle."""
STOCK_COMPONENTS = 8
CELLS = 20_000
"""The mixture is fitted on at most this many cells: all of 800 images of 96 pixels."""
BLOCK = 4096


def stock_gmm(train: Array, test: Array, seed: int) -> Array:
    """Edge Impulse's stock scorer: score grids of the test images.

    Features (N, rows, columns, D) are those of the 1/8 layer. Random projection, 3x3 average pooling with stride 2,
    full covariances, and the absolute value of the standardised log-likelihood.
    """
    random = np.random.default_rng(seed)
    projection = random.standard_normal((train.shape[-1], STOCK_DIMENSIONS)) / np.sqrt(STOCK_DIMENSIONS)
    pooled_train, pooled_test = (_pool(features @ projection.astype(np.float32), 2) for features in (train, test))
    cells = pooled_train.reshape(-1, STOCK_DIMENSIONS).astype(np.float64)
    some = cells[random.permutation(len(cells))[:CELLS]]
    mixture = GaussianMixture(STOCK_COMPONENTS, random_state=seed).fit(some)
    likelihood = mixture.score_samples(cells)
    tested = mixture.score_samples(pooled_test.reshape(-1, STOCK_DIMENSIONS).astype(np.float64))
    scores: Array = np.abs((tested - likelihood.mean()) / likelihood.std()).astype(np.float32)
    return scores.reshape(pooled_test.shape[:3])


def patchcore(train: Array, test: Array, ratio: float, seed: int) -> Array:
    """PatchCore as published, without any scaling: score grids of the test images.

    Features (N, rows, columns, D) are those of the 1/8 and 1/16 layers, joined. 3x3 average pooling with stride 1,
    a greedy k-center coreset of the share `ratio` (a tenth or a hundredth there), the distance to the nearest entry.
    """
    pooled_train, pooled_test = (_pool(np.pad(features, _BORDER, "edge"), 1) for features in (train, test))
    patches = pooled_train.reshape(-1, pooled_train.shape[-1])
    bank = patches[greedy_k_center(patches, round(ratio * len(patches)), seed)]
    norms = np.einsum("md,md->m", bank, bank)
    queries = pooled_test.reshape(-1, pooled_test.shape[-1])
    squared = np.concatenate(
        [
            (norms - 2 * (block @ bank.T)).min(axis=1) + np.einsum("nd,nd->n", block, block)
            for block in np.array_split(queries, -(-len(queries) // BLOCK))
        ]
    )
    distances: Array = np.sqrt(np.maximum(squared, 0)).reshape(pooled_test.shape[:3])
    return distances


def _pool(features: Array, stride: int) -> Array:
    """Average over 3 x 3 cells that lie in the grid."""
    windows = np.lib.stride_tricks.sliding_window_view(features, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    pooled: Array = windows.mean(axis=(-2, -1)).astype(np.float32)
    return pooled


_BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))
