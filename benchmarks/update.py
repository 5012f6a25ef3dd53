"""What `fomoad update` does to a shift made on purpose: `python -m benchmarks.update --mvtec DIR... --tiles DIR`.

For each data set and scoring function, half of the training images train. The other half comes from the line, shifted;
20 of it are reviewed and taken in, the rest is unseen. For the shift `a left-out variety`, all images train but a group
(such as a material, found by colours), and that group comes from the line; three groups are left out in turn.
Printed: how many of the reviewed and of the unseen pass before and after, what it costs in AUROC on the original test
images, the same for a training on everything together, and the time of both. Features of the float32 backbone,
thresholds by the rule max.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data_sets import SCALING, Varieties, read_test
from benchmarks.monitor import CHANGES, data_sets
from benchmarks.thresholds import fit_rows, in_batches
from fomoad.backbones.weights import find_weights
from fomoad.data import dataset
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
FEWEST_UNSEEN = 12
LEFT_OUT = "a left-out variety"
GROUPS = 3
SHIFTS = ("much darker", "darker by 20 %", "turned by 5 degrees", LEFT_OUT)


@dataclass(frozen=True)
class Shifted:
    """Features of the images that train, and of those from the line."""

    train: Array
    line: Array


@dataclass(frozen=True)
class Rows:
    """The trainings and lines of each shift, and features of the test images."""

    shifts: dict[str, list[Shifted]]
    test: Array
    anomalous: NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """Shares that pass, AUROC on the original test images, and the time of an update as a share of a fit's."""

    passed_before: float
    reviewed: float
    unseen: float
    unseen_again: float
    auroc_before: float
    auroc: float
    auroc_again: float
    time: float


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
    """A row's figures for each shift: means over its groups."""
    for shift, cases in rows.shifts.items():
        found = [_update(settings, case, rows) for case in cases]
        mean = Found(*np.mean([astuple(each) for each in found], axis=0))
        yield (
            f"{shift} | {mean.passed_before:.0%} | {mean.reviewed:.0%} | {mean.unseen:.0%} | {mean.unseen_again:.0%} | "
            f"{mean.auroc_before:.3f} | {mean.auroc:.3f} | {mean.auroc_again:.3f} | {mean.time:.0%} |"
        )


def _update(settings: TrainSettings, case: Shifted, rows: Rows) -> Found:
    train, line = case.train, case.line
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        fit = fit_rows(settings, train)
    kept, fitting = KeptFit.of(fit), time.process_time() - began
    state = TrainingState(tuple(map(str, range(len(train)))), None, None, {}, kept, kept)  # type: ignore[arg-type]
    flagged = image_scores(fit.scorer.score(line)) >= threshold_of(settings, kept)
    # Reviewed are false alarms above all; where they are fewer, other images from the line as well.
    order = np.argsort(~flagged, kind="stable")
    reviewed = order[: min(REVIEWED, len(line) - FEWEST_UNSEEN)]
    unseen = np.setdiff1d(np.arange(len(line)), reviewed)
    began = time.process_time()
    updated, _ = adapt(state, Features(line[reviewed], line[reviewed]), 1)
    updating = time.process_time() - began
    with contextlib.redirect_stdout(io.StringIO()):
        again = fit_rows(settings, np.concatenate([train, line[reviewed]]))
    return Found(
        passed_before=float((~flagged).mean()),
        reviewed=_passing(updated, settings, line[reviewed]),
        unseen=_passing(updated, settings, line[unseen]),
        unseen_again=_passing(KeptFit.of(again), settings, line[unseen]),
        auroc_before=_auroc(fit.scorer, rows),
        auroc=_auroc(updated.scorer, rows),
        auroc_again=_auroc(again.scorer, rows),
        time=updating / fitting,
    )


def _passing(fit: KeptFit, settings: TrainSettings, features: Array) -> float:
    return float((image_scores(fit.scorer.score(features)) < threshold_of(settings, fit)).mean())


def _auroc(scorer: Scorer, rows: Rows) -> float:
    found = image_metrics.auroc(image_metrics.operating_points(image_scores(scorer.score(rows.test)), rows.anomalous))
    assert found is not None
    return found


def _rows(settings: TrainSettings, directory: Path, shifts: list[str]) -> Rows:
    images = dataset.open_split(directory, "train", SCALING).images
    assert images is not None
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution)
    extract = extractor(build_features(settings, images, weights))
    every = images.rows(slice(0, len(images))).astype(np.float32)
    test = read_test(directory)

    features = in_batches(extract, every)
    found: dict[str, list[Shifted]] = {}
    for shift in shifts:
        if shift == LEFT_OUT:
            varieties = Varieties.of(every)
            groups = [varieties.members(every, place) for place in range(len(varieties.order))]
            large = [group for group in groups if group.sum() >= REVIEWED + FEWEST_UNSEEN]
            found[shift] = [Shifted(features[~group], features[group]) for group in large[:GROUPS]]
        else:
            found[shift] = [Shifted(features[::2], in_batches(extract, CHANGES[shift](every[1::2]).astype(np.float32)))]
    return Rows(found, in_batches(extract, test.images), test.anomalous)


if __name__ == "__main__":
    main()
