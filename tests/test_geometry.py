"""Where cells lie, against gradients, loops and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from fomoad.backbones import graph, load
from fomoad.backbones.graph import Network
from fomoad.backbones.positions import positions
from fomoad.backbones.weights import find_weights
from fomoad.features.pooling import STOCK_POOLING, Features, Pooling
from fomoad.geometry import Axis, CellGeometry, evenly
from tests.support import backbones
from tests.support.kernels import chain, convolution

GRID, COARSE = "block_6_expand_relu", "block_6_depthwise_relu"


def centre_of_gravity(function, shape: tuple[int, int, int], row: int, column: int) -> np.ndarray:
    """Where the squared gradients of one cell by the pixels lie, (y, x)."""
    image = tf.Variable(np.random.default_rng(0).uniform(0.2, 1, (1, *shape)).astype(np.float32))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(function(image)[0, row, column])
    energy = np.square(tape.gradient(value, image).numpy()[0]).sum(axis=-1)
    middles = [np.arange(size) + 0.5 for size in shape[:2]]
    return np.array([energy.sum(axis=1) @ middles[0], energy.sum(axis=0) @ middles[1]]) / energy.sum()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_s_cells_lie_where_their_gradients_do(stride: int) -> None:
    """One convolution of lopsided weights: the position is exactly the gradients' centre of gravity."""
    kernel = np.random.default_rng(1).uniform(0, 1, (3, 3, 3, 1)) * np.array([4, 2, 1])[:, None, None, None]
    network = chain(convolution("only", graph.INPUT, kernel, np.zeros(1)), side=12)
    node = network.nodes[-1]
    pads = graph.same_pads((12, 12), (3, 3), (stride, stride))
    energy = np.square(kernel).sum(axis=(0, 1), keepdims=True)
    even = replace(node, kernel=(kernel / np.sqrt(energy)).astype(np.float32), strides=(stride, stride), pads=pads)
    network = Network((even,), network.outputs, network.input_shape)
    cells = positions(network)["only"]
    assert cells.shape == (12 // stride, 12 // stride)
    for row, column in ((1, 1), (2, 3)):
        found = centre_of_gravity(lambda image: graph.run(network, image)["only"], (12, 12, 3), row, column)
        expected = [cells.vertical.origin + row * stride, cells.horizontal.origin + column * stride]
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("layer", ["block_3_depthwise_relu", GRID, COARSE])
def test_a_trained_network_s_cells_lie_where_their_gradients_do(layer: str) -> None:
    """The bundled weights. Activations and residual paths add what weights alone do not say; a spread is off by 4."""
    weights = find_weights("mobilenet-v2-0.35", "bundled", 96)
    network = load.load("mobilenet-v2-0.35", weights, (96, 96, 3), "-1..1", (layer,))
    cells = positions(network)[layer]
    off = []
    for index in range(2, cells.vertical.count - 2):
        found = centre_of_gravity(lambda image: graph.run(network, image)[layer], (96, 96, 3), index, index)
        expected = [each.origin + index * each.stride for each in (cells.vertical, cells.horizontal)]
        off.append(found - expected)
    assert np.abs(np.mean(off, axis=0)).max() < 1.5


@pytest.mark.parametrize("side", [96, 100])
@pytest.mark.parametrize("pooling", [STOCK_POOLING, Pooling(1), Pooling(2)])
def test_a_feature_has_a_position(side: int, pooling: Pooling) -> None:
    """As many as there are; a joined layer of coarser cells moves them by less than its own shift."""
    network = backbones.network((GRID, COARSE), (side, side, 3))
    features = Features(network, GRID, pooling)
    cells = features.cells()
    assert cells.shape == tuple(features.graph(tf.zeros((1, side, side, 3))).shape)[1:3]
    alone = replace(features, network=replace(network, outputs=(GRID,))).cells()
    assert cells.vertical.window == pytest.approx(alone.vertical.window, rel=0.1)
    assert abs(cells.vertical.origin - alone.vertical.origin) < 2


def test_known_positions_of_a_symmetric_network() -> None:
    """Worked by hand: three strides of 2 that add one row of zeros below lie at 7.5, 15.5, ..., not at 4, 12, ..."""
    axis = Axis(96, 0.5, 1.0, 1.0)
    for _ in range(3):
        axis = axis.slid(3, 2, (0, 1))
    assert axis == Axis(12, 7.5, 8.0, 8.0)
    assert axis.pooled(3, 2) == Axis(5, 15.5, 16.0, 24.0)
    assert axis.slid(3, 2, (0, 1)).resized(12) == Axis(12, 11.5, 8.0, 8.0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cells_of_spread_windows(size: int) -> None:
    """A cell that takes the highest of its windows: all cells under one high window are high, and show just it."""
    cells = Axis(6, 4.0, 8.0, 8.0)
    windows = cells.pooled(size, 1)
    assert windows.spread(size) == cells
    for window in range(windows.count):
        high = [cell for cell in range(cells.count) if window <= cell < window + size]
        assert windows.spread(size).window_of(high[0], high[-1] + 1) == windows.window_of(window, window + 1)


def test_upsampling_is_bilinear_between_the_cells_middles() -> None:
    grid = np.random.default_rng(1).random((3, 4)).astype(np.float32)
    cells = CellGeometry(Axis(3, 2.5, 3.0, 4.0), Axis(4, 3.0, 5.0, 5.0))
    y = np.clip((np.arange(12) + 0.5 - 2.5) / 3, 0, 2)
    x = np.clip((np.arange(20) + 0.5 - 3) / 5, 0, 3)
    expected = ndimage.map_coordinates(grid, np.meshgrid(y, x, indexing="ij"), order=1)
    np.testing.assert_allclose(cells.upsample(grid, 12, 20), expected, atol=1e-6)
    single = CellGeometry(Axis(1, 6.0, 16.0, 24.0), Axis(4, 3.0, 5.0, 5.0))
    assert (single.upsample(grid[:1], 12, 20) == single.upsample(grid[:1], 12, 20)[0]).all()


def test_even_cells_share_the_image() -> None:
    cells = evenly((3, 5), (96, 40))
    assert [cells.vertical.tile_of(row, row + 1) for row in range(3)] == [(0, 32), (32, 64), (64, 96)]
    assert cells.horizontal.window_of(1, 3) == (8, 24)


@pytest.mark.parametrize("axis", [{"count": 0}, {"stride": 0.0}, {"origin": float("nan")}, {"window": -1.0}])
def test_what_is_no_geometry_is_refused(axis: dict[str, float]) -> None:
    whole = {"count": 5, "origin": 15.5, "stride": 16.0, "window": 24.0}
    with pytest.raises(ValueError, match="no row of cells"):
        CellGeometry.read({"vertical": whole | axis, "horizontal": whole})
