"""`fomoad import`: a folder of images to a data directory."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from fomoad.data import groups
from fomoad.data.dataset import MIN_SIDE
from fomoad.data.image_file import MAX_PIXELS, pixels, place, read_image, read_mask, reduction, shrunk_mask
from fomoad.data.image_folder import Entry, list_images
from fomoad.data.label_names import LabelNames
from fomoad.data.scaling import DEFAULT_SCALING
from fomoad.data.tiles import OVERLAP, Tiling
from fomoad.data.writer import Sample, Written, write_data_directory
from fomoad.errors import UserError
from fomoad.progress import log, track, warn

MAX_SIDE = 4096
"""Of a model's input: a training computes features of many thousand positions there already."""
MOST_NAMED = 5
"""How many left-out files the log names."""


def run(
    folder: Path,
    data_directory: Path,
    size: tuple[int, int] = (96, 96),
    resize: str = "squash",
    channels: int = 3,
    skip_broken: bool = False,
    scaling: str = DEFAULT_SCALING,
    test_share: float = 0.2,
    names: LabelNames | None = None,
    group_by: str | None = None,
    max_pixels: int = MAX_PIXELS,
    tiles: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
) -> Written:
    """Write the images of a folder as a data directory; size is (width, height). See `list_images` for groups.

    `tiles` are rows and columns of images of this size that each photo is cut into, which overlap by a share.

    Raises UserError for a folder of unknown layout, an image that cannot be read (unless `skip_broken`), one file
    that lies among good parts and among defects, and a directory that cannot be written.
    """
    if min(size) < MIN_SIDE:
        raise UserError(f"Images of {size[0]} x {size[1]} pixels are too small: no side may be below {MIN_SIDE}.")
    if max(size) > MAX_SIDE:
        raise UserError(f"Images of {size[0]} x {size[1]} pixels are too large: no side may be above {MAX_SIDE}.")
    if not 0 <= test_share < 1:
        raise UserError(f"The share for testing is {test_share}: give a number from 0 to below 1.")
    tiling = None if tiles is None else Tiling.of(*tiles, overlap, (size[1], size[0]))
    photo_size = size if tiling is None else _photo_size(tiling, size)
    listing = list_images(folder, test_share, names or LabelNames(), group_by)
    _report(f"Passing over {len(listing.passed_over)} files that are not images by their names", listing.passed_over)
    _report(f"Taking {len(listing.masks_beside)} files for masks of the photos beside them", listing.masks_beside)
    _report(
        f"Warning: {len(listing.unused)} images are not used, for their folders belong to neither training nor testing",
        listing.unused,
    )
    reader = _Reader(folder, photo_size, resize, channels, skip_broken, max_pixels)
    thumbnails: list[groups.Thumbnail] = []
    written = write_data_directory(
        data_directory,
        _noting(reader.samples(track(listing.train, "Reading images for training", len(listing.train))), thumbnails),
        reader.samples(track(listing.test, "Reading images for testing", len(listing.test))),
        scaling,
        resize,
        names,
        tiling,
    )
    _report(f"Left out {len(reader.copies)} exact copies of other images", reader.copies)
    _report(f"Skipped {len(reader.broken)} broken images", reader.broken)
    anomalies = f", {reader.anomalies} of them anomalous" if written.test else ""
    log(
        f"Wrote {written.train} images for training and {written.test} for testing{anomalies} "
        f"to {data_directory}" + (", with masks" if written.masks else "")
    )
    if tiling:
        log(
            f"Each is {tiling.rows} x {tiling.columns} tiles of {size[0]} x {size[1]} pixels, cut out of "
            f"{photo_size[0]} x {photo_size[1]}"
        )
    if group_by is None:
        _hint([entry.path.relative_to(folder).as_posix() for entry in listing.train], thumbnails)
    else:
        log(f"The training images are of {written.train_samples} samples (--group-by '{group_by}')")
    if written.shared_samples:
        warn(f"{written.shared_samples} samples have images for training and for testing: figures will flatter")
    return written


def _noting(samples: Iterator[Sample], thumbnails: list[groups.Thumbnail]) -> Iterator[Sample]:
    """The same samples; thumbnails of the first of them go to the list."""
    for sample in samples:
        if len(thumbnails) < groups.MOST_COMPARED:
            thumbnails.append(groups.thumbnail(sample.pixels))
        yield sample


