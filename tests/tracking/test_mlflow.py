"""What is logged to a folder of MLflow, read there as the plain files that it is; and a server that does not answer."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mlflow", reason="the extra is not installed: pip install fomoad[mlflow]")

from fomoad import cli
from fomoad.data.samples import generate
from fomoad.search import page
from fomoad.tracking import on_mlflow
from fomoad.tracking.records import of_search, of_training
from fomoad.tracking.tracker import Tracker
from tests.support.tiny_models import write_training

SIDE = 32


def runs(store: Path) -> dict[str, Path]:
    """The folders of all runs, by their names."""
    return {(folder / "tags" / "mlflow.runName").read_text(): folder for folder in store.glob("*/*") if _is_run(folder)}


def _is_run(folder: Path) -> bool:
    return (folder / "meta.yaml").is_file() and (folder / "tags").is_dir()


def figure(run: Path, name: str) -> float:
    return float((run / "metrics" / name).read_text().split()[1])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow") / "data"
    generate.run(folder, size=SIDE, train=4, test_normal=4, test_anomaly=4)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow") / "model"
    write_training(folder, SIDE, SIDE, 3, np.random.default_rng(0).random((2, SIDE, SIDE, 3), np.float32), 0.5)
    return folder


def of_test(data: Path, model: Path, report: Path, uri: str) -> list[str]:
    arguments = ["test", "--model", str(model / "model.tflite"), "--data-directory", str(data), "--mlflow", uri]
    return [*arguments, "--report-directory", str(report), "--image-input-scaling=0..1"]


def test_a_training_and_a_test_log_settings_figures_and_files(data: Path, model: Path, tmp_path: Path) -> None:
    store, report = tmp_path / "runs", tmp_path / "report"
    Tracker(store.as_uri()).log(of_training, model)
    assert cli.main(of_test(data, model, report, str(store))) == 0
    found = runs(store)
    assert (found["model"] / "params" / "capacity").read_text() == "medium"
    assert figure(found["model"], "training_images") == 2
    for path in filter(Path.is_file, model.iterdir()):
        assert (found["model"] / "artifacts" / path.name).read_bytes() == path.read_bytes()
    results = json.loads((report / "results.json").read_text())
    assert figure(found["report"], "auroc") == pytest.approx(results["auroc"])
    assert figure(found["report"], "threshold") == pytest.approx(results["threshold"])
    assert (found["report"] / "artifacts" / "report.html").read_bytes() == (report / "report.html").read_bytes()


def test_a_search_is_a_run_with_its_candidates_below(tmp_path: Path) -> None:
    out, store = tmp_path / "out", tmp_path / "runs"
    (out / "best").mkdir(parents=True)
    (out / "best" / "model.tflite").write_bytes(b"a model")
    (out / page.REPORT_FILE).write_text("a page")
    entries = [
        page.Entry(number=n, parameters={"side": 32 * n}, values=v, trained=n == 1, failure=f, details={})
        for n, v, f in ((1, (0.9, 10.0, 20.0, 3.0), None), (2, (0.8, 5.0, 6.0, 1.0), None), (3, None, "too large"))
    ]
    results = page.Results(
        metric="auroc", labelled=True, budget={}, axes={}, entries=entries, front=[1], best=1, test={"auroc": 0.7}
    )
    (out / page.RESULTS_FILE).write_text(results.model_dump_json())
    Tracker(store.as_uri()).log(of_search, out)
    found = runs(store)
    assert set(found) == {"out", "candidate 1", "candidate 2"}
    assert (found["out"] / "params" / "side").read_text() == "32"
    assert (figure(found["out"], "selection_auroc"), figure(found["out"], "test_auroc")) == (0.9, 0.7)
    assert (found["out"] / "artifacts" / "best" / "model.tflite").read_bytes() == b"a model"
    assert figure(found["candidate 2"], "flash_bytes") == 5
    parent = (found["candidate 2"] / "tags" / on_mlflow.PARENT_TAG).read_text()
    assert parent == found["out"].name


def test_a_server_that_does_not_answer_loses_nothing(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert cli.main(of_test(data, model, tmp_path / "report", "http://me:secret@127.0.0.1:9")) == 0
    assert (tmp_path / "report" / "results.json").is_file()
    said = capfd.readouterr()
    assert f"Warning: {tmp_path / 'report'} is written, but was not logged to http://***@127.0.0.1:9" in said.out
    assert "secret" not in said.out + said.err


@pytest.mark.parametrize("uri", ["ftp://host/runs", "http://", "sqlite:///runs.db"])
@pytest.mark.parametrize("command", ["train", "test", "search"])
def test_an_address_that_cannot_be_used_is_refused_before_anything_runs(
    command: str, uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    needed = {
        "train": ["--data-directory", "data", "--out-directory"],
        "test": ["--model", "model.tflite", "--data-directory", "data", "--report-directory"],
        "search": ["photos", "--out-directory"],
    }
    assert cli.main([command, *needed[command], str(tmp_path / "out"), "--mlflow", uri]) == 1
    assert f"--mlflow {uri} cannot be used" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("fomoad.extras.EXTRAS", {"mlflow": ("no_such_module",), "train": ()})
    assert cli.main(["train", "--data-directory=d", "--out-directory=o", "--mlflow=runs"]) == 1
    assert "--mlflow needs packages that are not installed (no_such_module)" in capfd.readouterr().err
