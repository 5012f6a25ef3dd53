"""`fomoad test` from files to files, with a model whose scores are plain arithmetic."""

import json
import shutil

import numpy as np
import pytest

from fomoad import cli
from fomoad.data.writer import Sample, write_data_directory
from fomoad.errors import UserError
from fomoad.evaluation import evaluate
from tests.support import tiny_models

HEIGHT, WIDTH = 40, 48
FILES = ["model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip"]
THRESHOLD = 0.35


@pytest.fixture(scope="module")
def samples():
    """Grey parts, and in every third a patch of black: far from 0, where -1..1 puts mid grey."""
    random = np.random.default_rng(3)
    samples = []
    for row in range(9):
        pixels = random.uniform(90, 170, (HEIGHT, WIDTH, 3)).round()
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        if row % 3 == 0:
            mask[8:24, 16:32] = 255
            pixels[mask > 0] = 0
        samples.append(Sample(pixels, row % 3 == 0, f"part {row}.png", mask))
    return samples


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    folder = tmp_path_factory.mktemp("data")
    write_data_directory(folder, samples[1:3], samples, "-1..1")
    return folder


@pytest.fixture(scope="module")
def scaled(data):
    return np.load(data / "X_split_test.npy")


@pytest.fixture(scope="module")
def models(tmp_path_factory, scaled):
    """All four files and their metadata, as a training leaves them."""
    folder = tmp_path_factory.mktemp("models")
    tiny_models.write_training(folder, HEIGHT, WIDTH, 3, scaled, THRESHOLD)
    return folder


def _test(*arguments: object) -> int:
    return cli.main(["test", *map(str, arguments)])


@pytest.mark.parametrize("name", FILES)
def test_every_model_file_gives_the_scores_of_the_reference(tmp_path, data, models, scaled, name):
    assert _test("--model", models / name, "--data-directory", data, "--report-directory", tmp_path) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    found = np.array([image["grid"] for image in results["images"]])
    np.testing.assert_allclose(found, tiny_models.expected_scores(scaled), atol=0.02 if "int8" in name else 1e-5)
    assert (results["threshold"], results["threshold_source"]) == (THRESHOLD, "metadata")
    assert (results["auroc"], results["f1"], results["confusion"]["true_positives"]) == (1, 1, 3)
    assert [image["file_name"] for image in results["images"]] == [f"part {row}.png" for row in range(9)]
    assert [image["label"] for image in results["images"][:2]] == ["anomaly", "no anomaly"]
    assert results["pixel"]["auroc"] > 0.95
    assert results["model"]["file"] == name
    page = (tmp_path / "report.html").read_text()
    assert "part 3.png" in page
    assert page.startswith("<!doctype html>")


def test_a_given_threshold_outranks_the_metadata(tmp_path, data, models):
    results = evaluate.run(models / "model.tflite", data, tmp_path, threshold=2.0)
    assert (results.threshold, results.threshold_source) == (2.0, "command line")
    assert results.trained_threshold.suggested == THRESHOLD
    assert results.recall == 0


def test_a_renamed_file_is_still_known(tmp_path, data, models):
    (tmp_path / "mine.onnx").write_bytes((models / "model.onnx").read_bytes())
    (tmp_path / "anomaly_metadata.json").write_bytes((models / "anomaly_metadata.json").read_bytes())
    assert evaluate.run(tmp_path / "mine.onnx", data, tmp_path / "report").threshold == THRESHOLD


def test_a_missing_model_is_named_first(tmp_path, data):
    with pytest.raises(UserError, match=r"no model file .*missing\.tflite"):
        evaluate.run(tmp_path / "missing.tflite", data, tmp_path / "report")


def test_without_metadata_a_threshold_must_be_given(tmp_path, data, models):
    (tmp_path / "model.tflite").write_bytes((models / "model.tflite").read_bytes())
    with pytest.raises(UserError, match="--threshold"):
        evaluate.run(tmp_path / "model.tflite", data, tmp_path / "report", image_scaling="-1..1")
    assert not (tmp_path / "report").exists()
    results = evaluate.run(tmp_path / "model.tflite", data, tmp_path / "report", threshold=0.3, image_scaling="-1..1")
    assert results.trained_threshold is None
    assert results.model.settings is None


def test_metadata_of_another_model_are_not_used(tmp_path, data, models, capsys):
    (tmp_path / "model.onnx").write_bytes((models / "model.onnx").read_bytes())
    metadata = json.loads((models / "anomaly_metadata.json").read_text())
    metadata["models"]["model.onnx"]["sha256"] = "00" * 32
    (tmp_path / "anomaly_metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(UserError, match="no threshold"):
        evaluate.run(tmp_path / "model.onnx", data, tmp_path / "report")
    assert "does not know model.onnx" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '{"schema_version": "x"}'])
def test_damaged_metadata_are_refused(tmp_path, data, models, content):
    (tmp_path / "model.onnx").write_bytes((models / "model.onnx").read_bytes())
    (tmp_path / "anomaly_metadata.json").write_text(content)
    with pytest.raises(UserError, match=r"anomaly_metadata\.json"):
        evaluate.run(tmp_path / "model.onnx", data, tmp_path / "report")


