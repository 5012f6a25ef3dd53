"""Rewritten networks compute what they did, and int8 rounds less of it away."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad.backbones import graph, load
from fomoad.backbones.graph import INPUT, Network
from fomoad.backbones.weights import Weights, find_weights
from fomoad.data.scaling import DEFAULT_SCALING, int8_range
from fomoad.quantization import calibration, equalization
from tests.support.kernels import LAYER, blocky_images, chain, convolution, mobilenet

OFF = [1, 4]
"""Channels that are switched off in `_switched_off`."""


def _values(exact: Network, images: Any, ranges: graph.Ranges | None = None) -> Any:
    return graph.run(exact, images, ranges)[exact.outputs[0]].numpy()


def _switched_off() -> Network:
    """A wide convolution with channels of vanished weights, a depthwise one and a narrow one."""
    random = np.random.default_rng(0)
    kernel, bias = random.normal(0, 0.4, (3, 3, 3, 6)), random.normal(2, 0.3, 6)
    kernel[..., OFF] *= 1e-20
    bias[OFF] = -0.5, 0
    depthwise = random.normal(0, 0.3, (3, 3, 6, 1)), random.normal(2, 0.3, 6)
    narrow = random.normal(0, 0.3, (1, 1, 6, 4)), random.normal(0, 1, 4)
    return chain(
        convolution("wide", INPUT, kernel, bias, "relu6"),
        convolution("depthwise", "wide", *depthwise, "relu6", depthwise=True),
        convolution("narrow", "depthwise", *narrow),
    )


def _kernel(exact: Network, name: str) -> Any:
    nodes: Any = exact.nodes
    return next(node.kernel for node in nodes if node.name == name)


def test_vanished_channels_go_and_leave_everything_as_it_was() -> None:
    """At the borders too, where the depthwise convolution sees padding."""
    random = np.random.default_rng(0)
    exact, images = _switched_off(), random.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    smaller = equalization.drop_vanished_channels(exact)
    assert _kernel(smaller, "wide").shape == (3, 3, 3, 4)
    assert _kernel(smaller, "depthwise").shape == (3, 3, 4, 1)
    np.testing.assert_allclose(_values(smaller, images), _values(exact, images), atol=1e-5)


@pytest.mark.parametrize(("weight", "bias"), [(1e-20, 0.5), (0.1, -0.5)])
def test_a_channel_that_is_not_always_0_stays(weight: float, bias: float) -> None:
    exact = _switched_off()
    wide = exact.nodes[0]
    kernel, biases = wide.kernel.copy(), wide.bias.copy()  # type: ignore[attr-defined]
    kernel[..., 1], biases[1] = weight, bias
    changed = replace(exact, nodes=(replace(wide, kernel=kernel, bias=biases), *exact.nodes[1:]))
    assert _kernel(equalization.drop_vanished_channels(changed), "wide").shape[3] == 5


def test_two_linear_convolutions_become_one() -> None:
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    exact = chain(
        convolution("first", INPUT, random.normal(size=(1, 1, 3, 2)), random.normal(size=2)),
        convolution("second", "first", random.normal(size=(1, 1, 2, 5)), random.normal(size=5), "relu6"),
    )
    merged = equalization.merge_linear(exact)
    assert [node.name for node in merged.nodes] == ["second"]
    np.testing.assert_allclose(_values(merged, images), _values(exact, images), atol=1e-5)


def test_a_tensor_that_is_wanted_is_not_merged_away() -> None:
    exact = replace(mobilenet(), outputs=("expanded_conv_project_BN", LAYER))
    assert equalization.merge_linear(exact).nodes == exact.nodes


def test_stretched_channels_use_the_whole_range() -> None:
    """Channels of very different width become alike, and what comes after undoes it."""
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    kernel = random.normal(0, 0.2, (1, 1, 3, 4)) * np.array([1.0, 0.7, 0.5, 0.4])  # within 0 to 6, margins included
    exact = chain(
        convolution("wide", INPUT, kernel, np.array([3.0, 3.0, 2.0, 4.0]), "relu6"),
        convolution("narrow", "wide", random.normal(size=(1, 1, 4, 2)), np.zeros(2)),
    )
    stretched = equalization.stretch_channels(exact, equalization.channel_ends(exact, images))
    low, high = equalization.channel_ends(stretched, images)["wide"]
    np.testing.assert_allclose(high - low, 6 / (1 + 2 * equalization.MARGIN), atol=1e-3)
    np.testing.assert_allclose(_values(stretched, images), _values(exact, images), atol=1e-4)


def test_what_reads_padded_zeros_still_reads_zeros() -> None:
    random = np.random.default_rng(0)
    exact, images = _switched_off(), random.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    stretched = equalization.stretch_channels(exact, equalization.channel_ends(exact, images))
    np.testing.assert_allclose(_values(stretched, images), _values(exact, images), atol=1e-4)


def test_channels_computed_twice_are_rounded_half_as_much() -> None:
    """Against the same network with every channel once, in both of its rounded tensors."""
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (8, 8, 8, 3)).astype(np.float32)
    depthwise = np.zeros((3, 3, 4, 1))
    depthwise[1, 1] = 1
    exact = chain(
        convolution("wide", INPUT, random.normal(0, 0.5, (1, 1, 3, 4)), np.full(4, 3.0), "relu6"),
        convolution("depthwise", "wide", depthwise, np.zeros(4), "relu6", depthwise=True),
        convolution("narrow", "depthwise", np.eye(4)[None, None], np.zeros(4)),
    )
    ranges = {INPUT: (-1e3, 1e3), "wide": (0.0, 6.0), "depthwise": (0.0, 6.0)}
    repeated = equalization.repeat_channels(exact, {"wide": 4})
    assert _kernel(repeated, "wide").shape[3] == 8

    def rounding(rounded: Network) -> float:
        without_input = {name: ends for name, ends in ranges.items() if name in ("wide", "depthwise")}
        unrounded = _Unrounded(ranges, without_input)
        return float(np.std(_values(rounded, images, unrounded) - _values(exact, images)))

    assert rounding(repeated) < 0.6 * rounding(exact)


class _Unrounded(dict[str, tuple[float, float]]):
    """Ranges that are known for all tensors, for the kernels' sake, while only some tensors are rounded."""

    def __init__(self, ranges: graph.Ranges, only: graph.Ranges) -> None:
        super().__init__(ranges)
        self._only = only

    def __contains__(self, name: object) -> bool:
        return name in self._only


