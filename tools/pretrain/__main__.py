"""Remake the bundled weights from nothing but code, scikit-learn's two photographs and the teacher's file."""

import argparse
from collections.abc import Callable
from pathlib import Path

from fomoad.progress import console, log
from tools.pretrain import export, training
from tools.pretrain.images import make_images
from tools.pretrain.network import Arrays, random_arrays, read_weights

SIDE = 96
BUNDLED = Path(__file__).parents[2] / "fomoad" / "weights"


def main() -> None:
    """Make images, then train block by block, as a whole, and by a wider teacher where one is given.

    A stage whose file lies in the work folder is not run again: blocks.npz, whole.npz.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=__doc__)
    parser.add_argument("teacher", type=Path, help="Keras' ImageNet weights of MobileNetV2, a no_top .h5 file")
    parser.add_argument("--backbone", default="mobilenet-v2-0.35", help="of teacher and student (default: %(default)s)")
    parser.add_argument("--wider", type=Path, help="weights of --wider-backbone, to teach by in a third stage")
    parser.add_argument("--wider-backbone", default="mobilenet-v2-1.0", help="(default: %(default)s)")
    parser.add_argument("--work", type=Path, required=True, help="folder for images, features and checkpoints (3 GB)")
    parser.add_argument("--out", type=Path, help="file to write (default: the bundled one of the backbone)")
    parser.add_argument("--images", type=int, default=16_000, help="training images (default: %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=6_000, help="of the second and the third stage (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that draw images (default: %(default)s)")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)

    images = make_images(work / "images.npy", arguments.images, SIDE, seed=1, workers=arguments.workers)
    blocks, whole = work / "blocks.npz", work / "whole.npz"
    teacher = read_weights(arguments.teacher, arguments.backbone)
    lesson = training.make_lesson(teacher, images, None if blocks.exists() or whole.exists() else work)

    def finished(path: Path, train: Callable[[], Arrays]) -> Arrays:
        if not path.exists():
            export.write(train(), path)
        return read_weights(path, arguments.backbone)

    def keep(arrays: Arrays) -> None:
        log(f"  kept in {work / 'now.npz'}, SHA-256 {export.write(arrays, work / 'now.npz')}")

    def by_blocks() -> Arrays:
        untrained = training.calibrate(random_arrays(arguments.backbone, seed=0), images[:256])
        return training.train_blocks(lesson, untrained, seed=0)

    def as_a_whole() -> Arrays:
        plan = training.Plan(arguments.steps, *training.WHOLE)
        return training.train_whole(lesson, finished(blocks, by_blocks), plan, seed=7, on_checkpoint=keep)

    arrays = finished(whole, as_a_whole)
    if arguments.wider:
        wider = read_weights(arguments.wider, arguments.wider_backbone)
        plan = training.Plan(arguments.steps, *training.WHOLE)
        arrays = training.train_wider(lesson, wider, arrays, plan, seed=8, on_checkpoint=keep)
    out = arguments.out or BUNDLED / f"{arguments.backbone.replace('-v2-', '_v2_')}.npz"
    log(f"SHA-256 {export.write(arrays, out)}")


if __name__ == "__main__":
    with console():
        main()
