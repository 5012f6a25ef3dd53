"""Cutting photos and joining maps, against loops that follow the definition."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fomoad.cli import main
from fomoad.data import import_images
from fomoad.data.dataset import open_split
from fomoad.data.image_file import place
from fomoad.data.info_file import read_info
from fomoad.data.tiles import Tiling, parse_tiles
from fomoad.errors import UserError
from fomoad.geometry import Axis, CellGeometry

SIDES = st.sampled_from([32, 48, 64, 96])


@st.composite
def tilings(draw):
    height, width = draw(SIDES), draw(SIDES)
    counts = st.integers(1, 4)
    return Tiling.of(draw(counts), draw(counts), draw(st.floats(0, 0.75)), (height, width)), height, width


@given(tilings())
def test_tiles_are_the_windows_of_the_photo_and_give_it_again(cut) -> None:
    tiling, height, width = cut
    shape = tiling.photo_shape(height, width)
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    tiles = np.stack(list(tiling.cut(photo, height, width)))
    assert len(tiles) == tiling.rows * tiling.columns
    for number, tile in enumerate(tiles):
        row, column = divmod(number, tiling.columns)
        for y, x in ((0, 0), (height - 1, width - 1), (height // 2, 3)):
            assert (tile[y, x] == photo[row * tiling.down + y, column * tiling.across + x]).all()
    np.testing.assert_array_equal(tiling.put_together(tiles), photo)
    assert tiling.photo_shape(height, width) == (photo.shape[0], photo.shape[1])


@given(tilings(), st.sampled_from([8, 16]), st.floats(0, 20))
def test_maps_are_joined_where_their_cells_lie(cut, stride: int, origin: float) -> None:
    """By loops: the joined map's cell holds the highest score of all tiles' cells with the same middle in the photo."""
    tiling, height, width = cut
    rows, columns = height // stride - (stride == 16), width // stride - (stride == 16)
    if not rows or not columns:
        return
    cells = CellGeometry(Axis(rows, origin, stride, stride), Axis(columns, origin, stride, stride))
    maps = np.random.default_rng(1).random((tiling.count, rows, columns)).astype(np.float32)
    joined = tiling.cells(cells)
    expected: dict[tuple[float, float], float] = {}
    for number in range(tiling.count):
        for row in range(rows):
            for column in range(columns):
                at = (
                    round(number // tiling.columns * tiling.down + origin + row * stride, 3),
                    round(number % tiling.columns * tiling.across + origin + column * stride, 3),
                )
                expected[at] = max(expected.get(at, 0.0), float(maps[number, row, column]))
    found = {
        (round(origin + row * stride, 3), round(origin + column * stride, 3)): float(score)
        for (row, column), score in np.ndenumerate(tiling.join(maps, joined))
    }
    assert found == expected
    assert joined.shape == tiling.join(maps, cells).shape
    assert tiling.join(maps, joined).max() == maps.max()


def test_tiles_overlap_at_least_by_the_share() -> None:
    for side in (48, 96, 160, 224):
        for overlap in (0.0, 0.1, 0.25, 0.5, 0.75):
            step = Tiling.of(2, 2, overlap, (side, side)).down
            assert step % 16 == 0
            assert step == 16 or side - step >= max(overlap * side, 16)
            assert side - step < max(overlap * side, 16) + 16


def test_what_cannot_be_cut_is_refused() -> None:
    for arguments in ((0, 1, 0.2, (96, 96)), (2, 33, 0.2, (96, 96)), (2, 2, 0.9, (96, 96)), (2, 2, 0.2, (90, 96))):
        with pytest.raises(UserError):
            Tiling.of(*arguments)
    for text in ("3", "a,b", "2x3", ""):
        with pytest.raises(UserError):
            parse_tiles(text)
    for content in ({"rows": 2}, {"rows": 2, "columns": 2, "down": 8, "across": 16}):
        with pytest.raises((KeyError, ValueError)):
            Tiling.read(content)
    uneven = CellGeometry(Axis(5, 9.6, 19.2, 19.2), Axis(5, 9.6, 19.2, 19.2))
    with pytest.raises(UserError, match="do not join"):
        Tiling(2, 2, 64, 64).cells(uneven)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(2)
    for name in ("train/good/a", "train/good/b", "test/good/c", "test/scratch/d"):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (150, 200, 3), dtype=np.uint8)).save(path)
    mask = np.zeros((150, 200), np.uint8)
    mask[100:140, 120:190] = 255
    path = tmp_path / "photos" / "ground_truth/scratch/d_mask.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(mask).save(path)
    return tmp_path / "photos"


def test_an_import_keeps_tiles_with_their_photo(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = ["--data-directory", str(data), "--size", "48x32", "--tiles", "2,3", "--image-input-scaling", "0..1"]
    assert main(["import", str(folder), *arguments]) == 0
    info = read_info(None, data)
    assert info.tiling == Tiling(2, 3, 16, 32)
    train, test = (open_split(data, name, "0..1", info) for name in ("train", "test"))
    assert train.ids == ["1"] * 6 + ["2"] * 6
    assert train.images is not None
    assert train.images.shape == (32, 48, 3)
    photo = Image.open(folder / "train/good/a.png")
    whole = np.asarray(place(photo.size, (48 + 2 * 32, 32 + 16), "squash").apply(photo, Image.Resampling.BILINEAR))
    tiles = train.images.rows(slice(0, 6)) * 255
    for number in range(6):
        top, left = number // 3 * 16, number % 3 * 32
        np.testing.assert_allclose(tiles[number], whole[top : top + 32, left : left + 48], atol=1e-3)
    photos = test.photos()
    assert (len(photos), photos.ids, photos.labels) == (2, ["3", "4"], ["no anomaly", "scratch"])
    assert photos.file_names == ["test/good/c.png", "test/scratch/d.png"]
    assert photos.photo_sizes == ["200x150"] * 2
    assert photos.masks is not None
    mask = photos.masks.rows(slice(None))
    original = np.asarray(Image.open(folder / "ground_truth/scratch/d_mask.png").resize((112, 48), 0))
    assert not mask[0].any()
    np.testing.assert_array_equal(mask[1], original)


def test_data_that_do_not_fit_their_tiles_are_refused(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    import_images.run(folder, data, (32, 32), scaling="0..1", tiles=(2, 2))
    info = json.loads((data / "train_input.json").read_text())
    for tiles in (
        {"rows": 3, "columns": 5, "down": 16, "across": 16},
        {"rows": 2, "columns": 2, "down": 48, "across": 16},
    ):
        (data / "train_input.json").write_text(json.dumps(info | {"imageTiles": tiles}))
        with pytest.raises(UserError, match="cannot be such"):
            open_split(data, "train", "0..1", read_info(None, data))
    (data / "train_input.json").write_text(json.dumps(info | {"imageTiles": "2,2"}))
    with pytest.raises(UserError, match="imageTiles"):
        read_info(None, data)
    with pytest.raises(UserError, match="fewer tiles"):
        import_images.run(folder, data, (1024, 1024), tiles=(32, 32))
