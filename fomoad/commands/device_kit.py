"""`fomoad device-kit`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Write C code, tables and test vectors that run an int8 model on a microcontroller."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", type=Path, required=True, help="model_quantized_int8_io.tflite, beside its metadata")
    parser.add_argument("--out-directory", type=Path, required=True, help="folder that the kit is written to")
    parser.add_argument(
        "--photos", nargs="*", default=[], metavar="PHOTO", help="photos for the test vectors (default: patterns)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.device_kit import kit

    kit.run(arguments.model, arguments.out_directory, arguments.photos)
