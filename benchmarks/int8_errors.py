"""Where the error of int8 features arises: `python -m benchmarks.int8_errors DATA_DIRECTORY... --weights FILE`.

The error is the norm of what rounding does to the mixture's whitened features of test images, over the norm of how
they vary. Rounding is simulated (`fomoad.backbones.graph`). For each width of the margin around the channels' ranges
(`fomoad.quantization.equalization.MARGIN`): the part of clipping alone, of clipping and rounded activations, and all
with biases corrected; with `--tensors` also that of clipping and each tensor rounded alone. Prints a Markdown table.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.backbones import graph, load
from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.graph import Network, Ranges
from fomoad.backbones.weights import Weights
from fomoad.data import dataset, scaling
from fomoad.features.pooling import STOCK_POOLING, Features
from fomoad.quantization import calibration, equalization
from fomoad.scorers.standardisation import Moments, Standardisation, standardisation

Array = NDArray[np.float32]

BACKBONE = "mobilenet-v2-0.35"
BATCH = 25


@dataclass(frozen=True)
class Case:
    """Exact features, images to calibrate on and to measure on, and the whitened exact features of the latter."""

    features: Features
    train: Array
    test: Array
    whitening: Standardisation
    exact: Array

    def error(
        self, network: Network, ranges: Ranges, only: frozenset[str] | None = None, kernels: bool = True
    ) -> float:
        """The error of a network; with `only`, no other tensor is rounded, and without `kernels` no kernel."""
        rounded, kernel = graph.rounded, graph._rounded_kernel

        def some(tensor: tf.Tensor, name: str, ends: Ranges | None) -> tf.Tensor:
            return rounded(tensor, name, ends) if only is None or name in only else tensor

        with (
            mock.patch.object(graph, "rounded", some),
            mock.patch.object(graph, "_rounded_kernel", kernel if kernels else lambda values, *_: values),
        ):
            given = self.whitening(extract(replace(self.features, network=network), self.test, ranges))
        mean = self.exact.mean(axis=(0, 1, 2))
        return float(np.linalg.norm(given - self.exact) / np.linalg.norm(self.exact - mean))


def main() -> None:
    """Parse the arguments, measure, and print one row a margin, or a tensor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path, help="data directories of images scaled 0..1")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=int, default=120, help="training images; of the test, half as many")
    parser.add_argument("--margins", nargs="+", type=float, default=[equalization.MARGIN])
    parser.add_argument("--tensors", action="store_true")
    arguments = parser.parse_args()
    print("| data | margin | clipping | with activations rounded | all, biases corrected |\n|---|---|---|---|---|")
    for directory in arguments.directories:
        case = open_case(directory, arguments.weights, arguments.images)
        for margin in arguments.margins:
            for cells in measure(case, margin, arguments.tensors):
                print(f"| {directory.name} | {' | '.join(cells)} |", flush=True)


def measure(case: Case, margin: float, tensors: bool) -> Iterator[list[str]]:
    """The cells of the rows of one margin."""
    with mock.patch.object(equalization, "MARGIN", margin):
        equal = equalization.equalise(case.features.network, case.train)
    codes = scaling.int8_range(scaling.DEFAULT_SCALING, case.train.shape[-1])
    ranges = calibration.calibrate(equal, case.train, codes)
    corrected = calibration.correct_biases(equal, ranges, case.train)
    parts = case.error(equal, ranges, frozenset(), False), case.error(equal, ranges, None, False)
    yield [f"{margin:g}", *(f"{error:.3f}" for error in (*parts, case.error(corrected, ranges)))]
    if tensors:
        for node in equal.nodes:
            yield [node.name, "", f"{case.error(equal, ranges, frozenset({node.name}), False):.3f}", ""]


def open_case(directory: Path, weights: Path, images: int) -> Case:
    """Read images, spread over the set, and fit the whitening to the training images' exact features."""
    architecture = ARCHITECTURES[BACKBONE]
    train, test = read(directory, "train", images), read(directory, "test", images // 2)
    loaded = Weights(weights.name, weights, BACKBONE)
    layers = architecture.layers
    network = load.load(BACKBONE, loaded, train.shape[1:], scaling.DEFAULT_SCALING, layers)
    features = Features(network, architecture.grid_layer, STOCK_POOLING)
    found = extract(features, train)
    unwhitened = standardisation(Moments.of(found))
    cells = found.reshape(-1, found.shape[-1])
    whitening = unwhitened.whitened(np.arange(len(cells)) % unwhitened.positions, cells)
    return Case(features, train, test, whitening, whitening(extract(features, test)))


def read(directory: Path, split: dataset.SplitName, count: int) -> Array:
    """Images of a split, at most `count`, spread over it."""
    images = dataset.open_split(directory, split, scaling.DEFAULT_SCALING).images
    assert images is not None
    count = min(count, len(images))
    return images.rows(np.arange(count) * len(images) // count)


def extract(features: Features, images: Array, ranges: Ranges | None = None) -> Array:
    """Features of images in batches, by TensorFlow's own kernels."""
    batches = np.array_split(images, -(-len(images) // BATCH))
    return np.concatenate([features.graph(tf.constant(batch), ranges).numpy() for batch in batches])


if __name__ == "__main__":
    main()
