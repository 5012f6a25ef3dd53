"""`fomoad update`: photos of a new kind pass afterwards, defects are still found, and the old training stays."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomoad import cli
from fomoad.errors import UserError
from fomoad.inference.model import load_model
from fomoad.maintenance import adapt_patchcore, gate
from fomoad.maintenance.originals import Originals
from fomoad.maintenance.update import Before
from fomoad.metadata import AnomalyMetadata, Suspect
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation import Standardisation
from fomoad.training import state
from fomoad.training.sampling import Cells
from tests.support.browser import opened
from tests.training.test_train import textures, train, write_data

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


@pytest.mark.no_cover
def test_with_the_training_s_images_the_result_is_a_training_on_everything(trained: Any, tmp_path: Path) -> None:
    """Of the same size: `train` on old and new images together gives the same scores, a mixture's nearly."""
    data, out, arguments = trained
    good, new = photos(tmp_path / "good", bleached(12, 5)), tmp_path / "new"
    command = ["update", "--good", str(good), "--data-directory", str(data), "--force", "--models"]
    assert cli.main([*command, str(out), "--out-directory", str(new)]) == 0
    described = AnomalyMetadata.model_validate_json((new / "anomaly_metadata.json").read_bytes())
    assert (new / "model.tflite").stat().st_size == (out / "model.tflite").stat().st_size
    read_back = np.round(bleached(12, 5) * 255).astype(np.float32) / 255
    everything = write_data(tmp_path / "data", np.concatenate([textures(30, SHAPE, 0), read_back]))
    (everything / "train_input.json").write_text((data / "train_input.json").read_text())
    ratio = described.scorer_size / (42 * 7 * 7)
    plain = [*arguments, f"--sampling-ratio={ratio}", "--contamination=0"]
    assert train(everything, tmp_path / "plain", *plain) == 0
    images = np.concatenate([bleached(20, 6), textures(20, SHAPE, 7)])
    ours, theirs = (load_model(each / "model.tflite").score(images) for each in (new, tmp_path / "plain"))
    if out.parts[-2].startswith("gmm"):  # with more images, a training takes more components
        assert np.corrcoef(ours.max(axis=(1, 2)), theirs.max(axis=(1, 2)))[0, 1] > 0.95
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert described.training_images == 42
    record = json.loads((new / "update.json").read_text())
    assert record["threshold"]["after"] == pytest.approx(described.threshold.suggested, rel=1e-3)
    assert "all 30 original images" in (new / "update.html").read_text()
    kept = state.read(new / "model.tflite")
    assert len(kept.fit.held_out_scores) == len(kept.sample_ids) == 42


@pytest.mark.parametrize("fault", ["other data", "forgotten"])
def test_data_of_another_training_and_forgotten_photos_are_refused(
    updated: tuple[Path, Path], trained: Any, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second update must be given the photos of the first again: they are in no data directory."""
    models, data = updated[1], trained[0]
    good = photos(tmp_path / "good", bleached(2, 1))
    if fault == "other data":
        data = write_data(tmp_path / "data", textures(29, SHAPE, 0))
        (data / "train_input.json").write_text('{"imageInputScaling": "0..1"}')
    command = ["update", "--models", str(models), "--good", str(good), "--data-directory", str(data)]
    assert cli.main([*command, "--out-directory", str(tmp_path / "new")]) == 1
    said = capsys.readouterr().err
    expected = "does not hold the 30 images" if fault == "other data" else "10 photos that earlier updates took in"
    assert expected in said
    assert not (tmp_path / "new").exists()


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


def test_images_that_the_training_left_out_stay_out(trained: Any, tmp_path: Path) -> None:
    """A row that the metadata name as left out is none of the images that are fitted again."""
    _, out, _ = trained
    before = Before.read(out)
    data = write_data(tmp_path / "data", np.concatenate([bleached(1, 1), textures(30, SHAPE, 0)]))
    (data / "train_input.json").write_text('{"imageInputScaling": "0..1"}')
    ids = {"train": ["spoiled", *before.state.sample_ids], "validation": []}
    (data / "sample_id_details.json").write_text(json.dumps(ids))
    spoiled = Suspect(row=0, id="spoiled", file_name=None, score=9, left_out=True)
    metadata = before.metadata.model_copy(update={"suspects": [spoiled]})
    found = Originals.open(data, metadata, before.settings, before.state)
    assert found.ids == list(before.state.sample_ids)
    [(_, features)] = found.floats.batches("")
    np.testing.assert_allclose(features, found.floats.extract(textures(30, SHAPE, 0)), atol=1e-5)
    with pytest.raises(UserError, match="does not hold the 30 images"):
        Originals.open(data, before.metadata.model_copy(update={"suspects": []}), before.settings, before.state)


KILLED_AFTER_SO_MANY_CHANGES = """
import os, signal, sys
from pathlib import Path
from fomoad.export import output_directory

left = int(sys.argv[3])
replace = Path.replace

def replace_or_die(*arguments):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return replace(*arguments)

Path.replace = replace_or_die
files = {path.name: path.read_bytes() for path in Path(sys.argv[2]).iterdir()}
last = files.pop(output_directory.METADATA_FILE)
output_directory.publish(Path(sys.argv[1]), files | {output_directory.METADATA_FILE: last})
"""


def test_any_order_of_updates_kills_and_restarts_leaves_a_valid_directory_or_none(
    updated: tuple[Path, Path], tmp_path: Path
) -> None:
    """What lies there is one training, whole, or is refused; a restart always makes it whole."""
    random = np.random.default_rng(3)
    images = {30: updated[0], 42: updated[1]}
    target = tmp_path / "models"
    target.mkdir()
    outcomes = set()
    for _ in range(8):
        wanted = int(random.choice(list(images)))
        command = [sys.executable, "-c", KILLED_AFTER_SO_MANY_CHANGES, str(target), str(images[wanted])]
        killed = subprocess.run([*command, str(random.integers(0, 20))]).returncode != 0
        if (target / "anomaly_metadata.json").exists():
            found = Before.read(target)
            assert len(found.state.sample_ids) == found.metadata.training_images
            assert killed or found.metadata.training_images == wanted
            outcomes.add(("valid", killed))
        else:
            assert killed
            with pytest.raises(UserError, match="cannot be read"):
                Before.read(target)
            outcomes.add(("none", killed))
            subprocess.run([*command, "1000"], check=True)
            assert Before.read(target).metadata.training_images == wanted
    assert {("none", True), ("valid", False)} <= outcomes


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
