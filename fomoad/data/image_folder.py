"""Folders of images in the layouts that people keep them in, as a list for training and one for testing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fomoad.data.groups import group_of
from fomoad.data.image_file import SUFFIXES, looks_like_mask
from fomoad.data.label_names import LabelNames
from fomoad.data.walk import files_below, is_hidden
from fomoad.errors import UserError

MASK_FOLDERS: Final = ("ground_truth", "masks")
PHOTO_SUFFIXES: Final = (".jpg", ".jpeg")
MASK_SUFFIX: Final = ".png"
LAYOUTS: Final = (
    "train/good and test/good, test/<defect> (as MVTec AD), or good/ and a folder for each kind of defect, "
    "or images of good parts alone"
)


@dataclass(frozen=True)
class Entry:
    """An image file and what its place in the folder says of it."""

    path: Path
    is_anomaly: bool
    mask: Path | None = None
    group: str | None = None
    """Images of one group belong together; None: the image is a group of its own."""
    kind: str | None = None
    """The name of the folder of defects that the image is in."""


@dataclass(frozen=True)
class Listing:
    """The images of a folder, and what was left out: files that are not images by their names, masks of photos that lie
    beside them, and images in folders that the layout has no use for (val/ beside train/ and test/)."""

    train: list[Entry]
    test: list[Entry]
    passed_over: list[Path]
    masks_beside: list[Path]
    unused: list[Path]


def list_images(folder: Path, test_share: float, names: LabelNames, group_by: str | None = None) -> Listing:
    """Find out a folder's layout and list its images, sorted by path.

    Folders whose names mean good parts hold those, every other one a kind of defect, except the masks in
    `ground_truth/` or `masks/`. Without a division into train/ and test/, the share `test_share` of the good
    images, evenly spread, goes to testing if there are defects to test with. Hidden files are left alone. `group_by`
    says which images belong together (see `group_of`); such a division then leaves all of a group on one side.

    Raises UserError where the layout is none of the known ones or holds no good image.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give a folder with images in it.")
    if (folder / "train").is_dir():
        train = _grouped(_list_training(folder / "train", names), folder, group_by)
        labelled = _list_labelled(folder / "test", folder, names) if (folder / "test").is_dir() else []
        test = _grouped(labelled, folder, group_by)
    else:
        train, test = _divide(_grouped(_list_undivided(folder, names), folder, group_by), test_share)
    if not train:
        raise UserError(f"There are no images of good parts in {folder}: lay them out as {LAYOUTS}.")
    taken = {entry.path for entry in (*train, *test)}
    others = [path for path in _files(folder) if path not in taken and not _is_in_mask_folder(path, folder)]
    images = [path for path in others if _is_image(path)]
    beside = masks_beside([*taken, *images])
    return Listing(
        train,
        test,
        [path for path in others if not _is_image(path)],
        [path for path in images if path in beside],
        [path for path in images if path not in beside],
    )


def _list_training(train: Path, names: LabelNames) -> list[Entry]:
    """List train/: images in it or in folders of good parts; defects there would be learnt as normal."""
    for child in _folders(train):
        if not names.means_normal(child.name) and any(map(_is_image, _files(child))):
            raise UserError(
                f"The folder {child} is for training, but its name does not say that its parts are good: move it "
                f"to test/, or give --normal-label '{child.name}'."
            )
    return [Entry(path, False) for path in _images(train)]


def _list_labelled(parent: Path, root: Path, names: LabelNames) -> list[Entry]:
    """List a folder that holds a folder for good parts and one for each kind of defect."""
    loose = [path for path in sorted(parent.iterdir()) if _is_image(path)]
    if loose:
        raise UserError(
            f"The image {loose[0]} lies beside the folders that say what is good: move it into one of them "
            f"({', '.join(child.name for child in _folders(parent)[:5]) or 'good, or one for a kind of defect'})."
        )
    entries = []
    for child in _folders(parent):
        if child.name.lower() in MASK_FOLDERS:
            continue
        normal = names.means_normal(child.name)
        masks = {} if normal else _masks(root, parent, child)
        kind = None if normal else child.name
        entries += [
            Entry(path, not normal, masks.get(path.relative_to(parent).with_suffix("")), kind=kind)
            for path in _images(child)
        ]
    return entries


