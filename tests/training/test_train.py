"""Whole trainings: every file agrees with the reference, is described truly, and comes out the same again."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad import cli, state_file
from fomoad.backbones.weights import Weights
from fomoad.data import dataset
from fomoad.data.info_file import Info
from fomoad.errors import UserError
from fomoad.export import onnx_file, saved_model, tflite
from fomoad.export.output_directory import METADATA_FILE
from fomoad.export.trace import Exported
from fomoad.features.extractor import extractor
from fomoad.features.store import FeatureSource
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from fomoad.scorers.steps import step_of
from fomoad.settings import TrainSettings
from fomoad.training import fitters
from fomoad.training.detector import DetectorGraph
from fomoad.training.fit_patchcore import PatchCoreFitter
from fomoad.training.models import build_features, excess_bytes

CASES = [
    ((160, 160, 1), "gmm"),
    ((100, 100, 1), "patchcore"),
    ((72, 104, 3), "gmm"),
    ((72, 104, 3), "patchcore"),
]
MODELS = {"model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip"}
FILES = MODELS | {"training_state.npz", "anomaly_metadata.json"}


def textures(count: int, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Images 0..1 of smooth stripes in a random place and brightness, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    phase, bright = random.uniform(0, 6, (2, count, 1, 1, 1))
    waves = np.sin((x + 2 * y)[None, :, :, None] / 5 + phase) * 0.5 + 0.3 * np.cos(bright)
    return np.clip(0.5 + waves / 2 + random.normal(0, 0.025, (count, *shape)), 0, 1).astype(np.float32)


def write_data(directory: Path, images: np.ndarray) -> Path:
    """A data directory as an anomaly block gets it."""
    directory.mkdir()
    np.save(directory / "X_split_train.npy", images)
    np.save(directory / "X_split_test.npy", images[:0])
    labels = np.stack([np.full(len(images), 2), np.arange(len(images)), *np.zeros((2, len(images)))], axis=1)
    np.save(directory / "Y_split_train.npy", labels.astype(np.int32))
    return directory


@pytest.mark.no_cover
@pytest.mark.parametrize(("shape", "scoring"), CASES)
def test_every_format_agrees_with_the_reference(
    tmp_path: Path, random_weights: Path, scoring: str, shape: tuple[int, int, int]
) -> None:
    """TFLite, ONNX and SavedModel against features and scorer in NumPy, on images near and far from training."""
    images_of_training = textures(20, shape, 0)
    write_data(tmp_path / "data", images_of_training)
    settings = TrainSettings(
        scoring_function=scoring,
        backbone="mobilenet-v2-0.35",
        capacity="low",
        layers=3,
        sampling_ratio=0.05,
        weights=str(random_weights),
    )
    opened = dataset.open_split(tmp_path / "data", "train", "0..1", Info()).images
    assert opened is not None
    features = build_features(settings, opened, Weights("random", random_weights, "mobilenet-v2-0.35"))
    extract = extractor(features)
    source = FeatureSource(opened, extract, 2**29)
    sample_ids = [str(row) for row in range(20)]
    scorer = fitters.fitter(settings, opened.shape).fit(source, sample_ids).scorer

    noise = np.random.default_rng(1).uniform(0, 1, (3, *shape)).astype(np.float32)
    images = np.concatenate([textures(5, shape, 2), noise, np.ones((1, *shape), np.float32)])
    expected = scorer.score(features.graph(images).numpy())
    assert expected.min() >= 0
    exported = Exported(DetectorGraph(features, scorer).graph, shape)
    for name, convert in (
        ("m.tflite", tflite.convert),
        ("m.onnx", onnx_file.convert),
        ("m.zip", saved_model.convert),
    ):
        (tmp_path / name).write_bytes(convert(exported))
        model = load_model(tmp_path / name)
        assert model.input.shape == (1, *shape)
        assert model.output.shape == (1, *expected.shape[1:])
        assert np.all(np.abs(model.score(images) - expected) <= 1e-3 * (1 + expected)), name


def test_a_bank_can_be_made_of_another_fit_s_patches(tmp_path: Path) -> None:
    """The same patches are found again in features that are the same or merely scaled."""
    write_data(tmp_path / "data", textures(12, (32, 32, 1), 0))
    images = dataset.open_split(tmp_path / "data", "train", "0..1", Info()).images
    assert images is not None
    sample_ids = [str(row) for row in range(12)]

    def extract(batch: Any) -> Any:
        return batch.reshape(len(batch), 4, 4, 64)

    fitter = PatchCoreFitter(0.2, k=1, window=1, scale="place", memory_limit=2**29, seed=1)
    first = fitter.fit(FeatureSource(images, extract, 2**29), sample_ids)
    thrice = FeatureSource(images, lambda batch: 3 * extract(batch), 0)
    again = fitter.refit(thrice, sample_ids, first)
    cells = 3 * extract(images.rows(slice(0, 12))).reshape(-1, 64)[first.patches]
    expected = again.scorer.standardise.at(first.patches % 16, cells)
    np.testing.assert_allclose(again.scorer.bank, expected, atol=step_of(again.scorer.bank) / 2 + 1e-4)
    np.testing.assert_array_equal(again.scorer.samples, first.scorer.samples)
    np.testing.assert_allclose(again.held_out_scores, first.held_out_scores, rtol=0.05)


def train(data: Path, out: Path, *arguments: str) -> int:
    """Run the train command in this process."""
    return cli.main(["train", "--data-directory", str(data), "--out-directory", str(out), *arguments])


def test_output_is_complete_and_truly_described(trained: Any) -> None:
    """Every file is there, with the metadata's digest, size, shapes and quantisation."""
    data, out, _ = trained
    assert {path.name for path in out.iterdir()} == FILES
    metadata = AnomalyMetadata.model_validate_json((out / "anomaly_metadata.json").read_bytes())
    assert set(metadata.models) == MODELS
    assert (metadata.input.scaling, metadata.input.resize) == ("0..1", "fit-short")
    images = np.load(data / "X_split_train.npy")
    for name, described in metadata.models.items():
        content = (out / name).read_bytes()
        assert described.sha256 == hashlib.sha256(content).hexdigest()
        assert described.bytes == len(content)
        model = load_model(out / name)
        for tensor, info in ((model.input, described.input), (model.output, described.output)):
            assert list(tensor.shape) == info.shape
            assert (tensor.dtype, tensor.scale, tensor.zero_point) == (info.dtype, info.scale, info.zero_point)
        assert (metadata.grid.rows, metadata.grid.columns) == model.output.shape[1:]
        scores = model.score(images)
        assert scores.min() >= 0
        # The threshold's scores are by scorers that did not see the image, so they are higher than those of the file.
        assert scores.max() < described.threshold.max_train
        assert [choice.rule for choice in described.threshold.choices] == ["max"] + 3 * ["conformal"]
    assert metadata.nominalThresholdScore == metadata.models["model.tflite"].threshold.suggested
    assert metadata.threshold == metadata.models["model.tflite"].threshold
    with zipfile.ZipFile(out / "saved_model.zip") as archive:
        assert all(name.startswith("saved_model/") for name in archive.namelist())


