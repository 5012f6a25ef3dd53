"""ResNet50 (He et al. 2015, table 1) without its top, as Keras Applications builds it."""

from typing import Final

from fomoad.backbones.layers import Activation, BatchNorm, Conv, Layer, MaxPool, Sum

EPSILON: Final = 1.001e-5
STACKS: Final = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Channels between, number of blocks and stride of the first block of each stack, from conv2 on."""
WIDENING: Final = 4
"""Channels that a block puts out, for each between."""


def resnet50() -> tuple[Layer, ...]:
    """The layers in Keras' order."""
    first = Conv("conv1_conv", (), (7, 7, 3, 64), 2, around=3, bias=True)
    layers: list[Layer] = [first, _norm("conv1_bn", first), Activation("conv1_relu", ("conv1_bn",), "relu")]
    layers.append(MaxPool("pool1_pool", ("conv1_relu",), 3, 2, 1))
    inputs = first.channels
    for stack, (channels, blocks, stride) in enumerate(STACKS, 2):
        for block in range(1, blocks + 1):
            prefix = f"conv{stack}_block{block}"
            layers += _block(prefix, layers[-1].name, inputs, channels, stride if block == 1 else 1, block == 1)
            inputs = WIDENING * channels
    return tuple(layers)


def _block(prefix: str, source: str, inputs: int, between: int, stride: int, projected: bool) -> list[Layer]:
    """A bottleneck: narrowed, convolved, widened, and added to its input, which is `projected` in the first of a stack.

    The layers of both ways stand side by side, as Keras sorts them by depth.
    """
    outputs = WIDENING * between
    narrow = Conv(f"{prefix}_1_conv", (source,), (1, 1, inputs, between), stride, bias=True)
    middle = Conv(f"{prefix}_2_conv", (f"{prefix}_1_relu",), (3, 3, between, between), bias=True)
    widen = Conv(f"{prefix}_3_conv", (f"{prefix}_2_relu",), (1, 1, between, outputs), bias=True)
    beside = Conv(f"{prefix}_0_conv", (source,), (1, 1, inputs, outputs), stride, bias=True)
    ways = [beside, widen] if projected else [widen]
    return [
        narrow,
        _norm(f"{prefix}_1_bn", narrow),
        Activation(f"{prefix}_1_relu", (f"{prefix}_1_bn",), "relu"),
        middle,
        _norm(f"{prefix}_2_bn", middle),
        Activation(f"{prefix}_2_relu", (f"{prefix}_2_bn",), "relu"),
        *ways,
        *(_norm(way.name.replace("_conv", "_bn"), way) for way in ways),
        Sum(f"{prefix}_add", (f"{prefix}_0_bn" if projected else source, f"{prefix}_3_bn")),
        Activation(f"{prefix}_out", (f"{prefix}_add",), "relu"),
    ]


def _norm(name: str, convolution: Conv) -> BatchNorm:
    return BatchNorm(name, (convolution.name,), convolution.channels, EPSILON)
