"""npy files that are read row by row, and never taken on trust: pickles are forbidden, damage is a UserError."""

import contextlib
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError


class Rows(Protocol):
    """An array that is read row by row. `path` names it in messages."""

    @property
    def path(self) -> Path | str: ...

    def __len__(self) -> int: ...

    def rows(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Some rows, in the array's own type."""


@dataclass(frozen=True)
class ArrayInMemory:
    """An array that somebody gave, with the face of a file of it."""

    array: NDArray[Any]
    path: str = "The array"

    def __len__(self) -> int:
        return len(self.array)

    def rows(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Some rows, in the array's own type."""
        return np.asarray(self.array[rows])


@dataclass(frozen=True)
class ChosenRows:
    """Some rows of an array, `chosen` (n,), as if they were all of it."""

    array: Rows
    chosen: NDArray[np.int64]

    @property
    def path(self) -> Path | str:
        return self.array.path

    def __len__(self) -> int:
        return len(self.chosen)

    def rows(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Some of the chosen rows."""
        return self.array.rows(self.chosen[rows])


@dataclass(frozen=True)
class ArrayFile:
    """An npy file whose rows are read when they are asked for; it is closed when this is collected.

    Each read maps the file again and copies: pages of a large file do not pile up in this process, and a file
    that is removed in the meantime stays readable.
    """

    path: Path
    file: BinaryIO
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    fortran: bool

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Copy some rows, in the file's own type.

        Raises UserError where the file has shrunk since it was opened.
        """
        order: Literal["F", "C"] = "F" if self.fortran else "C"
        try:
            mapped = np.memmap(self.file, self.dtype, "r", self.offset, self.shape, order)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} changed while it was read ({error}): run again on unchanging data."
            ) from error
        return np.array(mapped[rows])


def open_array(path: Path) -> ArrayFile | None:
    """Open an npy file without reading its data; None for a file of zero bytes.

    Raises UserError for a file that is missing, cut off, no npy, or holds Python objects.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file but a folder, pipe or device: give an npy file.")
        if path.stat().st_size == 0:
            return None
        with contextlib.ExitStack() as closing:
            file = closing.enter_context(path.open("rb"))
            if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                raise ValueError("it does not begin as an npy file does")
            with np.errstate(over="ignore"):  # a header may claim more bytes than can be counted; mapping them fails
                mapped = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]
            fortran = bool(mapped.flags.f_contiguous and not mapped.flags.c_contiguous)
            array = ArrayFile(path, file, mapped.dtype, mapped.shape, mapped.offset, fortran)
            weakref.finalize(array, closing.pop_all().close)
            return array
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): give an existing npy file.") from error
    except Exception as error:  # NumPy passes on whatever Python's tokenizer and evaluator raise for a header
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is damaged or not an npy file of numbers ({reason}): write it again.") from error
