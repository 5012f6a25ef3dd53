"""`fomoad profile`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Say what a TFLite model needs on a device: flash, arena, multiply-adds, operations, estimated latency."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", type=Path, required=True, help="a .tflite file")
    parser.add_argument("--json", action="store_true", help="JSON also where standard output is a terminal")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.device import profile

    profile.command(arguments.model, arguments.json)
