"""`fomoad search`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Find the model that detects most within a device's limits, with as many machines as there are."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad.cluster import open as cluster
    from fomoad.search.space import SIZES
    from fomoad.settings import TrainSettings, argument_name
    from fomoad.tracking import tracker

    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photos, or a data directory")
    parser.add_argument("--out-directory", type=Path, required=True, help="folder for best/, trials/ and report.html")
    parser.add_argument("--size", help=f"sides to try, in pixels (default: {','.join(map(str, SIZES))})")
    parser.add_argument(
        "--sampler",
        choices=("order", "tpe"),
        default="order",
        help="try all in a fixed order, or some that are suggested",
    )
    parser.add_argument("--trials", type=int, help="how many --sampler tpe tries (default: 60)")
    parser.add_argument("--storage", help="journal file, sqlite:///FILE or postgresql://... (default: in the output)")
    parser.add_argument("--study", default="fomoad", help="name of the study in the storage (default: fomoad)")
    parser.add_argument("--workers", type=int, help="processes on this machine, a thread each (default: 1)")
    parser.add_argument("--work-directory", type=Path, help="folder that workers here share (default: in the output)")
    parser.add_argument("--cache-limit", type=int, default=4096, help="MiB of features on the disk (default: 4096)")
    parser.add_argument("--max-flash", type=int, default=0, help="bytes of flash that the int8 model may take")
    parser.add_argument("--max-ram", type=int, default=0, help="bytes of RAM that it may take under --runtime")
    parser.add_argument("--max-latency", metavar="CORE=MS", help="milliseconds for an image, as in cortex-m7=100")
    parser.add_argument("--metric", choices=("auroc", "recall", "aupro"), default="auroc", help="default: auroc")
    parser.add_argument(
        "--group-by", metavar="PATTERN", help="which photos are of one part, and stay together: as in fomoad import"
    )
    parser.add_argument("--status", action="store_true", help="say how far the search is, and end")
    tracker.declare(parser)
    cluster.declare(parser)
    group = parser.add_argument_group("settings of a training: one value, or several to try, as in --capacity low,high")
    for name, field in TrainSettings.model_fields.items():
        if name not in ("max_flash", "max_ram", "score_scale", "threshold_method", "false_positive_rate"):
            metavar = name.rsplit("_", 1)[-1].upper()
            group.add_argument(argument_name(name), metavar=metavar, help=(field.description or "").replace("%", "%%"))


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad import extras

    extras.require("search", "fomoad search")
    extras.require("train", "fomoad search")
    from fomoad.search import command
    from fomoad.tracking import records, tracker

    tracking = tracker.of(arguments)
    command.run(arguments)
    if not arguments.status:
        tracking.log(records.of_search, arguments.out_directory)
