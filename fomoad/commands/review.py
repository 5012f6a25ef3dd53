"""`fomoad review`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Sort collected photos into good ones and defects, on a page for this machine alone."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder that predict --collect wrote to")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.maintenance import review
    from fomoad.maintenance.review_folder import ReviewFolder

    review.run(ReviewFolder.open(arguments.folder), arguments.port)
