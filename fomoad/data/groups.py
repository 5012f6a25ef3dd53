"""Photos that belong together: groups by file name or folder, and signs of groups that nobody gave.

Photos of one part look alike. A threshold that is to hold for new parts must count parts, not photos.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fomoad.errors import UserError

FOLDER: Final = "folder"
"""The value of --group-by for which all images of one folder are a group."""
PATTERNS: Final = (r"(.*\d.*?)[ _.-]+[a-z]*\d{1,2}\.\w+$", r"(.*\d)[a-z]\.\w+$")
"""Names that a group's photos often have: part12_1.png and part12_cam2.png, or part12a.png."""
MIN_GROUPS: Final = 3
MIN_SHARE: Final = 1 / 2
"""Names suggest groups where at least this share of the images would share theirs with another."""

SIDE: Final = 24
"""Pixels a side of the thumbnails that images are compared by."""
ALIKE: Final = 0.95
"""Correlation from which two thumbnails are near-identical. Of such pairs of magnetic tiles, 94 % show one tile."""
ALIKE_SHARE: Final = 0.1
"""Share of near-identical images from which they are worth a word: symmetric parts give some by chance."""
MOST_COMPARED: Final = 5_000
"""Thumbnails that are compared at most: each with every other."""

Thumbnail = NDArray[np.float32]


def group_of(path: str, group_by: str) -> str:
    """The group of an image with this path in its folder: the part of it that `group_by` matches, or its folder.

    What the parentheses of the regular expression match is the group's name; without any, the whole match is.

    >>> group_of("good/part12_3.png", r"part(\\d+)")
    '12'

    Raises UserError where the expression is damaged or does not match.
    """
    if group_by == FOLDER:
        return PurePosixPath(path).parent.as_posix()
    try:
        found = re.search(group_by, path)
    except re.error as error:
        raise UserError(f"--group-by '{group_by}' is not a regular expression ({error}): correct it.") from error
    if found is None:
        raise UserError(f"--group-by '{group_by}' does not match {path}: give an expression that matches every name.")
    return "/".join(part or "" for part in found.groups()) if found.groups() else found.group()


def names_hint(paths: Sequence[str]) -> str | None:
    """A sentence where the images' names look like those of groups, else None."""
    for group_by in (*PATTERNS, FOLDER):
        try:
            groups = [group_of(path, group_by) for path in paths]
        except UserError:
            continue
        counts = Counter(groups)
        shared = sum(count for count in counts.values() if count > 1)
        if len(counts) < MIN_GROUPS or shared < MIN_SHARE * len(paths):
            continue
        group, _ = counts.most_common(1)[0]
        some = [path for path, other in zip(paths, groups, strict=True) if other == group][:2]
        return (
            f"The names of the training images suggest {len(counts)} groups, such as {' and '.join(some)}. If a group "
            f"is photos of one part, import again with --group-by '{group_by}': thresholds then hold for new parts."
        )
    return None


def thumbnail(image: ArrayLike) -> Thumbnail:
    """What an image (height, width, channels) of any scaling is compared by: (SIDE * SIDE,), contrast taken out."""
    grey = np.asarray(image, np.float32).mean(axis=2)
    for axis in (0, 1):
        size = grey.shape[axis]
        starts = np.arange(SIDE) * size // SIDE
        lengths = np.diff(starts, append=size)
        grey = np.add.reduceat(grey, starts, axis) / np.expand_dims(lengths, 1 - axis)
    rows = _unit(grey.reshape(1, -1))
    return rows.ravel()


def near_identical(thumbnails: Sequence[Thumbnail]) -> int:
    """How many of the thumbnails are near-identical to another, once what all of them share is taken out.

    >>> part, other, noise = np.random.default_rng(0).random((3, SIDE, SIDE, 1))
    >>> near_identical([thumbnail(each) for each in (part, other, part + 0.01 * noise)])
    2
    """
    if len(thumbnails) < 2:
        return 0
    all_of_them = np.stack(thumbnails[:MOST_COMPARED])
    own = _unit(all_of_them - all_of_them.mean(axis=0)) if len(all_of_them) > 2 else all_of_them
    alike = own @ own.T >= ALIKE
    np.fill_diagonal(alike, False)
    return int(alike.any(axis=1).sum())


def near_identical_hint(thumbnails: Sequence[Thumbnail]) -> str | None:
    """A sentence where many training images, each a sample of its own, are near-identical to another; else None."""
    count, compared = near_identical(thumbnails), min(len(thumbnails), MOST_COMPARED)
    if count < ALIKE_SHARE * compared:
        return None
    return (
        f"{count} of {compared} training images are near-identical to another one. If they are photos of the same "
        "parts, give the photos of a part one sample id (fomoad import --group-by): else thresholds promise too much."
    )


def _unit(rows: Thumbnail) -> Thumbnail:
    """Rows (n, d) with the mean taken out of each, of length 1; constant ones are 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Thumbnail = np.where(lengths > 1e-6, centred / np.maximum(lengths, 1e-6), 0).astype(np.float32)
    return unit
