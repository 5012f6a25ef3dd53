"""`fomoad train`: its arguments, and the function that it calls."""

import argparse
import gc
from pathlib import Path

HELP = "Train on a data directory of good images and write models and a threshold."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad import settings

    parser.add_argument("--info-file", "--input-file", type=Path, help="the block's train_input.json (optional)")
    parser.add_argument("--data-directory", type=Path, required=True, help="folder with X_split_train.npy")
    parser.add_argument("--out-directory", type=Path, required=True, help="folder that the models are written to")
    parser.add_argument(
        "--work-directory",
        type=Path,
        help="folder for features that are too many for the memory (default: that of temporary files, if on a disk)",
    )
    settings.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad import settings

    validated = settings.from_arguments(vars(arguments))
    # TensorFlow's import makes a million objects that stay: looking for garbage among them takes half a second.
    gc.disable()
    from fomoad.training.train import train

    gc.freeze()
    gc.enable()
    train(
        validated,
        arguments.data_directory,
        arguments.out_directory,
        arguments.info_file,
        arguments.work_directory,
    )
