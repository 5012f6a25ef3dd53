"""`fomoad predict`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Score image files: a line of JSON for each, and pictures of what was flagged."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad.data.image_file import RESIZE_MODES
    from fomoad.data.scaling import SCALINGS

    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders, or - for paths on stdin")
    parser.add_argument("--model", type=Path, required=True, help="a .tflite, .onnx or saved_model.zip file")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write pictures with the scores over them here")
    beside = "default: the one in anomaly_metadata.json beside the model"
    parser.add_argument("--threshold", type=float, help=beside)
    parser.add_argument("--resize", choices=RESIZE_MODES, help=beside)
    parser.add_argument("--image-input-scaling", choices=SCALINGS, help=beside)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.inference import predict

    predict.run(
        arguments.model,
        arguments.images,
        arguments.overlay,
        arguments.threshold,
        arguments.resize,
        arguments.image_input_scaling,
    )
