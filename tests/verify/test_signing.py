"""Signatures by an independent reference, and models that were changed after they were approved."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomoad.cli import main
from fomoad.errors import UserError
from fomoad.verify import signing

pytest.importorskip("cryptography", reason="the extra fomoad[sign] is not installed")

PUBLISHED_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
PUBLISHED_SIGNATURE = """untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==
"""
"""Of the four bytes `test`, made by minisign itself: from the documentation of its verifier in Rust."""


def test_a_signature_that_minisign_made_is_taken() -> None:
    key = signing.read_public_key(PUBLISHED_KEY)
    signing.verify(b"test", PUBLISHED_SIGNATURE, key, "x")
    for content, text in (
        (b"tesT", PUBLISHED_SIGNATURE),
        (b"test", PUBLISHED_SIGNATURE.replace("1556193335", "1556193336")),
        (b"test", PUBLISHED_SIGNATURE.replace("y/rUw", "y/rUx")),
    ):
        with pytest.raises(UserError, match="does not fit it"):
            signing.verify(content, text, key, "x")
    with pytest.raises(UserError, match="signed with another key"):
        signing.verify(b"test", PUBLISHED_SIGNATURE, signing.make_key().public(), "x")


def test_keys_come_back_from_their_files(tmp_path: Path) -> None:
    key = signing.make_key()
    (tmp_path / "a.key").write_text(key.text())
    (tmp_path / "a.pub").write_text(key.public().text())
    assert signing.read_signing_key(tmp_path / "a.key") == key
    assert signing.read_public_key(str(tmp_path / "a.pub")) == key.public()
    assert signing.read_public_key(key.public().line()) == key.public()
    damaged = key.text().replace(key.text()[-20], "A" if key.text()[-20] != "A" else "B")
    (tmp_path / "a.key").write_text(damaged)
    with pytest.raises(UserError):
        signing.read_signing_key(tmp_path / "a.key")


@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")
def test_minisign_takes_what_is_written_here(tmp_path: Path) -> None:
    key = signing.make_key()
    (tmp_path / "a.key").write_text(key.text())
    (tmp_path / "a.pub").write_text(key.public().text())
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "x.minisig").write_text(signing.sign(b"content", key, "a comment"))
    subprocess.run(["minisign", "-V", "-p", "a.pub", "-m", "x"], cwd=tmp_path, check=True)
    subprocess.run(["minisign", "-S", "-s", "a.key", "-m", "x", "-x", "y.minisig"], cwd=tmp_path, check=True)
    signing.verify(b"content", (tmp_path / "y.minisig").read_text(), key.public(), "x")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support import tiny_models

    folder = tmp_path_factory.mktemp("models")
    tiny_models.write_all(folder, 32, 32, 3, np.zeros((1, 32, 32, 3), np.float32))
    return folder


def test_a_factory_runs_what_it_approved(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed after testing; changed, replaced or unsigned files are not run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    Image.new("RGB", (32, 32)).save("part.png")
    assert main(["sign", "--make-key", "factory"]) == 0
    assert main(["sign", "--make-key", "factory"]) == 1, "a key is never written over"
    assert (Path("factory.key").stat().st_mode & 0o077) == 0
    command = ["predict", "--model", str(folder / "model.tflite"), "--threshold", "1", "part.png"]
    checked = [*command, "--verify-key", "factory.pub"]
    assert main(checked) == 1, "not signed yet"
    assert main(["sign", str(folder), "--signing-key", "factory.key", "--comment", "line 3, shift A"]) == 0
    assert main(checked) == 0
    digests = dict(reversed(line.split("  ")) for line in (folder / "models.sha256").read_text().splitlines())
    assert digests["model.onnx"] == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert "line 3, shift A" in (folder / "models.sha256.minisig").read_text()
    (folder / "anomaly_metadata.json").write_text("{}")
    capsys.readouterr()
    assert main(checked) == 1, "a threshold from elsewhere"
    assert "is not the file that was approved" in capsys.readouterr().err
    (folder / "anomaly_metadata.json").unlink()
    with (folder / "model.tflite").open("ab") as file:
        file.write(b"x")
    assert main(checked) == 1
    listed = (folder / "models.sha256").read_text()
    digest = hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    (folder / "models.sha256").write_text(listed.replace(digests["model.tflite"], digest))
    capsys.readouterr()
    assert main(checked) == 1
    assert "does not fit it" in capsys.readouterr().err
