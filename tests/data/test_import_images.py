"""Folders of every layout to data directories, read back with numpy."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomoad.cli import main
from fomoad.data import import_images
from fomoad.data.dataset import open_split
from fomoad.data.image_folder import list_images
from fomoad.data.info_file import read_info
from fomoad.data.label_file import read_labels
from fomoad.data.label_names import LabelNames, anomalous_flags, kept_label_names
from fomoad.errors import UserError


def _save(path: Path, seed: int, size: tuple[int, int] = (40, 36)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(image).save(path)
    return image


def _save_mask(path: Path, size: tuple[int, int] = (40, 36)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[9:18, 10:30] = 255
    Image.fromarray(mask).save(path)


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    folder = tmp_path / "bottle"
    for index in range(5):
        _save(folder / "train" / "good" / f"{index:03d}.png", index)
    for index in range(2):
        _save(folder / "test" / "good" / f"{index:03d}.png", 10 + index)
        _save(folder / "test" / "broken" / f"{index:03d}.png", 20 + index)
        _save_mask(folder / "ground_truth" / "broken" / f"{index:03d}_mask.png")
    _save(folder / "test" / "stained" / "000.png", 30)
    _save_mask(folder / "ground_truth" / "stained" / "000_mask.png")
    (folder / "readme.txt").write_text("x")
    (folder / "train" / "good" / ".DS_Store").write_text("x")
    (folder / "train" / "good" / "._000.png").write_text("x")
    return folder


def _names(directory: Path, split: str) -> list[str]:
    return json.loads((directory / "sample_file_names.json").read_text())[split]


def _array(directory: Path, name: str) -> np.ndarray:
    return np.load(directory / f"{name}.npy", allow_pickle=False)


def test_mvtec_layout_by_the_command(mvtec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    assert (
        main(["import", str(mvtec), "--data-directory", str(data), "--size", "40x36", "--image-input-scaling", "0..1"])
        == 0
    )
    train = _array(data, "X_split_train")
    assert train.shape == (5, 36, 40, 3)
    for index in range(5):
        original = np.asarray(Image.open(mvtec / "train" / "good" / f"{index:03d}.png"))
        np.testing.assert_allclose(train[index] * 255, original, atol=1e-3)
    assert _names(data, "train") == [f"train/good/{index:03d}.png" for index in range(5)]
    names = _names(data, "validation")
    assert sorted(names) == [
        "test/broken/000.png",
        "test/broken/001.png",
        "test/good/000.png",
        "test/good/001.png",
        "test/stained/000.png",
    ]
    labels = _array(data, "Y_split_test")[:, 0]
    assert [label == 2 for label in labels] == ["good" in name for name in names]
    for mask, name in zip(_array(data, "masks_split_test"), names, strict=True):
        assert int((mask == 255).sum()) == (0 if "good" in name else 9 * 20)
    output = capsys.readouterr().out
    assert "5 images for training and 5 for testing, 3 of them anomalous" in output
    assert "readme.txt" in output
    assert ".DS_Store" not in output


@pytest.mark.parametrize("channels", [1, 3])
def test_photos_of_the_sample_data_come_back(tmp_path: Path, channels: int) -> None:
    """Written as PNG files in the layout of MVTec AD and imported, they are the data set that they came from."""
    command = (
        f"sample-data {tmp_path / 'a'} --size 40 --train 3 --test-normal 2 --test-anomaly 10 --channels {channels}"
    )
    assert main([*command.split(), "--photos", str(tmp_path / "photos")]) == 0
    import_images.run(tmp_path / "photos", tmp_path / "b", (40, 40), channels=channels)
    written, imported = tmp_path / "a", tmp_path / "b"
    np.testing.assert_array_equal(_array(written, "X_split_train"), _array(imported, "X_split_train"))
    rows = [
        _names(imported, "validation").index(f"test/{_kind(name)}/{name}") for name in _names(written, "validation")
    ]
    assert sorted(rows) == list(range(12))
    for name in ("X_split_test", "masks_split_test"):
        np.testing.assert_array_equal(_array(written, name), _array(imported, name)[rows])
    assert _array(written, "Y_split_test")[:, 0].tolist() == _array(imported, "Y_split_test")[rows, 0].tolist()


def _kind(name: str) -> str:
    return name.rpartition("_")[0]


def test_masks_follow_their_images(tmp_path: Path) -> None:
    """A white square on black with a mask of itself: after every way of resizing they still lie together."""
    folder = tmp_path / "folder"
    _save(folder / "good" / "a.png", 1, (160, 90))
    _save(folder / "good" / "b.png", 2, (160, 90))
    square = np.zeros((90, 160, 3), np.uint8)
    square[30:60, 70:110] = 255
    for path in ("defect/x.png", "masks/defect/x.png"):
        (folder / path).parent.mkdir(parents=True)
        Image.fromarray(square).save(folder / path)
    for resize in ("squash", "fit-short", "fit-long", "crop"):
        import_images.run(folder, tmp_path / resize, (64, 64), resize, scaling="0..1", test_share=0)
        assert read_info(None, tmp_path / resize).resize == resize
        with pytest.raises(UserError, match=r"scaled 0\.\.1, not -1\.\.1: give --image-input-scaling=0\.\.1"):
            open_split(tmp_path / resize, "train", "-1..1", read_info(None, tmp_path / resize))
        image = _array(tmp_path / resize, "X_split_test")[0, ..., 0]
        mask = _array(tmp_path / resize, "masks_split_test")[0] == 255
        assert mask.any()
        assert (image[mask] >= 0.3).all()
        assert (image[~mask] <= 0.7).all()


def test_good_and_defect_folders(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    for index in range(10):
        _save(folder / "Normal" / "day 1" / f"{index}.jpg", index)
    _save(folder / "anomaly" / "a.jpg", 50)
    _save(folder / "dented" / "b.jpg", 51)
    written = import_images.run(folder, tmp_path / "data", (32, 32), channels=1)
    assert (written.train, written.test, written.masks) == (8, 4, False)
    assert _array(tmp_path / "data", "X_split_train").shape == (8, 32, 32, 1)
    assert _array(tmp_path / "data", "Y_split_test")[:, 0].tolist() == [3, 3, 1, 2]
    assert read_info(None, tmp_path / "data").classes == ("anomaly", "dented", "no anomaly")
    names = kept_label_names(tmp_path / "data")
    labels, _ = read_labels(tmp_path / "data", "test", 4, read_info(None, tmp_path / "data"))
    assert labels == ["no anomaly", "no anomaly", "anomaly", "dented"]
    assert anomalous_flags(labels, names) == [False, False, True, True]
    assert _names(tmp_path / "data", "validation") == [
        "Normal/day 1/4.jpg",
        "Normal/day 1/9.jpg",
        "anomaly/a.jpg",
        "dented/b.jpg",
    ]


@pytest.mark.parametrize("inner", ["", "good/", "ok/"])
def test_good_images_alone_all_train(tmp_path: Path, inner: str) -> None:
    for index in range(3):
        _save(tmp_path / "folder" / f"{inner}{index}.png", index)
    written = import_images.run(tmp_path / "folder", tmp_path / "data", (32, 32))
    assert (written.train, written.test) == (3, 0)


def test_given_name_of_good_parts(tmp_path: Path) -> None:
    _save(tmp_path / "in" / "Teil" / "a.png", 1)
    _save(tmp_path / "in" / "NIO" / "b.png", 2)
    with pytest.raises(UserError, match=r"None of the folders .*\(NIO, Teil\)"):
        list_images(tmp_path / "in", 0.2, LabelNames())
    listing = list_images(tmp_path / "in", 0.2, LabelNames(normal=["teil"]))
    assert [entry.path.name for entry in listing.train] == ["a.png"]
    assert [entry.path.name for entry in listing.test] == ["b.png"]


def test_broken_images(mvtec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = mvtec / "train" / "good" / "002.png"
    broken.write_bytes(broken.read_bytes()[:200])
    data = tmp_path / "data"
    command = ["import", str(mvtec), "--data-directory", str(data), "--size", "32"]
    assert main(command) == 1
    assert "002.png cannot be read" in capsys.readouterr().err
    assert not data.exists()
    _save_mask(mvtec / "ground_truth" / "stained" / "000_mask.png", (20, 20))
    assert main([*command, "--skip-broken"]) == 0
    assert _names(data, "train") == [f"train/good/{index:03d}.png" for index in (0, 1, 3, 4)]
    assert "test/stained/000.png" not in _names(data, "validation")
    output = capsys.readouterr().out
    assert "Skipped 2 broken images" in output
    assert "20 x 20 pixels" in output


def test_copies(mvtec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A training image among the test images would be too easy; one among the defects is a mistake."""
    shutil.copy(mvtec / "train" / "good" / "001.png", mvtec / "test" / "good" / "copy.png")
    written = import_images.run(mvtec, tmp_path / "data", (32, 32))
    assert (written.train, written.test) == (5, 5)
    assert "Left out 1 exact copies of other images" in capsys.readouterr().out
    shutil.copy(mvtec / "train" / "good" / "001.png", mvtec / "test" / "broken" / "copy.png")
    with pytest.raises(UserError, match="the same image, once as a good part and once as a defect"):
        import_images.run(mvtec, tmp_path / "other", (32, 32))


