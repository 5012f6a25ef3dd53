"""Zip archives from anywhere: how much they unpack to is bounded before anything is unpacked."""

import io
import re
import stat
import zipfile
import zlib
from typing import Final

from fomoad.errors import UserError

MOST_MEMBERS: Final = 1000
MOST_BYTES: Final = 2**30
FREE_BYTES: Final = 64 * 2**20
MOST_RATIO: Final = 100
"""An archive may unpack to FREE_BYTES, or to so many times its size where that is more, but never above MOST_BYTES."""
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 1
"""The bit of a member's flags that says so."""


def read_members(content: bytes, name: str, members: re.Pattern[str]) -> dict[str, bytes]:
    """Unpack an archive whose files all have names of a form: their contents by their names. Folders are left out.

    `name` is the archive's, for messages. Raises UserError where it is damaged, too large once unpacked, or holds
    links, encrypted or twofold members, or names of another form.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            _check_size(infos, len(content), name)
            files = [info for info in infos if not info.filename.endswith("/")]  # is_dir fails on an empty name
            for info in files:
                _check_member(info, name, members)
            if len({info.filename for info in files}) < len(files):
                raise UserError(f"{name} holds two files of one name, so it is not unpacked.")
            return {info.filename: archive.read(info) for info in files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name} cannot be read as a zip archive; it may be cut off or damaged ({reason}).") from error


def _check_size(infos: list[zipfile.ZipInfo], packed: int, name: str) -> None:
    """A member never unpacks to more than its stated size: zipfile stops there."""
    total = sum(info.file_size for info in infos)
    most = min(MOST_BYTES, max(FREE_BYTES, MOST_RATIO * packed))
    if len(infos) > MOST_MEMBERS or total > most:
        raise UserError(
            f"{name} is not unpacked: its {packed / 2**20:.1f} MiB would become {len(infos)} files of "
            f"{total / 2**20:,.0f} MiB, and at most {MOST_MEMBERS} files of {most / 2**20:,.0f} MiB are expected."
        )


def _check_member(info: zipfile.ZipInfo, name: str, members: re.Pattern[str]) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
        raise UserError(f"{name} holds {info.filename[:100]!r}, which is no plain file, so it is not unpacked.")
    if not members.fullmatch(info.filename):
        raise UserError(f"{name} holds {info.filename[:100]!r}, which does not belong in it, so it is not unpacked.")
