"""From --mlflow to a tracking server or folder."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fomoad import extras
from fomoad.errors import UserError
from fomoad.progress import log, warn
from fomoad.tracking.failures import reason, without_password
from fomoad.tracking.record import Record

SCHEMES: Final = ("file", "http", "https")


@dataclass(frozen=True)
class Tracker:
    """Logs records to a URI; None: to nowhere."""

    uri: str | None

    def log(self, read: Callable[[Path], Record], *folders: Path) -> None:
        """Log what was read from each folder. The files there are whole: the first that cannot be logged, for whatever
        reason, is warned of and ends it."""
        if self.uri is None:
            return
        shown = without_password(self.uri)
        for number, folder in enumerate(folders):
            try:
                from fomoad.tracking import on_mlflow

                run = on_mlflow.write(self.uri, read(folder))
            except Exception as error:
                left = ", ".join(map(str, folders[number:]))
                warn(f"{left}: all files are written, but were not logged to {shown}: {reason(error)}.")
                return
            log(f"Logged {folder} to {shown} as run {run}")


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the argument."""
    parser.add_argument(
        "--mlflow", metavar="URI", help="log parameters, figures and files to an MLflow server (http://...) or a folder"
    )


def of(arguments: argparse.Namespace) -> Tracker:
    """The tracker that the arguments ask for. Raises UserError for a URI that cannot be used, before anything runs."""
    uri: str | None = arguments.mlflow
    if uri is None:
        return Tracker(None)
    if "://" not in uri and not uri.startswith("file:"):
        uri = Path(uri).absolute().as_uri()
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in SCHEMES or (parts.scheme != "file" and not parts.hostname):
        raise UserError(f"--mlflow {arguments.mlflow} cannot be used: give http://HOST:PORT, https://HOST or a folder.")
    extras.require("mlflow", "--mlflow")
    return Tracker(uri)
