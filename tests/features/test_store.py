"""Features come the same in every pass, wherever they are kept, and leave nothing behind."""

import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad.data import dataset
from fomoad.data.info_file import Info
from fomoad.errors import UserError
from fomoad.features.store import FeatureSource, check_work_directory

IMAGES = 700


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dataset.Images:
    """More images than are read at a time."""
    folder = tmp_path_factory.mktemp("images")
    values = np.random.default_rng(0).uniform(-1, 1, (IMAGES, 96, 96, 1)).astype(np.float32)
    np.save(folder / "X_split_train.npy", values)
    opened = dataset.open_split(folder, "train", "-1..1", Info()).images
    assert opened is not None
    return opened


class Corners:
    """An extraction that counts the images it was given: the top left 2 x 2 pixels as a grid of one feature each."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: Any) -> Any:
        self.seen += len(images)
        return np.ascontiguousarray(images[:, :2, :2])


def read_twice(source: FeatureSource, images: dataset.Images) -> None:
    """Hold two passes to the images themselves."""
    expected = images.rows(slice(None))[:, :2, :2]
    for _ in range(2):
        batches = list(source.batches("Reading"))
        assert len(batches) > 1
        assert [rows.start for rows, _ in batches] == [0] + [rows.stop for rows, _ in batches[:-1]]
        np.testing.assert_array_equal(np.concatenate([features for _, features in batches]), expected)


def test_few_features_are_kept_in_memory(images: dataset.Images) -> None:
    """Each image is computed once, and no file is asked for."""
    corners = Corners()
    read_twice(FeatureSource(images, corners, 2**20, Path("/nowhere")), images)
    assert corners.seen == IMAGES


def test_many_features_are_kept_in_a_file_without_a_name(images: dataset.Images, tmp_path: Path) -> None:
    """Each image is computed once, and the work directory stays empty."""
    corners = Corners()
    source = FeatureSource(images, corners, 0, tmp_path)
    for _ in source.batches("Extracting"):
        assert list(tmp_path.iterdir()) == []
    read_twice(source, images)
    assert corners.seen == IMAGES
    assert list(tmp_path.iterdir()) == []


def test_a_pass_that_was_broken_off_is_begun_anew(images: dataset.Images, tmp_path: Path) -> None:
    """What a broken pass has stored is not taken for all."""
    source = FeatureSource(images, Corners(), 0, tmp_path)
    next(source.batches("Extracting"))
    read_twice(source, images)


def test_without_room_features_are_computed_again(
    images: dataset.Images, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where a file may not grow as large as all features, one line says so, once, and nothing else changes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (IMAGES * 12, hard))
    try:
        corners = Corners()
        read_twice(FeatureSource(images, corners, 0, tmp_path), images)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert corners.seen == 2 * IMAGES
    assert capfd.readouterr().out.count("There is no room") == 1


def test_memory_that_looks_like_a_disk_is_not_used(images: dataset.Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files on a tmpfs would take the memory that storing features is to save."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("there is no tmpfs at /dev/shm")
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    corners = Corners()
    read_twice(FeatureSource(images, corners, 0), images)
    assert corners.seen == 2 * IMAGES


def test_a_work_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """Before the training begins, in one sentence."""
    check_work_directory(tmp_path)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UserError, match=r"^The work directory"):
            check_work_directory(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda features: features * np.float32(1e30), "as large as"),
        (lambda features: features * np.float32("nan"), "no finite numbers"),
        (lambda features: features - np.float32("inf"), "no finite numbers"),
        (lambda features: features * 0 + 3, "the same for all images and positions"),
    ],
)
def test_features_that_nothing_can_be_fitted_to_are_refused(images: dataset.Images, change: Any, message: str) -> None:
    """As damaged or partly random weights give them."""
    source = FeatureSource(images, lambda batch: change(Corners()(batch)), 2**20, Path("/nowhere"))
    with pytest.raises(UserError, match=message):
        list(source.batches("Reading"))
