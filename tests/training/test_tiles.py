"""A training on tiles, a test and a prediction of whole photos: one score, one verdict, boxes in the photo's pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fomoad
from fomoad.cli import main
from fomoad.data.dataset import open_split
from fomoad.data.image_file import place
from fomoad.data.info_file import read_info
from fomoad.inference.model import load_model
from fomoad.state_file import held_out_scores

SIZE, PHOTOS = 64, 24


def _photo(seed: int, spot: tuple[int, int] | None = None) -> np.ndarray:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:240, :320]
    photo = 120 + 40 * np.sin(x / 9 + random.uniform(0, 6)) * np.cos(y / 11) + random.normal(0, 6, (240, 320))
    if spot:
        photo[spot[0] - 12 : spot[0] + 12, spot[1] - 12 : spot[1] + 12] = 255
    return np.repeat(np.clip(photo, 0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.fixture(scope="module", params=["gmm", "patchcore"])
def trained(request, tmp_path_factory, random_weights):
    folder = tmp_path_factory.mktemp(request.param)
    spots = {"test/spot/a": (60, 250), "test/spot/b": (180, 80)}
    names = [*(f"train/good/{n:02}" for n in range(PHOTOS)), "test/good/x", "test/good/y", *spots]
    for number, name in enumerate(names):
        path = folder / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_photo(number, spots.get(name))).save(path)
    data, out = folder / "data", folder / "models"
    assert (
        main(["import", str(folder / "photos"), "--data-directory", str(data), "--size", "64", "--tiles", "2,2"]) == 0
    )
    arguments = [f"--scoring-function={request.param}", "--capacity=low", "--tune=off"]
    arguments += ["--weights", str(random_weights)]
    assert main(["train", "--data-directory", str(data), "--out-directory", str(out), *arguments]) == 0
    return folder / "photos", data, out


def test_thresholds_count_photos(trained) -> None:
    _, data, out = trained
    metadata = json.loads((out / "anomaly_metadata.json").read_text())
    assert metadata["input"]["tiles"] == {"rows": 2, "columns": 2, "down": 48, "across": 48}
    assert metadata["training_images"] == PHOTOS
    scores = held_out_scores(out / "model.tflite")
    assert len(scores) == PHOTOS
    found = {each["false_positive_rate"]: each["threshold"] for each in metadata["threshold"]["choices"]}
    assert found[None] == pytest.approx(scores.max())
    # Conformal: of 24 photos, the 23rd lowest score is what a new one exceeds with probability 2 / 25.
    assert found[0.1] == pytest.approx(np.sort(scores)[-2], rel=1e-6)
    assert found[0.01] is None
    # The scores of the model itself, which knows these tiles, are those of the highest tiles of each photo.
    split = open_split(data, "train", "0..1", read_info(None, data))
    assert split.ids == [str(1 + row // 4) for row in range(4 * PHOTOS)]
    assert all(suspect["row"] < PHOTOS for suspect in metadata["suspects"])


def test_a_test_and_a_prediction_say_the_same_of_whole_photos(trained, tmp_path: Path, capsys) -> None:
    photos, data, out = trained
    report = tmp_path / "report"
    model = out / "model.tflite"
    assert main(["test", "--model", str(model), "--data-directory", str(data), "--report-directory", str(report)]) == 0
    results = json.loads((report / "results.json").read_text())
    assert [image["file_name"] for image in results["images"]] == [
        "test/good/x.png", "test/good/y.png", "test/spot/a.png", "test/spot/b.png",
    ]  # fmt: skip
    assert results["model"]["photo"] == {"height": 112, "width": 112}
    assert "cut into" in (report / "report.html").read_text()
    files = [photos / image["file_name"] for image in results["images"]]
    capsys.readouterr()
    assert main(["predict", "--model", str(model), "--grids", "--overlay", str(tmp_path / "o"), *map(str, files)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with_tiles = fomoad.load(out)
    predicted = with_tiles.predict(files)
    for number, (line, image) in enumerate(zip(lines, results["images"], strict=True)):
        np.testing.assert_allclose(line["grid"], image["grid"], rtol=2e-3)
        np.testing.assert_array_equal(np.array(line["grid"], np.float32), predicted.maps[number])
        assert line["verdict"] == image["verdict"]
    # By hand: resize, cut, score, and take the highest.
    scorer = load_model(model, trust=True)
    whole = place((320, 240), (112, 112), "squash").apply(Image.open(files[2]), Image.Resampling.BILINEAR)
    tiles = [np.asarray(whole)[top : top + SIZE, left : left + SIZE] for top in (0, 48) for left in (0, 48)]
    by_hand = max(float(scorer.score((tile / np.float32(255)).astype(np.float32)[None]).max()) for tile in tiles)
    assert lines[2]["score"] == pytest.approx(by_hand, rel=1e-4)
    arrays = with_tiles.predict(np.stack([np.asarray(Image.open(file)) for file in files]))
    np.testing.assert_array_equal(arrays.maps, predicted.maps)
    for line, (row, column) in ((lines[2], (60, 250)), (lines[3], (180, 80))):
        grid = np.array(line["grid"])
        best = np.unravel_index(grid.argmax(), grid.shape)
        assert abs((best[0] + 0.5) / grid.shape[0] - row / 240) < 0.25
        assert abs((best[1] + 0.5) / grid.shape[1] - column / 320) < 0.25
        for box in line["boxes"]:
            assert 0 <= box["x"] < box["x"] + box["width"] <= 320
            assert 0 <= box["y"] < box["y"] + box["height"] <= 240
    picture = Image.open(lines[2]["overlay"])
    assert picture.size == (320, 240)


def test_what_does_not_go_with_tiles_says_so(trained, tmp_path: Path, capsys) -> None:
    photos, _, out = trained
    assert main(["update", "--models", str(out), "--good", str(photos), "--out-directory", str(tmp_path / "new")]) == 1
    assert "no update takes" in capsys.readouterr().err
    file = str(photos / "test/good/x.png")
    assert main(["predict", "--model", str(out / "model.tflite"), "--tiles", "3,3", file]) == 0
    assert "cut otherwise" in capsys.readouterr().err
    assert main(["predict", "--model", str(out / "model.tflite"), "--tiles", "3", file]) == 1
    assert "--tiles" in capsys.readouterr().err
