"""A reader of protobuf messages that shows every occurrence of every field, whatever a later parser makes of them.

The wire format: https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from typing import Final

_VARINT: Final = 0
_LENGTH: Final = 2
_FIXED: Final = {1: 8, 5: 4}
_LONGEST_VARINT: Final = 10


class DamagedError(Exception):
    """The bytes are no protobuf message."""


Value = int | memoryview
"""A varint's value, or the bytes of any other field."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and the value of each field, in the order of the bytes.

    Raises DamagedError where a length leads outside or a field has no known wire type.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == _LENGTH:
            size, position = _varint(message, position)
        elif wire_type in _FIXED:
            size = _FIXED[wire_type]
        else:
            raise DamagedError(f"a field has the wire type {wire_type}")
        if position + size > len(message):
            raise DamagedError(f"a field leads {position + size - len(message)} bytes past its message's end")
        yield number, message[position : position + size]
        position += size


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the bytes of each occurrence of one field that is a message, a string or bytes."""
    for found, value in fields(message):
        if found == number:
            if isinstance(value, int):
                raise DamagedError(f"field {number} is a number where a message should be")
            yield value


def texts(message: memoryview, number: int) -> list[str]:
    """The occurrences of one string field."""
    return [bytes(value).decode("utf-8", "replace") for value in messages(message, number)]


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise DamagedError("a number does not end")
