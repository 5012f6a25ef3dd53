"""The public Python API: the command's bytes, scikit-learn's conventions, and nothing done on import."""

import doctest
import inspect
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.base
from PIL import Image

import fomoad
from fomoad import cli, extras, progress
from fomoad.api import detector as module
from fomoad.settings import TrainSettings

ROOT = Path(__file__).parents[2]
SIDE = 32
SETTINGS = {"scoring_function": "patchcore", "layers": 1, "sampling_ratio": 0.5, "seed": 3}


def photos(folder: Path, count: int = 12) -> Path:
    """A folder of grey squares with noise."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        pixels = random.integers(80, 110, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of photos, and what the commands `import` and `train` make of it."""
    folder = tmp_path_factory.mktemp("api")
    images = photos(folder / "photos")
    assert cli.main(["import", str(images), "--data-directory", str(folder / "data"), "--size", str(SIDE)]) == 0
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    assert (
        cli.main(
            ["train", "--data-directory", str(folder / "data"), "--out-directory", str(folder / "out"), *arguments]
        )
        == 0
    )
    return images, folder / "out"


def test_the_examples_of_the_documentation_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And print nothing: as in a program that has not asked to hear more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress.LOGGER, "handlers", [])
    result = doctest.testmod(module, extraglobs={"fomoad": fomoad})
    assert result.attempted >= 10
    assert result.failed == 0


def test_a_detector_saves_the_bytes_of_the_command(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """Fitted in a thread, in a process that has trained before, and quietly."""
    images, out = trained
    detector = fomoad.AnomalyDetector(**SETTINGS)
    thread = threading.Thread(target=detector.fit, args=(images,), kwargs={"size": SIDE})
    thread.start()
    thread.join()
    detector.save(tmp_path / "saved")
    assert {file.name for file in (tmp_path / "saved").iterdir()} == {file.name for file in out.iterdir()}
    for file in out.iterdir():
        assert (tmp_path / "saved" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_loaded_detector_says_what_the_command_says(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = trained
    flawed = np.asarray(Image.open(images / "00.png")).copy()
    flawed[10:25, 12:30] = 255
    Image.fromarray(flawed).save(tmp_path / "flawed.png")
    paths = [images / "01.png", tmp_path / "flawed.png"]
    capsys.readouterr()
    assert cli.main(["predict", "--model", str(out / "model.tflite"), *map(str, paths), "--grids"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    detector = fomoad.load(out)
    assert detector.get_params() | SETTINGS == detector.get_params()
    result = detector.predict(paths)
    assert len(result) == 2
    assert result.files == paths
    for line, score, verdict, anomaly_map, boxes in zip(
        lines, result.scores, result.verdicts, result.maps, result.boxes, strict=True
    ):
        assert line["score"] == pytest.approx(float(score), rel=1e-6)
        assert line["verdict"] == verdict
        np.testing.assert_allclose(line["grid"], anomaly_map, rtol=1e-6)
        assert line["boxes"] == [box._asdict() for box in boxes]
    assert result.verdicts.tolist() == ["no anomaly", "anomaly"]
    assert detector.predict(paths, threshold=result.scores.max() + 1).boxes == [[], []]
    detector.save(tmp_path / "again")
    for file in out.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_arrays_are_scored_as_pixels_or_as_scaled_values(trained: tuple[Path, Path]) -> None:
    detector = fomoad.load(trained[1] / "model.tflite", trust=True)
    pixels = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    result = detector.predict(pixels)
    assert result.maps.shape == (3, 4, 4)
    np.testing.assert_array_equal(result.scores, result.maps.max(axis=(1, 2)))
    np.testing.assert_allclose(detector.predict(pixels / 255).maps, result.maps, rtol=1e-5)
    assert len(detector.predict(pixels[:0])) == 0
    for wrong, words in [
        (pixels[0], "has the shape"),
        (pixels[:, :, :16], "at least 32"),
        (np.repeat(pixels, 2, axis=1), "32 x 32 x 3"),
        (pixels.astype(np.float32), "cannot be images scaled 0..1"),
        (pixels / np.nan, "NaN"),
        (pixels.astype(int), "int64"),
        ("/nowhere.png", "no image"),
    ]:
        with np.errstate(invalid="ignore"), pytest.raises(fomoad.UserError, match=words):
            detector.predict(wrong)


def test_scikit_learn_s_conventions() -> None:
    detector = fomoad.AnomalyDetector(sampling_ratio=0.02, k=3)
    assert detector.get_params() == TrainSettings(sampling_ratio=0.02, k=3).model_dump()
    copy = sklearn.base.clone(detector)
    assert copy is not detector
    assert copy.get_params() == detector.get_params()
    assert detector.set_params(k=5) is detector
    assert (detector.get_params()["k"], copy.get_params()["k"]) == (5, 3)
    assert repr(copy) == "AnomalyDetector(sampling_ratio=0.02, k=3)"
    assert list(inspect.signature(fomoad.AnomalyDetector).parameters) == list(TrainSettings.model_fields)
    with pytest.raises(fomoad.NotFittedError, match="call fit"):
        detector.predict(np.zeros((1, SIDE, SIDE, 3), np.uint8))
    assert issubclass(fomoad.NotFittedError, ValueError)
    with pytest.raises(fomoad.NotFittedError):
        detector.save("nowhere")


def test_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(TypeError, match="smapling_ratio"):
        fomoad.AnomalyDetector(smapling_ratio=0.1)
    with pytest.raises(fomoad.UserError, match="k cannot be 0"):
        fomoad.AnomalyDetector(k=0)
    detector = fomoad.AnomalyDetector(k=2)
    with pytest.raises(fomoad.UserError, match="k cannot be True"):
        detector.set_params(seed=9, k=True)
    assert (detector.get_params()["seed"], detector.get_params()["k"]) == (1, 2)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, SIDE, SIDE, 3), np.uint8), "at least 2"),
        (np.zeros((5, SIDE, SIDE, 3), np.uint8), "one constant value"),
        (np.zeros((5, SIDE, SIDE, 2), np.uint8), "1 or 3 channels"),
        ("/nowhere", "no folder"),
    ],
)
def test_images_that_nothing_can_be_learnt_from_are_refused(images: Any, words: str) -> None:
    with pytest.raises(fomoad.UserError, match=words):
        fomoad.AnomalyDetector().fit(images)


