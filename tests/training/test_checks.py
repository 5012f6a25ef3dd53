"""What training says of its images before it begins."""

import json
from pathlib import Path

import numpy as np
import pytest

from fomoad.cli import main
from fomoad.data.label_names import LabelNames
from fomoad.data.writer import Sample, write_data_directory
from fomoad.errors import UserError
from fomoad.settings import TrainSettings
from fomoad.training import train


def _write(folder: Path, copies: int, grouped: bool) -> Path:
    """Twelve parts of noise, each photographed `copies` times under other light."""
    random = np.random.default_rng(0)
    parts = random.uniform(60, 120, (12, 40, 40, 1))
    samples = [
        Sample(part * gain, False, f"{row}.png", group=str(row) if grouped else None)
        for row, part in enumerate(parts)
        for gain in np.linspace(1, 2, copies)
    ]
    write_data_directory(folder, samples, [], "-1..1")
    return folder


def _check(folder: Path, weights: Path) -> None:
    train.open_directory(TrainSettings(weights=str(weights), image_input_scaling="-1..1"), folder)


@pytest.mark.parametrize(("copies", "grouped", "warned"), [(2, False, True), (2, True, False), (1, False, False)])
def test_near_identical_images_without_a_common_id_are_warned_of(
    tmp_path: Path, random_weights: Path, capfd: pytest.CaptureFixture[str], copies: int, grouped: bool, warned: bool
) -> None:
    _check(_write(tmp_path / "data", copies, grouped), random_weights)
    assert ("24 of 24 training images are near-identical" in capfd.readouterr().out) == warned


def _label(folder: Path, labels: list[str]) -> None:
    (folder / "Y_split_train.npy").unlink()
    (folder / "Y_split_train.json").write_text(json.dumps(labels))


def test_one_unknown_label_is_explained(
    tmp_path: Path, random_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = _write(tmp_path / "data", 1, False)
    _label(folder, ["bracket"] * 12)
    _check(folder, random_weights)
    assert "label 'bracket', which is not known to mean good parts" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["good"] * 11 + ["scratch"], "1 training images in .* are labelled scratch, which means defects"),
        (["good"] * 10 + ["scratch", "dent"], "unknown whether the label 'dent', 'scratch' means a defect"),
        (["pass"] * 11 + ["defective"], "are labelled defective"),
    ],
)
def test_labels_that_may_mean_defects_are_refused(
    tmp_path: Path, random_weights: Path, labels: list[str], sentence: str
) -> None:
    folder = _write(tmp_path / "data", 1, False)
    _label(folder, labels)
    with pytest.raises(UserError, match=sentence):
        _check(folder, random_weights)
    (folder / "labels.json").write_text('{"scratch": "good", "dent": "good", "defective": "good"}')
    _check(folder, random_weights)


def test_a_label_map_can_be_given_to_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _write(tmp_path / "data", 1, False)
    _label(folder, ["bracket"] * 11 + ["type b"])
    labels = tmp_path / "map.json"
    labels.write_text('{"bracket": "good", "type b": "anomaly"}')
    arguments = ["train", "--data-directory", str(folder), "--out-directory", str(tmp_path / "out")]
    assert main([*arguments, "--image-input-scaling=-1..1", "--labels", str(labels)]) == 1
    assert "1 training images" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    given = LabelNames(normal=["bracket", "type b"])
    settings = TrainSettings(image_input_scaling="-1..1")
    (folder / "labels.json").write_text(labels.read_text())
    assert train.open_directory(settings, folder, label_names=given).split.labels[-1] == "type b"
    with pytest.raises(UserError, match="labelled type b"):
        train.open_directory(settings, folder)
    labels.write_text('{"bracket": "perhaps"}')
    assert main([*arguments, "--labels", str(labels)]) == 1
    assert "not a label map" in capsys.readouterr().err
