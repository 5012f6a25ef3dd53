"""What `fomoad update` does to a shift made on purpose: `python -m benchmarks.update --mvtec DIR... --tiles DIR`.

For each data set and scoring function, half of the training images train. The other half comes from the line, shifted;
20 of it are reviewed and taken in, the rest is unseen. Printed: how many of the reviewed and of the unseen pass before
and after, what it costs in AUROC on the original test images, the same for a training on everything together, and the
time of both. Features of the float32 backbone, thresholds by the rule max.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data_sets import SCALING, read_test
from benchmarks.monitor import CHANGES, data_sets
from benchmarks.thresholds import fit_rows
from fomoad.backbones.weights import find_weights
from fomoad.data import dataset
from fomoad.data.info_file import Info
from fomoad.features.extractor import extractor
from fomoad.maintenance.update import Features, adapt, threshold_of
from fomoad.metrics import image_metrics
from fomoad.scorers.scorer import Scorer
from fomoad.settings import TrainSettings
from fomoad.training.fit import image_scores
from fomoad.training.models import build_features
from fomoad.training.state import KeptFit, TrainingState

Array = NDArray[np.float32]

REVIEWED = 20
SHIFTS = ("darker by 20 %", "turned by 5 degrees")


@dataclass(frozen=True)
class Rows:
    """Features of the images that train, of those from the line by shift, and of the test images."""

    train: Array
    line: dict[str, Array]
    test: Array
    anomalous: NDArray[np.bool_]


def main() -> None:
    """Parse the arguments and print a row for each set, scoring function and shift."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mvtec", type=Path, nargs="*", default=[], help="folders in the MVTec AD layout")
    parser.add_argument("--tiles", type=Path, help="the magnetic tiles' folder")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--weights-resolution", type=int, default=96)
    parser.add_argument("--scoring", nargs="+", default=["gmm", "patchcore"])
    parser.add_argument("--shifts", nargs="+", default=list(SHIFTS))
    arguments = parser.parse_args()
    print("| set | scorer | shift | pass before: line | after: reviewed | unseen | trained again: unseen | ", end="")
    print("AUROC before | after | trained again | time of a fit |")
    print("| --- " * 11 + "|")
    for name, write in data_sets(arguments.tiles, arguments.mvtec):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            write(Path(folder) / "data")
            rows = {
                scoring: _rows(_settings(scoring, arguments), Path(folder) / "data", arguments.shifts)
                for scoring in arguments.scoring
            }
        for scoring in arguments.scoring:
            for line in _measure(_settings(scoring, arguments), rows[scoring]):
                print(f"| {name} | {scoring} | {line}", flush=True)


def _settings(scoring: str, arguments: argparse.Namespace) -> TrainSettings:
    return TrainSettings(
        scoring_function=scoring,
        weights=arguments.weights,
        weights_resolution=arguments.weights_resolution,
        image_input_scaling=SCALING,
    )


def _measure(settings: TrainSettings, rows: Rows) -> Iterator[str]:
    """A row's figures for each shift."""
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        fit = fit_rows(settings, rows.train)
    kept, fitting = KeptFit.of(fit), time.process_time() - began
    state = TrainingState(tuple(map(str, range(len(rows.train)))), None, None, {}, kept, kept)  # type: ignore[arg-type]
    threshold = threshold_of(settings, kept)
    before = _auroc(fit.scorer, rows)
    for shift, line in rows.line.items():
        flagged = image_scores(fit.scorer.score(line)) >= threshold
        # Reviewed are false alarms above all; where they are fewer, other images from the line as well.
        order = np.argsort(~flagged, kind="stable")
        reviewed = order[: min(REVIEWED, len(line) // 2)]
        unseen = np.setdiff1d(np.arange(len(line)), reviewed)
        began = time.process_time()
        updated, _ = adapt(state, Features(line[reviewed], line[reviewed]), 1)
        updating = time.process_time() - began
        with contextlib.redirect_stdout(io.StringIO()):
            again = fit_rows(settings, np.concatenate([rows.train, line[reviewed]]))
        yield (
            f"{shift} | {(~flagged).mean():.0%} | {_passing(updated, settings, line[reviewed]):.0%} | "
            f"{_passing(updated, settings, line[unseen]):.0%} | "
            f"{_passing(KeptFit.of(again), settings, line[unseen]):.0%} | {before:.3f} | "
            f"{_auroc(updated.scorer, rows):.3f} | {_auroc(again.scorer, rows):.3f} | "
            f"{updating / fitting:.0%} |"
        )


def _passing(fit: KeptFit, settings: TrainSettings, features: Array) -> float:
    return float((image_scores(fit.scorer.score(features)) < threshold_of(settings, fit)).mean())


def _auroc(scorer: Scorer, rows: Rows) -> float:
    found = image_metrics.auroc(image_metrics.operating_points(image_scores(scorer.score(rows.test)), rows.anomalous))
    assert found is not None
    return found


def _rows(settings: TrainSettings, directory: Path, shifts: list[str]) -> Rows:
    images = dataset.open_split(directory, "train", SCALING, Info()).images
    assert images is not None
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution)
    extract = extractor(build_features(settings, images, weights))
    every = images.rows(slice(0, len(images)))
    test = read_test(directory)

    def in_batches(batch: Array) -> Array:
        parts = [extract(batch[start : start + 100].astype(np.float32)) for start in range(0, len(batch), 100)]
        return np.concatenate(parts)

    line = {shift: in_batches(CHANGES[shift](every[1::2])) for shift in shifts}
    return Rows(in_batches(every[::2]), line, in_batches(test.images), test.anomalous)


if __name__ == "__main__":
    main()
