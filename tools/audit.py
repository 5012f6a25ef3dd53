"""Compares requirements.lock with a saved database of known vulnerabilities, without a network.

    python tools/audit.py DATABASE [requirements.lock]

DATABASE is the archive of OSV's advisories for PyPI, fetched where there is a network:
https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip. It exits with 1 where a package is affected, or where
DATABASE is missing or is no such archive: what cannot be told is an error. Needs the package `packaging`.
"""

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
SOURCE = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"


def main(arguments: list[str]) -> int:
    """Print what affects the locked packages, and return the exit code."""
    database = Path(arguments[0]) if arguments else Path("advisories.zip")
    lock = Path(arguments[1]) if len(arguments) > 1 else Path("requirements.lock")
    locked = {normal(name): version for name, version in PIN.findall(lock.read_text(encoding="utf-8"))}
    try:
        advisories = list(read(database))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"Not audited: {database} cannot be read ({error}). Fetch {SOURCE} to it where there is a network.")
        return 1
    if not advisories:
        print(f"Not audited: {database} holds no advisories.")
        return 1
    found = sorted(
        f"{name} {locked[name]}: {advisory['id']} ({', '.join(advisory.get('aliases', [])) or 'no other name'})"
        for advisory in advisories
        for name in affected(advisory, locked)
    )
    newest = max(str(advisory.get("modified", "")) for advisory in advisories)[:10]
    print(
        "\n".join(
            [
                *found,
                f"{len(locked)} packages, {len(advisories)} advisories (the newest of {newest}), {len(found)} found.",
            ]
        )
    )
    return 1 if found else 0


def read(database: Path) -> Iterator[dict[str, Any]]:
    """The advisories of an archive that were not withdrawn."""
    with zipfile.ZipFile(database) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                advisory = json.loads(archive.read(name))
                if "withdrawn" not in advisory:
                    yield advisory


def affected(advisory: dict[str, Any], locked: dict[str, str]) -> set[str]:
    """The locked packages whose versions an advisory of OSV's schema (https://ossf.github.io/osv-schema/) affects."""
    names = set()
    for entry in advisory.get("affected", []):
        name = normal(entry.get("package", {}).get("name", ""))
        ours = entry.get("package", {}).get("ecosystem") == "PyPI" and name in locked
        if ours and (
            locked[name] in entry.get("versions", []) or any(within(r, locked[name]) for r in entry.get("ranges", []))
        ):
            names.add(name)
    return names


def within(versions: dict[str, Any], version: str) -> bool:
    """Whether a version lies in a range of events: from `introduced` until before `fixed` or up to `last_affected`."""
    if versions.get("type") != "ECOSYSTEM":
        return False
    ours, inside = Version(version), False
    for event in sorted(versions.get("events", []), key=_place):
        [(kind, value)] = list(event.items())[:1]
        if value == "0" or (_version(value) <= ours if kind != "last_affected" else _version(value) < ours):
            inside = kind == "introduced"
    return inside


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _place(event: dict[str, str]) -> tuple[Version, bool]:
    [value] = list(event.values())[:1]
    return _version(value), "introduced" not in event


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
