"""`fomoad sample-data`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Make a data directory of photos of a machined part, good and defective, from code."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad.data.scaling import CHANNEL_COUNTS, DEFAULT_SCALING, SCALINGS

    parser.add_argument("directory", type=Path, metavar="DIR", help="the data directory to write")
    parser.add_argument("--size", type=int, default=96, help="side of the photos in pixels (default: 96)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same photos (default: 1)")
    parser.add_argument("--train", type=int, default=200, help="good parts for training (default: 200)")
    parser.add_argument("--test-normal", type=int, default=60, help="good parts for testing (default: 60)")
    parser.add_argument("--test-anomaly", type=int, default=60, help="defective parts for testing (default: 60)")
    parser.add_argument("--channels", type=int, choices=CHANNEL_COUNTS, default=3, help="1: grey, 3: RGB (default)")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="write the photos and masks as PNG files too")
    parser.add_argument("--difficulty", choices=("easy", "medium", "hard"), default="medium", help="default: medium")
    parser.add_argument("--image-input-scaling", choices=SCALINGS, default=DEFAULT_SCALING, help="default: %(default)s")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.data.samples import generate

    generate.run(
        arguments.directory,
        arguments.size,
        arguments.seed,
        arguments.train,
        arguments.test_normal,
        arguments.test_anomaly,
        arguments.channels,
        arguments.difficulty,
        arguments.image_input_scaling,
        arguments.photos,
    )
