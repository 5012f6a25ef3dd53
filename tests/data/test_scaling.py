"""The six scalings against Keras' own preprocessing and against the contract's ranges."""

import numpy as np
import pytest

from fomoad.data.scaling import CHANNEL_COUNTS, SCALINGS, affine, from_pixels, int8_range, to_pixels, valid_range
from fomoad.errors import UserError


@pytest.fixture
def pixels() -> np.ndarray:
    images = np.random.default_rng(3).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    return images


@pytest.mark.parametrize(
    ("scaling", "keras_mode"), [("-1..1", "tf"), ("torch", "torch"), ("bgr-subtract-imagenet-mean", "caffe")]
)
def test_same_as_keras(pixels: np.ndarray, scaling: str, keras_mode: str) -> None:
    from keras.src.applications.imagenet_utils import preprocess_input

    expected = preprocess_input(pixels.astype(np.float64), data_format="channels_last", mode=keras_mode)
    scaled = from_pixels(pixels, scaling)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, atol=3e-5)


@pytest.mark.parametrize(
    ("scaling", "low", "high"),
    [("0..1", 0, 1), ("-1..1", -1, 1), ("-128..127", -128, 127), ("0..255", 0, 255)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_named_ranges(scaling: str, low: float, high: float, channels: int) -> None:
    black_and_white = np.array([[0] * channels, [255] * channels], dtype=np.uint8)
    np.testing.assert_allclose(from_pixels(black_and_white, scaling), [[low] * channels, [high] * channels])
    assert valid_range(scaling, channels) == pytest.approx((low, high))


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_inverse_and_range(pixels: np.ndarray, scaling: str, channels: int) -> None:
    images = pixels[..., :channels]
    scaled = from_pixels(images, scaling)
    np.testing.assert_allclose(to_pixels(scaled, scaling), images, atol=1e-4)
    low, high = valid_range(scaling, channels)
    assert low <= scaled.min()
    assert scaled.max() <= high
    assert low == pytest.approx(from_pixels(np.zeros((1, channels)), scaling).min())
    assert high == pytest.approx(from_pixels(np.full((1, channels), 255.0), scaling).max())


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_affine_says_what_from_pixels_does(pixels: np.ndarray, scaling: str, channels: int) -> None:
    images = pixels[..., :channels]
    constants = affine(scaling, channels)
    ordered = images[..., ::-1] if constants.reversed_channels else images
    expected = ordered * constants.scale.astype(np.float64) + constants.offset
    np.testing.assert_allclose(from_pixels(images, scaling), expected, atol=2e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("channels", CHANNEL_COUNTS)
def test_every_pixel_value_is_one_code_by_either_rounding(scaling: str, channels: int) -> None:
    """NumPy rounds halves to even, C away from zero; no value lies between, nor farther out than its code."""
    low, high = int8_range(scaling, channels)
    step = np.float32((high - low) / 255)
    zero = round(-128 - low / step)
    steps = from_pixels(np.arange(256)[:, None].repeat(channels, axis=1), scaling) / step
    half_even = np.rint(steps).astype(int) + zero
    away_from_zero = (np.sign(steps) * np.floor(np.abs(steps) + 0.5)).astype(int) + zero
    np.testing.assert_array_equal(half_even, away_from_zero)
    assert np.abs(steps - np.floor(steps) - 0.5).min() > 5e-5
    assert half_even.min() >= -129
    assert half_even.max() <= 128
    assert high - low >= 0.99 * np.subtract(*valid_range(scaling, channels)[::-1])


def test_the_default_s_codes_are_the_pixels_less_128() -> None:
    assert int8_range("0..1", 3) == (0, 1)
    assert int8_range("-1..1", 3) == pytest.approx((-128 / 127, 1))


def test_grey_torch_uses_the_mean_constants() -> None:
    expected = (100 / 255 - 0.449) / 0.226
    assert from_pixels(np.array([[100]]), "torch")[0, 0] == pytest.approx(expected, rel=1e-5)


def test_pixels_are_left_alone() -> None:
    images = np.full((1, 2, 2, 3), 7.0, dtype=np.float32)
    from_pixels(images, "0..1")
    assert (images == 7).all()


def test_unknown_scaling_and_channels() -> None:
    with pytest.raises(UserError, match=r"'0\.\.2' is unknown: use one of 0\.\.1"):
        affine("0..2", 3)
    with pytest.raises(UserError, match="4 channels"):
        affine("0..1", 4)
