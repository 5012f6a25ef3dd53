"""Prints a bill of materials (CycloneDX 1.6, JSON) of the image or of the package.

    python sbom.py --lock requirements.lock [--base IMAGE@sha256:...]    what the image holds, file by file hashed
    python sbom.py --requirements requirements.txt                       what the package asks for

It needs nothing but Python, and the same input gives the same bytes. Licences are those that installed packages state.
"""

import argparse
import json
import re
import uuid
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LONGEST_LICENCE = 60


def main() -> None:
    """Print the bill of materials that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--lock", type=Path)
    source.add_argument("--requirements", type=Path)
    parser.add_argument("--base", default="")
    arguments = parser.parse_args()
    path = arguments.lock or arguments.requirements
    kind = "container" if arguments.lock else "library"
    print(json.dumps(bill(path.read_text(encoding="utf-8"), kind, arguments.base), indent=1))


def bill(requirements: str, kind: str, base: str = "") -> dict[str, Any]:
    """The bill of materials of pinned requirements, with or without hashes of the packages' files."""
    components = [*_base(base), *sorted(_packages(requirements), key=lambda part: str(part["bom-ref"]))]
    content = json.dumps([kind, components])
    subject = {"type": kind, "name": "fomoad", "bom-ref": "fomoad", "licenses": _licences("Apache-2.0")}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": [{"ref": "fomoad", "dependsOn": [part["bom-ref"] for part in components]}],
    }


def _packages(requirements: str) -> Iterator[dict[str, Any]]:
    for requirement in re.sub(r"\\\n", " ", requirements).splitlines():
        pin = PIN.match(requirement.strip())
        if not pin:
            continue
        name, version = re.sub(r"[-_.]+", "-", pin[1]).lower(), pin[2]
        purl = f"pkg:pypi/{name}@{version}"
        part: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        stated = _stated_licence(name, version)
        if stated:
            part["licenses"] = _licences(stated)
        hashes = HASH.findall(requirement)
        if hashes:  # one for each processor's file: a component's own `hashes` would be alternatives of one algorithm
            part["properties"] = [{"name": "fomoad:file:sha256", "value": digest} for digest in sorted(hashes)]
        yield part


def _base(image: str) -> list[dict[str, Any]]:
    """The base image, which has its own bill of materials."""
    if not image:
        return []
    name, _, digest = image.partition("@sha256:")
    part: dict[str, Any] = {"type": "container", "bom-ref": image, "name": name}
    return [part | ({"hashes": [{"alg": "SHA-256", "content": digest}]} if digest else {})]


def _stated_licence(name: str, version: str) -> str:
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return ""
    if stated["Version"] != version:
        return ""
    text = str(stated.get("License-Expression") or stated.get("License") or "")  # type: ignore[attr-defined]
    return text if len(text) < LONGEST_LICENCE and "\n" not in text else ""


def _licences(stated: str) -> list[dict[str, Any]]:
    return [{"license": {"name": stated}}]


if __name__ == "__main__":
    main()
