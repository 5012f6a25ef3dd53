"""What is logged to a folder of MLflow, read there as the plain files that it is; and a server that does not answer."""

import http.server
import json
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mlflow", reason="the extra is not installed: pip install fomoad[mlflow]")

from fomoad import cli
from fomoad.data.samples import generate
from fomoad.progress import console
from fomoad.search import page
from fomoad.search.choice import Choice
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


def test_train_logs_what_it_has_written(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training itself is left out: its files are those of `model`."""
    out, store = tmp_path / "out", tmp_path / "runs"
    monkeypatch.setattr("fomoad.training.train.train", lambda *_, **__: shutil.copytree(model, out))
    started = time.time_ns() // 10**6
    command = ["train", "--data-directory", str(data), "--out-directory", str(out), "--mlflow", str(store)]
    assert cli.main(command) == 0
    [run] = runs(store).values()
    assert {path.name for path in (run / "artifacts").iterdir()} == {
        path.name for path in out.iterdir() if path.is_file()
    }
    milliseconds = int((run / "metrics" / "training_images").read_text().split()[0])
    assert started <= milliseconds <= time.time_ns() // 10**6


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    """What a search leaves: two candidates, and one that failed."""
    out = tmp_path / "out"
    (out / "best").mkdir(parents=True)
    (out / "best" / "model.tflite").write_bytes(b"a model")
    (out / page.REPORT_FILE).write_text("a page")
    entries = [
        page.Entry(number=n, parameters={"side": 32 * n}, values=v, trained=n == 1, failure=f, details={})
        for n, v, f in ((1, (0.9, 10.0, 20.0, 3.0), None), (2, (0.8, 5.0, 6.0, 1.0), None), (3, None, "too large"))
    ]
    results = page.Results(
        metric="auroc",
        labelled=True,
        budget={},
        axes={},
        entries=entries,
        front=[1],
        choice=Choice(best=1, promising=1, most=1, lead=0, error=0, needed=0),
        order=[1, 2, 3],
        test={"auroc": 0.7},
    )
    (out / page.RESULTS_FILE).write_text(results.model_dump_json())
    return out


def test_a_search_is_a_run_with_its_candidates_below(searched: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    Tracker(store.as_uri()).log(of_search, searched)
    found = runs(store)
    assert set(found) == {"out", "candidate 1", "candidate 2"}
    assert (found["out"] / "params" / "side").read_text() == "32"
    assert (figure(found["out"], "selection_auroc"), figure(found["out"], "test_auroc")) == (0.9, 0.7)
    assert (found["out"] / "artifacts" / "best" / "model.tflite").read_bytes() == b"a model"
    assert figure(found["candidate 2"], "flash_bytes") == 5
    parent = (found["candidate 2"] / "tags" / on_mlflow.PARENT_TAG).read_text()
    assert parent == found["out"].name


class Server(http.server.ThreadingHTTPServer):
    """Answers as a tracking server whose runs keep their files in a folder, `most` times; then it hangs up."""

    def __init__(self, folder: Path, most: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder, self.most, self.asked = folder, most, list[str]()
        self.address = f"http://me:secret@127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers a request."""

    server: Server

    def do_GET(self) -> None:
        info = {"run_id": "1", "experiment_id": "1", "status": "RUNNING", "artifact_uri": self.server.folder.as_uri()}
        body = {"experiment": {"experiment_id": "1", "name": "fomoad"}, "run": {"info": info}, "run_info": info}
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path.split("?")[0].rsplit("/mlflow/", 1)[-1])
        if len(self.server.asked) > self.server.most:
            self.close_connection = True
            return
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("most", [100, 8])
def test_a_server_that_goes_away_is_warned_of_once(
    most: int, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It hangs up within a candidate. Nothing more is sent then; and what MLflow itself says shows no password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = Server(tmp_path / "artifacts", most)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with console():
        Tracker(server.address).log(of_search, searched)
    server.shutdown()
    server.server_close()
    said = capfd.readouterr()
    assert "secret" not in said.out + said.err
    shown = f"http://***@127.0.0.1:{server.server_port}"
    if most == 100:
        assert server.asked.count("runs/create") == 3
        assert f"Logged {searched} to {shown} as run 1" in said.out
        assert (tmp_path / "artifacts" / "best" / "model.tflite").read_bytes() == b"a model"
    else:
        assert len(server.asked) == most + 1
        warning = f"{searched}: all files are written, but were not logged to {shown}: "
        assert said.out.count(f"Warning: {warning}") == 1


def test_a_server_that_does_not_answer_loses_nothing(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of two reports the first is tried alone, and one warning names both."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    report = tmp_path / "report"
    other = shutil.copyfile(model / "model.tflite", tmp_path / "other.tflite")
    command = of_test(data, model, report, "http://me:secret@127.0.0.1:9")
    assert cli.main([*command, "--model", str(other), "--threshold=0.5"]) == 0
    folders = [report / "model.tflite", report / "other.tflite"]
    assert all((folder / "results.json").is_file() for folder in folders)
    said = capfd.readouterr()
    names = ", ".join(map(str, folders))
    reason = "http://***@127.0.0.1:9: Connection refused."
    assert said.out.count(f"Warning: {names}: all files are written, but were not logged to {reason}") == 1
    assert "secret" not in said.out + said.err


def test_a_record_that_cannot_be_read_or_a_broken_client_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tracker(tmp_path.as_uri()).log(of_search, tmp_path / "nothing")
    assert "were not logged" in caplog.text
    assert "No such file or directory" in caplog.text
    caplog.clear()
    monkeypatch.setitem(sys.modules, "fomoad.tracking.on_mlflow", None)
    monkeypatch.delattr("fomoad.tracking.on_mlflow")
    Tracker(tmp_path.as_uri()).log(of_search, tmp_path)
    assert "fomoad.tracking.on_mlflow" in caplog.text


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
