"""How pixels become the numbers that a model reads: the six image input scalings of Edge Impulse.

Every scaling is one multiplication and one addition a channel, so a graph can undo one and apply another with
the constants of `affine`. The constants of `torch` and `bgr-subtract-imagenet-mean` are ImageNet's, as in
Keras' `imagenet_utils.preprocess_input` (modes "torch" and "caffe").
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError

Scaling = Literal["0..1", "-1..1", "-128..127", "0..255", "torch", "bgr-subtract-imagenet-mean"]
SCALINGS: Final[tuple[str, ...]] = get_args(Scaling)

DEFAULT_SCALING: Final[Scaling] = "0..1"
"""Its int8 codes are a camera's bytes less 128, with nothing to round; and it is Edge Impulse's own default."""

CHANNEL_COUNTS: Final = (1, 3)
MAX_PIXEL: Final = 255.0
INT8_CODES: Final = (-128, 127)
TIE_MARGIN: Final = 1e-4
"""How far, in int8 steps, every pixel value stays from halfway between two codes: ten times what float32 loses."""

TORCH_MEAN_RGB: Final = (0.485, 0.456, 0.406)
TORCH_DEVIATION_RGB: Final = (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR: Final = (103.939, 116.779, 123.68)

_UNIFORM: Final[dict[str, tuple[float, float]]] = {
    "0..1": (1 / MAX_PIXEL, 0.0),
    "-1..1": (2 / MAX_PIXEL, -1.0),
    "-128..127": (1.0, -128.0),
    "0..255": (1.0, 0.0),
}
"""Scale and offset of the scalings that treat all channels alike."""


@dataclass(frozen=True)
class Affine:
    """value[c] = pixel[c] * scale[c] + offset[c], channels first reversed if `reversed_channels`."""

    scale: NDArray[np.float32]
    """Shape (channels,), all above 0."""
    offset: NDArray[np.float32]
    """Shape (channels,)."""
    reversed_channels: bool
    """True where the model reads blue, green, red."""


def affine(scaling: str, channels: int) -> Affine:
    """Return the constants that turn pixels 0..255 (RGB, or one grey channel) into model input.

    A grey channel takes the mean of the three channels' constants: neither original knows grey images, and
    the mean treats the channels alike.

    Raises UserError where the scaling or the number of channels is none of the known ones.
    """
    if scaling not in SCALINGS:
        raise UserError(f"The image input scaling '{scaling}' is unknown: use one of {', '.join(SCALINGS)}.")
    if channels not in CHANNEL_COUNTS:
        raise UserError(f"Images have {channels} channels: convert them to 1 (grey) or 3 (RGB).")
    if scaling in _UNIFORM:
        scale, offset = _UNIFORM[scaling]
        return _affine([scale] * channels, [offset] * channels)
    if scaling == "torch":
        means, deviations = (
            _for_channels(TORCH_MEAN_RGB, channels),
            _for_channels(TORCH_DEVIATION_RGB, channels),
        )
        return _affine(1 / (MAX_PIXEL * deviations), -means / deviations)
    return _affine([1.0] * channels, -_for_channels(CAFFE_MEAN_BGR, channels), reverse=channels == 3)


def from_pixels(pixels: NDArray[np.generic], scaling: str) -> NDArray[np.float32]:
    """Scale pixels (..., channels), 0 to 255 of any type, RGB or grey, to model input of the same shape."""
    constants = affine(scaling, pixels.shape[-1])
    values = pixels[..., ::-1] if constants.reversed_channels else pixels
    scaled = values.astype(np.float32)
    scaled *= constants.scale
    scaled += constants.offset
    return scaled


def to_pixels(values: NDArray[np.floating[Any]], scaling: str) -> NDArray[np.float32]:
    """Undo `from_pixels`: model input (..., channels) to pixels 0 to 255, not rounded or clipped."""
    constants = affine(scaling, values.shape[-1])
    pixels = (values.astype(np.float32) - constants.offset) / constants.scale
    return pixels[..., ::-1] if constants.reversed_channels else pixels


def valid_range(scaling: str, channels: int) -> tuple[float, float]:
    """Return the lowest and the highest value that any channel of an image can have under this scaling."""
    constants = affine(scaling, channels)
    black, white = constants.offset, MAX_PIXEL * constants.scale + constants.offset
    return float(black.min()), float(white.max())


def int8_range(scaling: str, channels: int) -> tuple[float, float]:
    """Return the values that the int8 codes -128 and 127 of a model's input stand for.

    Steps are as fine as the scaling's range allows with no pixel value halfway between two codes: there, C rounds away
    from zero and NumPy to the even code, so that a device would see another image than a computer.

    >>> low, high = int8_range("0..1", 3)  # the step is 1/255, the code of 0 is -128
    >>> round(255 * low), round(255 * high)
    (0, 255)
    """
    low, high = valid_range(scaling, channels)
    pixels = np.arange(256)[:, None].repeat(channels, axis=1)
    values = from_pixels(pixels, scaling).astype(np.float64)
    lowest, highest = INT8_CODES
    steps = highest - lowest
    while True:
        step = (high - low) / steps
        zero = np.floor((lowest + highest + 1) / 2 - (low + high) / (2 * step))  # of two as near, the upper
        if np.abs(values / step % 1 - 0.5).min() > TIE_MARGIN:
            return float((lowest - zero) * step), float((highest - zero) * step)
        steps -= 1


def _for_channels(constants: tuple[float, ...], channels: int) -> NDArray[np.float64]:
    """Return the constants of three channels, or their mean for one."""
    return np.asarray(constants) if channels == len(constants) else np.mean(constants, keepdims=True)


def _affine(scale: object, offset: object, reverse: bool = False) -> Affine:
    return Affine(np.asarray(scale, dtype=np.float32), np.asarray(offset, dtype=np.float32), reverse)
