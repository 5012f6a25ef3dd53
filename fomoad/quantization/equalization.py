"""Rewriting a network so that int8 rounds less of it away, while in float it computes the same.

An int8 tensor has one step for all of its channels, so a channel that varies little is rounded coarsely. Four
rewrites help: channels that are always 0 go; two convolutions with nothing in between become one, so that no tensor
in between is rounded; each channel is stretched over the whole range of its tensor, which the next convolution
undoes; and where channels went, those that matter most are computed twice, half a step apart, and averaged.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeGuard

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.backbones import graph
from fomoad.backbones.graph import NO_PADS, Convolution, Network, Node

Array = NDArray[np.float32]
Ends = Mapping[str, tuple[Array, Array]]
"""The lowest and the highest value (channels,) of each tensor's channels, by tensor name."""

RELU6_TOP: Final = 6.0
VANISHED: Final = 1e-6
"""A channel's weights below this share of the layer's largest are what weight decay left of nothing."""
MARGIN: Final = 1.0
"""How much wider than measured a channel's range is taken on either side, as a share: defects are not measured."""
MOST_STRETCH: Final = 16.0
"""A channel is stretched by no more than this: one that hardly varies on good parts may do so on others."""
HALF_STEP: Final = RELU6_TOP / graph.INT8_STEPS / 2
"""Half an int8 step of a tensor whose channels are stretched over 0 to 6."""
BATCH: Final = 20
"""Images that are measured at a time."""


def equalise(exact: Network, images: Array) -> Network:
    """Apply all rewrites, with channels as wide as on training images (N, height, width, channels).

    The network that comes out has no more multiply-accumulates than a tenth over those of `exact`.
    """
    smaller = merge_linear(drop_vanished_channels(exact))
    stretched = stretch_channels(smaller, channel_ends(smaller, images))
    before = _by_name(exact)
    freed = {node.name: _channels(before[node.name]) - _channels(node) for node in stretched.nodes}
    return repeat_channels(stretched, {name: count for name, count in freed.items() if count})


def drop_vanished_channels(exact: Network) -> Network:
    """Remove the channels that training has switched off, from a convolution and the depthwise one after it.

    Such a channel is 0 everywhere, at the padded border too, so the depthwise convolution makes a constant of it,
    which goes into the bias of the convolution after that.
    """
    nodes = _by_name(exact)
    for name in [node.name for node in exact.nodes]:
        chain = _chain(nodes, exact.outputs, name)
        if not chain:
            continue
        wide, depthwise, narrow = chain
        largest = np.abs(wide.kernel).max(axis=(0, 1, 2))
        kept = (largest >= VANISHED * largest.max()) | (wide.bias > 0)
        constant = np.clip(depthwise.bias, 0, RELU6_TOP) * ~kept
        nodes[name] = replace(wide, kernel=wide.kernel[..., kept], bias=wide.bias[kept])
        nodes[depthwise.name] = replace(
            depthwise, kernel=depthwise.kernel[:, :, kept], bias=depthwise.bias[kept]
        )  # fmt: skip
        nodes[narrow.name] = replace(
            narrow, kernel=narrow.kernel[:, :, kept], bias=_float32(narrow.bias + constant @ narrow.kernel[0, 0])
        )
    return replace(exact, nodes=tuple(nodes.values()))


def merge_linear(exact: Network) -> Network:
    """Make one convolution of a linear pointwise one and the only other that reads it, pointwise as well.

    MobileNetV2 has one such pair, at its finest resolution, where rounding costs most: a tenth more
    multiply-accumulates, and more of the features' error gone than by any other means.
    """
    nodes = _by_name(exact)
    for name in [node.name for node in exact.nodes]:
        first, second = nodes[name], _only_user(nodes, exact.outputs, name)
        if not (_is_pointwise(first) and first.activation == "linear" and first.strides == (1, 1)):
            continue
        if not _is_pointwise(second):
            continue
        before, after = first.kernel[0, 0].astype(np.float64), second.kernel[0, 0].astype(np.float64)
        nodes[second.name] = replace(
            second,
            inputs=first.inputs,
            kernel=_float32((before @ after)[None, None]),
            bias=_float32(second.bias + first.bias @ after),
        )
        del nodes[name]
    return replace(exact, nodes=tuple(nodes.values()))


def stretch_channels(exact: Network, ends: Ends) -> Network:
    """Stretch each channel behind a ReLU6 over 0 to 6, and undo that in the convolutions that read it.

    Where these are pointwise, the channel's lowest value is made 0 as well; others pad with zeros, which must
    stay what they are. The clipping to 0 and 6 then clips at the channel's own ends. Scaling alone is Nagel et al.
    2019, section 4.1; for ReLU6 see Meller et al., "Same, Same But Different", ICML 2019.
    """
    nodes = _by_name(exact)
    for name in [node.name for node in exact.nodes]:
        node, users = nodes[name], _users(nodes, name)
        if not _is_relu6(node) or name in exact.outputs or not all(isinstance(user, Convolution) for user in users):
            continue
        low, gain = _stretch(*ends[name], all(_is_pointwise(user) for user in users))
        per_channel = gain[:, None] if node.depthwise else gain
        nodes[name] = replace(node, kernel=_float32(node.kernel * per_channel), bias=_float32((node.bias - low) * gain))
        for user in users:
            assert isinstance(user, Convolution)
            bias = user.bias + low @ user.kernel[0, 0] if _is_pointwise(user) else user.bias
            kernel = user.kernel / gain[:, None]
            nodes[user.name] = replace(user, kernel=_float32(kernel), bias=_float32(bias))
    return replace(exact, nodes=tuple(nodes.values()))


