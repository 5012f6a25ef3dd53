"""How well weights detect: AUROC of two plain scorers, for the teacher, the student and untrained weights.

Procedural surfaces come from code and are what checkpoints may be chosen by; data directories (the magnetic tiles)
are for measuring alone. The scorers are plain ones of this file's own, so that the figures hold still when the block's
scorers change.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.random_projection import GaussianRandomProjection

from fomoad.coreset.greedy import greedy_k_center
from fomoad.progress import console, log
from tools.pretrain.fields import Rng, band_noise, cells, grating, lattice, marble, power_noise
from tools.pretrain.images import image
from tools.pretrain.network import LAST, Arrays, random_arrays, read_weights, run, scale_pixels, stored_norm
from tools.pretrain.scenes import shape_mask, spot_mask, stroke_mask
from tools.pretrain.training import calibrate

Features = NDArray[np.float32]
LAYERS = ("block_6_expand_relu", "block_10_expand_relu")
BANK = 1000
SURFACES = 5
CELLS = 15_000
"""Training cells that either scorer sees at most, drawn at random: keeps a measurement to seconds."""


class Case(NamedTuple):
    """Good images to learn from, images to judge, and which of those are defective."""

    train: NDArray[np.float32]
    test: NDArray[np.float32]
    defective: NDArray[np.bool_]


def procedural_case(seed: int, side: int = 96, count: int = 60) -> Case:
    """One surface, drawn again for every image, and faint scratches, spots and patches on half the test images."""
    rng = np.random.default_rng((seed, 77))
    kind = (band_noise, cells, grating, lattice, marble)[seed % 5]
    tint, contrast = rng.uniform(0.3, 0.7, 3), rng.uniform(0.1, 0.35)

    def good(index: int) -> NDArray[np.floating]:
        own = np.random.default_rng((seed, index))
        pattern = kind(np.random.default_rng((seed, 5)), side)
        moved = np.roll(pattern, own.integers(side, size=2), (0, 1)) - 0.5
        light = power_noise(own, side, 3.5) - 0.5
        grain = power_noise(own, side, 0.3) - 0.5
        return tint + ((moved + 0.4 * light + 0.3 * grain) * contrast)[..., None]

    def defect(own: Rng, picture: NDArray[np.floating]) -> NDArray[np.floating]:
        mask = (stroke_mask, spot_mask, lambda r, s: shape_mask(r, s, 0.03, 0.12))[own.integers(3)](own, side)
        window = ndimage.gaussian_filter(np.eye(1, side * side, own.integers(side * side)).reshape(side, side), 9)
        mask = mask * (window > window.max() * 0.3) if mask[window > window.max() * 0.3].any() else mask
        return picture + (mask * own.choice([-1, 1]) * own.uniform(0.8, 2.0) * contrast)[..., None]

    images = [good(index) for index in range(3 * count)]
    images[2 * count :] = [defect(np.random.default_rng((seed, 9, i)), p) for i, p in enumerate(images[2 * count :])]
    pixels = scale_pixels(np.clip(np.stack(images) * 255, 0, 255).astype(np.uint8))
    return Case(pixels[:count], pixels[count:], np.arange(2 * count) >= count)


def directory_case(folder: Path) -> Case:
    """A data directory with labelled test images, scaled 0..1; label index 1 is the anomaly."""
    arrays = [np.load(folder / f"{name}.npy") for name in ("X_split_train", "X_split_test", "Y_split_test")]
    return Case(2 * arrays[0] - 1, 2 * arrays[1] - 1, arrays[2][:, 0] == 1)


def features(arrays: Arrays, images: NDArray[np.float32]) -> list[Features]:
    """The layers at 1/8 and 1/16 as (N, rows, columns, channels)."""
    params = {name: tf.constant(value) for name, value in arrays.items()}
    forward = tf.function(lambda x: [run(params, x, 0, LAST, stored_norm)[name] for name in LAYERS])
    batches = [forward(images[start : start + 64]) for start in range(0, len(images), 64)]
    return [np.concatenate([np.asarray(batch[level]) for batch in batches]) for level in range(len(LAYERS))]


def _some(rows: Features) -> Features:
    """At most `CELLS` of the rows."""
    return np.random.default_rng(0).permutation(rows)[:CELLS]


def gmm_auroc(case: Case, train: Features, test: Features, dimensions: int = 32) -> float:
    """Stock-like: 1/8, random projection, 3x3 average pooling with stride 2, 8 full Gaussians, maximum of -log p."""
    pooled = [np.asarray(tf.nn.avg_pool2d(f, 3, 2, "VALID")) for f in (train, test)]
    flat = [p.reshape(-1, p.shape[-1]) for p in pooled]
    some = _some(flat[0])
    reduce = GaussianRandomProjection(dimensions, random_state=0).fit(some)
    mixture = GaussianMixture(8, reg_covar=1e-4, random_state=0).fit(reduce.transform(some))
    scores = -mixture.score_samples(reduce.transform(flat[1])).reshape(len(test), -1).max(1)
    return float(roc_auc_score(case.defective, scores))


def patchcore_auroc(case: Case, train: list[Features], test: list[Features]) -> float:
    """1/8 joined with 1/16 (resized), 3x3 average pooling, divided by std, distance to a k-center bank."""

    def joined(levels: list[Features]) -> Features:
        fine = levels[0]
        coarse = tf.image.resize(levels[1], fine.shape[1:3])
        return np.asarray(tf.nn.avg_pool2d(tf.concat([fine, coarse], -1), 3, 1, "SAME"))

    cells_ = joined(train)
    scale = 1 / (cells_.std((0, 1, 2)) + 1e-3)
    flat = (cells_ * scale).reshape(-1, cells_.shape[-1]).astype(np.float32)
    flat = _some(flat)
    bank = flat[greedy_k_center(flat, BANK, 0)]
    queries = (joined(test) * scale).reshape(len(case.test), -1, flat.shape[1]).astype(np.float32)
    lengths = (bank**2).sum(1)
    nearest = [np.min(lengths - 2 * (q @ bank.T), 1) + (q**2).sum(1) for q in queries]
    return float(roc_auc_score(case.defective, np.max(nearest, 1)))


def aurocs(arrays: Arrays, case: Case) -> tuple[float, float]:
    """AUROC of the mixture and of PatchCore with these weights."""
    train, test = features(arrays, case.train), features(arrays, case.test)
    return gmm_auroc(case, train[0], test[0]), patchcore_auroc(case, train, test)


def main() -> None:
    """Print a table: AUROC of both scorers on every case, for each weights file and for untrained weights."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain.evaluate", description=main.__doc__)
    parser.add_argument("weights", type=Path, nargs="+", help="bundled .npz files or the teacher's .h5 file")
    parser.add_argument("--backbone", default="mobilenet-v2-0.35", help="of all files (default: %(default)s)")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="data directories with labelled test images")
    arguments = parser.parse_args()
    cases = {f"procedural {seed}": procedural_case(seed) for seed in range(SURFACES)}
    cases |= {folder.name: directory_case(folder) for folder in arguments.data}
    rows = {path.name: read_weights(path, arguments.backbone) for path in arguments.weights}
    drawn = np.random.default_rng(0)
    rows["untrained"] = calibrate(
        random_arrays(arguments.backbone, 0), np.stack([image(drawn, 96) for _ in range(128)])
    )
    log("| weights | case | GMM | PatchCore |\n| --- | --- | --- | --- |")
    for name, arrays in rows.items():
        for title, case in cases.items():
            mixture, patchcore = aurocs(arrays, case)
            log(f"| {name} | {title} | {mixture:.3f} | {patchcore:.3f} |")


if __name__ == "__main__":
    with console():
        main()
