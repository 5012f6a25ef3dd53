"""Tests on data without any defect, and the sizes of real ones, from files to files."""

import json
from pathlib import Path

import numpy as np
import pytest

from fomoad import cli
from fomoad.data.samples import generate
from fomoad.evaluation import evaluate, made_defects
from tests.support import tiny_models
from tests.support.results import results


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good photos to train and to test with, no defect."""
    folder = tmp_path_factory.mktemp("data")
    generate.run(folder, size=48, train=12, test_normal=12, test_anomaly=0, scaling="-1..1")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_models.write_all(folder, 48, 48, 3, np.load(data / "X_split_test.npy"))
    return folder / "model.onnx"


def test_data_without_a_defect_get_the_page_of_made_ones(tmp_path: Path, data: Path, model: Path) -> None:
    found = evaluate.run(model, data, tmp_path, threshold=0.9, image_scaling="-1..1").detection
    assert found is not None
    assert (found.split, found.threshold) == ("test", 0.9)
    assert 6 < found.images <= 12
    assert found.curves[0].made == len(found.defects.kind) > 20
    assert json.loads((tmp_path / "results.json").read_text())["detection"]["side"] == 48
    assert 'id="detection"' in (tmp_path / "report.html").read_text()
    again = evaluate.run(model, data, tmp_path, threshold=0.9, image_scaling="-1..1").detection
    assert again == found


def test_without_test_images_the_training_images_are_shown(tmp_path: Path, data: Path, model: Path) -> None:
    only = tmp_path / "data"
    only.mkdir()
    np.save(only / "X_split_train.npy", np.load(data / "X_split_train.npy"))
    np.save(only / "X_split_test.npy", np.empty((0, 48, 48, 3), np.float32))
    options = f"--data-directory {only} --report-directory {tmp_path / 'report'} --image-input-scaling=-1..1"
    assert cli.main(f"test --model {model} {options} --threshold 0.9".split()) == 0
    shown = json.loads((tmp_path / "report" / "results.json").read_text())
    assert len(shown["images"]) == 12
    assert {image["anomalous"] for image in shown["images"]} == {False}
    assert shown["detection"] is None


def test_the_size_of_a_real_defect_is_that_of_its_largest_region() -> None:
    masks = np.zeros((3, 40, 40), bool)
    masks[0, 5, 3:13], masks[0, 30, 30:34] = True, True
    masks[2, 20, 20] = True
    found = made_defects.real_defects(results([True, True, False], threshold=0.0), masks)
    assert found is not None
    assert (found.size, found.found) == ([10.0], [True])
    assert made_defects.real_defects(results([False, False, False]), masks) is None