def test_ids_must_be_as_many_as_images() -> None:
    with pytest.raises(fomoad.UserError, match="2 sample ids for 3 images"):
        fomoad.AnomalyDetector().fit(np.zeros((3, SIDE, SIDE, 3), np.uint8), sample_ids=["a", "b"])


def test_a_model_alone_needs_a_threshold(trained: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes((trained[1] / "model.tflite").read_bytes())
    with pytest.raises(fomoad.UserError, match="no threshold"):
        fomoad.load(tmp_path)
    assert fomoad.load(tmp_path, threshold=2.5).threshold == 2.5
    with pytest.raises(fomoad.UserError, match="no model in the directory"):
        fomoad.load(trained[0])


def test_what_has_no_effect_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("fomoad").propagate = True
    with pytest.raises(fomoad.UserError), caplog.at_level(logging.WARNING, logger="fomoad"):
        fomoad.AnomalyDetector(scoring_function="gmm", k=5).fit("/nowhere")
    assert "--k has no effect: the scoring function is gmm." in caplog.text


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh process."""
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_does_nothing() -> None:
    """No output, no other package, no environment variable, no signal handler, no thread, no process."""
    done = run(
        "import os, signal, sys, threading\n"
        "before = dict(os.environ), [signal.getsignal(n) for n in signal.valid_signals()], set(sys.modules)\n"
        "import fomoad\n"
        "assert 'AnomalyDetector' in dir(fomoad)\n"
        "assert (dict(os.environ), [signal.getsignal(n) for n in signal.valid_signals()]) == before[:2]\n"
        "assert threading.active_count() == 1\n"
        "others = {name.split('.')[0] for name in set(sys.modules) - before[2]} - set(sys.stdlib_module_names)\n"
        "assert others == {'fomoad'}, others\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_loading_and_predicting_need_only_the_base_packages(trained: tuple[Path, Path]) -> None:
    """Everything that an extra brings is refused, and nothing is printed."""
    refused = sorted({module for modules in extras.EXTRAS.values() for module in modules})
    done = run(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {refused}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import fomoad\n"
        f"detector = fomoad.load({str(trained[1])!r})\n"
        f"assert len(detector.predict({str(trained[0])!r}).scores) == 12\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("fomoad.extras.EXTRAS", {"train": ("os", "no_such_module")})
    with pytest.raises(fomoad.UserError, match=r"\(no_such_module\): pip install 'fomoad\[train\]'"):
        fomoad.AnomalyDetector().fit(np.zeros((3, SIDE, SIDE, 3), np.uint8))
    assert cli.main(["train", "--data-directory=d", "--out-directory=o"]) == 1
    assert "pip install 'fomoad[train]'" in capsys.readouterr().err
