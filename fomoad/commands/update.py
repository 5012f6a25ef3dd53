"""`fomoad update`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Take reviewed photos of good parts into a trained model, without the training's images."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--models", type=Path, required=True, help="the output directory of a training")
    parser.add_argument("--good", type=Path, required=True, help="folder with reviewed photos of good parts")
    parser.add_argument("--defects", type=Path, help="folder with photos of defects that must still be found")
    parser.add_argument(
        "--data-directory",
        type=Path,
        help="the training's data directory, where it is still there: the models are then fitted again to all images",
    )
    parser.add_argument("--out-directory", type=Path, required=True, help="another folder, for the updated models")
    parser.add_argument("--force", action="store_true", help="take photos also where they cost detection")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad import extras

    extras.require("train", "fomoad update")
    from fomoad.maintenance import update

    update.run(
        arguments.models,
        arguments.good,
        arguments.out_directory,
        defects=arguments.defects,
        force=arguments.force,
        data_directory=arguments.data_directory,
    )
