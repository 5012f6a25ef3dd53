"""Training images that look like defects: named, left out when told or when plain, and robust against."""

import json
from pathlib import Path

import numpy as np
import pytest

from fomoad import cli
from fomoad.data.dataset import open_split
from fomoad.data.info_file import Info
from fomoad.data.samples import generate
from fomoad.training import suspects


def _scores(count: int, seed: int) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(2, 0.3, count)).astype(np.float32)


def test_ordinary_images_stay() -> None:
    counts = [len(suspects.left_out(_scores(200, seed), None)) for seed in range(50)]
    # Of a normal distribution, 1 in 430,000 lies so far above the third quartile.
    assert sum(counts) == 0


def test_what_is_clearly_unlike_goes() -> None:
    scores = _scores(200, 1)
    scores[[7, 90, 150]] *= 20
    assert set(suspects.left_out(scores, None).tolist()) == {7, 90, 150}
    assert set(suspects.named(scores, None)[:3].tolist()) == {7, 90, 150}
    assert len(suspects.named(scores, None)) == 6
    assert len(suspects.left_out(scores[:10], None)) == 0, "of few images nothing is known"


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.02, 4), (0.021, 5), (0.5, 100)])
def test_the_share_that_is_told_goes(share: float, count: int) -> None:
    scores = _scores(200, 2)
    gone = suspects.left_out(scores, share)
    assert len(gone) == count
    np.testing.assert_array_equal(np.sort(scores[gone]), np.sort(scores)[200 - count :])


def test_a_split_without_some_rows_reads_the_others(tmp_path: Path) -> None:
    generate.run(tmp_path, size=32, train=6, test_normal=0, test_anomaly=0)
    split = open_split(tmp_path, "train", "0..1", Info())
    assert split.images is not None
    kept = split.without(np.array([1, 4]))
    assert kept.images is not None
    assert len(kept) == 4
    everything = split.images.rows(slice(0, 6))
    np.testing.assert_array_equal(kept.images.rows(slice(0, 4)), everything[[0, 2, 3, 5]])
    np.testing.assert_array_equal(kept.images.rows(np.array([3, 0])), everything[[5, 0]])
    assert [rows.start for rows, _ in kept.images.batches(3)] == [0, 3]
    assert kept.ids == [split.ids[row] for row in (0, 2, 3, 5)]


@pytest.mark.parametrize("value", ["0.6", "-0.1", "many", "nan"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--data-directory", str(tmp_path), "--out-directory", str(tmp_path / "out")]
    assert cli.main([*arguments, f"--contamination={value}"]) == 1
    assert "auto or a share from 0 to 0.5" in capsys.readouterr().err


@pytest.mark.no_cover
def test_a_training_is_that_of_the_images_it_keeps(
    tmp_path: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A photo of noise among good parts is left out, and the model is the one that never saw it."""
    generate.run(tmp_path / "data", size=32, train=30, test_normal=0, test_anomaly=0)
    images = np.load(tmp_path / "data" / "X_split_train.npy")
    noise = np.random.default_rng(1).uniform(0, 1, images[:1].shape).astype(np.float32)
    for name, rows, share in (("clean", images, 0), ("mixed", np.concatenate([images, noise]), 0.03)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "X_split_train.npy", rows)
        options = f"--scoring-function patchcore --weights {random_weights} --contamination {share} --tune off"
        into = f"--data-directory {tmp_path / name} --out-directory {tmp_path / name / 'out'}"
        assert cli.main(["train", *into.split(), *options.split()]) == 0
    assert "1 of 31 training images look like defects and are left out: sample 31" in capsys.readouterr().out
    clean, mixed = (
        json.loads((tmp_path / name / "out" / "anomaly_metadata.json").read_text()) for name in ("clean", "mixed")
    )
    first = mixed["suspects"][0]
    assert (first["row"], first["left_out"]) == (30, True)
    assert [each["left_out"] for each in mixed["suspects"][1:]] == [False] * (len(mixed["suspects"]) - 1)
    assert mixed["training_images"] == 30
    assert not any(each["left_out"] for each in clean["suspects"])
    assert mixed["models"]["model.tflite"]["sha256"] == clean["models"]["model.tflite"]["sha256"]
