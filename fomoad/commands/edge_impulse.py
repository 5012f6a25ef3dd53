"""`fomoad edge-impulse`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Say what to enter where, to use a training's files with Edge Impulse."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="output directory of a training")
    parser.add_argument("--json", action="store_true", help="JSON also where standard output is a terminal")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.device_kit import edge_impulse

    edge_impulse.command(arguments.models, arguments.json)
