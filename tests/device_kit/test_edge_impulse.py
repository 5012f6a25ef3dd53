"""The hand-over to Edge Impulse, held to the metadata and the files that it is about."""

import json
from pathlib import Path

import numpy as np
import pytest

from fomoad.cli import main
from fomoad.device.profile import profile_model
from fomoad.device_kit import edge_impulse
from tests.support import tiny_models

SIDE = 16


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    images = np.random.default_rng(0).uniform(-1, 1, (4, SIDE, SIDE, 3)).astype(np.float32)
    tiny_models.write_training(folder, SIDE, SIDE, 3, images, 0.25)
    return folder


def _copy(trained: Path, folder: Path, **changes: object) -> Path:
    for name in edge_impulse.FILES:
        (folder / name).write_bytes((trained / name).read_bytes())
    content = json.loads((trained / "anomaly_metadata.json").read_text())
    for name, value in changes.items():
        content[name] = value
    for name in edge_impulse.FILES:
        content["models"][name]["profile"] = json.loads(profile_model(folder / name).model_dump_json())
    (folder / "anomaly_metadata.json").write_text(json.dumps(content))
    return folder


def test_everything_to_enter_is_printed_and_written(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _copy(trained, tmp_path, vote="2/3")
    assert main(["edge-impulse", "--models", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder / "edge_impulse.json").read_text())
    assert (printed["threshold_key"], printed["one_threshold"]) == ("min_anomaly_score", 0.25)
    assert (printed["width"], printed["height"], printed["scaling"]) == (SIDE, SIDE, "-1..1")
    assert printed["output"].startswith("[1, 2, 2]")
    for upload in printed["models"]:
        assert upload["flash_bytes"] == (folder / upload["file"]).stat().st_size
        if upload["ram_bytes"] is not None:
            assert upload["ram_bytes"] == upload["arena_bytes"] + 4 * SIDE * SIDE * 3
    assert [word in " ".join(printed["traps"]) for word in ("imageInputScaling", "2/3")] == [True, True]


def test_files_with_thresholds_of_their_own_get_a_warning(trained: Path, tmp_path: Path) -> None:
    folder = _copy(trained, tmp_path)
    path = folder / "anomaly_metadata.json"
    content = json.loads(path.read_text())
    content["models"][edge_impulse.FILES[0]]["threshold"]["suggested"] = 0.3
    path.write_text(json.dumps(content))
    found = edge_impulse.hand_over(folder)
    assert found.one_threshold is None
    assert "--score-scale threshold" in found.traps[0]
    text = "\n".join(edge_impulse.table(found))
    assert "min_anomaly_score = 0.3 " in text
    assert "min_anomaly_score = 0.25 " in text


def test_other_files_and_folders_are_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge-impulse", "--models", str(tmp_path / "none")]) == 1
    assert "is no folder" in capsys.readouterr().err
    folder = _copy(trained, tmp_path)
    (folder / edge_impulse.FILES[1]).write_bytes(b"other")
    assert main(["edge-impulse", "--models", str(folder)]) == 1
    assert "is not the file that" in capsys.readouterr().err
    assert not (folder / "edge_impulse.json").exists()
