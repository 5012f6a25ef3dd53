"""What defects among the training images cost, and whether they are found: real defects are mixed in.

Each data directory's test anomalies give the defects that are mixed into its training images, at random; the rest stay
test images. Figures are means over draws: the AUROC of the fit to good images alone, to the mixture as it is, to the
mixture without what `left_out` finds, and the share of the mixed-in defects among the suspects, twice as many named.

Run: python -m benchmarks.contamination DATA_DIRECTORY... [--scoring gmm,patchcore] [--draws 2]. Images are scaled 0..1.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np

from benchmarks.thresholds import fit_rows
from fomoad.backbones.weights import find_weights
from fomoad.data import dataset
from fomoad.data.label_names import anomalous_flags, kept_label_names
from fomoad.features.extractor import extractor
from fomoad.metrics import image_metrics
from fomoad.settings import TrainSettings
from fomoad.training import models, suspects
from fomoad.training.fit import Fit

SHARES = (0.0, 0.01, 0.02, 0.05)


def read(settings: TrainSettings, directory: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The features of the training images, of the test images, and which of these are anomalous."""
    splits = [dataset.open_split(directory, name, settings.image_input_scaling) for name in ("train", "test")]
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    features = models.build_features(settings, splits[0].images, weights)
    extract = extractor(features)
    train, test = (np.concatenate([extract(batch) for _, batch in split.images.batches(64)]) for split in splits)
    return train, test, np.array(anomalous_flags(splits[1].labels, kept_label_names(directory)), bool)


def auroc(settings: TrainSettings, train: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int) -> float:
    """The AUROC of a fit to these features."""
    scores = quietly(settings, train, seed).scorer.score(test).max(axis=(1, 2))
    return image_metrics.auroc(image_metrics.operating_points(scores, truth))


def quietly(settings: TrainSettings, features: np.ndarray, seed: int) -> Fit:
    """A fit without its log."""
    with contextlib.redirect_stdout(io.StringIO()):
        return fit_rows(settings.model_copy(update={"seed": seed}), features)


def measure(
    settings: TrainSettings, train: np.ndarray, test: np.ndarray, anomalous: np.ndarray, share: float, seed: int
) -> dict[str, float]:
    """One draw of one share."""
    random = np.random.default_rng(seed)
    count = int(np.ceil(share * len(train)))
    mixed_in = random.permutation(np.flatnonzero(anomalous))[:count]
    kept = np.setdiff1d(np.arange(len(test)), mixed_in)
    test_rows, truth = test[kept], anomalous[kept]
    mixture = np.concatenate([train, test[mixed_in]])
    is_defect = np.arange(len(mixture)) >= len(train)
    held_out = quietly(settings, mixture, seed).held_out_scores
    order = suspects.by_suspicion(held_out)
    figures = {
        "clean": auroc(settings, train, test_rows, truth, seed),
        "as it is": auroc(settings, mixture, test_rows, truth, seed) if count else np.nan,
        "named": is_defect[order[: 2 * count]].sum() / count if count else np.nan,
    }
    for name, contamination in (("auto", None), ("told", share)):
        gone = suspects.left_out(held_out, contamination)
        cleaned = np.delete(mixture, gone, axis=0)
        figures[name] = auroc(settings, cleaned, test_rows, truth, seed) if len(gone) else figures["as it is"]
        if not len(gone) and not count:
            figures[name] = figures["clean"]
        figures[f"{name} left out, good"] = float((~is_defect[gone]).sum())
        figures[f"{name} left out, defects"] = float(is_defect[gone].sum())
    return figures


def main() -> None:
    """Print a table of means over draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directories", nargs="+", type=Path)
    parser.add_argument("--scoring", default="gmm,patchcore")
    parser.add_argument("--weights-resolution", type=int, default=96)
    parser.add_argument("--draws", type=int, default=2)
    arguments = parser.parse_args()
    columns = None
    for scoring in arguments.scoring.split(","):
        settings = TrainSettings(scoring_function=scoring, weights_resolution=arguments.weights_resolution)
        for directory in arguments.directories:
            with contextlib.redirect_stdout(io.StringIO()):
                train, test, anomalous = read(settings, directory)
            for share in SHARES:
                draws = [measure(settings, train, test, anomalous, share, seed) for seed in range(arguments.draws)]
                if columns is None:
                    columns = list(draws[0])
                    print("| scoring | set | share | " + " | ".join(columns) + " |", flush=True)
                    print("| --- " * (3 + len(columns)) + "|", flush=True)
                means = [np.mean([draw[name] for draw in draws]) for name in columns]
                cells = " | ".join(f"{mean:.3f}" for mean in means)
                print(f"| {scoring} | {directory.name} | {share:.0%} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