def test_int8_output_has_its_range_around_the_threshold(trained: Any) -> None:
    """int8 in and out; the threshold lies half-way between steps, a quarter of the range from the lower end."""
    _, out, _ = trained
    metadata = json.loads((out / "anomaly_metadata.json").read_text())
    described = metadata["models"]["model_quantized_int8_io.tflite"]
    assert described["input"]["dtype"] == described["output"]["dtype"] == "int8"
    assert described["output"]["zero_point"] == -128
    assert described["threshold"]["suggested"] == pytest.approx(63.5 * described["output"]["scale"], rel=1e-6)


@pytest.mark.no_cover
def test_the_same_settings_give_the_same_files(trained: Any, tmp_path: Path) -> None:
    """Bit for bit: in a process of its own, with other orders of sets, and in this one, which has traced before.

    Without a state, where --no-state says so; what needs the state then says how to get it.
    """
    data, out, arguments = trained
    stateless = "--scoring-function=gmm" in arguments
    command = [sys.executable, "train.py", "--data-directory", str(data), "--out-directory", str(tmp_path), *arguments]
    root = Path(__file__).parents[2]
    subprocess.run(
        [*command, *["--no-state"] * stateless], cwd=root, check=True, env=os.environ | {"PYTHONHASHSEED": "1"}
    )
    assert {path.name for path in tmp_path.iterdir()} == FILES - ({state_file.FILE} if stateless else set())
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name
    if stateless:
        with pytest.raises(UserError, match="train without --no-state"):
            state_file.read(tmp_path / state_file.FILE)


