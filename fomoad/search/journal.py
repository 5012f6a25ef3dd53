"""The journal file of a study, which a full disk does not damage."""

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock


class Journal(JournalFileBackend):
    """Optuna's journal file, but lines are written whole or not at all.

    Optuna appends after whatever is there, and reads no journal with a damaged line in it.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        self._path, self._mine = path, JournalFileOpenLock(str(path))
        super().__init__(str(path), self._mine)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append a line for each entry, after the last whole line."""
        lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs).encode()
        self._mine.acquire()
        try:
            with self._path.open("r+b", buffering=0) as file:
                end = _end_of_lines(file)
                file.truncate(end)  # what a killed process has left of a line
                file.seek(end)
                try:
                    written = 0
                    while written < len(lines):
                        written += file.write(lines[written:])
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(end)
                    raise
        finally:
            self._mine.release()


def _end_of_lines(file: Any) -> int:
    """Where the last whole line of a file ends."""
    end: int = file.seek(0, os.SEEK_END)
    while end:
        file.seek(end - 1)
        if file.read(1) == b"\n":
            break
        end -= 1
    return end
