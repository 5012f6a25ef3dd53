"""`fomoad predict`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Score image files: a line for each, and pictures of what was flagged."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad.data.image_file import MAX_PIXELS, RESIZE_MODES
    from fomoad.data.scaling import SCALINGS
    from fomoad.data.tiles import OVERLAP
    from fomoad.inference import collect

    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders, or - for paths on stdin")
    parser.add_argument("--model", type=Path, required=True, help="a .tflite, .onnx or saved_model.zip file")
    parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl, JSON line by line")
    parser.add_argument("--grids", action="store_true", help="the scores of all cells too, in lines of JSON")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write pictures with the scores over them here")
    beside = "default: the one in anomaly_metadata.json beside the model"
    parser.add_argument("--threshold", type=float, help=beside)
    parser.add_argument("--resize", choices=RESIZE_MODES, help=beside)
    parser.add_argument("--tiles", metavar="R,C", help=f"cut photos into tiles of the model's size; {beside}")
    parser.add_argument(
        "--overlap",
        type=float,
        default=OVERLAP,
        metavar="SHARE",
        help=f"of neighbouring tiles (default: {OVERLAP})",
    )
    parser.add_argument("--image-input-scaling", choices=SCALINGS, help=beside)
    parser.add_argument(
        "--vote", metavar="N/M", help=f"alarm where N of the last M images are flagged, for -; {beside}"
    )
    parser.add_argument(
        "--max-pixels", type=int, default=MAX_PIXELS, help=f"refuse larger images (default: {MAX_PIXELS})"
    )
    parser.add_argument(
        "--collect", type=Path, metavar="DIR", help="keep flagged and some passed photos for review here"
    )
    parser.add_argument(
        "--collect-share", type=float, default=collect.SHARE, metavar="SHARE",
        help=f"share of the passed photos to keep (default: {collect.SHARE})",
    )  # fmt: skip
    parser.add_argument(
        "--collect-photos", type=int, default=collect.MOST_PHOTOS, metavar="N",
        help=f"keep so many at most, the newest (default: {collect.MOST_PHOTOS})",
    )  # fmt: skip
    parser.add_argument(
        "--collect-mib", type=int, default=collect.MOST_BYTES // 2**20, metavar="MIB",
        help=f"keep so many MiB at most (default: {collect.MOST_BYTES // 2**20})",
    )  # fmt: skip
    parser.add_argument(
        "--verify-key", metavar="KEY", help="run the model only if it was signed with this key (see fomoad sign)"
    )
    parser.add_argument(
        "--trust-model", action="store_true", help="run whatever the model file contains: it can do what you can"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from PIL import Image

    from fomoad.data.tiles import parse_tiles
    from fomoad.inference import predict
    from fomoad.inference.collect import Collector, Limits

    if arguments.verify_key:
        from fomoad.verify import signing

        signing.verify_model(arguments.model, signing.read_public_key(arguments.verify_key))
    detector = predict.load_detector(
        arguments.model,
        arguments.threshold,
        arguments.resize,
        arguments.image_input_scaling,
        arguments.trust_model,
        arguments.vote,
        parse_tiles(arguments.tiles) if arguments.tiles else None,
        arguments.overlap,
    )
    limits = Limits(arguments.collect_share, arguments.collect_photos, arguments.collect_mib * 2**20)
    outputs = predict.Outputs(
        arguments.format,
        arguments.grids,
        arguments.overlay,
        Collector(arguments.collect, limits) if arguments.collect else None,
        arguments.max_pixels,
    )
    Image.MAX_IMAGE_PIXELS = None  # the limit is --max-pixels
    predict.run(detector, arguments.images, outputs)