def test_a_run_that_fails_leaves_the_earlier_files(trained: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit code 1, the files as they were."""
    data, out, arguments = trained
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capfd.readouterr()
    assert train(data, out, *arguments, "--image-input-scaling=torch", "--weights=/nowhere.h5") == 1
    assert train(data, out, *arguments, "--k=none") == 1
    assert train(data.parent / "none", out) == 1
    assert train(data, out, *arguments, "--work-directory", str(data / "X_split_train.npy")) == 1
    errors = capfd.readouterr().err.strip().splitlines()
    assert len(errors) == 4
    assert all(line.startswith("fomoad: ") for line in errors)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.no_cover
@pytest.mark.parametrize("trained", ["gmm"], indirect=True)
def test_scores_on_the_scale_of_the_threshold(trained: Any, tmp_path: Path) -> None:
    """--score-scale threshold divides inside the graph: the threshold is 1 in every file."""
    data, out, arguments = trained
    assert train(data, tmp_path / "scaled", *arguments, "--score-scale", "threshold") == 0
    metadata = json.loads((tmp_path / "scaled" / "anomaly_metadata.json").read_text())
    for described in metadata["models"].values():
        assert described["threshold"]["suggested"] == 1.0
    raw = json.loads((out / "anomaly_metadata.json").read_text())["threshold"]["suggested"]
    images = np.load(data / "X_split_train.npy")[:5]
    plain, scaled = (load_model(folder / "model.tflite").score(images) for folder in (out, tmp_path / "scaled"))
    np.testing.assert_allclose(scaled * raw, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.no_cover
def test_limits_of_a_device_are_kept_or_the_model_refused(
    trained: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A memory bank shrinks until the int8 model fits; where nothing can shrink there is no model."""
    data, out, arguments = trained
    metadata = json.loads((out / "anomaly_metadata.json").read_text())
    needed = metadata["models"][tflite.INT8_FILE]["profile"]
    assert needed["flash_bytes"] == (out / tflite.INT8_FILE).stat().st_size
    limit = needed["flash_bytes"] - 1500
    code = train(data, tmp_path / "flash", *arguments, "--max-flash", str(limit))
    if metadata["scoring_function"] == "patchcore":
        assert code == 0
        smaller = json.loads((tmp_path / "flash" / "anomaly_metadata.json").read_text())
        # No more goes than must: an entry takes some 100 bytes, and the file's parts begin at round addresses.
        assert limit - 500 < (tmp_path / "flash" / tflite.INT8_FILE).stat().st_size <= limit
        assert smaller["scorer_size"] < metadata["scorer_size"]
        assert smaller["settings"] == metadata["settings"] | {"max_flash": limit}
    else:
        assert code == 1
        assert f"--max-flash allows {limit}" in capfd.readouterr().err
        assert not (tmp_path / "flash").exists()


@pytest.mark.parametrize("trained", ["gmm"], indirect=True)
def test_too_much_working_memory_is_refused(trained: Any) -> None:
    """Beside the arena lies the image as floats on Edge Impulse's library, which counts unless told otherwise."""
    _, out, _ = trained
    profile = AnomalyMetadata.model_validate_json((out / METADATA_FILE).read_bytes()).models[tflite.INT8_FILE].profile
    assert profile is not None
    if profile.arena_bytes is None:
        pytest.skip("TFLite Micro's interpreter is not installed")
    assert profile.edge_impulse_bytes == profile.arena_bytes + 4 * 64 * 64
    for runtime, needed in (("edge-impulse", profile.edge_impulse_bytes), ("tflite-micro", profile.arena_bytes)):
        assert excess_bytes(TrainSettings(max_ram=needed, runtime=runtime), profile) <= 0
        with pytest.raises(UserError, match=f"takes {needed} bytes .* --max-ram allows {needed - 1}"):
            excess_bytes(TrainSettings(max_ram=needed - 1, runtime=runtime), profile)


def test_images_labelled_anomaly_are_refused(
    tmp_path: Path, random_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """How many and which."""
    data = write_data(tmp_path / "data", textures(12, (64, 64, 1), 0))
    labels = np.load(data / "Y_split_train.npy")
    labels[[3, 7], 0] = 1
    np.save(data / "Y_split_train.npy", labels)
    assert train(data, tmp_path / "out", "--weights", str(random_weights)) == 1
    error = capfd.readouterr().err
    assert "2 training images" in error
    assert "sample ids 3, 7" in error
    assert not (tmp_path / "out").exists()


def test_windows_larger_than_the_grid_are_refused(
    tmp_path: Path, random_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Images of 32 pixels have 4 cells a side."""
    data = write_data(tmp_path / "data", textures(5, (32, 48, 1), 0))
    arguments = ["--weights", str(random_weights), "--scoring-function", "patchcore", "--pool-size"]
    assert train(data, tmp_path / "out", *arguments, "5") == 1
    assert "--pool-size 5 is more than the 4 cells" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    images = dataset.open_split(data, "train", "0..1", Info()).images
    assert images is not None
    settings = TrainSettings(scoring_function="patchcore", pool_size=4)
    features = build_features(settings, images, Weights("random", random_weights, "mobilenet-v2-0.35"))
    assert extractor(features)(images.rows(slice(0, 2))).shape[1:3] == (1, 3)


def test_a_bank_of_one_sample_is_refused(
    tmp_path: Path, random_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without it that sample could not be scored."""
    data = write_data(tmp_path / "data", textures(5, (32, 32, 1), 0))
    arguments = ["--weights", str(random_weights), "--scoring-function", "patchcore", "--sampling-ratio", "0.001"]
    assert train(data, tmp_path / "out", *arguments) == 1
    error = capfd.readouterr().err
    assert "memory bank (1) are of one sample" in error
    assert "--sampling-ratio" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((5, 64, 64, 1), np.float32), "one constant value"),
        (textures(1, (64, 64, 1), 0), "at least 2"),
        (textures(5, (64, 64, 1), 0) * np.nan, "NaN"),
    ],
)
def test_images_that_nothing_can_be_learnt_from_are_refused(
    tmp_path: Path, random_weights: Path, capfd: pytest.CaptureFixture[str], images: np.ndarray, words: str
) -> None:
    """One sentence, and no output."""
    data = write_data(tmp_path / "data", images)
    arguments = ["--weights", str(random_weights), "--scoring-function", "patchcore"]
    assert train(data, tmp_path / "out", *arguments) == 1
    assert words in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
