"""`fomoad import`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Make a data directory from a folder of images, with masks where there are any."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad.data.image_file import MAX_PIXELS, RESIZE_MODES
    from fomoad.data.scaling import CHANNEL_COUNTS, DEFAULT_SCALING, SCALINGS
    from fomoad.data.tiles import OVERLAP

    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with images, see the README for layouts")
    parser.add_argument("--data-directory", type=Path, required=True, help="the data directory to write")
    parser.add_argument("--size", default="96", help="side, or WIDTHxHEIGHT, in pixels (default: 96)")
    parser.add_argument("--resize", choices=RESIZE_MODES, default="squash", help="default: squash")
    parser.add_argument("--tiles", metavar="R,C", help="cut each photo into R rows and C columns of images of --size")
    parser.add_argument(
        "--overlap", type=float, default=OVERLAP, metavar="SHARE", help=f"of neighbouring tiles (default: {OVERLAP})"
    )
    parser.add_argument("--channels", type=int, choices=CHANNEL_COUNTS, default=3, help="1: grey, 3: RGB (default)")
    parser.add_argument("--skip-broken", action="store_true", help="leave broken images out instead of stopping")
    parser.add_argument("--image-input-scaling", choices=SCALINGS, default=DEFAULT_SCALING, help="default: %(default)s")
    parser.add_argument(
        "--test-share", type=float, default=0.2, help="share of the good images to test with if no folder says it"
    )
    parser.add_argument(
        "--max-pixels", type=int, default=MAX_PIXELS, help=f"refuse larger images (default: {MAX_PIXELS})"
    )
    parser.add_argument("--normal-label", action="append", default=[], help="a folder of good parts; repeatable")
    parser.add_argument("--labels", type=Path, help="label map: JSON that says what folder names mean")
    parser.add_argument(
        "--group-by",
        metavar="PATTERN",
        help="which images are of one part: 'folder', or a regular expression on their paths, such as 'part(\\d+)'",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from PIL import Image

    from fomoad.data import import_images
    from fomoad.data.label_names import LabelNames, read_label_map
    from fomoad.data.tiles import parse_tiles

    given = LabelNames(normal=arguments.normal_label)
    names = given.over(read_label_map(arguments.labels)) if arguments.labels else given

    Image.MAX_IMAGE_PIXELS = None  # the limit is --max-pixels
    import_images.run(
        arguments.folder,
        arguments.data_directory,
        import_images.parse_size(arguments.size),
        arguments.resize,
        arguments.channels,
        arguments.skip_broken,
        arguments.image_input_scaling,
        arguments.test_share,
        names if names.as_map() else None,
        arguments.group_by,
        arguments.max_pixels,
        parse_tiles(arguments.tiles) if arguments.tiles else None,
        arguments.overlap,
    )
