"""Prints the notices of the installed packages: a table of names, versions and licences, then each licence text.

python notices.py prints everything, as it lies in the image; with --table the table only, as THIRD_PARTY_NOTICES.md
holds it.
"""

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

LICENCE_FILES = ("license", "licence", "copying", "notice", "thirdpartynotices", "third_party")
LONGEST = 60


def main() -> None:
    """Print the notices of every distribution of this environment."""
    packages = sorted(distributions(), key=lambda package: package.name.lower())
    print("| package | version | licence |\n| --- | --- | --- |")
    for package in packages:
        print(f"| {package.name} | {package.version} | {licence(package)} |")
    if "--table" in sys.argv[1:]:
        return
    for package in packages:
        for file in package.files or ():
            if file.suffix != ".py" and file.name.lower().startswith(LICENCE_FILES):
                path = Path(str(package.locate_file(file)))
                print(f"\n{'=' * 80}\n{package.name} {package.version}: {file.name}\n{'=' * 80}")
                print(path.read_text(encoding="utf-8", errors="replace").rstrip())


def licence(package: Distribution) -> str:
    """A package's licence as its metadata says: the expression, the short field, or the classifiers."""
    fields: Any = package.metadata  # a message, whose types name only some of its methods
    stated = fields.get("License-Expression") or fields.get("License") or ""
    if stated and len(stated) < LONGEST and "\n" not in stated:
        return stated
    classifiers = [
        text.rsplit(" :: ", 1)[-1] for text in fields.get_all("Classifier") or () if text.startswith("License")
    ]
    return ", ".join(classifiers) or "see its licence text"


if __name__ == "__main__":
    main()