def _hint(names: list[str], thumbnails: list[groups.Thumbnail]) -> None:
    """Say where the training images look like groups that were not given."""
    for hint in (groups.names_hint(names), groups.near_identical_hint(thumbnails)):
        if hint:
            log(f"Hint: {hint}")


def _photo_size(tiling: Tiling, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the photo that tiles of this size are cut out of. Raises UserError where it is too large."""
    height, width = tiling.photo_shape(size[1], size[0])
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{tiling.rows} x {tiling.columns} tiles of {size[0]} x {size[1]} pixels make a photo of {width} x "
            f"{height}: at most {MAX_PIXELS:,} pixels are taken, so give fewer tiles or a smaller --size."
        )
    return width, height


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of `96` or `128x96`. Raises UserError for anything else."""
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height or width)
    except ValueError as error:
        raise UserError(f"'{text}' is no size: give one side as 96, or width and height as 128x96.") from error


class _Reader:
    """Entries to samples, and a record of what was left out on the way."""

    def __init__(
        self, root: Path, size: tuple[int, int], resize: str, channels: int, skip_broken: bool, max_pixels: int
    ) -> None:
        self._root = root
        self._size = size
        self._resize = resize
        self._channels = channels
        self._skip_broken = skip_broken
        self._max_pixels = max_pixels
        self._seen: dict[bytes, Entry] = {}
        self.copies: list[Path] = []
        self.broken: list[Path] = []
        self.anomalies = 0

    def samples(self, entries: Iterator[Entry]) -> Iterator[Sample]:
        for entry in entries:
            try:
                if self._is_copy(entry):
                    self.copies.append(entry.path)
                    continue
                sample = self._read(entry)
            except _BrokenImageError as error:
                if not self._skip_broken:
                    raise UserError(f"{error} Mend or remove it, or leave it out with --skip-broken.") from error
                log(f"  {error}")
                self.broken.append(entry.path)
                continue
            self.anomalies += entry.is_anomaly
            yield sample

    def _is_copy(self, entry: Entry) -> bool:
        """Return whether the same bytes were read before: a copy in both splits would flatter the test."""
        try:
            if not entry.path.is_file():
                raise _BrokenImageError(f"The image {entry.path} is no file but a pipe, device or broken link.")
            digest = hashlib.sha256(entry.path.read_bytes()).digest()
        except OSError as error:
            raise _BrokenImageError(f"The image {entry.path} cannot be read ({error.strerror or error}).") from error
        first = self._seen.setdefault(digest, entry)
        if first.is_anomaly != entry.is_anomaly:
            raise UserError(
                f"{first.path} and {entry.path} are the same image, once as a good part and once as a defect: "
                "remove the wrong one."
            )
        return first is not entry

    def _read(self, entry: Entry) -> Sample:
        try:
            image = read_image(entry.path, self._channels, self._max_pixels)
            if reduction(image) > 1 and self._resize == "crop":
                raise UserError(f"The image {entry.path} is too large to be cut out of: raise --max-pixels.")
            geometry = place(image.size, self._size, self._resize)
            mask = None if entry.mask is None else read_mask(entry.mask, self._max_pixels)
        except UserError as error:
            raise _BrokenImageError(str(error)) from error
        if mask is not None and reduction(image) > 1:
            mask = mask.resize(image.size, Image.Resampling.NEAREST)
        if mask is not None and mask.size != image.size:
            raise _BrokenImageError(
                f"The mask {entry.mask} has {mask.width} x {mask.height} pixels, but its image {entry.path} "
                f"has {image.width} x {image.height}."
            )
        return Sample(
            pixels(geometry.apply(image, Image.Resampling.BILINEAR)),
            entry.is_anomaly,
            entry.path.relative_to(self._root).as_posix(),
            None if mask is None else shrunk_mask(mask, geometry),
            entry.group,
            entry.kind,
            image.size,
        )


class _BrokenImageError(Exception):
    """An image or mask that cannot be used; the message is a sentence."""


def _report(what: str, paths: list[Path]) -> None:
    """Log what was left out and the first few names, if anything was."""
    if paths:
        names = ", ".join(str(path) for path in paths[:MOST_NAMED])
        log(f"{what}: {names}{', ...' if len(paths) > MOST_NAMED else ''}")
