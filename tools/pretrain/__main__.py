"""Remake the bundled weights from nothing but code, scikit-learn's two photographs and the teacher's file."""

import argparse
from pathlib import Path

from fomoad.progress import console, log
from tools.pretrain import export, training
from tools.pretrain.images import make_images
from tools.pretrain.network import random_arrays, read_weights

SIDE = 96
BUNDLED = Path(__file__).parents[2] / "fomoad" / "weights"


def main() -> None:
    """Make images, run the teacher, train block by block, then as a whole; a finished stage is not run again."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=__doc__)
    parser.add_argument("teacher", type=Path, help="Keras' ImageNet weights of MobileNetV2, a no_top .h5 file")
    parser.add_argument("--backbone", default="mobilenet-v2-0.35", help="of teacher and student (default: %(default)s)")
    parser.add_argument("--work", type=Path, required=True, help="folder for images, features and checkpoints (3 GB)")
    parser.add_argument("--out", type=Path, help="file to write (default: the bundled one of the backbone)")
    parser.add_argument("--images", type=int, default=16_000, help="training images (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6_000, help="steps of the second stage (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw images (default: %(default)s)")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)

    images = make_images(work / "images.npy", arguments.images, SIDE, seed=1, workers=arguments.workers)
    lesson = training.make_lesson(read_weights(arguments.teacher, arguments.backbone), images, work)
    blocks = work / "blocks.npz"
    if not blocks.exists():
        untrained = training.calibrate(random_arrays(arguments.backbone, seed=0), images[:256])
        export.write(training.train_blocks(lesson, untrained, seed=0), blocks)
    checkpoint = work / "whole.npz"
    plan = training.Plan(arguments.steps, *training.WHOLE)
    arrays = training.train_whole(
        lesson,
        read_weights(blocks, arguments.backbone),
        plan,
        seed=7,
        on_checkpoint=lambda found: log(export.write(found, checkpoint)),
    )
    out = arguments.out or BUNDLED / f"{arguments.backbone.replace('-v2-', '_v2_')}.npz"
    log(f"SHA-256 {export.write(arrays, out)}")


if __name__ == "__main__":
    with console():
        main()
