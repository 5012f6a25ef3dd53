"""`--ignore-mask`: 0 where it covers, in every file and on TFLite Micro; a change behind it changes no far score."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fomoad
from fomoad import cli
from fomoad.data import dataset
from fomoad.data.info_file import read_info
from fomoad.defects import made_set
from fomoad.device import micro
from fomoad.errors import UserError
from fomoad.fleet.product import Task, digest_of
from fomoad.fleet.rows import Row
from fomoad.inference.model import load_model
from fomoad.inference.predict import load_detector
from fomoad.maintenance import update
from fomoad.maintenance.originals import Originals
from fomoad.maintenance.update import Before
from fomoad.metadata import AnomalyMetadata
from fomoad.parameters import Parameters
from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.settings import TrainSettings
from fomoad.training import ignoring, train
from fomoad.training import state as training_state
from tests.support.kernels import on_micro
from tests.training.test_train import MODELS, textures, write_data

SHAPE = (64, 160, 1)
MASKED = 100
"""Columns of pixels from here on are ignored."""
UNSEEN = 144
"""From here on, no cell that counts sees anything: with one layer a cell sees some 45 pixels around it."""
INT8 = "model_quantized_int8_io.tflite"


def mask_file(path: Path, width: int = 320, height: int = 96, first: int = 2 * MASKED) -> Path:
    """White from a column on."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, first:] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module", params=["gmm", "patchcore"])
def masked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, random_weights: Path) -> Any:
    """A training with a mask twice as wide as the images: folder, metadata. What lies behind it is garbage."""
    folder = tmp_path_factory.mktemp(f"masked-{request.param}")
    images = textures(20, SHAPE, 0)
    images[:, :, UNSEEN:] = np.random.default_rng(1).uniform(0, 1, images[:, :, UNSEEN:].shape)
    data, mask = write_data(folder / "data", images), mask_file(folder / "mask.png")
    arguments = ["train", "--data-directory", str(data), "--out-directory", str(folder / "out")]
    arguments += [
        "--scoring-function",
        request.param,
        "--layers",
        "1",
        "--capacity",
        "low",
        "--tune",
        "off",
        "--sampling-ratio",
        "0.05",
        "--contamination",
        "0",
    ]
    assert cli.main([*arguments, "--weights", str(random_weights), "--ignore-mask", str(mask)]) == 0
    metadata = AnomalyMetadata.model_validate_json((folder / "out" / "anomaly_metadata.json").read_bytes())
    return folder, metadata


def _ignored(metadata: AnomalyMetadata) -> np.ndarray:
    counted = metadata.grid.counted()
    assert counted is not None
    return ~counted


def test_the_metadata_say_which_cells_are_ignored(masked: Any) -> None:
    """Those whose windows are covered by half: by the windows' middles, for a mask with one straight edge."""
    folder, metadata = masked
    middles = metadata.grid.cells.horizontal.origin + metadata.grid.cells.horizontal.stride * np.arange(
        metadata.grid.columns
    )
    expected = np.tile(middles >= MASKED, (metadata.grid.rows, 1))
    if metadata.scoring_function == "patchcore":  # its patches of 2 x 2 cells may leave the column beside it no score
        assert 0 <= _ignored(metadata).sum() - expected.sum() <= metadata.grid.rows
    else:
        np.testing.assert_array_equal(_ignored(metadata), expected)
    assert metadata.ignore_mask_sha256 == hashlib.sha256((folder / "mask.png").read_bytes()).hexdigest()
    assert metadata.settings["ignore_mask"] == str(folder / "mask.png")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_ignored_cells_are_0_and_a_change_behind_the_mask_changes_nothing(masked: Any, name: str) -> None:
    folder, metadata = masked
    model, ignored = load_model(folder / "out" / name, True), _ignored(metadata)
    images = textures(6, SHAPE, 2)
    changed = images.copy()
    changed[:, :, UNSEEN:] = 1 - changed[:, :, UNSEEN:]
    changed[:, 20:40, UNSEEN + 2 :] = 1
    noise = np.random.default_rng(3).uniform(0, 1, images.shape).astype(np.float32)
    before, after, wild = (model.score(each) for each in (images, changed, noise))
    for grids in (before, after, wild):
        assert not grids[:, ignored].any()
        assert grids[:, ~ignored].any()
    np.testing.assert_array_equal(before, after)
    found = images.copy()
    found[:, 20:44, 30:54] = 1
    highest, usual = model.score(found).max(axis=(1, 2)), before.max(axis=(1, 2))
    assert (highest > usual).all()
    assert (highest >= metadata.models[name].threshold.suggested).any()


