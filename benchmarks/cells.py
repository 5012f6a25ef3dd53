"""What the mixture gives up by being fitted on few cells: `python -m benchmarks.cells DATA_DIRECTORY... [settings]`.

For each data directory, number of cells and seed the default mixture is fitted; printed are the AUROC on the test
images and the processor time of a fit, as means over the seeds.
"""

import argparse
import time
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks import data_sets, peers
from fomoad.data import dataset
from fomoad.features import extractor
from fomoad.metrics import image_metrics
from fomoad.scorers.gmm import CAPACITIES
from fomoad.scorers.standardisation import Moments, standardisation
from fomoad.training.fit_gmm import fit_mixture

CELLS = (3_000, 6_000, 12_000, 24_000)
SEEDS = (1, 2, 3)
BATCH = 100


def main() -> None:
    """Parse the arguments, fit, and print a row for each number of cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data directories with labelled test images")
    arguments, settings = parser.parse_known_args()
    print("| data | cells | AUROC: mean | lowest, highest | a fit |\n| --- | ---: | ---: | ---: | ---: |")
    for directory in arguments.data:
        split = dataset.open_split(directory, "train", data_sets.SCALING)
        assert split.images is not None
        features = peers.Place(directory, directory, "", settings).features("gmm", split.images)
        extract = extractor.extractor(features)
        test = data_sets.read_test(directory)
        fitted, held = (
            np.concatenate([extract(batch) for batch in np.array_split(each, -(-len(each) // BATCH))])
            for each in (split.images.rows(slice(None)), test.images)
        )
        scaling = standardisation(Moments.of(fitted))
        cells = fitted.reshape(-1, fitted.shape[-1])
        for count in CELLS:
            aurocs, seconds = [], []
            for seed in SEEDS:
                some = np.random.default_rng(seed).permutation(len(cells))[:count]
                began = time.process_time()
                positions = some % scaling.positions
                standardise = scaling.whitened(positions, cells[some])
                scaled = standardise.at(positions, cells[some])
                scorer = fit_mixture(scaled, standardise, CAPACITIES["medium"], seed)
                seconds.append(time.process_time() - began)
                scores = scorer.score(held).max(axis=(1, 2))
                aurocs.append(image_metrics.auroc(image_metrics.operating_points(scores, test.anomalous)) or 0.0)
            figures = [f"{fmean(aurocs):.3f}", f"{min(aurocs):.3f}, {max(aurocs):.3f}", f"{fmean(seconds):.1f} s"]
            print(f"| {directory.name} | {count:,} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
