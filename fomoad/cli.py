"""The command line: one function a command, exit codes, and messages instead of tracebacks."""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import fomoad
from fomoad.errors import UserError
from fomoad.signals import supervise

USER_ERROR = 1
INTERRUPTED = 130
HASH_SEED = "0"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are UserErrors, so that they end like every other bad input."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


@dataclass(frozen=True)
class _Command:
    """A command: what --help says, how its arguments are declared, and what runs it.

    With `ignores_unknown`, arguments that it does not know are named in the log and passed over.
    """

    help: str
    declare: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    ignores_unknown: bool = False


def supervised_main(arguments: Sequence[str] | None = None) -> int:
    """Run one command in a process of its own, which can be ended at any moment."""
    _fix_hash_seed()
    return supervise(lambda: main(arguments))


def _fix_hash_seed() -> None:
    """Start this program once more with a fixed order of sets of strings, where that is not fixed yet.

    The ONNX converter's optimiser walks through such sets: another order gives another graph for the same model.
    """
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONHASHSEED": HASH_SEED})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, or 1 after a sentence that says what is wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _survive_any_locale()
    _quiet_libraries()
    try:
        _run(list(arguments))
    except UserError as error:
        print(f"fomoad: {error}", file=sys.stderr, flush=True)
        return USER_ERROR
    except MemoryError:
        print("fomoad: The memory is used up: lower --memory-limit or give more memory.", file=sys.stderr, flush=True)
        return USER_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_ERROR
    except KeyboardInterrupt:
        print("fomoad: Interrupted.", file=sys.stderr, flush=True)
        return INTERRUPTED
    except OSError as error:
        if error.errno is None:
            raise
        print(f"fomoad: {error}: mend that and run again.", file=sys.stderr, flush=True)
        return USER_ERROR
    return 0


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in COMMANDS:
        _overview().parse_args(arguments[:1])  # answers --help and --version, and refuses everything else
        return
    command = COMMANDS[arguments[0]]
    parser = _Parser(prog=f"fomoad {arguments[0]}", description=command.help, allow_abbrev=False)
    command.declare(parser)
    parsed, unknown = parser.parse_known_args(_joined(parser, arguments[1:]))
    if unknown and not command.ignores_unknown:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    if unknown:
        print(f"Ignoring unknown arguments: {' '.join(unknown)}", flush=True)
    command.run(parsed)


def _overview() -> argparse.ArgumentParser:
    """A parser that knows the commands by name. What each takes is declared only where it runs: that takes imports."""
    parser = _Parser(prog="fomoad", description=fomoad.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fomoad {fomoad.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help)
    return parser


def _joined(parser: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """Write `--name value` as `--name=value`, so that values like -1..1 are not taken for arguments."""
    takes_value = {option for action in parser._actions if action.nargs is None for option in action.option_strings}
    joined: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        value = next(pending, None) if argument in takes_value else None
        joined.append(argument if value is None else f"{argument}={value}")
    return joined


def _survive_any_locale() -> None:
    """Print names of any alphabet even where the locale knows ASCII only."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _quiet_libraries() -> None:
    """Keep notes and warnings of TensorFlow out of the run's own lines; its errors stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in ("tensorflow", "absl", "tf2onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _declare_train(parser: argparse.ArgumentParser) -> None:
    from fomoad import settings

    parser.add_argument("--info-file", "--input-file", type=Path, help="the block's train_input.json (optional)")
    parser.add_argument("--data-directory", type=Path, required=True, help="folder with X_split_train.npy")
    parser.add_argument("--out-directory", type=Path, required=True, help="folder that the models are written to")
    parser.add_argument(
        "--work-directory",
        type=Path,
        help="folder for features that are too many for the memory (default: that of temporary files, if on a disk)",
    )
    settings.add_arguments(parser)


def _train(arguments: argparse.Namespace) -> None:
    from fomoad import settings

    validated = settings.from_arguments(vars(arguments))
    # TensorFlow's import makes a million objects that stay: looking for garbage among them takes half a second.
    gc.disable()
    from fomoad.training import train

    gc.freeze()
    gc.enable()
    train(
        validated,
        arguments.data_directory,
        arguments.out_directory,
        arguments.info_file,
        arguments.work_directory,
    )


def _declare_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="a .tflite, .onnx or saved_model.zip file")
    parser.add_argument("--data-directory", type=Path, required=True, help="folder with X_split_test.npy")
    parser.add_argument("--report-directory", type=Path, required=True, help="folder for results.json, report.html")
    parser.add_argument("--threshold", type=float, help="default: the one in anomaly_metadata.json beside the model")
    parser.add_argument("--anomaly-label", action="append", default=[], help="a class that is an anomaly; repeatable")
    parser.add_argument("--normal-label", action="append", default=[], help="a class of good parts; repeatable")
    parser.add_argument("--info-file", type=Path, help="the block's train_input.json (optional)")
    parser.add_argument("--image-input-scaling", help="default: the one in anomaly_metadata.json beside the model")


def _test(arguments: argparse.Namespace) -> None:
    from fomoad.testing import LabelNames, run

    run(
        arguments.model,
        arguments.data_directory,
        arguments.report_directory,
        arguments.threshold,
        LabelNames(arguments.anomaly_label, arguments.normal_label),
        arguments.image_input_scaling,
        arguments.info_file,
    )


def _declare_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="a .tflite file")
    parser.add_argument("--json", action="store_true", help="JSON also where standard output is a terminal")


