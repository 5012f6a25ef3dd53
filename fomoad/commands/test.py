"""`fomoad test`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Run a model file over the test images and write results.json and report.html."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from fomoad.tracking import tracker

    parser.add_argument(
        "--model", type=Path, required=True, action="append",
        help="a .tflite, .onnx or saved_model.zip file; repeatable, each then gets a folder of its own",
    )  # fmt: skip
    parser.add_argument("--data-directory", type=Path, required=True, help="folder with X_split_test.npy")
    parser.add_argument("--report-directory", type=Path, required=True, help="folder for results.json, report.html")
    parser.add_argument("--threshold", type=float, help="default: the one in anomaly_metadata.json beside the model")
    parser.add_argument("--anomaly-label", action="append", default=[], help="a class that is an anomaly; repeatable")
    parser.add_argument("--normal-label", action="append", default=[], help="a class of good parts; repeatable")
    parser.add_argument("--labels", type=Path, help="label map (default: labels.json in the data directory)")
    parser.add_argument("--info-file", type=Path, help="the block's train_input.json (optional)")
    parser.add_argument("--image-input-scaling", help="default: the one in anomaly_metadata.json beside the model")
    parser.add_argument(
        "--trust-model", action="store_true", help="run whatever the model file contains: it can do what you can"
    )
    tracker.declare(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.data.label_names import LabelNames, read_label_map
    from fomoad.evaluation import compare, evaluate
    from fomoad.evaluation.results import Results
    from fomoad.tracking import records, tracker

    tracking = tracker.of(arguments)
    given = LabelNames(arguments.anomaly_label, arguments.normal_label)
    names = given.over(read_label_map(arguments.labels)) if arguments.labels else given

    def test(model: Path, report_directory: Path) -> Results:
        return evaluate.run(
            model,
            arguments.data_directory,
            report_directory,
            arguments.threshold,
            names,
            arguments.image_input_scaling,
            arguments.info_file,
            arguments.trust_model,
        )

    compare.run(arguments.model, arguments.report_directory, test)
    tracking.log(records.of_test, *compare.report_directories(arguments.model, arguments.report_directory))
