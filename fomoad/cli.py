"""The command line: which commands there are, exit codes, and messages instead of tracebacks."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn, Protocol

import fomoad
from fomoad import progress
from fomoad.commands import (
    calibrate,
    compare,
    device_kit,
    doctor,
    edge_impulse,
    import_images,
    monitor,
    predict,
    profile,
    review,
    sample_data,
    search,
    sign,
    test,
    train,
    train_all,
    update,
)
from fomoad.errors import UserError
from fomoad.signals import supervise

USER_ERROR = 1
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are UserErrors, so that they end like every other bad input."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


class Command(Protocol):
    """A module of fomoad.commands: what --help says, how its arguments are declared, and what runs it."""

    HELP: str

    def declare(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int | None:
        """Run the command, and return the exit code where it is not 0."""


COMMANDS: Final[dict[str, Command]] = {
    "train": train,
    "train-all": train_all,
    "test": test,
    "calibrate": calibrate,
    "compare": compare,
    "profile": profile,
    "predict": predict,
    "monitor": monitor,
    "device-kit": device_kit,
    "edge-impulse": edge_impulse,
    "search": search,
    "sign": sign,
    "review": review,
    "update": update,
    "import": import_images,
    "sample-data": sample_data,
    "doctor": doctor,
}
IGNORE_UNKNOWN: Final = ("train",)
"""Commands that name arguments that they do not know in the log and pass over them, as the contract asks."""


def supervised_main(arguments: Sequence[str] | None = None) -> int:
    """Run one command in a process of its own, which can be ended at any moment."""
    return supervise(lambda: main(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: the command's, or 1 after a sentence that says what is wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _survive_any_locale()
    _quiet_libraries()
    try:
        return _run(list(arguments))
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
        print(f"fomoad: {error}: fix this and try again.", file=sys.stderr, flush=True)
        return USER_ERROR


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        _overview().parse_args(arguments[:1])  # answers --help and --version, and refuses everything else
        return 0
    command = COMMANDS[arguments[0]]
    parser = _Parser(prog=f"fomoad {arguments[0]}", description=command.HELP, allow_abbrev=False)
    command.declare(parser)
    parsed, unknown = parser.parse_known_args(_joined(parser, arguments[1:]))
    if unknown and arguments[0] not in IGNORE_UNKNOWN:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    only_result = getattr(parsed, "print_parameters", False)
    with progress.console(lambda: sys.stderr if only_result else sys.stdout):
        if unknown:
            progress.warn(f"Ignoring unknown arguments: {' '.join(unknown)}")
        return command.run(parsed) or 0


def _overview() -> argparse.ArgumentParser:
    """A parser that knows the commands by name. What each takes is declared only where it runs: that takes imports."""
    parser = _Parser(prog="fomoad", description=fomoad.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fomoad {fomoad.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.HELP)
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