def test_a_whole_backbone_computes_what_it_did() -> None:
    exact, images = mobilenet(), blocky_images(6)
    expected = _values(exact, images)
    np.testing.assert_allclose(_values(equalization.equalise(exact, images), images), expected, atol=0.05)


@pytest.mark.parametrize("origin", ["imagenet", "bundled"])
def test_trained_weights_lose_less_of_their_features(origin: str, shared: Path) -> None:
    """With vanished channels (ImageNet's) and without; measured on images that were not calibrated on."""
    imagenet = shared / "weights/keras/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128_no_top.h5"
    weights = (
        Weights("test", imagenet, "mobilenet-v2-0.35")
        if origin == "imagenet"
        else find_weights("mobilenet-v2-0.35", "bundled", 96)
    )
    exact = load.load("mobilenet-v2-0.35", weights, (96, 96, 3), DEFAULT_SCALING, (LAYER,))
    images = blocky_images(16, (96, 96, 3))
    errors = []
    for rewritten in (exact, equalization.equalise(exact, images[::2])):
        ranges = calibration.calibrate(rewritten, images[::2], int8_range(DEFAULT_SCALING, 3))
        corrected = calibration.correct_biases(rewritten, ranges, images[::2])
        errors.append(calibration.errors(exact, corrected, ranges, images[1::2])[LAYER])
    assert errors[1] < 0.9 * errors[0]
