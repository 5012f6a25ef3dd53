"""A reader of flatbuffers that trusts nothing: every offset and length is checked before it is followed.

The format (https://flatbuffers.dev/internals): a table begins with the signed distance back to its vtable, which holds
its own size, the table's size, and the place of each field in the table, 0 for one that is left out. Vectors, strings
and other tables lie at an unsigned distance from the field that names them. All numbers are little-endian.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

Layout = tuple[tuple[str, str], ...]
"""The fields of a table in the schema's order: a name and a kind. Kinds are those of `SCALARS`, `str`, the name of
another layout, `any` for a union that the caller reads, and each of these in brackets for a vector of them."""

SCALARS: Final = {
    "i8": "<i1", "u8": "<u1", "bool": "<u1", "i32": "<i4", "u32": "<u4", "f32": "<f4", "i64": "<i8", "u64": "<u8",
}  # fmt: skip
_MOST_TABLES: Final = 1_000_000
"""Tables can share parts: a small file could lead through the same ones for ever."""


class DamagedError(Exception):
    """The bytes are no flatbuffer of the given layout; the message says where."""


class Reader:
    """Bytes and the layouts of their tables."""

    def __init__(self, content: bytes, layouts: Mapping[str, Layout]) -> None:
        self._content = content
        self._layouts = layouts
        self._tables = 0

    def root(self, layout: str) -> dict[str, Any]:
        """The outermost table as a dictionary. A field that is left out is missing in it.

        Vectors of scalars are read-only arrays, strings bytes, unions the position of their table.
        """
        return self.table(self._follow(0), layout)

    def table(self, position: int, layout: str) -> dict[str, Any]:
        """Read the table at a position."""
        self._tables += 1
        if self._tables > _MOST_TABLES:
            raise DamagedError("it has too many parts")
        vtable = position - self._integer("<i", position)
        slots_end, size = self._integer("<H", vtable), self._integer("<H", vtable + 2)
        if slots_end < 4 or slots_end % 2 or position % 4 or size < 4:
            raise DamagedError(f"the table at byte {position} is not laid out as one")
        self._need(vtable, slots_end)
        self._need(position, size)
        slots = struct.unpack_from(f"<{slots_end // 2 - 2}H", self._content, vtable + 4)
        fields = self._layouts[layout]
        if any(slots[len(fields) :]):
            raise DamagedError(f"its {layout} at byte {position} has fields of a newer format")
        return {
            name: self._field(position, slot, size, kind)
            for (name, kind), slot in zip(fields, slots, strict=False)
            if slot
        }

    def _field(self, table: int, slot: int, size: int, kind: str) -> Any:
        width = np.dtype(SCALARS[kind]).itemsize if kind in SCALARS else 4
        if not 4 <= slot <= size - width:
            raise DamagedError(f"a field of the table at byte {table} lies outside of it")
        if kind in SCALARS:
            return np.frombuffer(self._content, SCALARS[kind], 1, table + slot)[0].item()
        target = self._follow(table + slot)
        if kind == "any":
            return target
        if kind == "str":
            return self._vector(target, "<u1").tobytes()
        if not kind.startswith("["):
            return self.table(target, kind)
        if kind[1:-1] in SCALARS:
            return self._vector(target, SCALARS[kind[1:-1]])
        places = target + 4 + 4 * np.arange(len(self._vector(target, "<u4")))
        return [self.table(self._follow(int(place)), kind[1:-1]) for place in places]

    def _vector(self, position: int, dtype: str) -> Any:
        count = self._integer("<I", position)
        self._need(position + 4, count * np.dtype(dtype).itemsize)
        return np.frombuffer(self._content, dtype, count, position + 4)

    def _follow(self, position: int) -> int:
        return position + self._integer("<I", position)

    def _integer(self, form: str, position: int) -> int:
        self._need(position, struct.calcsize(form))
        return int(struct.unpack_from(form, self._content, position)[0])

    def _need(self, position: int, size: int) -> None:
        if position < 0 or position + size > len(self._content):
            raise DamagedError(f"it leads to byte {position + size} of {len(self._content)}")
