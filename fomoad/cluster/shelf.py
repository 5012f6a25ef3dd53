"""A folder that driver and workers share: values are put there whole, by renaming, and read as maps of files."""

import contextlib
import hashlib
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fomoad import locking
from fomoad.cluster import values
from fomoad.errors import UserError

SECONDS_TO_APPEAR: Final = 60
"""A network file system may show a new file late: NFS keeps what it knows of a folder for up to a minute."""
SECONDS_BETWEEN_LOOKS: Final = 0.1
HIDDEN: Final = "."
"""Names of files that are not whole yet begin so."""


@dataclass(frozen=True)
class Shelf:
    """Values by their names."""

    folder: Path

    def names(self) -> frozenset[str]:
        """The names of all values."""
        return frozenset(path.name for path in self.folder.iterdir() if not path.name.startswith(HIDDEN))

    def put(self, name: str, value: Any) -> None:
        """Put a value there, unless it is there: of a name there is one value only.

        Raises UserError where the disk is full or refuses; there is nothing of it then.
        """
        self._write(name, values.pack(value))

    def put_by_digest(self, what: str, value: Any) -> str:
        """Put a value there under a name that its bytes decide; the name."""
        content = values.pack(value)
        name = f"{what}-{hashlib.sha256(content).hexdigest()[:32]}"
        self._write(name, content)
        return name

    def get(self, name: str, seconds: float = SECONDS_TO_APPEAR) -> Any:
        """A value that is there, or will be seen within some seconds. Raises UserError where it is not, or damaged."""
        path = self.folder / name
        until = time.monotonic() + seconds
        while True:
            try:
                return values.read(path)
            except FileNotFoundError as error:
                if time.monotonic() > until or not self.folder.is_dir():
                    raise UserError(
                        f"{path} is not to be seen on {platform.node()}: all machines must see --shared-directory "
                        "under the same path."
                    ) from error
                time.sleep(SECONDS_BETWEEN_LOOKS)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{path} cannot be read on {platform.node()} ({error}): remove {self.folder} and start again."
                ) from error

    def _write(self, name: str, content: bytes) -> None:
        whole, part = self.folder / name, self.folder / f"{HIDDEN}{uuid.uuid4().hex}"
        try:
            if whole.exists():
                return
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(whole)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise UserError(
                f"The shared directory {self.folder.parent} could not be written on {platform.node()} "
                f"({error.strerror}): make room there and run the same command again; what is done stays."
            ) from error


@contextlib.contextmanager
def opened(directory: Path, digest: str) -> Iterator[Shelf]:
    """A shelf of its own in a shared directory for what has this digest, from earlier runs too.

    It is removed where the block ends well. Raises UserError where the directory cannot be used, or another run of
    the same is under way.
    """
    folder = directory / f"fomoad-{digest[:32]}"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The shared directory {directory} cannot be used ({error.strerror}): give a folder that exists and can be "
            "written on all machines."
        ) from error
    with locking.hold(folder, "shared directory"):
        yield Shelf(folder)
        shutil.rmtree(folder, ignore_errors=True)
