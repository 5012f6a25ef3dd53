"""`fomoad train-all`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Train a model for each product of a table, here or on a cluster; only what is missing or has changed."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad.cluster import open as cluster

    parser.add_argument(
        "table",
        type=Path,
        metavar="FLEET.CSV",
        help="a row a product: data, output, name and train's parameters as columns; folders are relative to the file",
    )
    parser.add_argument("--report-directory", type=Path, help="folder for fleet.json and fleet.html (default: FLEET's)")
    parser.add_argument("--work-directory", type=Path, help="as of fomoad train, on each machine")
    parser.add_argument("--no-state", action="store_true", help="leave out training_state.npz in all outputs")
    cluster.declare(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad import extras
    from fomoad.cluster import open as cluster
    from fomoad.fleet.run import train_all

    where = cluster.of(arguments)
    extras.require("train", "fomoad train-all")
    train_all(
        arguments.table,
        where,
        arguments.report_directory,
        arguments.work_directory,
        keep_state=not arguments.no_state,
    )
