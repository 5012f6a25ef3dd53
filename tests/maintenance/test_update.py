"""`fomoad update`: photos of a new kind pass afterwards, defects are still found, and the old training stays."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomoad import cli
from fomoad.inference.model import load_model
from fomoad.maintenance import adapt_patchcore, gate
from fomoad.maintenance.update import Before
from fomoad.metadata import AnomalyMetadata
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation import Standardisation
from fomoad.training import state
from fomoad.training.sampling import Cells
from tests.support.browser import opened
from tests.training.test_train import textures

SHAPE = (64, 64, 1)


def photos(folder: Path, images: np.ndarray) -> Path:
    """Images 0..1 as PNG files."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(np.round(image[..., 0] * 255).astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


def bleached(count: int, seed: int) -> np.ndarray:
    """The training's images 0..1 as they are in glaring light: bright, with little contrast, and inverted."""
    return 1 - textures(count, SHAPE, seed) * 0.3


@pytest.fixture(scope="module")
def updated(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A training, and what became of it with 12 photos in another light."""
    _, out, _ = trained
    folder = tmp_path_factory.mktemp("updated")
    good = photos(folder / "good", bleached(12, 5))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    arguments = ["update", "--models", str(out), "--good", str(good), "--out-directory", str(folder / "new"), "--force"]
    assert cli.main(arguments) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    return out, folder / "new"


def test_unseen_photos_of_the_new_kind_pass(updated: tuple[Path, Path]) -> None:
    """In the float and the int8 file: fewer alarms on photos that were not reviewed, and old ones score as before."""
    old, new = updated
    metadata = [AnomalyMetadata.model_validate_json((each / "anomaly_metadata.json").read_bytes()) for each in updated]
    unseen, known = bleached(30, 6), textures(30, SHAPE, 7)
    for name in ("model.tflite", "model_quantized_int8_io.tflite"):
        flagged = []
        for folder, described in zip(updated, metadata, strict=True):
            model, threshold = load_model(folder / name), described.models[name].threshold.suggested
            scores = [model.score(images).max(axis=(1, 2)) for images in (unseen, known)]
            flagged.append([float((each >= threshold).mean()) for each in scores])
        assert flagged[0][0] > 0.5
        assert flagged[1][0] < 0.5 * flagged[0][0]
        assert flagged[1][1] <= flagged[0][1] + 0.1
    assert (new / "model.tflite").stat().st_size <= 1.01 * (old / "model.tflite").stat().st_size


def test_the_record_tells_the_history(updated: tuple[Path, Path]) -> None:
    """Parents by digest, one more state to update from, and a page with every photo."""
    old, new = updated
    described = AnomalyMetadata.model_validate_json((new / "anomaly_metadata.json").read_bytes())
    assert described.parent is not None
    for name, digest in described.parent.items():
        assert digest == hashlib.sha256((old / name).read_bytes()).hexdigest()
    assert described.training_images == 42
    record = json.loads((new / "update.json").read_text())
    assert len(record["corrected"]) == 12
    assert record["known_defects_found"]["count"] == 100
    kept = state.read(new / "model.tflite")
    assert len(kept.fit.held_out_scores) == len(kept.sample_ids) == 42
    assert Before.read(new).state.sample_ids[-1] == "reviewed/11.png"
    with opened((new / "update.html").as_uri()) as page:
        assert page.locator("table").first.locator("tr").count() == 13


def test_photos_of_defects_are_left_out_and_named(
    updated: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A defect among the good photos costs what is known of such defects; without the others nothing is left."""
    old, _ = updated
    if old.parts[-2].startswith("gmm"):
        pytest.skip("whether a mixture takes a single photo in is no matter of course")
    spoiled = textures(6, SHAPE, 8)
    spoiled[:, 16:48, 16:48] = bleached(6, 3)[:, 16:48, 16:48]
    defects = photos(tmp_path / "defects", spoiled)
    mixed = photos(tmp_path / "good", np.concatenate([textures(4, SHAPE, 9), spoiled[:1]]))
    command = ["update", "--models", str(old), "--defects", str(defects), "--out-directory", str(tmp_path / "new")]
    assert cli.main([*command, "--good", str(mixed)]) == 0
    record = json.loads((tmp_path / "new" / "update.json").read_text())
    taken = {each["file"]: each["taken"] for each in record["corrected"]}
    assert not taken["04.png"]
    assert sum(taken.values()) >= 3
    assert record["given_defects_found"]["after"] >= record["given_defects_found"]["before"] - 0.2
    assert "Left out" in capsys.readouterr().out


def test_the_cost_of_an_update_and_who_is_to_blame() -> None:
    """Defects on a line: the bank grows towards some of them, with cells of one image and not of the other."""
    plain = Standardisation(
        np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32), np.eye(1, dtype=np.float32)
    )

    def scorer(bank: list[float]) -> PatchCoreScorer:
        return PatchCoreScorer(plain, np.array(bank, np.float32)[:, None], np.arange(len(bank)), 1)

    values = np.array([5.0, 6.0, 9.0, 0.1], np.float32)[:, None]
    defects = Cells(values, np.zeros(4, np.int64), np.arange(4))
    taken = np.array([0.2, 5.5], np.float32).reshape(2, 1, 1, 1)
    found = gate.cost((scorer([0, 1]), scorer([0, 1, 0.2, 5.5])), (2.0, 2.0), defects, taken)
    assert found.before.tolist() == [True, True, True, False]
    assert found.after.tolist() == [False, False, True, False]
    assert found.of_image.tolist() == pytest.approx([0, 2 / 3])
    assert found.refused.tolist() == [False, True]
    assert found.lost == pytest.approx(2 / 3)
    raised = gate.cost((scorer([0, 1]), scorer([0, 1])), (2.0, 4.5), defects, taken)
    assert raised.after.tolist() == [False, True, True, False]
    assert not raised.refused.any()  # no score fell: the threshold rose, which is no single image's fault


