"""Data directories of every layout are read, and whatever is wrong with one is said in a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad.data import dataset, scaling
from fomoad.data.info_file import Info, read_info
from fomoad.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3)).astype(np.uint8)
IMAGES = scaling.from_pixels(PIXELS, "-1..1")
NO_INFO = Info()


def write(directory: Path, **arrays: Any) -> Path:
    """Write arrays as NAME.npy."""
    directory.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    return directory


def read_all(directory: Path, info: Info = NO_INFO, image_scaling: str = "-1..1") -> np.ndarray:
    """All training images in batches of two."""
    images = dataset.open_split(directory, "train", image_scaling, info).images
    assert images is not None
    return np.concatenate([batch for _, batch in images.batches(2)])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_images_come_back_as_float32(tmp_path: Path, dtype: str, order: str) -> None:
    """Of any float type, byte order and memory order."""
    images = IMAGES.astype(dtype)
    write(tmp_path, X_split_train=np.asarray(images, order=order))
    read = read_all(tmp_path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, images.astype(np.float32))


@pytest.mark.parametrize("image_scaling", scaling.SCALINGS)
def test_uint8_holds_plain_pixels(tmp_path: Path, image_scaling: str) -> None:
    """They are scaled as the settings say."""
    write(tmp_path, X_split_train=PIXELS)
    read = read_all(tmp_path, image_scaling=image_scaling)
    np.testing.assert_array_equal(read, scaling.from_pixels(PIXELS, image_scaling))


def test_older_layout_of_flat_rows(tmp_path: Path) -> None:
    """The shape comes from the info file, or from the rows' length for square images."""
    write(tmp_path, X_train_features=IMAGES.reshape(6, -1))
    np.testing.assert_array_equal(read_all(tmp_path, Info(input_shape=(40, 48, 3))), IMAGES)
    with pytest.raises(UserError, match="no square image"):
        read_all(tmp_path)
    write(tmp_path, X_train_features=IMAGES[:, :40, :40].reshape(6, -1))
    np.testing.assert_array_equal(read_all(tmp_path), IMAGES[:, :40, :40])
    write(tmp_path, X_train_features=IMAGES[:, :40, :40, 0].reshape(6, -1))
    np.testing.assert_array_equal(read_all(tmp_path), IMAGES[:, :40, :40, :1])


def test_empty_test_files_of_both_kinds(tmp_path: Path) -> None:
    """A shape of (0, ...), zero bytes, or no file at all."""
    write(tmp_path, X_split_train=IMAGES)
    assert dataset.open_split(tmp_path, "test", "-1..1", NO_INFO).images is None
    write(tmp_path, X_split_test=IMAGES[:0], Y_split_test=np.zeros((0, 4), np.int32))
    assert dataset.open_split(tmp_path, "test", "-1..1", NO_INFO).images is None
    (tmp_path / "X_split_test.npy").write_bytes(b"")
    (tmp_path / "Y_split_test.npy").write_bytes(b"")
    assert len(dataset.open_split(tmp_path, "test", "-1..1", NO_INFO)) == 0


FOUR_COLUMNS = np.array([[1, 11, 0, 0], [2, 12, 0, 0], [2, 12, 0, 0], [1, 14, 0, 0], [2, 15, 0, 0], [2, 16, 0, 0]])


@pytest.mark.parametrize(
    ("labels", "ids"),
    [
        (FOUR_COLUMNS.astype(np.int32), ["11", "12", "12", "14", "15", "16"]),
        (np.eye(2, dtype=np.float32)[FOUR_COLUMNS[:, 0] - 1], None),
        (["anomaly", "no anomaly", "no anomaly", "anomaly", "no anomaly", "no anomaly"], None),
        ([1, 2, 2, 1, 2, 2], None),
        ({"samples": [{"sampleId": int(s), "label": int(c)} for c, s, *_ in FOUR_COLUMNS]}, ["11", "12", "12", "14"]),
    ],
)
def test_labels_of_every_form(tmp_path: Path, labels: Any, ids: list[str] | None) -> None:
    """Four columns, one-hot rows, a JSON list, a JSON object of samples."""
    write(tmp_path, X_split_train=IMAGES, X_split_test=IMAGES)
    if isinstance(labels, np.ndarray):
        write(tmp_path, Y_split_test=labels)
    else:
        (tmp_path / "Y_split_test.npy").write_text(json.dumps(labels))
    split = dataset.open_split(tmp_path, "test", "-1..1", NO_INFO)
    expected = ["anomaly" if index == 1 else "no anomaly" for index in FOUR_COLUMNS[:, 0]]
    assert split.labels == expected
    assert split.ids[: len(ids)] == ids if ids else split.ids == ["1", "2", "3", "4", "5", "6"]


def test_info_file_ids_names_and_masks(tmp_path: Path) -> None:
    """Class names, sample ids and file names come from the files beside the arrays."""
    write(tmp_path, X_split_test=IMAGES, Y_split_test=FOUR_COLUMNS, masks_split_test=PIXELS[..., 0])
    (tmp_path / "train_input.json").write_text(json.dumps({"classes": ["scratch", "good"], "new key": [1]}))
    (tmp_path / "sample_id_details.json").write_text(json.dumps({"train": [], "validation": [7, 7, 8, 9, 10, 11]}))
    (tmp_path / "sample_file_names.json").write_text(json.dumps({"validation": [f"{i} ü.png" for i in range(6)]}))
    split = dataset.open_split(tmp_path, "test", "-1..1")
    assert split.labels[:2] == ["scratch", "good"]
    assert split.ids == ["7", "7", "8", "9", "10", "11"]
    assert split.file_names[5] == "5 ü.png"
    assert split.masks is not None
    np.testing.assert_array_equal(split.masks.rows(slice(2, 4)), PIXELS[2:4, ..., 0])


