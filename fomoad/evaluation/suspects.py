"""Pictures of the training images that the training found most unlike the others, for a person to look at."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fomoad.data import dataset, scaling
from fomoad.data.info_file import Info
from fomoad.errors import UserError
from fomoad.evaluation.report import pictures
from fomoad.metadata import Suspect
from fomoad.progress import log

MOST: Final = 24
"""Pictures on a page."""


@dataclass(frozen=True)
class ShownSuspect:
    """A suspect and its picture, as base64 of a JPEG file."""

    suspect: Suspect
    jpeg: str


def shown(directory: Path, image_scaling: str, info: Info, suspects: Sequence[Suspect]) -> list[ShownSuspect]:
    """The most suspicious images with their pictures, read from the training images of a data directory.

    None are shown where these are missing, or are not those that the training saw, by their ids and file names.
    """
    if not suspects:
        return []
    try:
        photos = dataset.open_split(directory, "train", image_scaling, info).photos()
    except UserError as error:
        log(f"The most suspicious training images are not shown: {error}")
        return []
    assert photos.images is not None
    found = []
    for each in suspects[:MOST]:
        row = each.row
        if row >= len(photos) or (photos.ids[row], photos.file_names[row]) != (each.id, each.file_name):
            log("The most suspicious training images are not shown: the data are not those of the training.")
            return []
        values = photos.images.rows(slice(each.row, each.row + 1))[0]
        picture = pictures.picture(scaling.to_pixels(values, image_scaling), None)
        found.append(ShownSuspect(each, base64.b64encode(picture.jpeg).decode()))
    return found
