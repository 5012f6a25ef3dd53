"""`fomoad calibrate` from labelled images to the metadata of every model file."""

import json
from pathlib import Path

import numpy as np
import pytest

from fomoad import cli
from fomoad.data.writer import Sample, write_data_directory
from fomoad.errors import UserError
from fomoad.evaluation import calibrate, objectives
from fomoad.evaluation.calibrate import Labelled
from fomoad.metadata import AnomalyMetadata, Threshold
from tests.support import tiny_models

SIDE = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 grey parts and 30 with a patch that is darker or not much, two photos of each."""
    random = np.random.default_rng(3)
    samples = []
    for row in range(70):
        pixels = random.uniform(80, 176, (SIDE, SIDE, 3)).round()
        if row >= 40:
            pixels[8:16, 16:24] -= random.uniform(0, 80)
        samples.append(Sample(pixels, row >= 40, f"part {row // 2}_{row % 2}.png", group=f"part {row // 2}"))
    folder = tmp_path_factory.mktemp("data")
    write_data_directory(folder, samples[:2], samples, "-1..1")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.write_training(folder, SIDE, SIDE, 3, np.load(data / "X_split_test.npy"), 0.9)
    return folder


@pytest.fixture
def models(tmp_path: Path, trained: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _calibrate(models: Path, data: Path, *arguments: str) -> int:
    return cli.main(["calibrate", "--models", str(models), "--data-directory", str(data), *arguments])


def _metadata(models: Path) -> AnomalyMetadata:
    return AnomalyMetadata.model_validate_json((models / "anomaly_metadata.json").read_text())


def test_every_file_gets_the_threshold_and_how_it_was_found(models: Path, data: Path, tmp_path: Path) -> None:
    """The verdicts of `fomoad test` are then those of the record, in float32 and in int8."""
    assert _calibrate(models, data, "--objective", "recall=0.8") == 0
    metadata = _metadata(models)
    for name, record in metadata.models.items():
        found = record.threshold.calibration
        assert record.threshold.method == "calibrated"
        assert (found.objective, found.good, found.defects, found.samples) == ("recall=0.8", 40, 30, 35)
        if not name.endswith(".tflite"):
            assert record.threshold == metadata.threshold
            continue
        assert cli.main(
            ["test", "--model", str(models / name), "--data-directory", str(data), "--report-directory", str(tmp_path)]
        ) == 0  # fmt: skip
        results = json.loads((tmp_path / "results.json").read_text())
        assert results["recall"] == pytest.approx(found.hindsight.recall)
        assert results["false_positive_rate"] == pytest.approx(found.hindsight.false_positive_rate)
        # floor(31 * 0.2) = 6 may be missed of the old and the new: the sixth lowest defect is flagged
        assert found.hindsight.recall == pytest.approx(25 / 30, abs=0.04)
        for interval in found.cross_validated.intervals.values():
            assert 0 <= interval.low <= interval.high <= 1
    assert metadata.nominalThresholdScore == metadata.threshold.suggested
    assert metadata.threshold.max_train == 0.9, "what the training found stays"


def test_the_int8_threshold_lies_between_its_steps(models: Path, data: Path) -> None:
    assert _calibrate(models, data) == 0
    record = _metadata(models).models["model_quantized_int8_io.tflite"]
    steps = record.threshold.suggested / record.output.scale
    assert steps % 1 == pytest.approx(0.5, abs=1e-4)


def test_costs_move_the_threshold(models: Path, data: Path) -> None:
    thresholds = {}
    for costs in (["--cost-miss", "20"], ["--cost-miss", "1", "--cost-false-alarm", "20"]):
        assert _calibrate(models, data, *costs) == 0
        metadata = _metadata(models)
        assert metadata.threshold.calibration.objective == "cost"
        thresholds[costs[1]] = metadata.threshold.suggested
    assert thresholds["20"] < thresholds["1"]
    assert _calibrate(models, data, "--cost-miss", "20", "--defect-share", "0.001") == 0
    assert _metadata(models).threshold.suggested > thresholds["20"]


def test_steps_change_no_verdict() -> None:
    """Whatever the objective chooses between two levels, half-way between levels it says the same."""
    random = np.random.default_rng(0)
    for step in (0.25, 0.0041176):
        scores = step * random.integers(0, 255, 60).astype(float)
        labelled = Labelled(np.arange(60), np.arange(60) % 2 == 0, [str(i) for i in range(60)])
        for text in ("f1", "recall=0.9", "cost"):
            objective = objectives.parse(text)
            plain = Threshold(suggested=1, method="max", max_train=1)
            free, stepped = (calibrate.calibrate(plain, scores, labelled, objective, each) for each in (None, step))
            np.testing.assert_array_equal(scores >= free.suggested, scores >= stepped.suggested)
            assert free.calibration == stepped.calibration


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--objective", "false-positive-rate=0.01"], "at least 99 images of good parts, there are 40"),
        (["--objective", "best"], "'best' is not known"),
        (["--objective", "f1", "--cost-miss", "2"], "belong to --objective cost"),
    ],
)
def test_what_cannot_be_met_changes_nothing(
    models: Path, data: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    assert _calibrate(models, data, *arguments) == 1
    assert sentence in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in models.iterdir()} == before


def test_changed_files_and_missing_images_are_refused(models: Path, data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    np.save(empty / "X_split_train.npy", np.load(data / "X_split_train.npy"))
    with pytest.raises(UserError, match="no test images"):
        calibrate.run(models, empty, objectives.parse("f1"))
    (models / "model.onnx").write_bytes(b"other")
    with pytest.raises(UserError, match=r"model\.onnx is missing or not the file"):
        calibrate.run(models, data, objectives.parse("f1"))
    (models / "anomaly_metadata.json").unlink()
    with pytest.raises(UserError, match=r"anomaly_metadata\.json"):
        calibrate.run(models, data, objectives.parse("f1"))
