"""What thresholds promise, and what new normal images show: `python -m benchmarks.thresholds`.

Many times over, some normal sample images train a scorer and the others, which it never saw, are scored. Printed: the
share of those that each threshold flags, for the conformal thresholds and for the highest training score, the stock
rule, also as the number of false alarms among ten times as many new images as there were for training.
"""

import argparse
import contextlib
import io
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fomoad.backbones.weights import find_weights
from fomoad.data import dataset
from fomoad.data.info_file import Info
from fomoad.data.samples import generate
from fomoad.features import extractor
from fomoad.features.store import FeatureSource
from fomoad.settings import TrainSettings
from fomoad.training.fit import Fit
from fomoad.training.fitters import fitter
from fomoad.training.models import build_features
from fomoad.training.thresholds import conformal

RATES = (0.1, 0.05, 0.01)


@dataclass(frozen=True)
class Rows:
    """Features (n, rows, columns, D) that were computed before, in the place of images."""

    features: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def batches(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All of them at once."""
        yield slice(0, len(self)), self.features


def main() -> None:
    """Parse the arguments and print one table a scoring function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--train", type=int, default=120, help="images to train with in each split")
    parser.add_argument("--pool", type=int, default=1320, help="normal images to split")
    parser.add_argument("--scoring", nargs="+", default=["gmm", "patchcore"])
    parser.add_argument("--capacity", default="low", help="of the mixture")
    parser.add_argument("--sampling-ratio", type=float, default=0.02)
    parser.add_argument("--weights", default="auto")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {arguments.splits} splits of {arguments.train} training images and ", end="")
    print(f"{arguments.pool - arguments.train} new normal ones (sample data, medium)\n")
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            generate.run(Path(folder), train=arguments.pool, test_normal=2, test_anomaly=2)
        for scoring in arguments.scoring:
            settings = TrainSettings(
                scoring_function=scoring,
                capacity=arguments.capacity,
                sampling_ratio=arguments.sampling_ratio,
                weights=arguments.weights,
            )
            flagged = _measure(settings, features_of(settings, Path(folder)), arguments)
            _print_table(scoring, flagged, arguments.train)


def features_of(settings: TrainSettings, directory: Path) -> np.ndarray:
    """The features (n, rows, columns, D) of a data directory's training images."""
    images = dataset.open_split(directory, "train", settings.image_input_scaling, Info()).images
    assert images is not None
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution)
    extract = extractor.extractor(build_features(settings, images, weights))
    return np.concatenate([extract(batch) for _, batch in images.batches()])


def _measure(
    settings: TrainSettings, features: np.ndarray, arguments: argparse.Namespace
) -> dict[str, list[float | None]]:
    """The share of new images that each rule flags, one number a split."""
    flagged: dict[str, list[float | None]] = {"max": [], **{f"{rate:g}": [] for rate in RATES}}
    for split in range(arguments.splits):
        order = np.random.default_rng(split).permutation(len(features))
        chosen, new = order[: arguments.train], order[arguments.train :]
        with contextlib.redirect_stdout(io.StringIO()):
            fit = fit_rows(settings, features[chosen], split)
        scores = fit.scorer.score(features[new]).max(axis=(1, 2))
        flagged["max"].append(float((scores >= fit.train_scores.max()).mean()))
        for rate in RATES:
            value = conformal(fit.held_out_scores, rate).threshold
            flagged[f"{rate:g}"].append(None if value is None else float((scores >= value).mean()))
    return flagged


def fit_rows(settings: TrainSettings, features: np.ndarray, seed: int) -> Fit:
    """Fit a scorer to features as training does, each row a sample of its own."""
    source = FeatureSource(Rows(features), lambda rows: rows, 2**30)
    sample_ids = [str(row) for row in range(len(features))]
    fit: Fit = fitter(settings.model_copy(update={"seed": seed, "memory_limit": 1024})).fit(source, sample_ids)
    return fit


def _print_table(scoring: str, flagged: dict[str, list[float | None]], images: int) -> None:
    print(f"{scoring}\n")
    print("| rule | promised | flagged of new normal images: mean | highest of all splits |")
    print("| --- | --- | --- | --- |")
    for rule, shares in flagged.items():
        known = [share for share in shares if share is not None]
        promise = "nothing" if rule == "max" else f"at most {float(rule):.0%}"
        if known:
            print(f"| {rule} | {promise} | {np.mean(known):.2%} | {np.max(known):.2%} |")
        else:
            print(f"| {rule} | {promise} | too few images | |")
    share = float(np.mean([value for value in flagged["max"] if value is not None]))
    alarms = 10 * images * share
    print(f"\nThe stock rule: {alarms:.1f} false alarms among ten times as many new normal images ({10 * images}).\n")


if __name__ == "__main__":
    main()
