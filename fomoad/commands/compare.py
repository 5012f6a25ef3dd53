"""`fomoad compare`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Compare two results.json of the same test images: differences with their intervals, images that changed."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("first", type=Path, metavar="A", help="results.json of the first model")
    parser.add_argument("second", type=Path, metavar="B", help="results.json of the second model")
    parser.add_argument("--report-directory", type=Path, required=True, help="folder for comparison.json and .html")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.evaluation import comparison

    comparison.run(arguments.first, arguments.second, arguments.report_directory)
