"""Results for tests of what comes after scoring: invented scores, labels and masks."""

from typing import Literal

import numpy as np

from fomoad.evaluation.results import Decision, ModelSummary, Results, Samples, evaluate
from fomoad.geometry import CellGeometry, evenly
from fomoad.metadata import Grid, InputInfo, Interval, Threshold, ThresholdChoice


def _choice(
    rule: Literal["max", "conformal"], rate: float | None, threshold: float, expected: float, found: float
) -> ThresholdChoice:
    """As of a training with 60 samples."""
    return ThresholdChoice(
        rule=rule,
        false_positive_rate=rate,
        threshold=threshold,
        samples_needed=2 if rate is None else round(1 / rate) - 1,
        expected_false_alarms=expected,
        false_alarms_interval=Interval(low=expected / 3, high=2 * expected),
        theoretical_bound=2 * expected + 0.1,
        made_defects_found=found,
    )


TRAINED = Threshold(
    suggested=16.6,
    method="max",
    max_train=16.6,
    choices=[
        _choice("max", None, 16.6, 0.016, 0.0),
        _choice("conformal", 0.1, 9.5, 0.098, 0.7),
        _choice("conformal", 0.05, 12.25, 0.049, 0.5),
        ThresholdChoice(rule="conformal", false_positive_rate=0.01, threshold=None, samples_needed=99),
    ],
    recommended=12.25,
)


def summary(rows: int = 5, columns: int = 5, side: int = 96, cells: CellGeometry | None = None) -> ModelSummary:
    return ModelSummary(
        file="model.tflite",
        format="tflite",
        sha256="ab" * 32,
        bytes=123_456,
        input_type="float32",
        input=InputInfo(height=side, width=side, channels=3, scaling="0..1"),
        grid=Grid(rows=rows, columns=columns, cells=cells or evenly((rows, columns), (side, side))),
    )


def grids(anomalous: list[bool | None], seed: int = 0, rows: int = 5, columns: int = 5) -> np.ndarray:
    """One grid an image: background everywhere, and a higher blob in most of the anomalous ones."""
    random = np.random.default_rng(seed)
    scores = random.gamma(2.0, 2.0, (len(anomalous), rows, columns))
    for grid, flag in zip(scores, anomalous, strict=True):
        if flag:
            grid[random.integers(rows), random.integers(columns)] += random.uniform(2, 30)
    return scores.astype(np.float32)


def results(
    anomalous: list[bool | None],
    threshold: float = 16.6,
    masks=None,
    cells: CellGeometry | None = None,
    **size: int,
) -> Results:
    """Images are of the masks' size; their cells share them evenly unless `cells` says where they lie."""
    names = {True: "anomaly", False: "no anomaly", None: None}
    count = len(anomalous)
    samples = Samples(
        ids=[str(1000 + row) for row in range(count)],
        file_names=[f"part_{row}.png" for row in range(count)],
        labels=[names[flag] for flag in anomalous],
        anomalous=anomalous,
        masks=masks,
    )
    grid = grids(anomalous, **size)
    side = 96 if masks is None else masks.shape[1]
    return evaluate(summary(**size, side=side, cells=cells), Decision(threshold, "metadata", TRAINED), grid, samples)
