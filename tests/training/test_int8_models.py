"""Trained int8 models on the sample data, on TFLite Micro itself."""

from typing import Any

import numpy as np
import pytest

from fomoad import cli
from fomoad.data.samples import generate
from fomoad.device import costs, micro
from fomoad.export import tflite_file
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from tests.support.kernels import on_micro, on_reference

FLOAT, INT8 = "model.tflite", "model_quantized_int8_io.tflite"
KILOBYTES = 1024


@pytest.fixture(scope="module", params=["gmm", "patchcore"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The output directory of a training on sample photos with the bundled weights, its metadata, and test photos."""
    folder = tmp_path_factory.mktemp(request.param)
    generate.run(folder / "data", train=40, test_normal=8, test_anomaly=8)
    arguments = ["--data-directory", str(folder / "data"), "--out-directory", str(folder / "out")]
    arguments += ["--scoring-function", request.param, "--weights", "bundled", "--sampling-ratio", "0.02"]
    arguments += ["--tune", "off"]
    assert cli.main(["train", *arguments]) == 0
    metadata = AnomalyMetadata.model_validate_json((folder / "out" / "anomaly_metadata.json").read_bytes())
    return folder / "out", metadata, np.load(folder / "data" / "X_split_test.npy")


@pytest.mark.skipif(not micro.available(), reason="TFLite Micro's interpreter is not installed")
def test_tflite_micro_gives_every_cell_within_a_step(trained: Any) -> None:
    """Against LiteRT's reference kernels, which round as TFLite Micro does."""
    out, _, photos = trained
    stored = load_model(out / INT8).input.encode(photos)
    content = (out / INT8).read_bytes()
    difference = np.abs(on_micro(content, stored) - on_reference(content, stored))
    assert difference.max() <= 1


@pytest.mark.skipif(not micro.available(), reason="TFLite Micro's interpreter is not installed")
def test_the_default_mixture_fits_a_small_device(trained: Any) -> None:
    """256 KB of flash and of arena at 96 pixels."""
    _, metadata, _ = trained
    profile = metadata.models[INT8].profile
    assert profile is not None
    assert profile.tflite_micro is True
    assert profile.arena_bytes is not None
    if metadata.scoring_function == "gmm":
        assert profile.flash_bytes < 256 * KILOBYTES
        assert profile.arena_bytes < 256 * KILOBYTES


def test_products_with_matrices_are_in_int8_and_estimates_follow(trained: Any) -> None:
    """All but sums, which are convolutions with one output; million instructions on Cortex-M4F, M7 and M55."""
    out, metadata, _ = trained
    for operation in tflite_file.operations((out / INT8).read_bytes()):
        if costs.macs(operation) and operation.outputs[0].shape[-1] > 1:
            assert costs.precision(operation) == "int8"
    most = {"gmm": (45, 45, 18), "patchcore": (65, 60, 35)}[metadata.scoring_function]
    for latency, millions in zip(metadata.models[INT8].profile.latency, most, strict=False):
        assert sum(latency.instructions.values()) < millions * 1e6
        assert "CONV_2D 1 x 1, hybrid" not in latency.instructions


def test_int8_scores_cells_as_float_does(trained: Any) -> None:
    """Scores go up and down together, over all cells: the highest cells of 16 photos alone would be too few to tell."""
    out, _, photos = trained
    exact, rounded = (load_model(out / name).score(photos).ravel() for name in (FLOAT, INT8))
    assert np.corrcoef(exact, rounded)[0, 1] > 0.9