@pytest.fixture
def plain_data(tmp_path, scaled):
    """Images and nothing else."""
    folder = tmp_path / "plain"
    folder.mkdir()
    np.save(folder / "X_split_test.npy", scaled)
    return folder


def test_images_without_labels_are_scored(tmp_path, plain_data, models):
    results = evaluate.run(models / "model.onnx", plain_data, tmp_path / "report")
    assert [image.anomalous for image in results.images] == [None] * 9
    assert results.auroc is results.f1 is results.confusion is None
    assert results.undefined["auroc"] == "no test image has a label"
    assert sum(image.verdict == "anomaly" for image in results.images) == 3


def test_class_names_can_be_given_a_meaning(tmp_path, plain_data, models):
    names = ["dent" if row % 3 == 0 else "fine" for row in range(9)]
    (plain_data / "Y_split_test.json").write_text(json.dumps(names))
    into = ["--data-directory", plain_data, "--report-directory", tmp_path / "report"]
    assert _test("--model", models / "model.onnx", *into) == 1
    assert not (tmp_path / "report").exists()
    assert _test("--model", models / "model.onnx", *into, "--anomaly-label", "Dent", "--normal-label", "fine") == 0
    assert json.loads((tmp_path / "report" / "results.json").read_text())["auroc"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:0], "no test images"),
        (lambda x: x[:, :32, :32], "takes images of 40 x 48 x 3"),
        (lambda x: x * np.nan, "NaN or infinity"),
        (lambda x: (x + 1) * 127.5, "cannot be images scaled"),
    ],
)
def test_unfit_images_are_refused_and_earlier_files_stay(tmp_path, plain_data, models, scaled, change, message):
    report = tmp_path / "report"
    evaluate.run(models / "model.onnx", plain_data, report)
    before = {path.name: path.read_bytes() for path in report.iterdir()}
    np.save(plain_data / "X_split_test.npy", change(scaled).astype(np.float32))
    with pytest.raises(UserError, match=message):
        evaluate.run(models / "model.onnx", plain_data, report)
    assert {path.name: path.read_bytes() for path in report.iterdir()} == before


@pytest.mark.parametrize("threshold", ["nan", "inf", "-1"])
def test_thresholds_that_no_score_can_meet_are_refused(tmp_path, data, models, threshold, capsys):
    into = ["--data-directory", data, "--report-directory", tmp_path / "report"]
    assert _test("--model", models / "model.onnx", *into, "--threshold", threshold) == 1
    assert "give a number" in capsys.readouterr().err


def test_several_models_in_one_go(tmp_path, data, models, capsys):
    """Each has the report that it has alone, and their figures stand side by side."""
    floats, ints = models / "model.tflite", models / "model_quantized_int8_io.tflite"
    reports = tmp_path / "reports"
    options = ["--data-directory", data, "--report-directory"]
    assert _test("--model", floats, "--model", ints, *options, reports) == 0
    table = capsys.readouterr().out.splitlines()[-3:]
    assert table[0].split() == ["model", "auroc", "average_precision", "f1", "precision", "recall"]
    for path, line in zip((floats, ints), table[1:], strict=True):
        assert _test("--model", path, *options, tmp_path / path.name) == 0
        alone = (tmp_path / path.name / "results.json").read_bytes()
        assert (reports / path.name / "results.json").read_bytes() == alone
        assert line.split()[:2] == [path.name, f"{json.loads(alone)['auroc']:.4f}"]
    assert _test("--model", floats, "--model", floats, *options, reports) == 1


def test_a_scaling_that_contradicts_the_training_is_warned_of(tmp_path, data, models, capsys):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "train_input.json").unlink()
    options = ["--data-directory", tmp_path / "data", "--report-directory", tmp_path / "report"]
    for given, warned in (("-1..1", False), ("0..255", True)):
        cli.main(
            ["test", "--model", str(models / "model.tflite"), *map(str, options), f"--image-input-scaling={given}"]
        )
        assert ("Warning: --image-input-scaling is 0..255" in capsys.readouterr().out) == warned


@pytest.mark.parametrize("threshold", ["NaN", "Infinity", "-1.5", "1e999"])
def test_thresholds_that_are_no_scores_are_refused(tmp_path, data, models, threshold, capsys):
    """And no report is written, whose script would end at such a number."""
    for name in ("model.tflite", "anomaly_metadata.json"):
        shutil.copy(models / name, tmp_path / name)
    text = (
        (tmp_path / "anomaly_metadata.json").read_text().replace(f'"suggested":{THRESHOLD}', f'"suggested":{threshold}')
    )
    (tmp_path / "anomaly_metadata.json").write_text(text)
    options = ["--data-directory", data, "--report-directory", tmp_path / "report"]
    assert _test("--model", tmp_path / "model.tflite", *options) == 1
    assert "is not the metadata of a training" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
