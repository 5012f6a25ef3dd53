"""Made defects: they show, where the mask says and nowhere else, the same for the same seed, in every kind."""

from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest

from fomoad.data.dataset import open_split
from fomoad.data.info_file import Info
from fomoad.data.pixel_images import StoredPixels
from fomoad.data.samples import generate
from fomoad.data.scaling import from_pixels, to_pixels
from fomoad.defects import KINDS, SIZES, Defect, extent, made_set, make_defect
from fomoad.defects.kinds.poisson import blend
from fomoad.defects.make import VISIBLE
from fomoad.defects.measure import visibility
from fomoad.defects.place import part_of


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """Six good parts of the demonstration, (6, 96, 96, 3)."""
    level = generate.DIFFICULTIES["medium"]
    return np.stack([generate.photo("good", 96, level, np.random.default_rng(seed))[0] for seed in range(6)])


def _same(first: Defect, second: Defect) -> bool:
    alike = np.array_equal(first.pixels, second.pixels) and np.array_equal(first.mask, second.mask)
    return alike and (first.kind, first.size, first.contrast, first.image) == (
        second.kind,
        second.size,
        second.contrast,
        second.image,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_defect_shows_inside_its_mask_and_nowhere_else(photos: np.ndarray, kind: str, channels: int) -> None:
    images = photos[..., :channels]
    made = list(made_set(images, 6, seed=2, kinds=[kind]))
    assert len(made) >= 3
    for defect in made:
        good = images[defect.image]
        assert defect.pixels.shape == good.shape
        change = np.abs(defect.pixels.astype(int) - good).max(axis=2)
        assert defect.mask.any()
        assert change[defect.mask].min() >= 2
        # A soft edge may fade out around the mask, but within the defect's own length.
        assert extent(change > 0) <= 1.6 * defect.size + 6
        assert change[~defect.mask].mean() < 0.2 * change[defect.mask].mean()
        assert defect.contrast >= VISIBLE


@pytest.mark.parametrize("kind", ["cut_paste", "scratch", "stain", "missing", "colour"])
def test_the_size_is_that_asked_for(kind: str) -> None:
    random = np.random.default_rng(3)
    image = np.full((200, 240, 3), 128, np.uint8)
    image[:, ::9], image[::9] = 40, 220
    for size in np.linspace(*SIZES, 8):
        defect = make_defect(image, kind, float(size), 1.0, random)
        assert defect is not None
        # A pixel that the defect leaves as it was is no part of the mask: it can come out shorter.
        assert 0.5 * size * 200 <= defect.size <= size * 200 + 3


def test_a_defect_depends_on_seed_and_number_alone(photos: np.ndarray) -> None:
    whole = list(made_set(photos, 20, seed=5))
    assert len(whole) == 20
    assert all(map(_same, whole, islice(made_set(photos, 7, seed=5), 7)))
    others = list(made_set(photos, 20, seed=6))
    assert not any(map(_same, whole, others))
    assert [defect.image for defect in whole] == [number % 6 for number in range(20)]


def test_all_kinds_sizes_and_contrasts_come(photos: np.ndarray) -> None:
    made = list(made_set(photos, 64, seed=1))
    assert {defect.kind for defect in made} == set(KINDS)
    sizes = np.array([defect.size for defect in made])
    assert sizes.min() < 9
    assert sizes.max() > 16
    assert np.ptp([defect.contrast for defect in made]) > 10


def test_what_would_not_show_is_not_made() -> None:
    flat = np.full((64, 64, 3), 120, np.uint8)
    for kind in ("blur", "missing", "cut_paste", "poisson"):
        assert make_defect(flat, kind, 0.2, 0.2, np.random.default_rng(1)) is None
    [defect] = made_set(flat[None], 1, seed=1, kinds=["blur", "stain"])
    assert defect.kind == "stain"
    assert list(made_set(flat[None], 3, seed=1, kinds=["blur"])) == []


def test_another_sample_of_the_same_grain_hardly_shows() -> None:
    first, second = np.random.default_rng(4).normal(128, 30, (2, 40, 40, 1)).astype(np.float32)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    assert visibility(first, second, mask) < 0.5 * visibility(first, first - 30, mask)
    assert visibility(first, first, mask) == 0


def test_a_grey_photo_in_three_channels_gets_grey_defects(photos: np.ndarray) -> None:
    grey = photos[..., :1].repeat(3, axis=3)
    for defect in made_set(grey, 16, seed=4):
        assert np.ptp(defect.pixels, axis=2).max() == 0


def test_defects_lie_on_the_part(photos: np.ndarray) -> None:
    image = np.full((96, 96, 3), 20, np.uint8)
    image += np.arange(0, 24, 0.25, dtype=np.float64).astype(np.uint8)[:, None, None]  # light falls off
    image[30:70, 25:80] = 190
    part = part_of(image)
    expected = np.zeros_like(part)
    expected[30:70, 25:80] = True
    assert (part == expected).mean() > 0.98
    noise = np.random.default_rng(1).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    assert part_of(noise).all()
    for defect in made_set(image[None], 16, seed=3):
        assert (defect.mask & expected).any()


def test_the_extent_is_the_longest_way_across() -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        mask = random.random((9, 11)) < 0.1
        points = np.argwhere(mask)
        longest = max((np.linalg.norm(a - b) for a, b in product(points, points)), default=-1.0)
        assert extent(mask) == pytest.approx(longest + 1)


def test_blending_solves_poissons_equation() -> None:
    random = np.random.default_rng(7)
    around, source = random.uniform(0, 255, (2, 9, 8, 3)).astype(np.float32)
    inside = np.zeros((9, 8), bool)
    inside[2:7, 1:6] = random.random((5, 5)) < 0.8
    blended = blend(around, source, inside)
    np.testing.assert_array_equal(blended[~inside], around[~inside])
    for row, column in np.argwhere(inside):
        residual = np.zeros(3)
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            own = around[row, column] - around[row + down, column + right]
            other = source[row, column] - source[row + down, column + right]
            wanted = np.where(np.abs(own) > np.abs(other), own, other)
            residual += blended[row, column] - blended[row + down, column + right] - wanted
        np.testing.assert_allclose(residual, 0, atol=1e-2)


@pytest.mark.parametrize("scaling", ["0..1", "torch", "bgr-subtract-imagenet-mean"])
def test_images_of_a_data_directory_as_pixels(tmp_path: Path, scaling: str) -> None:
    generate.run(tmp_path / "data", size=40, train=4, test_normal=0, test_anomaly=0, scaling=scaling)
    images = open_split(tmp_path / "data", "train", scaling, Info()).images
    assert images is not None
    pixels = StoredPixels(images, np.array([3, 1]))
    assert len(pixels) == 2
    stored = np.load(tmp_path / "data" / "X_split_train.npy", allow_pickle=False)
    np.testing.assert_allclose(pixels[0], to_pixels(stored[3], scaling), atol=0.51)
    np.testing.assert_allclose(from_pixels(pixels[1], scaling), images.rows(slice(1, 2))[0], atol=1e-3)
    assert next(made_set(pixels, 1, seed=1)).pixels.shape == (40, 40, 3)
