"""What the writer leaves on disk, read back with numpy and json alone."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fomoad.data.writer import Sample, write_data_directory
from fomoad.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def _samples(count: int, anomalies: int = 0, masks: bool = True, channels: int = 3) -> list[Sample]:
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 6, 4, channels), dtype=np.uint8)
    mask = np.zeros((6, 4), np.uint8)
    mask[1:3, 2] = 255
    return [
        Sample(image, row < anomalies, f"{row}.png", mask if masks and row < anomalies else None)
        for row, image in enumerate(images)
    ]


def _json(path: Path) -> dict:
    return json.loads(path.read_text())


def test_files_of_the_contract(tmp_path: Path) -> None:
    train, test = _samples(5), _samples(4, anomalies=2)
    written = write_data_directory(tmp_path / "new" / "data", iter(train), iter(test), "-1..1")
    assert (written.train, written.test, written.masks) == (5, 4, True)
    data = tmp_path / "new" / "data"
    images = np.load(data / "X_split_train.npy", mmap_mode="r", allow_pickle=False)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, np.stack([s.pixels for s in train]) / 127.5 - 1, atol=1e-6)
    assert np.load(data / "X_split_test.npy", allow_pickle=False).shape == (4, 6, 4, 3)
    labels = np.load(data / "Y_split_test.npy", allow_pickle=False)
    assert labels.dtype == np.int32
    assert labels.tolist() == [[1, 6, 0, 0], [1, 7, 0, 0], [2, 8, 0, 0], [2, 9, 0, 0]]
    assert np.load(data / "Y_split_train.npy", allow_pickle=False)[:, 0].tolist() == [2] * 5
    assert _json(data / "sample_id_details.json") == {"train": [1, 2, 3, 4, 5], "validation": [6, 7, 8, 9]}
    assert _json(data / "sample_file_names.json")["validation"] == ["0.png", "1.png", "2.png", "3.png"]
    assert _json(data / "sample_photo_sizes.json") == {"train": ["4x6"] * 5, "validation": ["4x6"] * 4}
    info = _json(data / "train_input.json")
    assert info["classes"] == ["anomaly", "no anomaly"]
    assert info["inputShapeString"] == "(6, 4, 3)"
    masks = np.load(data / "masks_split_test.npy", allow_pickle=False)
    assert masks.dtype == np.uint8
    assert [int((mask == 255).sum()) for mask in masks] == [2, 2, 0, 0]
    assert sorted(path.name for path in data.iterdir()) == [
        "X_split_test.npy",
        "X_split_train.npy",
        "Y_split_test.npy",
        "Y_split_train.npy",
        "masks_split_test.npy",
        "sample_file_names.json",
        "sample_id_details.json",
        "sample_photo_sizes.json",
        "train_input.json",
    ]


def test_no_test_images(tmp_path: Path) -> None:
    assert not write_data_directory(tmp_path, _samples(2, channels=1), [], "0..1").masks
    assert np.load(tmp_path / "X_split_test.npy", allow_pickle=False).shape == (0, 6, 4, 1)
    assert np.load(tmp_path / "Y_split_test.npy", allow_pickle=False).shape == (0, 4)
    assert not (tmp_path / "masks_split_test.npy").exists()


def test_more_rows_than_the_first_header_has_digits_for(tmp_path: Path) -> None:
    pixels = np.zeros((1, 1, 1), np.uint8)
    rows = (Sample(pixels, False, "x") for _ in range(1234))
    write_data_directory(tmp_path, rows, [], "0..1")
    assert np.load(tmp_path / "X_split_train.npy", allow_pickle=False).shape == (1234, 1, 1, 1)


def test_partly_missing_masks_are_left_out_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data_directory(tmp_path, _samples(2), _samples(4, anomalies=2), "0..1")
    assert (tmp_path / "masks_split_test.npy").exists()
    test = [*_samples(3, anomalies=2), Sample(np.zeros((6, 4, 3)), True, "bare.png")]
    assert not write_data_directory(tmp_path, _samples(2), test, "0..1").masks
    assert not (tmp_path / "masks_split_test.npy").exists()
    assert "1 of 3 anomalous test images have no mask (the first is 'bare.png')" in capsys.readouterr().out


def test_a_failure_leaves_the_earlier_data(tmp_path: Path) -> None:
    write_data_directory(tmp_path, _samples(2), _samples(2, anomalies=1), "0..1")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def failing() -> Iterator[Sample]:
        yield _samples(1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_data_directory(tmp_path, _samples(3), failing(), "0..1")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nothing_remains_of_a_failed_first_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training image"):
        write_data_directory(tmp_path / "data", [], _samples(1), "0..1")
    assert not (tmp_path / "data").exists()


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/data' cannot be written \(Not a directory\)"):
        write_data_directory(tmp_path / "file" / "data", _samples(1), [], "0..1")


def test_images_of_two_shapes_are_a_defect_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Row 1"):
        write_data_directory(tmp_path, [*_samples(1), *_samples(1, channels=1)], [], "0..1")


ENDLESS = """
import sys, time
from pathlib import Path
import numpy as np
from fomoad.data.writer import Sample, write_data_directory
from fomoad.signals import supervise

def samples():
    for row in range(10 ** 6):
        yield Sample(np.zeros((6, 4, 3), np.uint8), False, "x.png")
        if row == 3:
            print("writing", flush=True)
        if row > 3:
            time.sleep(0.1)

def run():
    write_data_directory(Path(sys.argv[1]), samples(), [], "-1..1")
    return 0

sys.exit(supervise(run))
"""


def _writing(directory: Path) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(directory)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "writing\n"
    return program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_by_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """In a new directory, which goes too, and in one that holds earlier data."""
    write_data_directory(tmp_path / "old", _samples(2), [], "-1..1")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    for directory in (tmp_path / "new" / "deeper", tmp_path / "old"):
        program = _writing(directory)
        program.send_signal(number)
        program.communicate(timeout=30)
        assert program.returncode == 128 + number
    assert not (tmp_path / "new").exists()
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before


def test_one_run_at_a_time_and_leftovers_of_a_killed_one_go(tmp_path: Path) -> None:
    program = _writing(tmp_path)
    with pytest.raises(UserError, match="Another run is writing to the data directory"):
        write_data_directory(tmp_path, _samples(2), [], "-1..1")
    program.kill()  # the supervising process, which then tidies up nothing; its child ends with it
    program.communicate(timeout=30)
    for _ in range(100):
        with contextlib.suppress(UserError):
            write_data_directory(tmp_path, _samples(2), [], "-1..1")
            break
        time.sleep(0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["X_split_train.npy", "X_split_test.npy", "Y_split_train.npy", "Y_split_test.npy", "train_input.json",
         "sample_id_details.json", "sample_file_names.json", "sample_photo_sizes.json"]
    )  # fmt: skip