@pytest.mark.skipif(not micro.available(), reason="TFLite Micro's interpreter is not installed")
def test_on_tflite_micro_ignored_cells_are_the_lowest_code_which_stands_for_0(masked: Any) -> None:
    folder, metadata = masked
    model = load_model(folder / "out" / INT8)
    noise = np.random.default_rng(3).uniform(0, 1, (3, *SHAPE)).astype(np.float32)
    codes = on_micro((folder / "out" / INT8).read_bytes(), model.input.encode(noise))
    assert model.output.zero_point == -128
    assert (codes[:, _ignored(metadata)] == -128).all()
    assert (codes[:, ~_ignored(metadata)] > -128).any()


def test_readers_of_the_metadata_show_them(masked: Any, tmp_path: Path) -> None:
    """predict's overlay, the report and its figures, and fomoad.load."""
    folder, metadata = masked
    ignored = _ignored(metadata)
    detector = load_detector(folder / "out" / "model.tflite", None, None, None)
    np.testing.assert_array_equal(detector.ignored, ignored)
    arguments = ["--model", str(folder / "out" / INT8), "--data-directory", str(folder / "data")]
    assert cli.main(["test", *arguments, "--report-directory", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["model"]["grid"]["ignored"] == metadata.grid.ignored
    assert all(not np.array(image["grid"])[ignored].any() for image in results["images"])
    assert "hatched: ignored cell" in (tmp_path / "report.html").read_text()
    loaded = fomoad.load(folder / "out")
    assert loaded.get_params()["ignore_mask"] == str(folder / "mask.png")


def test_made_defects_have_their_middles_where_cells_count(masked: Any) -> None:
    _, metadata = masked
    detection = metadata.models["model.tflite"].detection
    assert detection is not None
    assert len(detection.defects.column) > 20
    # A mask's middle is the mean of its pixels, which the choice of a place only aims at.
    assert np.mean(np.array(detection.defects.column) < MASKED + 4) > 0.95


def test_an_update_takes_the_mask_along(masked: Any) -> None:
    """Whatever new photos show behind it: the same scorers, with the same cells ignored."""
    folder, metadata = masked
    before = training_state.read(folder / "out" / "model.tflite")
    counted = before.fit.scorer.counted
    assert counted is not None
    np.testing.assert_array_equal(~counted.cells, _ignored(metadata))
    random = np.random.default_rng(0)
    scorer = before.fit.scorer
    assert isinstance(scorer, GmmScorer | PatchCoreScorer)
    depth = scorer.standardise.gain.shape[-1]
    features = random.normal(0, 3, (2, 4, *counted.places.shape, depth)).astype(np.float32)
    garbage = features.copy()
    garbage[:, :, ~counted.places] = random.normal(0, 900, garbage[:, :, ~counted.places].shape)
    adapted = [update.adapt(before, update.Features(*each), 1) for each in (features, garbage)]
    for fit, other in zip(*adapted, strict=True):
        np.testing.assert_array_equal(fit.held_out_scores, other.held_out_scores)
        np.testing.assert_array_equal(fit.scorer.score(features[0]), other.scorer.score(garbage[0]))
        assert not fit.scorer.score(features[0])[:, _ignored(metadata)].any()
        assert fit.scorer.size == before.fit.scorer.size
        assert not np.array_equal(fit.scorer.score(features[0]), before.fit.scorer.score(features[0]))


def test_calibration_sees_no_ignored_cell(masked: Any, tmp_path: Path) -> None:
    """Labelled images with and without garbage behind the mask get the same thresholds."""
    folder, metadata = masked
    images = textures(24, SHAPE, 4)
    images[12:, 20:36, 30:46] = 1
    garbage = images.copy()
    garbage[::2, :, UNSEEN:] = np.random.default_rng(5).uniform(0, 1, garbage[::2, :, UNSEEN:].shape)
    labels = np.stack([np.repeat([2, 1], 12), np.arange(24), *np.zeros((2, 24))], axis=1).astype(np.int32)
    found = []
    for name, each in (("clean", images), ("garbage", garbage)):
        data = write_data(tmp_path / name, images[:2])
        np.save(data / "X_split_test.npy", each)
        np.save(data / "Y_split_test.npy", labels)
        models = shutil.copytree(folder / "out", tmp_path / f"{name} models")
        arguments = ["--models", str(models), "--data-directory", str(data), "--objective", "recall=0.9"]
        assert cli.main(["calibrate", *arguments]) == 0
        found.append(AnomalyMetadata.model_validate_json((models / "anomaly_metadata.json").read_bytes()))
    assert found[0].models == found[1].models
    assert found[0].grid.ignored == metadata.grid.ignored
    for name, record in found[0].models.items():
        assert record.threshold.method == "calibrated"
        assert record.threshold.suggested != metadata.models[name].threshold.suggested


@pytest.mark.no_cover
def test_an_update_with_the_training_s_images_ignores_the_same_cells(masked: Any, tmp_path: Path) -> None:
    """In every file; what photos show behind the mask moves no held-out score, and so no threshold."""
    folder, metadata = masked
    photos = textures(6, SHAPE, 6)
    photos[:, :, UNSEEN:] = np.random.default_rng(7).uniform(0, 1, photos[:, :, UNSEEN:].shape)
    (tmp_path / "good").mkdir()
    for number, photo in enumerate(photos):
        Image.fromarray(np.round(photo[..., 0] * 255).astype(np.uint8)).save(tmp_path / "good" / f"{number}.png")
    arguments = ["--models", str(folder / "out"), "--good", str(tmp_path / "good"), "--force"]
    arguments += ["--data-directory", str(folder / "data"), "--out-directory", str(tmp_path / "new")]
    assert cli.main(["update", *arguments]) == 0
    described = AnomalyMetadata.model_validate_json((tmp_path / "new" / "anomaly_metadata.json").read_bytes())
    assert described.training_images == 26
    assert described.grid.ignored == metadata.grid.ignored
    noise = np.random.default_rng(3).uniform(0, 1, (2, *SHAPE)).astype(np.float32)
    for name in MODELS:
        grids = load_model(tmp_path / "new" / name, True).score(noise)
        assert not grids[:, _ignored(metadata)].any()
        assert grids[:, ~_ignored(metadata)].any()

    before = Before.read(folder / "out")
    originals = Originals.open(folder / "data", before.metadata, before.settings, before.state)
    grids = originals.floats.first()[0]
    features = (np.random.default_rng(8).normal(0, 1, (4, *grids.shape)) + grids).astype(np.float32)
    garbage = features.copy()
    counted = before.state.fit.scorer.counted
    assert counted is not None
    garbage[:, ~counted.places] *= 99
    names = [f"photo {number}" for number in range(4)]
    fits = [originals.refit(before.state, before.settings, each, each, names) for each in (features, garbage)]
    for clean, other in zip(*fits, strict=True):
        np.testing.assert_array_equal(clean.held_out_scores, other.held_out_scores)


def _open(data: Path, mask: Path | str, **others: Any) -> Any:
    return train.open_directory(TrainSettings(ignore_mask=str(mask), weights="bundled", **others), data)


def test_wrong_masks_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """While the data are checked, before TensorFlow is imported."""
    data = write_data(tmp_path / "data", textures(4, SHAPE, 0))
    (tmp_path / "text.png").write_text("no picture")
    cases = {
        tmp_path / "nothing.png": "There is no image",
        tmp_path / "text.png": "cannot be read",
        mask_file(tmp_path / "all.png", first=0): "covers the whole picture",
        mask_file(tmp_path / "much.png", first=40): "leaves about 3 of 27 cells",
    }
    for mask, words in cases.items():
        with pytest.raises(UserError) as caught:
            _open(data, mask)
        assert words in str(caught.value)
        assert str(caught.value).startswith("--ignore-mask")
        assert str(mask) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_tiles_take_no_mask(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, image in enumerate(textures(4, (64, 112, 1), 0)):
        Image.fromarray(np.round(image[..., 0] * 255).astype(np.uint8)).save(photos / f"{number}.png")
    arguments = ["import", str(photos), "--data-directory", str(tmp_path / "data"), "--size", "64", "--tiles", "1,2"]
    assert cli.main(arguments) == 0
    with pytest.raises(UserError, match="does not go with photos that were cut into tiles"):
        _open(tmp_path / "data", mask_file(tmp_path / "mask.png"))


def test_a_mask_that_covers_nothing_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_data(tmp_path / "data", textures(4, SHAPE, 0))
    assert _open(data, mask_file(tmp_path / "none.png", first=318)).ignored is not None
    assert "covers no cell of the map by half, so nothing is ignored" in capsys.readouterr().out


def test_the_mask_is_resized_as_the_photos_are(tmp_path: Path) -> None:
    """Drawn over a photo that is cropped to its middle: its left and right fifths fall away."""
    data = write_data(tmp_path / "data", textures(4, (64, 64, 1), 0))
    (data / "train_input.json").write_text('{"imageResize": "fit-short"}')
    mask = mask_file(tmp_path / "mask.png", width=200, height=120, first=100)
    settings = TrainSettings(ignore_mask=str(mask), weights="bundled")
    split = dataset.open_split(data, "train", "0..1", read_info(None, data))
    found = ignoring.read(settings, split)
    assert found is not None
    assert found.shares[:, :31].max() == 0
    assert found.shares[:, 33:].min() == 1
    assert mask_file(tmp_path / "same.png", width=64, height=64, first=36).is_file()
    same = ignoring.read(TrainSettings(ignore_mask=str(tmp_path / "same.png"), weights="bundled"), split)
    assert same is not None
    np.testing.assert_array_equal(same.shares, np.tile(np.arange(64) >= 36, (64, 1)))


def test_defects_are_made_where_pixels_count() -> None:
    images = np.full((3, 64, 64, 3), 128, np.uint8)
    images[:, ::7] = 90
    where = np.zeros((64, 64), bool)
    where[:, 40:] = True
    made = list(made_set(images, 40, seed=1, where=where))
    assert len(made) > 30
    assert all(np.nonzero(defect.mask)[1].mean() > 30 for defect in made)
    assert np.mean([np.nonzero(defect.mask)[1].mean() >= 40 for defect in made]) > 0.8


def test_a_path_is_a_setting_and_another_picture_is_another_training(tmp_path: Path) -> None:
    mask = mask_file(tmp_path / "mask.png")
    detector = fomoad.AnomalyDetector(ignore_mask=mask)
    assert TrainSettings(**detector.get_params()).ignore_mask == str(mask)
    data = write_data(tmp_path / "data", textures(4, (32, 32, 1), 0))
    parameters = Parameters.of({"ignore_mask": str(mask), "weights": "bundled"})
    task = Task(Row(1, "part", data, tmp_path / "out", parameters), True, None)
    first = digest_of(task)
    mask_file(mask, first=10)
    assert digest_of(task) != first