def _profile(arguments: argparse.Namespace) -> None:
    from fomoad import profile

    profile.command(arguments.model, arguments.json)


def _declare_predict(parser: argparse.ArgumentParser) -> None:
    from fomoad.image_file import RESIZE_MODES
    from fomoad.scaling import SCALINGS

    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders, or - for paths on stdin")
    parser.add_argument("--model", type=Path, required=True, help="a .tflite, .onnx or saved_model.zip file")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write pictures with the scores over them here")
    beside = "default: the one in anomaly_metadata.json beside the model"
    parser.add_argument("--threshold", type=float, help=beside)
    parser.add_argument("--resize", choices=RESIZE_MODES, help=beside)
    parser.add_argument("--image-input-scaling", choices=SCALINGS, help=beside)


def _predict(arguments: argparse.Namespace) -> None:
    from fomoad.predict import run

    run(
        arguments.model,
        arguments.images,
        arguments.overlay,
        arguments.threshold,
        arguments.resize,
        arguments.image_input_scaling,
    )


def _declare_import(parser: argparse.ArgumentParser) -> None:
    from fomoad.image_file import RESIZE_MODES
    from fomoad.scaling import CHANNEL_COUNTS, SCALINGS

    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with images, see the README for layouts")
    parser.add_argument("--data-directory", type=Path, required=True, help="the data directory to write")
    parser.add_argument("--size", default="96", help="side, or WIDTHxHEIGHT, in pixels (default: 96)")
    parser.add_argument("--resize", choices=RESIZE_MODES, default="squash", help="default: squash")
    parser.add_argument("--channels", type=int, choices=CHANNEL_COUNTS, default=3, help="1: grey, 3: RGB (default)")
    parser.add_argument("--skip-broken", action="store_true", help="leave broken images out instead of stopping")
    parser.add_argument("--image-input-scaling", choices=SCALINGS, default="-1..1", help="default: -1..1")
    parser.add_argument(
        "--test-share", type=float, default=0.2, help="share of the good images to test with if no folder says it"
    )
    parser.add_argument("--normal-label", action="append", default=[], help="a folder of good parts; repeatable")


def _import(arguments: argparse.Namespace) -> None:
    from fomoad import image_import

    image_import.run(
        arguments.folder,
        arguments.data_directory,
        image_import.parse_size(arguments.size),
        arguments.resize,
        arguments.channels,
        arguments.skip_broken,
        arguments.image_input_scaling,
        arguments.test_share,
        arguments.normal_label,
    )


def _declare_sample_data(parser: argparse.ArgumentParser) -> None:
    from fomoad.scaling import CHANNEL_COUNTS, SCALINGS

    parser.add_argument("directory", type=Path, metavar="DIR", help="the data directory to write")
    parser.add_argument("--size", type=int, default=96, help="side of the photos in pixels (default: 96)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same photos (default: 1)")
    parser.add_argument("--train", type=int, default=200, help="good parts for training (default: 200)")
    parser.add_argument("--test-normal", type=int, default=60, help="good parts for testing (default: 60)")
    parser.add_argument("--test-anomaly", type=int, default=60, help="defective parts for testing (default: 60)")
    parser.add_argument("--channels", type=int, choices=CHANNEL_COUNTS, default=3, help="1: grey, 3: RGB (default)")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="write the photos and masks as PNG files too")
    parser.add_argument("--difficulty", choices=("easy", "medium", "hard"), default="medium", help="default: medium")
    parser.add_argument("--image-input-scaling", choices=SCALINGS, default="-1..1", help="default: -1..1")


def _sample_data(arguments: argparse.Namespace) -> None:
    from fomoad.sample_data import run

    run(
        arguments.directory,
        arguments.size,
        arguments.seed,
        arguments.train,
        arguments.test_normal,
        arguments.test_anomaly,
        arguments.channels,
        arguments.difficulty,
        arguments.image_input_scaling,
        arguments.photos,
    )


COMMANDS: dict[str, _Command] = {
    "train": _Command(
        "Train on a data directory of good images and write models and a threshold.",
        _declare_train,
        _train,
        ignores_unknown=True,
    ),
    "test": _Command(
        "Run a model file over the test images and write results.json and report.html.", _declare_test, _test
    ),
    "profile": _Command(
        "Say what a TFLite model asks of a device: flash, arena, multiply-adds, operations, estimated latency.",
        _declare_profile,
        _profile,
    ),
    "predict": _Command(
        "Score image files: a line of JSON for each, and pictures of what was flagged.", _declare_predict, _predict
    ),
    "import": _Command(
        "Make a data directory from a folder of images, with masks where there are any.", _declare_import, _import
    ),
    "sample-data": _Command(
        "Make a data directory of photos of a machined part, good and defective, from code.",
        _declare_sample_data,
        _sample_data,
    ),
}
