"""Prediction as a user sees it: lines, pictures, exit codes, and what is imported for them."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomoad.cli import main
from fomoad.errors import UserError
from fomoad.inference import predict
from tests.support import tiny_models

ROOT = Path(__file__).resolve().parents[2]
SIDE = 32
THRESHOLD = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models whose score is the mean square of a cell, with metadata."""
    folder = tmp_path_factory.mktemp("models")
    images = np.random.default_rng(0).uniform(-1, 1, (6, SIDE, SIDE, 3)).astype(np.float32)
    images[0], images[1] = 1, 0
    tiny_models.write_all(folder, SIDE, SIDE, 3, images)
    _write_metadata(folder, "-1..1")
    return folder


def _write_metadata(folder: Path, scaling: str, resize: str | None = None) -> None:
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "threshold": {"suggested": THRESHOLD, "method": "max", "max_train": THRESHOLD},
        }
        for name in ("model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip")
    }
    content = {
        "input": {"height": SIDE, "width": SIDE, "channels": 3, "scaling": scaling, "resize": resize},
        "models": files,
    }
    (folder / "anomaly_metadata.json").write_text(json.dumps(content))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Grey, where the score is 0, at 10 times the model's size; `spots` with white on two places."""
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    grey = np.full((320, 320, 3), 128, np.uint8)
    Image.fromarray(grey).save(photos / "plain.png")
    grey[80:160, 80:240] = 255
    grey[240:, :80] = 255
    Image.fromarray(grey).save(photos / "sub" / "spots.png")
    Image.fromarray(grey).save(photos / ".hidden.png")
    return photos


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", ["model.tflite", "model_quantized_int8_io.tflite", "model.onnx"])
def test_a_folder(name: str, folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--grids", "--model", str(folder / name), str(photos)]) == 0
    plain, spots = _lines(capsys)
    assert plain["file"] == str(photos / "plain.png")
    assert (plain["verdict"], plain["boxes"], plain["threshold"]) == ("no anomaly", [], THRESHOLD)
    assert spots["verdict"] == "anomaly"
    expected = np.zeros((4, 4))
    expected[1, 1:3] = expected[3, 0] = 1
    # Where white meets grey, shrinking blends a row of pixels.
    np.testing.assert_allclose(spots["grid"], expected, atol=0.1)
    assert spots["score"] == max(map(max, spots["grid"]))
    boxes = [(box["x"], box["y"], box["width"], box["height"]) for box in spots["boxes"]]
    assert boxes == [(80, 80, 160, 80), (0, 240, 80, 80)]


def test_grid_is_that_of_the_model_alone(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    assert main(["predict", "--grids", "--model", str(folder / "model.tflite"), str(tmp_path / "noise.png")]) == 0
    expected = tiny_models.expected_scores(pixels[None] / 127.5 - 1)[0]
    np.testing.assert_allclose(_lines(capsys)[0]["grid"], expected, atol=1e-5)


def test_overlays(folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "elsewhere" / "plain.png"
    other.parent.mkdir()
    (photos / "plain.png").rename(other)
    Image.open(other).save(photos / "plain.jpg")
    Image.open(other).save(photos / "plain.png")
    overlays = tmp_path / "overlays"
    command = ["predict", "--model", str(folder / "model.tflite"), "--overlay", str(overlays)]
    assert main([*command, str(photos), str(other)]) == 0
    lines = _lines(capsys)
    written = [Path(line["overlay"]).relative_to(overlays).as_posix() for line in lines]
    assert written == ["plain.png", "plain_2.png", "sub/spots.png", "plain_3.png"]
    assert sorted(path.relative_to(overlays).as_posix() for path in overlays.rglob("*.png")) == sorted(written)
    drawn = np.asarray(Image.open(overlays / "sub" / "spots.png"))
    assert drawn.shape == (320, 320, 3)
    assert drawn[80, 80].tolist() == [255, 255, 255]
    red, _, blue = drawn[120, 120].astype(int)
    assert red > blue + 50
    red, _, blue = drawn[20, 200].astype(int)
    assert blue > red


def test_the_ways_to_set_things(folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spots = str(photos / "sub" / "spots.png")
    command = ["predict", "--grids", "--model", str(folder / "model.tflite"), spots]
    assert main([*command, "--threshold", "1.5"]) == 0
    assert _lines(capsys)[0]["verdict"] == "no anomaly"
    assert main([*command, "--image-input-scaling", "0..1"]) == 0
    assert _lines(capsys)[0]["grid"][0][0] == pytest.approx((128 / 255) ** 2, abs=1e-3)
    assert main([*command, "--resize", "crop"]) == 0
    cropped = _lines(capsys)[0]
    assert cropped["grid"][0][0] == pytest.approx(1, abs=1e-4)
    assert cropped["boxes"][0] == {"x": 144, "y": 144, "width": 32, "height": 16, "score": cropped["score"]}


def test_a_stream_is_answered_line_by_line(folder: Path, photos: Path) -> None:
    """Each answer is awaited before the next path is sent: nothing may wait in a buffer."""
    command = [sys.executable, "-m", "fomoad", "predict", "--model", str(folder / "model.tflite"), "-"]
    program = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdin is not None
    assert program.stdout is not None
    for name, verdict in (("plain.png", "no anomaly"), ("sub/spots.png", "anomaly"), ("none.png", None)):
        print(photos / name, file=program.stdin, flush=True)
        line = json.loads(program.stdout.readline())
        assert line["file"] == str(photos / name)
        assert line.get("verdict") == verdict
    program.stdin.close()
    assert program.wait(30) == 1
    program.stdout.close()


def test_a_vote_in_the_metadata_or_an_argument_is_taken_over_a_stream(
    folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A photo that cannot be read counts neither way; folders are no video."""
    (tmp_path / "model.tflite").write_bytes((folder / "model.tflite").read_bytes())
    content = json.loads((folder / "anomaly_metadata.json").read_text())
    (tmp_path / "anomaly_metadata.json").write_text(json.dumps(content | {"vote": "2/3"}))
    names = ("sub/spots.png", "none.png", "plain.png", "sub/spots.png", "plain.png", "plain.png")
    command = ["predict", "--model", str(tmp_path / "model.tflite"), "-"]

    def alarms(*arguments: str) -> list[bool | None]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{photos / name}\n" for name in names)))
        assert main([*command, *arguments]) == 1
        return [json.loads(line).get("alarm") for line in capsys.readouterr().out.splitlines()]

    assert alarms() == [False, None, False, True, False, False]
    assert alarms("--vote", "1/2") == [True, None, True, True, True, False]
    assert alarms("--vote", "1/1") == [None] * 6
    assert main([*command, "--vote", "4/3"]) == 1
    assert "--vote cannot be '4/3'" in capsys.readouterr().err
    assert main([*command[:-1], str(photos)]) == 0
    assert "alarm" not in capsys.readouterr().out


def test_images_that_cannot_be_used(folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.png").write_text("x")
    assert main(["predict", "--model", str(folder / "model.tflite"), str(photos), str(photos / "none.png")]) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert ["error" in line for line in lines] == [True, False, False, True]
    assert "broken.png cannot be read" in lines[0]["error"]
    assert captured.err == (
        "fomoad: 4 images: 1 flagged, 1 passed; 2 of 4 could not be used: the lines with 'error' say why.\n"
    )


def test_metadata_of_another_model_or_none(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes((folder / "model.tflite").read_bytes())
    with pytest.raises(UserError, match="There is no threshold"):
        predict.load_detector(model, None, None, None)
    assert predict.load_detector(model, 2.0, None, None).threshold == 2.0
    (tmp_path / "anomaly_metadata.json").write_text('{"models": {}}')
    with pytest.raises(UserError, match="There is no threshold"):
        predict.load_detector(model, None, None, None)
    assert "does not know model.tflite" in capsys.readouterr().err
    for damaged in ("{", "[]", '{"models": 3}'):
        (tmp_path / "anomaly_metadata.json").write_text(damaged)
        with pytest.raises(UserError, match="is not the metadata of a training"):
            predict.load_detector(model, None, None, None)
    for threshold in (-1.0, float("nan")):
        with pytest.raises(UserError, match="cannot be used"):
            predict.load_detector(folder / "model.tflite", threshold, None, None)


def test_scaling_and_resizing_of_the_metadata(folder: Path, tmp_path: Path) -> None:
    for name in ("model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    _write_metadata(tmp_path, "torch", "fit-long")
    detector = predict.load_detector(tmp_path / "model.tflite", None, None, None)
    assert (detector.scaling, detector.resize) == ("torch", "fit-long")
    assert predict.load_detector(tmp_path / "model.tflite", None, "crop", None).resize == "crop"
    assert predict.load_detector(folder / "model.tflite", None, None, None).resize == "squash"


def test_overlay_folder_that_cannot_be_made(folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "--model", str(folder / "model.tflite"), "--overlay", str(photos / "plain.png" / "x")]
    assert main([*command, str(photos / "plain.png")]) == 1
    assert "cannot be written" in _lines(capsys)[0]["error"]


def test_needs_only_numpy_pillow_and_a_tflite_runtime(folder: Path, photos: Path) -> None:
    """With every other installed package made impossible to import."""
    program = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        root = name.partition('.')[0]\n"
        "        if root not in sys.stdlib_module_names | {'numpy', 'PIL', 'ai_edge_litert', 'fomoad'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from fomoad.cli import main\n"
        f"sys.exit(main(['predict', '--model', {str(folder / 'model.tflite')!r}, {str(photos)!r},"
        f" '--overlay', {str(photos / 'out')!r}]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=photos, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