def damaged_header(header: str) -> bytes:
    """A version 1.0 npy file of the given header and no data."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not an array", "damaged or not an npy"),
        (b"\x93NUMPY", "damaged or not an npy"),
        (b"PK\x03\x04" + bytes(40), "damaged or not an npy"),
        (damaged_header("{'descr': '|O', 'fortran_order': False, 'shape': (9,)}"), "damaged or not an npy"),
        (damaged_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 40, 48, 3)}"), "damaged or not an npy"),
        (damaged_header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9,)}"), "damaged or not an npy"),
        (damaged_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, 99, 99, 3)}"), "damaged"),
        (damaged_header("{'descr': '<f4', 'fortran_order': False, 'shape': (6, 40, 48, 3)}"), "damaged or not an npy"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """No traceback, no pickle, no memory for what is not there."""
    (tmp_path / "X_split_train.npy").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_all(tmp_path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (IMAGES[..., :2], "not a list of images"),
        (IMAGES[..., 0], "not a list of images"),
        (IMAGES[0, 0, 0, 0], "no image|not a list of images"),
        (IMAGES[:, :31], "at least 32 a side"),
        (IMAGES.astype(np.int64), "int64"),
        (IMAGES.astype(np.complex64), "complex64"),
        (IMAGES[:0], "no image"),
    ],
)
def test_what_is_no_set_of_images_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    """Wrong shapes and types."""
    write(tmp_path, X_split_train=array)
    with pytest.raises(UserError, match=words):
        read_all(tmp_path)


def test_missing_directory_and_file_are_named(tmp_path: Path) -> None:
    """The sentence holds the path."""
    with pytest.raises(UserError, match="nowhere does not exist"):
        read_all(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"X_split_train\.npy cannot be read"):
        read_all(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train_input.json", "{", "not valid JSON"),
        ("train_input.json", "[" * 100_000, "not valid JSON"),
        ("train_input.json", "[1]", "not hold a JSON object"),
        ("train_input.json", '{"classes": 3}', "not a list of names"),
        ("sample_id_details.json", '{"train": [1, 2]}', "not a list of 6 entries"),
        ("Y_split_train.npy", "[1, 2]", "not a JSON list of 6 labels"),
        ("Y_split_train.npy", "[9, 1, 1, 1, 1, 1]", "label index 9"),
        ("Y_split_train.npy", "[[], 1, 1, 1, 1, 1]", "neither a name nor a number"),
    ],
)
def test_wrong_files_beside_the_images_are_named(tmp_path: Path, name: str, content: str, words: str) -> None:
    """Info file, ids and labels."""
    write(tmp_path, X_split_train=IMAGES)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=words):
        read_all(tmp_path, read_info(None, tmp_path))


def test_labels_that_do_not_fit_the_images_are_refused(tmp_path: Path) -> None:
    """Another number of rows or columns."""
    write(tmp_path, X_split_train=IMAGES, Y_split_train=FOUR_COLUMNS[:4])
    with pytest.raises(UserError, match="no labels of 6 images"):
        read_all(tmp_path)
    write(tmp_path, Y_split_train=np.ones((6, 3), np.int32))
    with pytest.raises(UserError, match="3 columns"):
        read_all(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.5])
@pytest.mark.parametrize("columns", [(), (4,)])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, bad: float, columns: tuple[int, ...]) -> None:
    labels = np.ones((6, *columns))
    labels[-1] = bad
    write(tmp_path, X_split_train=IMAGES, Y_split_train=labels)
    with pytest.raises(UserError, match="not whole numbers"):
        read_all(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_found(tmp_path: Path, bad: float) -> None:
    """The row is named."""
    images = IMAGES.copy()
    images[4, 3, 2, 1] = bad
    write(tmp_path, X_split_train=images)
    opened = dataset.open_split(tmp_path, "train", "-1..1", NO_INFO).images
    assert opened is not None
    dataset.check_values(opened, slice(0, 4), opened.rows(slice(0, 4)))
    with pytest.raises(UserError, match="in row 4"):
        dataset.check_values(opened, slice(3, 6), opened.rows(slice(3, 6)))


def test_values_of_another_scaling_are_refused_or_doubted(tmp_path: Path) -> None:
    """0..255 cannot be -1..1; 0..1 hardly is."""
    write(tmp_path, X_split_train=PIXELS.astype(np.float32))
    opened = dataset.open_split(tmp_path, "train", "-1..1", NO_INFO).images
    assert opened is not None
    with pytest.raises(UserError, match="--image-input-scaling"):
        dataset.check_values(opened, slice(0, 6), opened.rows(slice(0, 6)))
    assert dataset.scaling_doubt(opened, 0, 1) is not None
    assert dataset.scaling_doubt(opened, -1, 1) is None


def test_reading_goes_on_when_the_file_is_removed_and_stops_when_it_shrinks(tmp_path: Path) -> None:
    """A mapped file that shrinks would kill the process; here it is a sentence."""
    write(tmp_path, X_split_train=IMAGES)
    opened = dataset.open_split(tmp_path, "train", "-1..1", NO_INFO).images
    assert opened is not None
    path = tmp_path / "X_split_train.npy"
    path.rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(opened.rows(slice(0, 2)), IMAGES[:2])
    with (tmp_path / "elsewhere").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match="changed while it was read"):
        opened.rows(slice(0, 2))