def repeat_channels(exact: Network, copies: Mapping[str, int]) -> Network:
    """Compute some channels of a convolution and of the depthwise one after it twice, the copies half a step higher.

    The mean of a value rounded twice, half a step apart, has half the rounding error. `copies` says how many channels
    of a tensor are repeated, at most each once: those with the largest weights in the convolution that reads them.
    """
    nodes = _by_name(exact)
    for name, count in copies.items():
        chain = _chain(nodes, exact.outputs, name)
        if not chain:
            continue
        wide, depthwise, narrow = chain
        rows = narrow.kernel[0, 0]
        again = np.sort(np.argsort(-np.linalg.norm(rows, axis=1), kind="stable")[:count])
        lifted = depthwise.bias[again] + HALF_STEP * (1 - depthwise.kernel[:, :, again, 0].sum(axis=(0, 1)))
        halved = rows.copy()
        halved[again] /= 2
        nodes[name] = replace(
            wide,
            kernel=np.concatenate([wide.kernel, wide.kernel[..., again]], axis=3),
            bias=_float32(np.concatenate([wide.bias, wide.bias[again] + HALF_STEP])),
        )
        nodes[depthwise.name] = replace(
            depthwise,
            kernel=np.concatenate([depthwise.kernel, depthwise.kernel[:, :, again]], axis=2),
            bias=_float32(np.concatenate([depthwise.bias, lifted])),
        )
        nodes[narrow.name] = replace(
            narrow,
            kernel=np.concatenate([halved, halved[again]])[None, None],
            bias=_float32(narrow.bias - HALF_STEP * halved[again].sum(axis=0)),
        )
    return replace(exact, nodes=tuple(nodes.values()))


def channel_ends(exact: Network, images: Array) -> dict[str, tuple[Array, Array]]:
    """Measure each channel's lowest and highest value on images (N, height, width, channels)."""

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def measure(batch: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        tensors = graph.run(exact, batch, every=True)
        axes = (0, 1, 2)
        return {name: (tf.reduce_min(t, axes), tf.reduce_max(t, axes)) for name, t in tensors.items()}

    measured = [measure(tf.constant(batch)) for batch in np.array_split(images, -(-len(images) // BATCH))]
    return {
        name: (
            np.min([batch[name][0] for batch in measured], axis=0),
            np.max([batch[name][1] for batch in measured], axis=0),
        )
        for name in measured[0]
    }


def _stretch(low: Array, high: Array, shifted: bool) -> tuple[Array, Array]:
    """What is subtracted from each channel of a ReLU6 tensor, and what it is multiplied by, both (channels,)."""
    margin = MARGIN * (high - low)
    bottom = np.maximum(low - margin, 0) if shifted else np.zeros_like(low)
    top = np.minimum(high + margin, RELU6_TOP)
    gain = np.clip(RELU6_TOP / np.maximum(top - bottom, 1e-6), 1, MOST_STRETCH)
    if shifted:  # a window that is wider than asked for lies around its channel
        bottom = np.maximum((top + bottom - RELU6_TOP / gain) / 2, 0)
    return bottom, gain


def _chain(
    nodes: Mapping[str, Node], outputs: tuple[str, ...], name: str
) -> tuple[Convolution, Convolution, Convolution] | None:
    """A convolution, the depthwise one that alone reads it, and the pointwise one that alone reads that."""
    wide, depthwise = nodes.get(name), _only_user(nodes, outputs, name)
    narrow = _only_user(nodes, outputs, depthwise.name) if depthwise else None
    if wide is None or not (_is_relu6(wide) and not wide.depthwise and _is_pointwise(narrow)):
        return None
    if depthwise is None or not (depthwise.depthwise and _is_relu6(depthwise)):
        return None
    return wide, depthwise, narrow


def _channels(node: Node) -> int:
    return len(node.bias) if isinstance(node, Convolution) else 0


def _by_name(exact: Network) -> dict[str, Node]:
    return {node.name: node for node in exact.nodes}


def _users(nodes: Mapping[str, Node], name: str) -> list[Node]:
    return [node for node in nodes.values() if name in node.inputs]


def _only_user(nodes: Mapping[str, Node], outputs: tuple[str, ...], name: str) -> Convolution | None:
    """The convolution that reads a tensor which nothing else does."""
    users = _users(nodes, name)
    user = users[0] if len(users) == 1 and name not in outputs else None
    return user if isinstance(user, Convolution) else None


def _is_relu6(node: Node) -> TypeGuard[Convolution]:
    return isinstance(node, Convolution) and node.activation == "relu6"


def _is_pointwise(node: Node | None) -> TypeGuard[Convolution]:
    return (
        isinstance(node, Convolution)
        and not node.depthwise
        and node.kernel.shape[:2] == (1, 1)
        and node.pads == NO_PADS
    )


def _float32(values: NDArray[Any]) -> Array:
    return values.astype(np.float32)
