"""Groups by names and folders, and signs of groups that nobody gave."""

import numpy as np
import pytest

from fomoad.data import groups
from fomoad.errors import UserError


@pytest.mark.parametrize(
    ("group_by", "group"),
    [("folder", "train/good"), (r"part(\d+)", "12"), (r"part\d+", "part12"), (r"(part\d+)_.*\.(\w+)$", "part12/png")],
)
def test_the_group_is_what_the_expression_catches(group_by: str, group: str) -> None:
    assert groups.group_of("train/good/part12_3.png", group_by) == group


@pytest.mark.parametrize(("group_by", "sentence"), [("tile", "does not match"), ("(", "is not a regular expression")])
def test_an_expression_must_be_whole_and_match(group_by: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        groups.group_of("good/a.png", group_by)


@pytest.mark.parametrize(
    "pattern", ["good/part{}_{}.png", "good/{}-cam{}.JPG", "good/{:04d} {}.png", "part{}/photo{}.png"]
)
def test_names_that_suggest_groups(pattern: str) -> None:
    """The hint's own expression makes the groups that the names were made of."""
    paths = [pattern.format(part, photo) for part in range(6) for photo in range(3)]
    hint = groups.names_hint(paths)
    assert hint is not None
    assert "6 groups" in hint
    group_by = hint.split("--group-by '")[1].split("'")[0]
    assert len({groups.group_of(path, group_by) for path in paths}) == 6


@pytest.mark.parametrize("pattern", ["good/{:03d}.png", "good/IMG_{:04d}.jpg", "train/good/a{}.png"])
def test_names_that_only_count_suggest_none(pattern: str) -> None:
    assert groups.names_hint([pattern.format(number) for number in range(40)]) is None


def test_other_exposures_of_a_part_are_near_identical() -> None:
    """All parts share most of how they look; contrast, brightness and noise differ between photos."""
    random = np.random.default_rng(0)
    common = random.normal(size=(60, 60, 1))
    parts = common + 0.5 * random.normal(size=(20, 60, 60, 1))
    photos = [gain * part + gain for part in parts[:6] for gain in (0.5, 1.5)]
    singles = list(parts[6:])
    noisy = [photo + 0.02 * random.normal(size=photo.shape) for photo in photos + singles]
    thumbnails = [groups.thumbnail(photo) for photo in noisy]
    assert groups.near_identical(thumbnails) == 12
    hint = groups.near_identical_hint(thumbnails)
    assert hint is not None
    assert hint.startswith("12 of 26 training images are near-identical")
    assert groups.near_identical_hint([groups.thumbnail(part) for part in parts]) is None


def test_constant_images_are_like_no_other() -> None:
    assert groups.near_identical([groups.thumbnail(np.zeros((40, 30, 3)))] * 3) == 0
