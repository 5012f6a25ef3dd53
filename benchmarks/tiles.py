"""What tiles find that one resized photo does not: `python -m benchmarks.tiles FOLDER... --tiles 1,1 2,2 3,3`.

Each folder of photos (MVTec AD layout) is imported once for each way of cutting, a scorer is fitted in float32 as in a
training, and the test photos are scored. Defects are sized by their masks: the longest side of the mask's bounding box,
in thirds. The last columns hold the time for a photo (its features and scores, after it was read), and the most memory
that the whole run has taken so far.
"""

import argparse
import contextlib
import io
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomoad.backbones.weights import find_weights
from fomoad.data import dataset, import_images
from fomoad.data.label_names import anomalous_flags, kept_label_names
from fomoad.features.extractor import extractor
from fomoad.features.store import FeatureSource
from fomoad.metrics import image_metrics
from fomoad.settings import TrainSettings
from fomoad.training import thresholds
from fomoad.training.fit import by_photo
from fomoad.training.fitters import fitter
from fomoad.training.models import build_features
from fomoad.training.thresholds import HeldOut

RATE = 0.05
HEADINGS = (
    "set", "scoring", "tiles", "photo", "AUROC", "recall at 5 %", "false alarms", "small", "medium", "large",
    "ms a photo", "MiB",
)  # fmt: skip


def sizes(split: dataset.Split) -> NDArray[np.float64]:
    """The defect's length as a share of the photo's shorter side; NaN where there is no mask."""
    found = np.full(len(split), np.nan)
    for row in range(len(split)) if split.masks is not None else ():
        rows, columns = np.nonzero(split.masks.rows(slice(row, row + 1))[0] > 127)
        if len(rows):
            found[row] = max(np.ptp(rows), np.ptp(columns)) + 1
    return found / min(split.images.shape[:2])


def measure(directory: Path, settings: TrainSettings) -> dict[str, Any]:
    """The figures of one data directory."""
    train, test = (dataset.open_split(directory, name, settings.image_input_scaling) for name in ("train", "test"))
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    features = build_features(settings, train.images, weights)
    extract = extractor(features)
    source = FeatureSource(train.images, extract, settings.memory_limit * 2**20)
    fit = by_photo(fitter(settings, train.images.shape).fit(source, train.ids), train.tiling)
    threshold = thresholds.conformal(HeldOut(fit.held_out_scores, fit.samples), RATE)
    began = time.perf_counter()
    scores = np.concatenate([fit.scorer.score(extract(batch)).max(axis=(1, 2)) for _, batch in test.images.batches(64)])
    photos = test.photos()
    seconds = (time.perf_counter() - began) / len(photos)
    scores = test.tiling.highest(scores) if test.tiling else scores
    truth = np.array(anomalous_flags(photos.labels, kept_label_names(directory)), bool)
    found = scores >= threshold
    size = sizes(photos)[truth]
    edges = np.nanquantile(size, (1 / 3, 2 / 3)) if np.isfinite(size).any() else (np.nan, np.nan)
    thirds = np.digitize(size, edges)
    by_size = [
        f"{found[truth][(thirds == third) & np.isfinite(size)].mean():.2f}" if np.isfinite(size).any() else "no masks"
        for third in range(3)
    ]
    return {
        "AUROC": f"{image_metrics.auroc(image_metrics.operating_points(scores, truth)):.3f}",
        "recall": f"{found[truth].mean():.2f}",
        "alarms": f"{found[~truth].mean():.2f}",
        "sizes": by_size,
        "ms": f"{1000 * seconds:.0f}",
        "photo": "{1} x {0}".format(*photos.images.shape[:2]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--tiles", nargs="+", default=["1,1", "2,2", "3,3"])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--scoring", default="gmm,patchcore")
    parser.add_argument("--weights-resolution", type=int, default=96)
    arguments = parser.parse_args()
    print("| " + " | ".join(HEADINGS) + " |\n" + "| --- " * len(HEADINGS) + "|", flush=True)
    for folder in arguments.folders:
        for tiles in arguments.tiles:
            rows, columns = map(int, tiles.split(","))
            cut = None if rows * columns == 1 else (rows, columns)
            with tempfile.TemporaryDirectory() as made, contextlib.redirect_stdout(io.StringIO()):
                size = (arguments.size, arguments.size)
                import_images.run(folder, Path(made), size, tiles=cut, overlap=arguments.overlap)
                lines = []
                for scoring in arguments.scoring.split(","):
                    settings = TrainSettings(scoring_function=scoring, weights_resolution=arguments.weights_resolution)
                    lines.append((scoring, measure(Path(made), settings)))
            for scoring, line in lines:
                mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                cells = [folder.name, scoring, tiles, line["photo"], line["AUROC"], line["recall"], line["alarms"]]
                print("| " + " | ".join([*cells, *line["sizes"], line["ms"], str(mib)]) + " |", flush=True)


if __name__ == "__main__":
    main()
