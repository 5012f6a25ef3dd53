"""What a training leaves: read back as it was, bound to its models, and nothing that shows an image."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad import cli, state_file
from fomoad.errors import UserError
from fomoad.features.extractor import extractor
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from fomoad.training import state
from tests.training.test_train import textures


def test_a_state_gives_the_models_scores_again(trained: Any) -> None:
    """Features and scorers that were read back score images as the model files do."""
    _, out, _ = trained
    noise = np.random.default_rng(1).uniform(-1, 1, (4, 64, 64, 1)).astype(np.float32)
    images = np.concatenate([textures(4, (64, 64, 1), 7), noise])  # not those of training: distances near 0 are noise
    kept = state.read(out / "model.tflite")
    floats = kept.fit.scorer.score(extractor(kept.features)(images))
    np.testing.assert_allclose(floats, load_model(out / "model.tflite").score(images), rtol=1e-3, atol=1e-3)
    model = load_model(out / "model_quantized_int8_io.tflite")
    rounded = kept.int8_fit.scorer.score(extractor(kept.int8_features, kept.ranges)(images))
    highest = model.output.decode(np.array(127))
    np.testing.assert_allclose(np.minimum(rounded, highest), model.score(images), atol=1.01 * (model.output.scale or 0))
    assert len(kept.sample_ids) == len(kept.fit.held_out_scores) == 30


def test_held_out_scores_are_those_of_the_thresholds(trained: Any) -> None:
    """Of each file's held-out scores as many reach its conformal threshold as the promise says."""
    _, out, _ = trained
    metadata = AnomalyMetadata.model_validate_json((out / "anomaly_metadata.json").read_bytes())
    for name, record in metadata.models.items():
        scores = state_file.held_out_scores(out / name)
        [tenth] = [each for each in record.threshold.choices if each.false_positive_rate == 0.1]
        assert tenth.threshold is not None
        step = record.output.scale or 0.0
        # j = ceil(31 * 0.9) = 28: the threshold lies just above the 28th of 30. Steps of int8 scores may be equal.
        assert (scores >= tenth.threshold).sum() <= 2
        assert tenth.threshold == pytest.approx(np.sort(scores)[27] + step / 2, rel=1e-3, abs=1e-6)


def test_a_state_is_small_and_holds_no_image(trained: Any) -> None:
    """A few arrays of numbers; of an image at most scattered cells, in 16 bits; the limit of 8 MB at 96 pixels."""
    data, out, _ = trained
    path = out / state_file.FILE
    assert path.stat().st_size < 8 * 2**20
    with zipfile.ZipFile(path) as archive:
        assert all(member.filename.endswith(".npy") for member in archive.infolist())
    images = np.load(data / "X_split_train.npy")
    for name, array in state_file.read(path).items():
        assert not (array.dtype.kind == "f" and array.shape[-3:] == images.shape[1:]), name
        assert array.nbytes < images.nbytes, name


def test_states_of_other_classes_or_trainings_are_refused(trained: Any, tmp_path: Path) -> None:
    """Only what a state is made of is made of it, and only beside its own model files."""
    _, out, _ = trained
    arrays = state_file.read(out / state_file.FILE)
    model = tmp_path / "model.tflite"
    model.write_bytes((out / "model.tflite").read_bytes())
    for content in (
        {"class": "Path", "fields": {"x": "/"}},
        {"class": "Cells", "fields": {}},
        [],
        {"array": "missing"},
    ):
        changed = arrays | {"content": np.array(json.dumps(content))}
        (tmp_path / state_file.FILE).write_bytes(state_file.pack(changed))
        with pytest.raises(UserError, match="train again"):
            state.read(model)
    (tmp_path / state_file.FILE).write_bytes((out / state_file.FILE).read_bytes())
    assert len(state.read(model).sample_ids) == 30
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(UserError, match="not of the training"):
        state.read(model)
    assert hashlib.sha256(model.read_bytes()).hexdigest() not in {str(each) for each in arrays.values()}


def test_monitor_reads_what_train_wrote(trained: Any, tmp_path: Path) -> None:
    """A training, then a monitor of its int8 file, with nothing between."""
    _, out, _ = trained
    lines = tmp_path / "scores"
    lines.write_text("1.0\n")
    model = out / "model_quantized_int8_io.tflite"
    state_path = tmp_path / "monitor.json"
    assert cli.main(["monitor", str(lines), "--model", str(model), "--state", str(state_path)]) in (0, 3)
    assert json.loads(state_path.read_text())["images"] == 1