def test_renewing_a_bank_is_greedy_k_center_going_on() -> None:
    """Against the plain algorithm: what comes in is the farthest, again and again, and what goes added least."""
    random = np.random.default_rng(0)
    bank, patches = random.normal(size=(60, 3)).astype(np.float32), random.normal(size=(50, 3)).astype(np.float32) + 3
    adds = [np.inf] + [min(np.linalg.norm(bank[row] - bank[other]) for other in range(row)) for row in range(1, 60)]
    np.testing.assert_allclose(adapt_patchcore.insertion_distances(bank)[1:], adds[1:], rtol=1e-3, atol=1e-3)
    stay, taken = adapt_patchcore.renew(bank, patches)
    points, radius = list(bank), np.median(adds[-3:])
    for pick in taken:
        gaps = [min(np.linalg.norm(patch - point) for point in points) for patch in patches]
        assert pick == int(np.argmax(gaps))
        assert max(gaps) > radius
        points.append(patches[pick])
    assert len(stay) + len(taken) == 60
    assert sorted(stay) == sorted(np.argsort(-np.array(adds), kind="stable")[: 60 - len(taken)])


@pytest.mark.parametrize("fault", ["same", "empty", "broken", "metadata", "state", "missing"])
def test_what_cannot_be_updated_is_said_in_a_sentence(
    updated: tuple[Path, Path], tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, and the sentence says what to do."""
    old, _ = updated
    models, good, out = tmp_path / "models", photos(tmp_path / "good", bleached(2, 1)), tmp_path / "new"
    shutil.copytree(old, models)
    if fault == "empty":
        shutil.rmtree(good)
        good.mkdir()
    elif fault == "broken":
        (good / "00.png").write_bytes(b"no picture")
    elif fault == "metadata":
        (models / "anomaly_metadata.json").write_text("{}")
    elif fault == "state":
        (models / "training_state.npz").write_bytes(b"PK")
    elif fault == "missing":
        (models / "model.onnx").unlink()
    out = models if fault == "same" else out
    before = sorted(path.name for path in models.iterdir())
    arguments = ["update", "--models", str(models), "--good", str(good), "--out-directory", str(out)]
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("fomoad: ")
    assert "Traceback" not in error
    assert sorted(path.name for path in models.iterdir()) == before
    assert fault == "same" or not out.exists()