def _list_undivided(folder: Path, names: LabelNames) -> list[Entry]:
    """List a folder without train/: good parts and defects in folders, or good parts only."""
    labelled = [child for child in _folders(folder) if any(map(_is_image, _files(child)))]
    if any(names.means_normal(child.name) for child in labelled):
        return _list_labelled(folder, folder, names)
    unknown = [child for child in labelled if child.name.lower() not in MASK_FOLDERS]
    if unknown:
        raise UserError(
            f"None of the folders in {folder} ({', '.join(child.name for child in unknown[:5])}) is known to hold "
            f"good parts: name one with --normal-label, or lay the images out as {LAYOUTS}."
        )
    return [Entry(path, False) for path in _images(folder) if not _is_in_mask_folder(path, folder)]


def _divide(entries: list[Entry], test_share: float) -> tuple[list[Entry], list[Entry]]:
    """Return entries for training and for testing: the anomalies with their groups, and evenly spread good groups."""
    normal = [entry for entry in entries if not entry.is_anomaly]
    anomalies = [entry for entry in entries if entry.is_anomaly]
    if not anomalies:
        return normal, []
    groups = [entry.group or str(entry.path) for entry in normal]
    with_anomalies = {entry.group for entry in anomalies}
    free = [group for group in dict.fromkeys(groups) if group not in with_anomalies]
    held = {group for i, group in enumerate(free) if int((i + 1) * test_share) > int(i * test_share)} | with_anomalies
    train = [entry for entry, group in zip(normal, groups, strict=True) if group not in held]
    return train, [entry for entry, group in zip(normal, groups, strict=True) if group in held] + anomalies


def _grouped(entries: list[Entry], root: Path, group_by: str | None) -> list[Entry]:
    if group_by is None:
        return entries
    return [replace(entry, group=group_of(entry.path.relative_to(root).as_posix(), group_by)) for entry in entries]


def _masks(root: Path, parent: Path, child: Path) -> dict[Path, Path]:
    """Return the masks of a folder of defects by their images' paths in `parent`, without suffix."""
    beside = masks_beside(filter(_is_image, _files(child)))
    masks = {path.relative_to(parent).with_suffix(""): path for path in beside}
    for name in MASK_FOLDERS:
        for path in _images(root / name / child.relative_to(parent)):
            image = path.relative_to(root / name).with_suffix("")
            masks[image.with_name(image.name.removesuffix("_mask"))] = path
    return masks


def _is_in_mask_folder(path: Path, root: Path) -> bool:
    return path.relative_to(root).parts[0].lower() in MASK_FOLDERS


def masks_beside(images: Iterable[Path]) -> set[Path]:
    """Return which images are masks of photos: of the same name, but .png beside .jpg, and black and white.

    The original magnetic-tile data set is laid out so. A photo that was saved twice is grey in both files.
    """
    paths = set(images)
    photos = {path.with_suffix("") for path in paths if path.suffix.lower() in PHOTO_SUFFIXES}
    return {
        path
        for path in paths
        if path.suffix.lower() == MASK_SUFFIX and path.with_suffix("") in photos and looks_like_mask(path)
    }


def _images(folder: Path) -> list[Path]:
    """Return the images below a folder, sorted, without masks that lie beside their photos."""
    images = [path for path in _files(folder) if _is_image(path)]
    masks = masks_beside(images)
    return [path for path in images if path not in masks]


def _is_image(path: Path) -> bool:
    """Whether a file has an image's name. A pipe or a broken link of such a name counts: reading it says so."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir() and not is_hidden(path.name)


def _files(folder: Path) -> list[Path]:
    return files_below(folder) if folder.is_dir() else []


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
