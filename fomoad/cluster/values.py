"""Values as files: dataclasses of fomoad, tuples, maps, numbers, texts and arrays, read back as maps of the file.

A file is a JSON text, as an array of bytes, and then the arrays that it names, each as in an npy file. Nothing in it is
code, as it would be in a pickle.
"""

import importlib
import io
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

ALIGNMENT: Final = 64
"""Arrays begin at multiples of so many bytes: products of others are slow."""


def pack(value: Any) -> bytes:
    """The bytes of a value's file. The same value gives the same bytes."""
    arrays: list[NDArray[Any]] = []

    def keep(array: NDArray[Any]) -> int:
        known = next((number for number, other in enumerate(arrays) if other is array), None)
        if known is not None:
            return known
        arrays.append(array)
        return len(arrays) - 1

    text = json.dumps(described(value, keep, _name)).encode()
    file = io.BytesIO()
    for array in (np.frombuffer(text, np.uint8), *arrays):
        file.write(bytes(-file.tell() % ALIGNMENT))
        np.lib.format.write_array(file, array, (1, 0), allow_pickle=False)  # type: ignore[no-untyped-call]
    return file.getvalue()


def read(path: Path) -> Any:
    """The value in a file, its arrays mapped. Raises OSError or ValueError where it is missing or damaged."""
    size = path.stat().st_size
    with path.open("rb") as file:
        text = bytes(_mapped(file, path))
        arrays = []
        while file.tell() < size:
            arrays.append(_mapped(file, path))
    try:
        return restored(json.loads(text), arrays.__getitem__, _kind)
    except (KeyError, IndexError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(f"{path} holds no value of fomoad ({error!r})") from error


def _mapped(file: BinaryIO, path: Path) -> NDArray[Any]:
    """The next array of a file."""
    file.seek(-file.tell() % ALIGNMENT, io.SEEK_CUR)
    np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
    if dtype.hasobject:
        raise ValueError(f"{path} holds Python objects")
    start = file.tell()
    count = int(np.prod(shape, dtype=np.int64))
    file.seek(count * dtype.itemsize, io.SEEK_CUR)
    if count == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C").view(np.ndarray)


def described(value: Any, keep: Callable[[NDArray[Any]], Any], name_of: Callable[[type], Any]) -> Any:
    """A value as JSON has it, except for its arrays, which `keep` takes and gives a name; `name_of` names a class."""

    def inner(each: Any) -> Any:
        return described(each, keep, name_of)

    if isinstance(value, np.ndarray):
        return {"array": keep(value)}
    if is_dataclass(value):
        parts = {field.name: inner(getattr(value, field.name)) for field in fields(value)}
        return {"class": name_of(type(value)), "fields": parts}
    if isinstance(value, dict):
        return {"map": {key: inner(each) for key, each in value.items()}}
    if isinstance(value, tuple | list):
        return [inner(each) for each in value]
    assert value is None or isinstance(value, bool | int | float | str), value
    return value


def restored(value: Any, array: Callable[[Any], NDArray[Any]], kind: Callable[[Any], Callable[..., Any]]) -> Any:
    """The value that was described; `array` and `kind` give what a name stands for, or raise for one of nothing."""

    def inner(each: Any) -> Any:
        return restored(each, array, kind)

    if isinstance(value, list):
        return tuple(map(inner, value))
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return array(value["array"])
    if "map" in value:
        return {key: inner(each) for key, each in value["map"].items()}
    return kind(value["class"])(**{key: inner(each) for key, each in value["fields"].items()})


def _name(kind: type) -> list[str]:
    assert kind.__module__.startswith("fomoad."), kind
    return [kind.__module__, kind.__name__]


def _kind(name: list[str]) -> type:
    module, own = name
    kind = getattr(importlib.import_module(module), own) if module.startswith("fomoad.") else None
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise TypeError(f"{module}.{own} is no dataclass of fomoad")
    return kind
