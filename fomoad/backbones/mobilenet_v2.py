"""MobileNetV2 (Sandler et al. 2018, table 2) of any width, without its top, as Keras Applications builds it."""

from typing import Final

from fomoad.backbones.layers import Activation, BatchNorm, Conv, Layer, Sum

EPSILON: Final = 1e-3
EXPANSION: Final = 6
BLOCKS: Final = (
    (16, 1),
    *((24, 2), (24, 1)),
    *((32, 2), (32, 1), (32, 1)),
    *((64, 2), (64, 1), (64, 1), (64, 1)),
    *((96, 1), (96, 1), (96, 1)),
    *((160, 2), (160, 1), (160, 1)),
    (320, 1),
)
"""Channels out, at width 1, and the stride of each inverted residual."""
LAST_CHANNELS: Final = 1280


def mobilenet_v2(width: float) -> tuple[Layer, ...]:
    """The layers at a width of at most 1, in Keras' order."""
    channels = _divisible(32 * width)
    layers = _unit(Conv("Conv1", (), (3, 3, 3, channels), 2), "bn_Conv1", "Conv1_relu")
    for index, (outputs, stride) in enumerate(BLOCKS):
        layers += _block(index, layers[-1].name, channels, _divisible(int(outputs * width)), stride)
        channels = _divisible(int(outputs * width))
    last = Conv("Conv_1", (layers[-1].name,), (1, 1, channels, LAST_CHANNELS))
    return tuple(layers + _unit(last, "Conv_1_bn", "out_relu"))


def _block(index: int, source: str, inputs: int, outputs: int, stride: int) -> list[Layer]:
    """An inverted residual: expanded, each channel convolved, projected; the first one is not expanded."""
    prefix = f"block_{index}" if index else "expanded_conv"
    layers: list[Layer] = []
    between, before = inputs, source
    if index:
        between = EXPANSION * inputs
        expand = Conv(f"{prefix}_expand", (source,), (1, 1, inputs, between))
        layers += _unit(expand, f"{expand.name}_BN", f"{expand.name}_relu")
        before = layers[-1].name
    depthwise = Conv(f"{prefix}_depthwise", (before,), (3, 3, between, 1), stride, depthwise=True)
    layers += _unit(depthwise, f"{depthwise.name}_BN", f"{depthwise.name}_relu")
    project = Conv(f"{prefix}_project", (layers[-1].name,), (1, 1, between, outputs))
    layers += _unit(project, f"{project.name}_BN")
    if stride == 1 and inputs == outputs:
        layers.append(Sum(f"{prefix}_add", (source, layers[-1].name)))
    return layers


def _unit(convolution: Conv, normalisation: str, activation: str = "") -> list[Layer]:
    """A convolution, its batch normalisation and, where it has a name, its activation."""
    layers: list[Layer] = [
        convolution,
        BatchNorm(normalisation, (convolution.name,), convolution.channels, EPSILON),
    ]
    return [*layers, Activation(activation, (normalisation,), "relu6")] if activation else layers


def _divisible(channels: float) -> int:
    """The multiple of 8 nearest to a number of channels, and not below nine tenths of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
