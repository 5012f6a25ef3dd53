"""What prediction writes and what it passes over: no file of others is touched, and none of its own is half-written."""

import csv
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
from fomoad.inference.collect import Collector, Limits
from tests.support import tiny_models

ROOT = Path(__file__).resolve().parents[2]
SIDE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose score is the mean square of a cell: 0 for grey, 1 for white."""
    folder = tmp_path_factory.mktemp("models")
    tiny_models.write_all(folder, SIDE, SIDE, 3, np.zeros((1, SIDE, SIDE, 3), np.float32))
    return folder / "model.tflite"


def photo(path: Path, value: int = 128, size: tuple[int, int] = (64, 64)) -> Path:
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def predict(model: Path, *arguments: Any) -> int:
    return main(["predict", "--model", str(model), "--threshold", "0.5", *map(str, arguments)])


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_overlay_never_takes_the_place_of_a_photo(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    original = photo(tmp_path / "part.png").read_bytes()
    (tmp_path / "notes.png").write_bytes(b"mine")
    assert predict(model, "part.png", "--overlay", ".") == 1
    assert "is no overlay of fomoad" in lines(capsys)[0]["error"]
    assert (tmp_path / "part.png").read_bytes() == original
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.png", "part.png"]


def test_overlays_replace_earlier_overlays_only(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, overlays = photo(tmp_path / "part.png"), tmp_path / "overlays"
    for _ in range(2):
        assert predict(model, image, "--overlay", overlays) == 0
    drawn = (overlays / "part.png").read_bytes()
    capsys.readouterr()
    assert predict(model, overlays / "part.png", "--overlay", overlays) == 1, "the overlay is the input here"
    assert (overlays / "part.png").read_bytes() == drawn
    (overlays / "part.png").unlink()
    (tmp_path / "victim").write_bytes(b"mine")
    (overlays / "part.png").symlink_to(tmp_path / "victim")
    assert predict(model, image, "--overlay", overlays) == 1
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_a_link_of_the_temporary_name_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fomoad.data import new_file

    monkeypatch.setattr(new_file, "_NUMBERS", iter([7]))
    (tmp_path / f".fomoad-{os.getpid()}-7.part").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        new_file.write_new(tmp_path / "new", b"x")
    assert not (tmp_path / "victim").exists()


def test_odd_files_are_named_and_the_rest_is_scored(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe, a folder with an image's name, a link to a folder, one that goes round, an over-long path."""
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    (photos / "folder.png").mkdir(parents=True)
    elsewhere.mkdir()
    photo(elsewhere / "linked.png")
    photo(photos / "folder.png" / "inner.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "link").symlink_to(elsewhere)
    (photos / "round").symlink_to(photos)
    assert predict(model, photos, tmp_path / ("x" * 5000), photos / "pipe.png") == 1
    found = lines(capsys)
    names = [Path(line["file"]).name[:20] for line in found]
    assert names == ["inner.png", "linked.png", "pipe.png", "x" * 20, "pipe.png"]
    assert ["error" in line for line in found] == [False, False, True, True, True]
    assert "no file but a folder, pipe or device" in found[2]["error"]


def test_large_images_are_bounded_by_pixels(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A PNG is refused before it is decoded; JPEG is decoded at a fraction, and boxes are in the file's pixels."""
    wide = np.full((400, 800, 3), 128, np.uint8)
    wide[:, 600:] = 255
    for name in ("a.png", "b.jpg"):
        Image.fromarray(wide).save(tmp_path / name, quality=95)
    assert predict(model, tmp_path / "a.png", tmp_path / "b.jpg", "--max-pixels", 100_000) == 1
    png, jpeg = lines(capsys)
    assert "has 800 x 400 pixels: at most 100,000 are taken" in png["error"]
    [box] = jpeg["boxes"]
    assert (box["x"], box["y"], box["width"], box["height"]) == (600, 0, 200, 400)


def test_a_small_file_that_asks_for_gigabytes_takes_little_memory(model: Path, tmp_path: Path) -> None:
    Image.new("L", (13_000, 13_000)).save(tmp_path / "bomb.png")
    program = (
        "import pathlib, re, sys; from fomoad.cli import main\n"
        f"code = main(['predict', '--model', {str(model)!r}, '--threshold', '1', {str(tmp_path / 'bomb.png')!r}])\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', status)[1], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "13000 x 13000 pixels" in done.stdout
    assert int(done.stderr.split()[-1]) < 200_000, "KiB"


def test_files_that_pillow_would_run_programs_for_are_no_images(model: Path, tmp_path: Path) -> None:
    """Encapsulated PostScript is a program, which Pillow hands to Ghostscript, whatever the file's name."""
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n")
    assert predict(model, tmp_path / "x.png") == 1


def _run(model: Path, arguments: list[str], stdin: bytes | int, **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "fomoad", "predict", "--model", str(model), "--threshold", "0.5", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, stdin=stdin if isinstance(stdin, int) else None,
        input=None if isinstance(stdin, int) else stdin, capture_output=True, check=False,
    )  # fmt: skip


def test_names_of_any_letters_give_valid_json_everywhere(model: Path, tmp_path: Path) -> None:
    """Beyond ASCII where the terminal knows ASCII only, and bytes that are no UTF-8 on standard input."""
    french = photo(tmp_path / "pièce.png")
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(odd)).write_bytes(french.read_bytes())
    done = _run(model, [str(french), "-"], odd + b"\n", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["file"] == str(french)
    assert os.fsencode(second["file"]) == odd
    assert second["verdict"] == "no anomaly"


def test_a_closed_standard_input_is_named(model: Path) -> None:
    command = f"'{sys.executable}' -m fomoad predict --model '{model}' --threshold 1 - <&-"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fomoad: There is no standard input to read paths from: name images in place of '-'.\n"


def test_a_full_output_file_is_named(model: Path, tmp_path: Path) -> None:
    """As with a full disk: the limit on a file's size is reached after a few lines."""
    images = f"'{photo(tmp_path / 'part.png')}' " * 20
    program = f"'{sys.executable}' -m fomoad predict --model '{model}' --threshold 1 {images}"
    command = f"ulimit -f 2; {program} > '{tmp_path}/out'"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx", "model_quantized_int8_io.tflite"])
def test_models_in_a_folder_of_any_name(model: Path, tmp_path: Path, name: str) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / name).write_bytes((model.parent / name).read_bytes())
    assert predict(folder / name, photo(tmp_path / "part.png")) == 0


def test_a_table_and_a_summary(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [photo(tmp_path / 'a,"b".png', 255), photo(tmp_path / "c.png"), tmp_path / "none.png"]
    assert predict(model, *images, "--format", "csv") == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [row["file"] for row in rows] == [str(path) for path in images]
    assert [row["verdict"] for row in rows] == ["anomaly", "no anomaly", ""]
    assert [row["boxes"] for row in rows] == ["1", "0", ""]
    assert float(rows[0]["score"]) == pytest.approx(1, abs=1e-5)
    assert "There is no image" in rows[2]["error"]
    assert "3 images: 1 flagged, 1 passed; 1 of 3 could not be used" in captured.err
    assert predict(model, images[1]) == 0
    captured = capsys.readouterr()
    assert captured.err == "fomoad: 1 image: 0 flagged, 1 passed.\n"
    assert "grid" not in json.loads(captured.out)


def test_settings_that_contradict_the_training_are_warned_of(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"sha256": hashlib.sha256(model.read_bytes()).hexdigest(), "threshold": {"suggested": 0.5}}
    (tmp_path / "model.tflite").write_bytes(model.read_bytes())
    content = {"models": {"model.tflite": known}, "input": {"scaling": "-1..1", "resize": "crop"}}
    (tmp_path / "anomaly_metadata.json").write_text(json.dumps(content))
    image = photo(tmp_path / "part.png")
    for given, warned in (("-1..1", False), ("0..255", True)):
        assert predict(tmp_path / "model.tflite", image, "--image-input-scaling", given) == 0
        assert ("Warning: --image-input-scaling is 0..255" in capsys.readouterr().err) == warned
    for threshold in ("NaN", "Infinity", "-1", "1e999"):
        (tmp_path / "anomaly_metadata.json").write_text(json.dumps(content).replace("0.5", threshold))
        assert main(["predict", "--model", str(tmp_path / "model.tflite"), str(image)]) == 1
        assert "is not the metadata of a training" in capsys.readouterr().err


def test_flagged_photos_and_a_share_of_others_are_collected(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [photo(tmp_path / f"{value}.png", value) for value in (*range(100, 150), 255)]
    folder = tmp_path / "kept"
    command = [*images, "--collect", folder, "--collect-share", 0.3]
    assert predict(model, *command) == 0
    entries = lines(capsys)
    kept = {Path(entry["collected"]): entry for entry in entries if "collected" in entry}
    assert 5 <= len(kept) <= 25
    assert entries[-1]["collected"].endswith("-255.png"), "flagged"
    assert set(kept) == {path for path in (folder / "to-review").iterdir() if path.suffix == ".png"}
    for path, entry in kept.items():
        assert path.read_bytes() == Path(entry["file"]).read_bytes()
        beside = json.loads(path.with_name(path.name + ".json").read_text())
        assert beside == {key: value for key, value in entry.items() if key != "collected"}
    flagged = Path(entries[-1]["collected"])
    (folder / "defects").mkdir()
    flagged.rename(folder / "defects" / flagged.name)
    assert predict(model, *command) == 0
    assert not any("collected" in entry for entry in lines(capsys)), "nothing comes twice, sorted or not"


def test_what_is_collected_is_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    kept = [photo(tmp_path / f"{value}.png", value) for value in range(9)]
    size = max(path.stat().st_size for path in kept)
    folder = tmp_path / "kept"

    def waiting() -> list[str]:
        return sorted(path.name[-5:] for path in (folder / "to-review").glob("*.png"))

    collector = Collector(folder, Limits(photos=3))
    for path in kept[:5]:
        assert collector.keep(path, True, {"score": 1})
    assert waiting() == ["2.png", "3.png", "4.png"]
    collector = Collector(folder, Limits(bytes=2 * size))
    assert collector.keep(kept[5], True, {})
    assert waiting() == ["4.png", "5.png"]
    assert len(list((folder / "to-review").iterdir())) == 4, "lines go with their photos"
    big = tmp_path / "big.png"
    big.write_bytes(bytes(3 * size))
    assert collector.keep(big, True, {}) is None
    assert Collector(folder, Limits(share=0)).keep(kept[6], False, {}) is None
    assert Collector(folder, Limits(share=1)).keep(kept[6], False, {}) is not None
