"""`fomoad calibrate`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Choose the threshold from labelled good and bad images, and write it into the metadata of the model files."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--models", type=Path, required=True, help="folder that a training wrote")
    parser.add_argument("--data-directory", type=Path, required=True, help="folder with labelled X_split_test.npy")
    parser.add_argument(
        "--objective", help="f1, recall=0.95, false-positive-rate=0.01 or cost (default: f1, or cost with costs)"
    )
    parser.add_argument("--cost-miss", type=float, help="what a defect that is not found costs")
    parser.add_argument("--cost-false-alarm", type=float, help="what a good part that is flagged costs")
    parser.add_argument(
        "--defect-share", type=float, help="share of defects among the parts to come (default: as in the images)"
    )
    parser.add_argument("--anomaly-label", action="append", default=[], help="a class that is an anomaly; repeatable")
    parser.add_argument("--normal-label", action="append", default=[], help="a class of good parts; repeatable")
    parser.add_argument("--labels", type=Path, help="label map (default: labels.json in the data directory)")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.data.label_names import LabelNames, read_label_map
    from fomoad.evaluation import calibrate, objectives

    costs = arguments.cost_miss, arguments.cost_false_alarm
    text = arguments.objective or ("f1" if costs == (None, None) else "cost")
    objective = objectives.parse(text, *costs, arguments.defect_share)
    given = LabelNames(arguments.anomaly_label, arguments.normal_label)
    names = given.over(read_label_map(arguments.labels)) if arguments.labels else given
    calibrate.run(arguments.models, arguments.data_directory, objective, names)
