"""Layers of Keras Applications models, described: names, shapes and order are Keras' own. Nothing here loads anything.

A description says which arrays a weights file holds, and `fomoad.backbones.fold` makes a network of it and of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar


@dataclass(frozen=True)
class Layer:
    """A layer's name, and the layers that it reads. One that reads none reads the images."""

    name: str
    inputs: tuple[str, ...]

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The shapes of its arrays by their names, in the order in which Keras stores them."""
        return {}


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution with a kernel (height, width, inputs, outputs), or (height, width, inputs, 1) if `depthwise`.

    `around` is how many zeros lie around its input on every side, or None where they are those of SAME padding.
    """

    kernel: tuple[int, int, int, int]
    stride: int = 1
    around: int | None = None
    depthwise: bool = False
    bias: bool = False

    @property
    def channels(self) -> int:
        """How many channels it puts out."""
        return self.kernel[2] if self.depthwise else self.kernel[3]

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Its kernel, and its bias where it has one."""
        shapes: dict[str, tuple[int, ...]] = {"kernel": self.kernel}
        return shapes | {"bias": (self.channels,)} if self.bias else shapes


@dataclass(frozen=True)
class BatchNorm(Layer):
    """The batch normalisation that follows a convolution."""

    channels: int
    epsilon: float

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """What the channels are multiplied by and added to, and their mean and variance in the training."""
        return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (self.channels,))


@dataclass(frozen=True)
class Activation(Layer):
    """An activation, relu or relu6, of the layer before it."""

    function: str


@dataclass(frozen=True)
class Sum(Layer):
    """The sum of its two inputs."""


@dataclass(frozen=True)
class MaxPool(Layer):
    """The highest value under a window of `size` x `size`, with `around` zeros around its input on every side."""

    size: int
    stride: int
    around: int


class _Reader(Protocol):
    @property
    def inputs(self) -> tuple[str, ...]: ...


R = TypeVar("R", bound=_Reader)


def needed(readers: Mapping[str, R], outputs: tuple[str, ...]) -> list[R]:
    """The layers or nodes that the outputs depend on, in order. Raises ValueError for an output that is none of them.

    >>> needed({"a": Sum("a", ()), "b": Sum("b", ("a",)), "c": Sum("c", ("a",))}, ("c",))
    [Sum(name='a', inputs=()), Sum(name='c', inputs=('a',))]
    """
    for name in outputs:
        if name not in readers:
            raise ValueError(f"the model has no layer {name!r} whose output could be taken")
    names = set(outputs)
    for name, reader in reversed(list(readers.items())):
        if name in names:
            names.update(reader.inputs)
    return [reader for name, reader in readers.items() if name in names]
