"""The demonstration's photos: the same for the same seed, defects where the masks say, and learnable."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fomoad.cli import main
from fomoad.data.samples import generate
from fomoad.data.samples.canvas import Pose, blank, box, disc, hexagon, polyline
from fomoad.data.samples.defects import DEFECTS
from fomoad.data.samples.generate import DIFFICULTIES, Difficulty, photo
from fomoad.errors import UserError

CALM = Difficulty(variation=0.0, strength=1.0)
"""Good parts differ in their serial number, brushing and noise only."""


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_command_writes_a_data_directory(tmp_path: Path) -> None:
    command = f"sample-data {tmp_path / 'a'} --size 32 --seed 3 --train 3 --test-normal 2 --test-anomaly 6"
    assert main(command.split()) == 0
    images = np.load(tmp_path / "a" / "X_split_test.npy", allow_pickle=False)
    assert images.shape == (8, 32, 32, 3)
    assert 0 <= images.min() < 0.25 < 0.65 < images.max() <= 1
    names = json.loads((tmp_path / "a" / "sample_file_names.json").read_text())
    assert names["train"] == ["good_000.png", "good_001.png", "good_002.png"]
    assert names["validation"] == ["good_000.png", "good_001.png"] + [
        f"{kind}_000.png" for kind in ("crack", "misplaced", "missing", "scratch", "stain")
    ] + ["crack_001.png"]
    labels = np.load(tmp_path / "a" / "Y_split_test.npy", allow_pickle=False)[:, 0]
    classes = json.loads((tmp_path / "a" / "train_input.json").read_text())["classes"]
    assert [classes[label - 1] for label in labels] == ["no anomaly"] * 2 + [*sorted(DEFECTS), "crack"]
    marked = np.load(tmp_path / "a" / "masks_split_test.npy", allow_pickle=False).any(axis=(1, 2))
    assert marked.tolist() == [classes[label - 1] != "no anomaly" for label in labels]


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed, train in (("a", 3, 2), ("b", 3, 2), ("c", 4, 2), ("d", 3, 4)):
        generate.run(tmp_path / name, size=32, seed=seed, train=train, test_normal=1, test_anomaly=5)
    first, again, other, longer = (_files(tmp_path / name) for name in "abcd")
    assert first == again
    assert first["X_split_train.npy"] != other["X_split_train.npy"]
    assert first["X_split_test.npy"] == longer["X_split_test.npy"]


@pytest.mark.parametrize("scaling", ["0..1", "torch"])
def test_grey_and_other_scalings(tmp_path: Path, scaling: str) -> None:
    from fomoad.data.scaling import to_pixels

    arguments = {"size": 40, "train": 2, "test_normal": 0, "test_anomaly": 1}
    generate.run(tmp_path / "grey", channels=1, scaling=scaling, **arguments)
    generate.run(tmp_path / "rgb", channels=3, scaling=scaling, **arguments)
    grey, rgb = (
        to_pixels(np.load(tmp_path / name / "X_split_train.npy", allow_pickle=False), scaling)
        for name in ("grey", "rgb")
    )
    assert grey.shape == (2, 40, 40, 1)
    np.testing.assert_allclose(grey[..., 0], rgb @ [0.299, 0.587, 0.114], atol=0.51)


@pytest.mark.parametrize("kind", sorted(DEFECTS))
@pytest.mark.parametrize("difficulty", sorted(DIFFICULTIES))
def test_every_defect_can_be_seen_where_its_mask_is(kind: str, difficulty: str) -> None:
    """Seen means: in the mask, the photo differs from good photos clearly more than they do from each other."""
    level = Difficulty(0.0, DIFFICULTIES[difficulty].strength)
    good = np.stack([photo("good", 96, CALM, np.random.default_rng([8, i]))[0] for i in range(12)]).astype(float)
    mean, spread = good.mean(axis=0), good.std(axis=0) + 4
    for index in range(4):
        pixels, mask = photo(kind, 96, level, np.random.default_rng([9, index]))
        deviation = (np.abs(pixels - mean) / spread).mean(axis=2)
        assert set(np.unique(mask)) == {0, 255}
        assert 10 < (mask > 0).sum() < 0.2 * mask.size
        inside, outside = deviation[mask > 0], deviation[mask == 0]
        assert np.quantile(inside, 0.75) > 1.5 * np.quantile(outside, 0.75)


def test_pixelwise_deviation_finds_the_defects_but_not_all() -> None:
    """A floor and a ceiling: solvable, and not by comparing pixels alone."""
    rng = np.random.default_rng
    level = DIFFICULTIES["medium"]
    train = np.stack([photo("good", 48, level, rng([1, i]))[0] for i in range(60)]).astype(float)
    kinds = ["good"] * 30 + list(DEFECTS) * 6
    test = np.stack([photo(kind, 48, level, rng([2, i]))[0] for i, kind in enumerate(kinds)]).astype(float)
    deviation = np.abs(test - train.mean(axis=0)) / (train.std(axis=0) + 4)
    scores = np.quantile(deviation.mean(axis=3).reshape(len(test), -1), 0.995, axis=1)
    auroc = roc_auc_score([kind != "good" for kind in kinds], scores)
    assert 0.55 < auroc < 0.99


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"size": 20}, "Photos of 20 pixels"),
        ({"size": 5000}, "Photos of 5000 pixels"),
        ({"train": 0}, "numbers of photos"),
        ({"test_normal": -1}, "numbers of photos"),
        ({"seed": -1}, "seed"),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, arguments: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        generate.run(tmp_path / "data", **arguments)
    assert not (tmp_path / "data").exists()


def test_distances_are_those_of_plain_geometry() -> None:
    """Against the distance to a dense set of points on each outline."""
    canvas = blank(40, Pose(0.0, 0.0, 0.0, 1.0))
    pixels = np.stack([canvas.x, canvas.y], axis=-1).reshape(-1, 1, 2)
    turns = np.linspace(0, 2 * np.pi, 4000)
    circle = 0.5 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    sides = np.linspace(-1, 1, 1500)[:, None]
    rectangle = np.concatenate(
        [sides * [0, 0.3] + [side, 0] for side in (-0.6, 0.6)] + [sides * [0.6, 0] + [0, s] for s in (-0.3, 0.3)]
    )
    points = np.array([[-0.5, -0.5], [0.2, 0.1], [0.4, -0.6]])
    line = np.concatenate([a + (b - a) * (sides + 1) / 2 for a, b in pairwise(points)])

    def nearest(outline: np.ndarray) -> np.ndarray:
        return np.linalg.norm(pixels - outline[None], axis=2).min(axis=1).reshape(40, 40)

    np.testing.assert_allclose(np.abs(disc(canvas.x, canvas.y, 0.5)), nearest(circle), atol=2e-3)
    np.testing.assert_allclose(np.abs(box(canvas.x, canvas.y, 0.6, 0.3, 0.0)), nearest(rectangle), atol=2e-3)
    np.testing.assert_allclose(polyline(canvas.x, canvas.y, points)[0], nearest(line), atol=2e-3)
    inside = hexagon(canvas.x, canvas.y, 0.5, 0.2) < 0
    assert float(inside.mean()) * 4 == pytest.approx(2 * np.sqrt(3) * 0.5**2, rel=0.02)


def test_a_window_shows_the_same_pixels() -> None:
    """Drawing on a window must equal drawing on the whole canvas, in any pose."""
    pose = Pose(0.4, 0.1, -0.2, 1.2)
    whole, part = blank(64, pose), blank(64, pose)
    for canvas in (whole, part.window(0.3, -0.4, 0.2)):
        canvas.paint(canvas.cover(disc(canvas.x - 0.3, canvas.y + 0.4, 0.2)), (1.0, 0.5, 0.2), 0.3)
    assert whole.colour.sum() > 0
    np.testing.assert_array_equal(whole.colour, part.colour)
    np.testing.assert_array_equal(whole.gloss, part.gloss)
