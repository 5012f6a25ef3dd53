"""What candidates are judged on."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomoad.errors import UserError
from fomoad.search.choice import GROUPS
from fomoad.search.parts import Photos, digest, open_parts

SIDE = 32


def write(directory: Path, train: int, good: int, defects: int) -> Path:
    """Images whose values say which sample they show; two images a sample."""
    directory.mkdir()
    random = np.random.default_rng(0)

    def images(count: int, start: int) -> np.ndarray:
        noise = random.integers(0, 60, (count, SIDE, SIDE, 3))
        return (noise + 2 * (start + np.arange(count) // 2)[:, None, None, None]).astype(np.uint8)

    np.save(directory / "X_split_train.npy", images(train, 0))
    np.save(directory / "X_split_test.npy", images(good + defects, 40))
    ids = {
        "train": [f"a{row // 2}" for row in range(train)],
        "validation": [f"b{n // 2}" for n in range(good + defects)],
    }
    (directory / "sample_id_details.json").write_text(json.dumps(ids))
    (directory / "Y_split_test.npy").write_text(json.dumps(["no anomaly"] * good + ["anomaly"] * defects))
    return directory


def samples(images: np.ndarray) -> set[int]:
    """The samples that images show, by their lowest values."""
    return set(np.round(images.min(axis=(1, 2, 3)) * 255 / 2).astype(int))


def test_labelled_images_are_halved_and_no_sample_is_on_two_sides(tmp_path: Path) -> None:
    data = write(tmp_path / "data", 20, 12, 8)
    parts = open_parts(data, "0..1", 1, tmp_path)
    assert parts.labelled
    assert parts.directory == data
    assert len(parts.images) == 20
    for part in (parts.selection, parts.test):
        assert (part.anomalous.sum(), (~part.anomalous).sum()) == (4, 6)
    brightness = [
        set(np.round(part.images.min(axis=(1, 2, 3)) * 255 / 2).astype(int)) for part in (parts.selection, parts.test)
    ]
    assert not brightness[0] & brightness[1]
    for part in (parts.selection, parts.made):
        shown = np.round(part.images.min(axis=(1, 2, 3)) * 255 / 2).astype(int)[~part.anomalous]
        groups = part.groups[~part.anomalous]
        assert len(set(zip(shown, groups, strict=True))) == len(set(shown))  # a sample is in one group
        assert part.groups.max() < GROUPS
    assert set(parts.made.groups[parts.made.anomalous]) == set(parts.made.groups[~parts.made.anomalous])
    assert parts.made.anomalous.any()


def test_without_labelled_defects_good_images_are_held_out(tmp_path: Path) -> None:
    """Defects are made on them, and what is fitted to shows none of their samples."""
    parts = open_parts(write(tmp_path / "data", 40, 0, 0), "0..1", 1, tmp_path)
    assert not parts.labelled
    assert parts.directory != tmp_path / "data"
    assert len(parts.images) == 24
    seen = samples(parts.images.rows(slice(None)))
    for part in (parts.selection, parts.test):
        good = part.images[~part.anomalous]
        assert len(good) == 8
        assert not seen & samples(good)
        assert part.masks is not None
        assert part.masks[part.anomalous].any(axis=(1, 2)).all()
        assert not part.masks[~part.anomalous].any()
    again = open_parts(tmp_path / "data", "0..1", 1, tmp_path)
    np.testing.assert_array_equal(again.selection.images, parts.selection.images)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="8 training images: a search needs at least 10"):
        open_parts(write(tmp_path / "data", 8, 0, 0), "0..1", 1, tmp_path)


def test_the_digest_tells_data_apart(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", 12, 4, 4), write(tmp_path / "other", 12, 4, 4)
    assert digest(one) == digest(other)
    changed = np.load(other / "X_split_train.npy")
    changed[3, 4, 5] += 1
    np.save(other / "X_split_train.npy", changed)
    assert digest(one) != digest(other)


def test_photos_that_changed_or_are_grouped_otherwise_are_read_again(tmp_path: Path) -> None:
    """Three photos of each part: a part is on one side only where the names say what belongs together."""
    folder, random = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for part in range(20):
        for view in "abc":
            pixels = random.integers(12 * part, 12 * part + 10, (SIDE, SIDE, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"part{part}_{view}.png")

    def parts_seen(photos: Photos) -> list[set[int]]:
        parts = photos.parts(SIDE)
        good = [part.images[~part.anomalous] for part in (parts.selection, parts.test)]
        every = [parts.images.rows(slice(None)), *good]
        return [set((images.mean(axis=(1, 2, 3)) * 255 // 12).astype(int)) for images in every]

    alone = Photos(folder, digest(folder), "0..1", None, 1, tmp_path / "work")
    fitted, chosen, tested = parts_seen(alone)
    assert fitted & chosen
    assert fitted & tested
    fitted, chosen, tested = parts_seen(dataclasses.replace(alone, group_by=r"part(\d+)"))
    assert not fitted & (chosen | tested)
    assert not chosen & tested
    for photo in folder.glob("part1?_*"):
        photo.unlink()
    fewer = dataclasses.replace(alone, content=digest(folder))
    assert max(set().union(*parts_seen(fewer))) == 9
