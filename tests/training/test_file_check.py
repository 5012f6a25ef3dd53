"""The check that a model file computes what its scorer does."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad.export import tflite
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from fomoad.training.file_check import check_files
from fomoad.training.made_defects import Tested
from fomoad.training.model_files import Model


@dataclass
class Photos:
    """Model inputs (n, height, width, channels) in memory."""

    inputs: Any

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, rows: Any) -> Any:
        """Inputs by number."""
        return self.inputs[rows]


@dataclass
class Scores:
    """A scorer's side: the file's own cell scores, times a factor."""

    path: Path
    factor: float

    @property
    def scorer(self) -> "Scores":
        """The fit is its own scorer."""
        return self

    def score(self, inputs: Any) -> Any:
        """Scores (n, rows, columns)."""
        return self.factor * load_model(self.path).score(inputs)


@pytest.mark.parametrize(("factor", "warned"), [(1.0, False), (0.0, True), (float("nan"), True)])
def test_a_file_with_other_scores_than_its_scorer_is_named(
    trained: Any, capsys: pytest.CaptureFixture[str], factor: float, warned: bool
) -> None:
    data, out, _ = trained
    path = out / tflite.INT8_FILE
    record = AnomalyMetadata.model_validate_json((out / "anomaly_metadata.json").read_bytes()).models[path.name]
    record.threshold.suggested = 1e-3  # so that any score lies far above it
    model = Model(path.read_bytes(), record, lambda scores: scores)
    images = np.load(data / "X_split_train.npy").reshape(-1, 64, 64, 1)
    random = np.random.default_rng(0)
    photos = Photos(random.random(images.shape, dtype=np.float32))  # unlike what it was trained on: scores above 0
    check_files({path.name: Tested(model, Scores(path, factor), lambda inputs: inputs)}, photos)
    assert ("Do not deploy this file" in "".join(capsys.readouterr())) == warned


def test_files_of_a_training_agree_with_their_scorers(trained: Any) -> None:
    """The log says by how much."""
    _, out, _ = trained
    said = (out.parent / "log.txt").read_text()
    shares = [float(share) for share in re.findall(r"made of by ([\d.]+)% of the threshold", said)]
    assert len(shares) == 2
    assert max(shares) < 15
