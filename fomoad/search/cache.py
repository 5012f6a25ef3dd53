"""Arrays that several candidates need, computed once on this machine and kept on disk within a limit."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fomoad.progress import warn

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Cache:
    """A folder of npy files. Those used longest ago go where `limit` bytes are exceeded."""

    folder: Path
    limit: int

    def get(self, key: str, compute: Callable[[], Array]) -> Array:
        """The array of a key. Of several processes that ask at once, one computes it and the others wait."""
        name = hashlib.sha256(key.encode()).hexdigest()[:24]
        path = self.folder / f"{name}.npy"
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / f"{name}.lock"):
            if not path.is_file():
                computed = compute()
                try:
                    self._write(path, computed)
                except OSError as error:
                    warn(f"{self.folder} takes no more features ({error.strerror}): they are computed again each time.")
                    return computed
            os.utime(path)
            found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    def _write(self, path: Path, array: Array) -> None:
        """Write a file whole or not at all, after making room for it."""
        self._make_room(array.nbytes)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            whole = np.ascontiguousarray(array)
            with unfinished.open("wb") as file:  # np.save does not notice the end of a full disk
                header = np.lib.format.header_data_from_array_1_0(whole)  # type: ignore[no-untyped-call]
                np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
                file.write(whole.data)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        kept = sorted(self.folder.glob("*.npy"), key=lambda path: path.stat().st_mtime_ns)
        total = sum(path.stat().st_size for path in kept)
        for path in kept:
            if total + size <= self.limit:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)  # a process that has it mapped goes on reading it


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file: other processes that ask for it wait."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
