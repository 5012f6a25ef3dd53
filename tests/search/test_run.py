"""A search from beginning to end, on data and a backbone that are small."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optuna", reason="the search's extra is not installed: pip install fomoad[search]")
pytest.importorskip("mlflow", reason="the extra is not installed: pip install fomoad[mlflow]")

from fomoad import cli
from fomoad.data.samples import generate
from fomoad.export import tflite
from fomoad.inference.model import load_model
from fomoad.search.parts import open_parts


def search(data: Path, out: Path, weights: Path, *arguments: str) -> int:
    fixed = ["--weights", str(weights), "--backbone=mobilenet-v2-0.35", "--layers=2", "--pool-size=2", "--capacity=low"]
    fixed += ["--feature-scaling=place"]
    return cli.main(["search", str(data), "--out-directory", str(out), *fixed, "--sampling-ratio=0.05", *arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("search") / "data"
    generate.run(directory, size=48, train=24, test_normal=10, test_anomaly=10)
    return directory


@pytest.fixture(scope="module")
def found(data: Path, tmp_path_factory: pytest.TempPathFactory, random_weights: Path) -> Path:
    """What a search with two processes leaves."""
    out = tmp_path_factory.mktemp("found") / "out"
    assert search(data, out, random_weights, "--workers=2", "--mlflow", str(out.parent / "runs")) == 0
    return out


def test_the_best_is_a_whole_training_and_its_figures_are_those_of_its_file(data: Path, found: Path) -> None:
    out = found
    results = json.loads((out / "results.json").read_text())
    assert [entry["parameters"]["scoring_function"] for entry in results["entries"]] == ["gmm", "patchcore"]
    assert results["labelled"]
    assert results["agreement"]["chosen"] in (0, 1)
    choice, entries = results["choice"], results["entries"]
    mixture, bank = (entry["details"]["selection"]["auroc"] for entry in entries)
    assert (choice["promising"], choice["most"]) == (1, 0 if mixture > bank else 1)
    assert choice["best"] == (choice["most"] if choice["lead"] > choice["needed"] else 1)
    assert results["order"] == [1, 0]  # PatchCore is the more promising one
    model = out / "best" / tflite.INT8_FILE
    assert model.read_bytes() == (out / "trials" / str(choice["best"]) / tflite.INT8_FILE).read_bytes()
    [best] = [entry for entry in results["entries"] if entry["number"] == choice["best"]]
    assert best["values"][1] == model.stat().st_size
    part = open_parts(data, "0..1", 1, out / "work").test
    scores = load_model(model).score(part.images).max(axis=(1, 2))
    pairs = scores[part.anomalous][:, None] - scores[~part.anomalous]
    expected = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    assert results["test"]["auroc"] == pytest.approx(expected, abs=1e-6)


def test_a_cluster_finds_the_same(data: Path, found: Path, tmp_path: Path, random_weights: Path) -> None:
    pytest.importorskip("distributed", reason="the cluster's extra is not installed: pip install fomoad[cluster]")
    out = tmp_path / "out"
    assert search(data, out, random_weights, "--cluster=local:2", "--scoring-function=gmm") == 0
    here, there = (json.loads((folder / "results.json").read_text())["entries"][0] for folder in (found, out))
    for name in ("values", "details", "trained"):
        assert here[name] == there[name]
    model = f"trials/0/{tflite.INT8_FILE}"
    assert (found / model).read_bytes() == (out / model).read_bytes()


def test_what_is_done_is_not_done_again(
    data: Path, found: Path, random_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = (found / "results.json").read_bytes()
    before = {path: path.stat().st_mtime_ns for path in (found / "trials").rglob("*")}
    assert search(data, found, random_weights, "--workers=2") == 0
    assert {path: path.stat().st_mtime_ns for path in (found / "trials").rglob("*")} == before
    assert (found / "results.json").read_bytes() == results
    assert len([run for run in found.parent.glob("runs/*/*") if (run / "meta.yaml").is_file()]) == 3
    assert "2 of 2 done, 0 running, 0 over the budget" in capfd.readouterr().out


def test_a_budget_that_nothing_keeps_is_refused(
    data: Path, tmp_path: Path, random_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert search(data, tmp_path / "out", random_weights, "--scoring-function=gmm", "--max-flash=1000") == 1
    error = capfd.readouterr().err
    assert "No candidate keeps the budget" in error
    assert "1000 are allowed" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers=0"], "--workers cannot be 0"),
        (["--workers=2", "--cluster=local:2"], "cannot be given together"),
        (["--sampler=tpe", "--cluster=local:2"], "--sampler tpe and --cluster cannot be given together"),
        (["--trials=3"], "--trials says how many candidates --sampler tpe tries"),
        (["--sampler=tpe", "--trials=0"], "--trials says how many candidates --sampler tpe tries"),
        (["--cluster=local:0"], "--cluster local:0 cannot be used"),
        (["--max-latency=cortex-m7"], "--max-latency cannot be 'cortex-m7'"),
        (["--seed=1,2"], "--seed cannot be a list"),
        (["--size=96"], "have 48 pixels a side"),
        (["--max-flash=-1"], "--max-flash cannot be -1"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    data: Path,
    tmp_path: Path,
    random_weights: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert search(data, tmp_path / "out", random_weights, *arguments) == 1
    assert words in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
