"""Made defects to curves and words: what is found, at which size, and what is left out."""

from pathlib import Path

import numpy as np
import pytest

from fomoad.data.dataset import Images, open_split
from fomoad.data.info_file import Info
from fomoad.data.samples import generate
from fomoad.data.scaling import to_pixels
from fomoad.defects import KINDS
from fomoad.detection import summary, trials
from fomoad.detection.trials import CONTRASTS, Trial
from fomoad.export.output_directory import METADATA_FILE
from fomoad.metadata import AnomalyMetadata

SIDE = 96


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("data")
    generate.run(folder, size=SIDE, train=12, test_normal=0, test_anomaly=0)
    opened = open_split(folder, "train", "-1..1", Info()).images
    assert opened is not None
    return opened


def _change(images: Images):
    """Scores an image by the number of pixels that differ from the good one: a perfect inspector."""

    def score(inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        before, after = (np.rint(to_pixels(each, "-1..1")) for each in (images.rows(rows), inputs))
        return (np.abs(after - before).max(axis=3) >= 2).sum(axis=(1, 2)).astype(np.float32)

    return score


def test_every_scorer_gets_the_same_defects(images: Images) -> None:
    rows = np.array([1, 4, 7, 8, 10])
    made = trials.run(images, rows, 3, {"pixels": _change(images), "mean": lambda x, _: x.mean(axis=(1, 2, 3))})
    assert {trial.kind for trial in made.defects} <= set(KINDS)
    assert {trial.contrast for trial in made.defects} == set(CONTRASTS)
    assert {trial.image for trial in made.defects} <= set(rows.tolist())
    assert len(made.scores["pixels"]) == len(made.scores["mean"]) == len(made.defects) >= 40
    assert made.scores["pixels"].min() >= 1
    sizes = np.array([trial.size for trial in made.defects])
    assert sizes.max() <= SIDE / 4 + 3
    again = trials.run(images, rows, 3, {"pixels": _change(images)})
    assert again.defects == made.defects
    np.testing.assert_array_equal(again.scores["pixels"], made.scores["pixels"])


def _inspected(count: int = 320) -> tuple[list[Trial], np.ndarray]:
    """Defects, and the scores of an inspector who sees stains from 5 pixels on, scratches from 10, and no blur."""
    random = np.random.default_rng(1)
    smallest = {"stain": 5, "scratch": 10, "blur": 1000}
    defects, scores = [], []
    for number in range(count):
        kind = ["stain", "scratch", "blur"][number % 3]
        size = float(np.exp(random.uniform(np.log(2.5), np.log(24))))
        defects.append(Trial(kind, "faint" if number % 2 else "strong", size, (10.0, 20.0), number % 50))
        scores.append(2.0 if size * random.normal(1, 0.1) > smallest[kind] else 0.5)
    return defects, np.array(scores, np.float32)


def test_the_curve_finds_what_the_inspector_sees() -> None:
    defects, scores = _inspected()
    found = summary.describe(defects, scores, np.zeros(50, np.float32), 1.0, SIDE, "test")
    curves = {(curve.kind, curve.contrast): curve for curve in found.curves}
    stain, scratch, blur = (curves[kind, "all"] for kind in ("stain", "scratch", "blur"))
    assert stain.a90 == pytest.approx(5.5, abs=1)
    assert scratch.a90 == pytest.approx(11, abs=1.5)
    assert stain.a90 < stain.a90_95 < 9
    assert stain.bound == sorted(stain.bound)
    assert (blur.found, blur.a90, blur.a90_95) == (0, None, None)
    assert curves["stain", "faint"].made + curves["stain", "strong"].made == stain.made == 107
    assert curves["all", "all"].made == 320
    assert curves["missing", "all"].made == 0
    assert found.false_alarm_rate == 0
    strong = [curves[kind, "strong"].a90 for kind in ("stain", "scratch")]
    assert summary.sentence(found) == (
        f"Finds 9 of 10 made stains of {strong[0]:.0f} pixels, scratches of {strong[1]:.0f}; blurred spots not "
        "reliably up to 24 pixels (strong ones, at 0.0% false alarms)."
    )


def test_an_image_that_is_flagged_anyway_says_nothing() -> None:
    defects, scores = _inspected()
    good = np.zeros(50, np.float32)
    good[:5] = 3.0
    found = summary.describe(defects, scores, good, 1.0, SIDE, "train")
    assert found.false_alarm_rate == pytest.approx(0.1)
    assert len(found.defects.kind) == sum(defect.image >= 5 for defect in defects)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (5.0, "scratches of 2 or fewer pixels, stains of 2 or fewer"),
        (0.0, "Scratches, stains, blurred spots not reliably up to 24"),
    ],
)
def test_words_where_all_or_none_are_found(score: float, words: str) -> None:
    defects, _ = _inspected()
    scores = np.full(320, score, np.float32)
    found = summary.describe(defects, scores, np.zeros(50, np.float32), 1.0, SIDE, "test")
    assert words in summary.sentence(found)


def test_the_words_name_every_kind() -> None:
    assert list(summary.NAMES) == list(KINDS)


def test_a_training_says_how_small_a_defect_is_found(trained: tuple[Path, Path, list[str]]) -> None:
    """The record of both files, made by a real training."""
    metadata = AnomalyMetadata.model_validate_json((trained[1] / METADATA_FILE).read_text())
    for name in ("model.tflite", "model_quantized_int8_io.tflite"):
        record = metadata.models[name]
        assert record.detection is not None
        assert record.detection.threshold == record.threshold.suggested
        defects = record.detection.defects
        assert record.detection.curves[0].made == len(defects.kind) > 30
        assert record.detection.curves[0].found == sum(defects.found)
    assert metadata.models["model.onnx"].detection is None