def _tree(root: Path, paths: Sequence[str]) -> Path:
    for seed, path in enumerate(paths):
        _save(root / path, seed)
    root.mkdir(exist_ok=True)
    return root


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        ([], "no images of good parts"),
        (["train/good/.hidden.png"], "no images of good parts"),
        (["train/scratch/a.png", "train/good/b.png"], r"train/scratch is for training"),
        (["good/a.png", "b.png"], r"b\.png lies beside the folders"),
        (["train/a.png", "test/b.png"], r"test/b\.png lies beside"),
        (["masks/a.png"], "no images of good parts"),
        (["anomaly/a.png"], r"None of the folders"),
    ],
)
def test_layouts_that_say_too_little(tmp_path: Path, paths: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        import_images.run(_tree(tmp_path / "in", paths), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(_tree(tmp_path / "in", ["a.png", "b.png"]))
    for arguments, sentence in [
        (["--size", "x"], "'x' is no size"),
        (["--size", "16"], "16 x 16 pixels are too small"),
        (["--test-share", "1"], "from 0 to below 1"),
        (["--resize", "crop"], "too small to cut"),
    ]:
        assert main(["import", folder, "--data-directory", str(tmp_path / "data"), *arguments]) == 1
        assert sentence in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none"), "--data-directory", str(tmp_path / "data")]) == 1
    assert "There is no folder" in capsys.readouterr().err


def test_size_of_both_forms() -> None:
    assert import_images.parse_size("96") == (96, 96)
    assert import_images.parse_size("128X96") == (128, 96)


def test_groups_share_an_id_and_a_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two photos of each good part, three of a broken one that was photographed while it was good."""
    folder = tmp_path / "in"
    for seed, (part, photo) in enumerate((part, photo) for part in range(10) for photo in range(2)):
        _save(folder / "good" / f"part{part}_{photo}.png", seed)
    for photo in (2, 3):
        _save(folder / "broken" / f"part7_{photo}.png", 50 + photo)
    data = tmp_path / "data"
    command = ["import", str(folder), "--data-directory", str(data), "--size", "32"]
    assert main([*command, "--group-by", r"part(\d+)"]) == 0
    assert "of 8 samples" in capsys.readouterr().out
    ids = json.loads((data / "sample_id_details.json").read_text())
    groups = {split: [name.split("part")[1][0] for name in _names(data, split)] for split in ids}
    assert not set(groups["train"]) & set(groups["validation"])
    assert "7" in groups["validation"]
    by_group = {pair for split in ids for pair in zip(groups[split], ids[split], strict=True)}
    assert len(by_group) == len({group for group, _ in by_group}) == len({number for _, number in by_group}) == 10
    assert _array(data, "Y_split_train")[:, 1].tolist() == ids["train"]
    assert open_split(data, "train", "0..1", read_info(None, data)).ids == [str(number) for number in ids["train"]]


def test_groups_that_were_not_given_are_hinted_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in range(8):
        image = Image.fromarray(_save(tmp_path / "in" / f"part{part}_1.png", part))
        image.point(lambda value: value // 2).save(tmp_path / "in" / f"part{part}_2.png")
    import_images.run(tmp_path / "in", tmp_path / "data", (32, 32))
    output = capsys.readouterr().out
    assert "suggest 8 groups, such as part0_1.png and part0_2.png" in output
    assert "16 of 16 training images are near-identical to another one" in output


def test_samples_on_both_sides_are_warned_of(mvtec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = import_images.run(mvtec, tmp_path / "data", (32, 32), group_by=r"(\d+)\.png")
    assert (written.train_samples, written.shared_samples) == (5, 2)
    assert "2 samples have images for training and for testing" in capsys.readouterr().out


def test_a_label_map_says_which_folders_are_good_and_stays(tmp_path: Path) -> None:
    _save(tmp_path / "in" / "teil" / "a.png", 1)
    _save(tmp_path / "in" / "kaputt" / "b.png", 2)
    (tmp_path / "map.json").write_text('{"Teil": "good"}')
    command = ["import", str(tmp_path / "in"), "--data-directory", str(tmp_path / "data"), "--size", "32"]
    assert main([*command, "--labels", str(tmp_path / "map.json")]) == 0
    assert _names(tmp_path / "data", "train") == ["teil/a.png"]
    assert json.loads((tmp_path / "data" / "labels.json").read_text()) == {
        "Teil": "no anomaly",
        "kaputt": "anomaly",
    }
