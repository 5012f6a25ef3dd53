"""Folders as people have them: masks beside photos, copies, links, pipes and folders of no use."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomoad.cli import main
from fomoad.data.image_folder import list_images
from fomoad.data.label_names import LabelNames


def _noise(path: Path, seed: int, size: tuple[int, int] = (40, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_masks_beside_their_photos_are_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The layout of the original magnetic-tile data set: x.jpg is the photo, x.png its mask, empty for good parts."""
    source, data = tmp_path / "tiles", tmp_path / "data"
    for number in range(5):
        for folder in ("MT_Free", "MT_Crack"):
            photo = _noise(source / folder / "Imgs" / f"exp{number}.jpg", number + 100 * (folder == "MT_Crack"))
            mask = np.zeros((40, 40), np.uint8)
            mask[10:20, 5:8] = 255 * (folder == "MT_Crack")
            mask[0, :20] = np.arange(20)  # smooth edges give a mask many values
            Image.fromarray(mask).save(photo.with_suffix(".png"))
    arguments = ["import", str(source), "--data-directory", str(data), "--normal-label", "MT_Free", "--size", "40"]
    assert main(arguments) == 0
    assert "Taking 10 files for masks of the photos beside them" in capsys.readouterr().out
    assert np.load(data / "X_split_train.npy").shape[0] == 4
    labels = np.load(data / "Y_split_test.npy")[:, 0]
    masks = np.load(data / "masks_split_test.npy")
    assert labels.tolist() == [2, 1, 1, 1, 1, 1]
    assert masks[0].max() == 0
    assert all((mask[10:20, 5:8] == 255).all() and (mask > 0).sum() == 30 for mask in masks[1:])


def test_a_photo_that_was_saved_twice_is_two_photos(tmp_path: Path) -> None:
    for number in range(3):
        _noise(tmp_path / "good" / f"{number}.jpg", number)
        _noise(tmp_path / "good" / f"{number}.png", number + 50)
    assert len(list_images(tmp_path, 0.2, LabelNames()).train) == 6


def test_folders_without_use_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "bottle"
    for number, folder in enumerate(("train/good", "test/good", "val/good", "val/good")):
        _noise(source / folder / f"{number}.png", number)
    assert main(["import", str(source), "--data-directory", str(tmp_path / "data"), "--size", "32"]) == 0
    said = capsys.readouterr().out
    assert "Warning: 2 images are not used" in said
    assert "val/good/2.png" in said


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    _noise(tmp_path / "elsewhere" / "a.png", 1)
    source = tmp_path / "bottle"
    (source / "train").mkdir(parents=True)
    (source / "train" / "good").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "elsewhere")
    assert [entry.path.name for entry in list_images(source, 0.2, LabelNames()).train] == ["a.png"]


def test_a_pipe_with_an_images_name_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "good"
    _noise(source / "a.png", 1)
    (source / "folder.png").mkdir()
    _noise(source / "folder.png" / "b.png", 2)
    os.mkfifo(source / "pipe.png")
    arguments = ["import", str(tmp_path), "--data-directory", str(tmp_path / "data"), "--size", "32"]
    assert main(arguments) == 1
    assert "pipe.png is no file but a pipe" in capsys.readouterr().err
    assert main([*arguments, "--skip-broken"]) == 0
    assert np.load(tmp_path / "data" / "X_split_train.npy").shape[0] == 2


def test_sizes_and_pixels_are_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _noise(tmp_path / "good" / "a.png", 1, (100, 100))
    arguments = ["import", str(tmp_path), "--data-directory", str(tmp_path / "data")]
    assert main([*arguments, "--size", "10000000"]) == 1
    assert "no side may be above 4096" in capsys.readouterr().err
    assert main([*arguments, "--size", "32", "--max-pixels", "9999"]) == 1
    assert "has 100 x 100 pixels: at most 9,999 are taken" in capsys.readouterr().err
