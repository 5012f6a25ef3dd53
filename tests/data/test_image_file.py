"""Image files of every kind that cameras and editors write, against the pixels that went in."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomoad.data.image_file import pixels, place, read_image, read_mask, shrunk_mask
from fomoad.errors import UserError


@pytest.fixture
def rgb() -> np.ndarray:
    """Four flat quarters, so that lossy formats keep their middles: red, green / blue, grey."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24], image[:16, 24:] = (200, 30, 20), (20, 180, 40)
    image[16:, :24], image[16:, 24:] = (30, 40, 220), (120, 120, 120)
    return image


def _quarters(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return np.array(
        [[image[height // 4 + r * height // 2, width // 4 + c * width // 2] for c in (0, 1)] for r in (0, 1)]
    )


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("bmp", 0), ("tif", 0), ("webp", 12), ("jpg", 8)])
def test_plain_formats(tmp_path: Path, rgb: np.ndarray, suffix: str, tolerance: int) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(rgb).save(path)
    np.testing.assert_allclose(_quarters(pixels(read_image(path, 3))), _quarters(rgb), atol=tolerance)
    luma = (_quarters(rgb) @ [0.299, 0.587, 0.114])[..., None]
    np.testing.assert_allclose(_quarters(pixels(read_image(path, 1))), luma, atol=tolerance + 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, rgb: np.ndarray, orientation: int) -> None:
    """The stored pixels are turned so that the tag turns them back; the turns are those of the EXIF standard."""
    stored = {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb),
        7: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(rgb, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    np.testing.assert_array_equal(pixels(read_image(path, 3)), rgb)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    expected = np.repeat(values[..., None] / 257.0, channels, axis=2)
    np.testing.assert_allclose(pixels(read_image(path, channels)), expected, atol=0.51)


def test_palette_and_one_bit(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).quantize(8).save(tmp_path / "palette.png")
    np.testing.assert_allclose(pixels(read_image(tmp_path / "palette.png", 3)), rgb, atol=2)
    Image.fromarray(rgb).quantize(8).save(tmp_path / "palette.gif")
    np.testing.assert_allclose(pixels(read_image(tmp_path / "palette.gif", 3)), rgb, atol=2)
    bits = np.arange(64).reshape(8, 8) % 3 == 0
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(pixels(read_image(tmp_path / "bits.png", 1))[..., 0], np.where(bits, 255, 0))


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_cmyk(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"print.{suffix}"
    Image.fromarray(rgb).convert("CMYK").save(path, quality=95)
    np.testing.assert_allclose(_quarters(pixels(read_image(path, 3))), _quarters(rgb), atol=8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_show_white(tmp_path: Path, rgb: np.ndarray, mode: str) -> None:
    """Opacities 1, a half and 0, whatever colour lies under them."""
    alpha = np.repeat([[255, 128, 0]], 32, axis=0).repeat(16, axis=1).astype(np.uint8)
    image = Image.fromarray(rgb).convert("L" if mode == "LA" else "RGB")
    opaque = pixels(image.convert("RGB")).astype(float)
    image.putalpha(Image.fromarray(alpha))
    image.convert(mode).save(tmp_path / "clear.tif" if mode == "PA" else tmp_path / "clear.png")
    share = alpha[..., None] / 255
    loaded = pixels(read_image(next(tmp_path.iterdir()), 3))
    tolerance = 60 if mode == "PA" else 1  # a palette of few colours
    np.testing.assert_allclose(loaded, share * opaque + (1 - share) * 255, atol=tolerance)


def test_a_transparent_colour_shows_white(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "key.png", transparency=(200, 30, 20))
    quarters = _quarters(pixels(read_image(tmp_path / "key.png", 3)))
    assert quarters[0, 0].tolist() == [255, 255, 255]
    assert quarters[1, 1].tolist() == [120, 120, 120]


def test_files_that_are_no_images(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb.repeat(20, axis=0)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name in ("cut.png", "text.png", "empty.jpg"):
        with pytest.raises(UserError, match=f"{name} cannot be read"):
            read_image(tmp_path / name, 3)
    with pytest.raises(UserError, match=r"float\.tif has values of more than 16 bits"):
        read_image(tmp_path / "float.tif", 3)
    with pytest.raises(UserError, match="There is no image"):
        read_image(tmp_path / "none.png", 3)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 65535), (0, 200, 255)])
def test_masks_of_any_convention(tmp_path: Path, values: tuple[int, ...]) -> None:
    array = np.zeros((4, 6), np.uint16 if max(values) > 255 else np.uint8)
    for row, value in enumerate(values[1:]):
        array[row + 1, 2:4] = value
    Image.fromarray(array).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(np.asarray(read_mask(tmp_path / "mask.png")), np.where(array > 0, 255, 0))


def _point(size: tuple[int, int], x: int, y: int) -> Image.Image:
    """A black image (width, height) with a white 8 x 8 square at (x, y)."""
    array = np.zeros((size[1], size[0]), np.uint8)
    array[y : y + 8, x : x + 8] = 255
    return Image.fromarray(array)


@pytest.mark.parametrize("resize", ["squash", "fit-short", "fit-long", "crop"])
@pytest.mark.parametrize("size", [(64, 64), (64, 48)])
@pytest.mark.parametrize("image_size", [(160, 96), (96, 160), (101, 97)])
def test_a_spot_goes_where_the_box_comes_from(resize: str, size: tuple[int, int], image_size: tuple[int, int]) -> None:
    """Forward by Pillow, backward by to_image: the spot found in the small image leads back to the large one."""
    x, y = image_size[0] // 2 - 14, image_size[1] // 2 + 4
    geometry = place(image_size, size, resize)
    small = np.asarray(geometry.apply(_point(image_size, x, y), Image.Resampling.BILINEAR)).astype(float)
    assert small.shape == size[::-1]
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    column, row = float((columns * small).sum() / small.sum()), float((rows * small).sum() / small.sum())
    left, top, right, bottom = geometry.to_image((column, row, column, row))
    assert (left, top) == (right, bottom)
    assert (left, top) == pytest.approx((x + 4, y + 4), abs=0.3)


def test_what_each_way_keeps() -> None:
    wide = Image.fromarray(np.tile(np.linspace(50, 250, 200).astype(np.uint8), (100, 1)))
    kept = {
        mode: np.asarray(place((200, 100), (50, 50), mode).apply(wide, Image.Resampling.BILINEAR))
        for mode in ("squash", "fit-short", "fit-long", "crop")
    }
    assert (kept["squash"][25, 0], kept["squash"][25, -1]) == pytest.approx((52, 248), abs=2)
    assert (kept["fit-short"][25, 0], kept["fit-short"][25, -1]) == pytest.approx((101, 199), abs=2)
    assert (kept["crop"][25, 0], kept["crop"][25, -1]) == pytest.approx((125, 174), abs=2)
    assert kept["fit-long"][[0, 11, 38, 49]].max() == 0
    assert kept["fit-long"][12:37].min() >= 50


def test_the_padding_lies_in_no_box() -> None:
    geometry = place((200, 100), (50, 50), "fit-long")
    assert geometry.to_image((0, 0, 50, 50)) == (0, 0, 200, 100)
    assert geometry.to_image((10, 0, 20, 25)) == pytest.approx((40, 0, 80, 50), abs=2)


def test_too_small_to_crop() -> None:
    with pytest.raises(UserError, match="40 x 90 pixels is too small"):
        place((40, 90), (64, 64), "crop")


def test_a_hairline_survives_the_shrinking_of_its_mask() -> None:
    mask = np.zeros((640, 640), np.uint8)
    mask[300, 100:500] = 255
    geometry = place((640, 640), (32, 32), "squash")
    shrunk = shrunk_mask(Image.fromarray(mask), geometry)
    assert shrunk[15].any()
    assert set(np.unique(shrunk)) == {0, 255}
    plain = np.zeros((64, 64), np.uint8)
    plain[10:30, 20:50] = 255
    expected = plain[1::2, 1::2]
    np.testing.assert_array_equal(shrunk_mask(Image.fromarray(plain), place((64, 64), (32, 32), "squash")), expected)
