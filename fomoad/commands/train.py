"""`fomoad train`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

from fomoad.errors import UserError

HELP = "Train on a data directory of good images and write models and a threshold."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad import settings
    from fomoad.cluster import open as cluster
    from fomoad.tracking import tracker

    parser.add_argument("--info-file", "--input-file", type=Path, help="the block's train_input.json (optional)")
    parser.add_argument("--data-directory", type=Path, help="folder with X_split_train.npy (required)")
    parser.add_argument("--out-directory", type=Path, help="folder that the models are written to (required)")
    parser.add_argument(
        "--work-directory",
        type=Path,
        help="folder for features that are too many for the memory (default: that of temporary files, if on a disk)",
    )
    parser.add_argument("--labels", type=Path, help="label map (default: labels.json in the data directory)")
    parser.add_argument(
        "--print-parameters", action="store_true", help="print all parameters as JSON, and do not train"
    )
    parser.add_argument(
        "--no-state", action="store_true", help="leave out training_state.npz, which monitor and update need"
    )
    parser.add_argument(
        "--shared-directory",
        type=Path,
        help="with --cluster: folder that this machine and all workers see under the same path",
    )
    cluster.declare(parser)
    tracker.declare(parser)
    settings.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad import extras, parameters
    from fomoad.cluster import open as cluster
    from fomoad.data.label_names import read_label_map
    from fomoad.tracking import records, tracker
    from fomoad.training.train import train

    resolved = parameters.resolve(arguments)
    if arguments.print_parameters:
        print(resolved.as_json(), end="", flush=True)
        return
    for name in ("data_directory", "out_directory"):
        if getattr(arguments, name) is None:
            raise UserError(f"The argument --{name.replace('_', '-')} is required; see fomoad train --help.")
    where = cluster.of(arguments)
    extras.require("train", "fomoad train")
    tracking = tracker.of(arguments)
    names = read_label_map(arguments.labels) if arguments.labels else None
    train(
        resolved,
        arguments.data_directory,
        arguments.out_directory,
        arguments.info_file,
        arguments.work_directory,
        keep_state=not arguments.no_state,
        label_names=names,
        cluster=where,
        shared_directory=arguments.shared_directory,
    )
    tracking.log(records.of_training, arguments.out_directory)
