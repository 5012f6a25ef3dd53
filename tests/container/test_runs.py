"""Trainings under the conditions that a container may be given."""

import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest

from fomoad.inference.model import load_model
from tests.container.containers import SIDE, USER, Trainer, check_complete, images_of, setting, write_data

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--user", USER, "--cpus", "1", "--cap-drop", "ALL")
MEMORY = ("--memory", "2g", "--memory-swap", "2g")
STUDIO = ("--info-file", "/data/train_input.json", "--data-directory", "/data", "--out-directory", "/out")


def test_as_studio_runs_it_on_a_hardened_host(trainer: Trainer, data: Path, out: Path) -> None:
    """Unknown arguments are named and passed over, and every model that comes out runs."""
    unknown = ("--epochs", "30", "--learning-rate", "0.001", "--not-a-parameter")
    code, log = trainer.run(data, out, HARDENED + MEMORY, STUDIO + unknown)
    assert code == 0, log
    assert "Ignoring unknown arguments: --epochs 30 --learning-rate 0.001 --not-a-parameter" in log
    assert "\r" not in log
    check_complete(out)
    profile = json.loads((out / "anomaly_metadata.json").read_text())["models"]["model_quantized_int8_io.tflite"][
        "profile"
    ]
    assert (profile["arena_bytes"] is not None) == (platform.machine() == "x86_64"), profile["not_measured"]
    for name in ("model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip"):
        scores = load_model(out / name).score(images_of(2, SIDE))
        assert np.isfinite(scores).all()


def test_without_what_is_optional_and_without_a_home(trainer: Trainer, data: Path, out: Path) -> None:
    for name in ("train_input.json", "sample_id_details.json", "Y_split_train.npy", "Y_split_test.npy"):
        (data / name).unlink()
    (data / "X_split_test.npy").unlink()
    options = (
        *HARDENED,
        "--env",
        "HOME=",
        "--env",
        "LC_ALL=C",
        "--env",
        "PYTHONUTF8=0",
        "--env",
        "PYTHONCOERCECLOCALE=0",
    )
    code, log = trainer.run(data, out, options)
    assert code == 0, log
    check_complete(out)


def test_the_older_layout_in_a_folder_of_any_name(trainer: Trainer, data: Path, out: Path) -> None:
    """Flat rows, the argument --input-file, and names with spaces, quotes, newlines and other alphabets."""
    name = "données \"quoted\" 'und' \n数据"
    older = data / name
    older.mkdir()
    images = np.load(data / "X_split_train.npy")
    np.save(older / "X_train_features.npy", images.reshape(len(images), -1))
    np.save(older / "X_test_features.npy", np.zeros((0, images[0].size), np.float32))
    shutil.move(data / "train_input.json", older / "info 'é'.json")
    folder = f"/data/{name}"
    arguments = (
        "--input-file",
        f"{folder}/info 'é'.json",
        "--data-directory",
        folder,
        "--out-directory",
        f"/out/{name}",
    )
    options = (*HARDENED, "--env", "LC_ALL=C", "--env", "PYTHONUTF8=0", "--env", "PYTHONCOERCECLOCALE=0")
    code, log = trainer.run(data, out, options, arguments)
    assert code == 0, log
    check_complete(out / name)


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (1000, ("--scoring-function", "gmm")),
        (setting("FOMOAD_TEST_IMAGES", 10_000), ("--scoring-function", "patchcore", "--sampling-ratio", "0.001")),
    ],
)
def test_two_gigabytes_are_enough_for_any_number_of_images(
    trainer: Trainer, tmp_path: Path, out: Path, count: int, arguments: tuple[str, ...]
) -> None:
    data = write_data(tmp_path / "many", count, side=96)
    code, log = trainer.run(data, out, HARDENED + MEMORY, STUDIO + arguments)
    shutil.rmtree(data)
    assert code == 0, log
    check_complete(out)
