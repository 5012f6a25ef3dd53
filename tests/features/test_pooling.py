"""Features against plain loops."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fomoad.backbones import graph
from fomoad.backbones.graph import Network
from fomoad.features.extractor import extractor
from fomoad.features.pooling import STOCK_POOLING, Features, Pooling
from tests.support import backbones

LAYERS = ("block_3_expand_relu", "block_6_expand_relu", "block_6_depthwise_relu")


@cache
def network_of(shape: tuple[int, int, int]) -> Network:
    """A network of random weights that gives layers at 1/4, 1/8 and 1/16."""
    return backbones.network(LAYERS, shape)


def pooled(grid: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Average of the cells under each window that lies in the grid, by a loop over windows."""
    size = pooling.size
    rows, columns = (range(0, side - size + 1, pooling.stride) for side in grid.shape[:2])
    return np.array([[grid[r : r + size, c : c + size].mean(axis=(0, 1)) for c in columns] for r in rows])


def resized(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Bilinear interpolation at the centres of the new cells, cell by cell."""
    result = np.empty((rows, columns, grid.shape[2]))
    for r in range(rows):
        for c in range(columns):
            y = np.clip((r + 0.5) * grid.shape[0] / rows - 0.5, 0, grid.shape[0] - 1)
            x = np.clip((c + 0.5) * grid.shape[1] / columns - 0.5, 0, grid.shape[1] - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, grid.shape[0] - 1), min(x0 + 1, grid.shape[1] - 1)
            top = grid[y0, x0] * (1 - x + x0) + grid[y0, x1] * (x - x0)
            bottom = grid[y1, x0] * (1 - x + x0) + grid[y1, x1] * (x - x0)
            result[r, c] = top * (1 - y + y0) + bottom * (y - y0)
    return result


@pytest.mark.parametrize("shape", [(96, 96, 3), (100, 84, 3)])
@pytest.mark.parametrize("pooling", [Pooling(1), Pooling(2), Pooling(3), Pooling(4), Pooling(5), STOCK_POOLING])
def test_layers_are_resized_joined_and_pooled(shape: tuple[int, int, int], pooling: Pooling) -> None:
    """1/8 as it is, 1/16 interpolated, 1/4 averaged, in the network's order."""
    folded = network_of(shape)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype(np.float32)
    found = extractor(Features(folded, LAYERS[1], pooling))(images)

    fine, middle, coarse = (np.asarray(tensor) for tensor in graph.run(folded, images).values())
    rows, columns = middle.shape[1:3]
    for row in range(2):
        halved = pooled(fine[row], Pooling(2, 2))
        if fine.shape[1] % 2 or fine.shape[2] % 2:
            padded = np.pad(fine[row], [(0, fine.shape[1] % 2), (0, fine.shape[2] % 2), (0, 0)], constant_values=np.nan)
            blocks = padded.reshape(rows, 2, columns, 2, -1)
            halved = np.nanmean(blocks, axis=(1, 3))
        joined = np.concatenate([halved, middle[row], resized(coarse[row], rows, columns)], axis=-1)
        np.testing.assert_allclose(found[row], pooled(joined, pooling), atol=1e-4)


@pytest.mark.parametrize(("side", "cells"), [(96, 5), (160, 9), (224, 13), (320, 19)])
def test_stock_grid(side: int, cells: int) -> None:
    """(side / 8) / 2 - 1, as the stock block has it. The same network takes images of any size."""
    shape = (side, side, 3)
    network_any = replace(network_of((96, 96, 3)), input_shape=shape, outputs=LAYERS[1:2])
    extract = extractor(Features(network_any, LAYERS[1], STOCK_POOLING))
    features = extract(np.zeros((1, *shape), np.float32))
    assert features.shape[1:3] == (cells, cells)
