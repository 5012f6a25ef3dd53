"""What is built from: digests of weights, bills of materials, known vulnerabilities, the base image."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fomoad.backbones import weights
from fomoad.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_bundled_file_is_pinned() -> None:
    for name in weights.BUNDLED.values():
        content = (weights.BUNDLED_FOLDER / name).read_bytes()
        assert weights.pinned()[name] == hashlib.sha256(content).hexdigest()


def test_weights_must_have_the_digest_that_is_asked_for(tmp_path: Path) -> None:
    backbone = "mobilenet-v2-0.35"
    digest = weights.pinned()[weights.BUNDLED[backbone]]
    assert weights.find_weights(backbone, f"bundled@sha256:{digest.upper()}", 96).origin == "bundled"
    with pytest.raises(UserError, match=f"has the SHA-256 {digest}, not {'0' * 64}"):
        weights.find_weights(backbone, "bundled@sha256:" + "0" * 64, 96)
    with pytest.raises(UserError, match="is no SHA-256"):
        weights.find_weights(backbone, "bundled@sha256:abc", 96)
    changed = tmp_path / weights.BUNDLED[backbone]
    changed.write_bytes((weights.BUNDLED_FOLDER / changed.name).read_bytes() + b"x")
    with pytest.raises(UserError, match="changed or damaged"):
        weights.find_weights(backbone, str(changed), 96)


def test_what_is_cached_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that was pinned, and another file in its place."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / name).write_bytes(b"weights")
    monkeypatch.setattr(weights, "BUNDLED_FOLDER", tmp_path)
    sums = f"{hashlib.sha256(b'weights').hexdigest()}  {name}\n"
    (tmp_path / "SHA256SUMS").write_text(sums)
    for choice in ("auto", "imagenet"):
        assert weights.find_weights("mobilenet-v2-0.35", choice, 96).path.name == name
    (tmp_path / "models" / name).write_bytes(b"others")
    for choice in ("auto", "imagenet"):
        with pytest.raises(UserError, match="changed or damaged"):
            weights.find_weights("mobilenet-v2-0.35", choice, 96)


def test_the_image_refuses_weights_of_another_digest() -> None:
    sys.path.insert(0, str(ROOT / "tools" / "image"))
    try:
        import fetch_weights
    finally:
        sys.path.pop(0)
    pinned = fetch_weights.read_sums(ROOT / "fomoad" / "weights" / "SHA256SUMS")
    fetch_weights.check_digest("another.h5", b"x", pinned)
    with pytest.raises(ValueError, match="has the SHA-256"):
        fetch_weights.check_digest("mobilenet_v2_0.35.npz", b"x", pinned)


def test_the_bill_of_materials_holds_every_locked_package() -> None:
    base = "python:3.11@sha256:" + "a" * 64
    first, second = (run("tools/image/sbom.py", "--lock", "requirements.lock", "--base", base) for _ in range(2))
    assert first.stdout == second.stdout
    bill = json.loads(first.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    lock = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==([^ \\]+)", lock, re.MULTILINE))
    parts = {part["name"]: part for part in bill["components"] if part["type"] == "library"}
    assert {name: part["version"] for name, part in parts.items()} == locked
    assert sum(len(part["properties"]) for part in parts.values()) == lock.count("--hash=sha256:")
    assert parts["numpy"]["purl"] == f"pkg:pypi/numpy@{locked['numpy']}"
    [image] = [part for part in bill["components"] if part["type"] == "container"]
    assert image["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert len({part["bom-ref"] for part in bill["components"]}) == len(bill["components"])


def test_the_base_image_is_pinned_by_digest() -> None:
    pins = re.findall(r"^ARG BASE_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(pins) == 1
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", pins[0])


def _advisory(number: int, name: str, **affected: Any) -> dict[str, Any]:
    package = {"package": {"ecosystem": "PyPI", "name": name}}
    return {"id": f"TEST-{number}", "modified": f"2026-01-0{number}T00:00:00Z", "affected": [package | affected]}


def _range(*events: dict[str, str]) -> list[dict[str, Any]]:
    return [{"type": "ECOSYSTEM", "events": list(events)}]


def test_the_audit_needs_no_network(tmp_path: Path) -> None:
    """Ranges with and without an end, lists of versions, names in other spellings, and what was withdrawn."""
    (tmp_path / "lock").write_text("typing-extensions==4.10.0 \\\n    --hash=sha256:00\nnumpy==2.1.3\npillow==12.3.0\n")
    hit = [
        _advisory(1, "Typing_Extensions", ranges=_range({"introduced": "0"}, {"fixed": "4.10.1"})),
        _advisory(2, "numpy", versions=["2.1.2", "2.1.3"]),
        _advisory(3, "pillow", ranges=_range({"introduced": "0"}, {"fixed": "9"}, {"introduced": "12.0"})),
    ]
    missed = [
        _advisory(4, "typing-extensions", ranges=_range({"introduced": "0"}, {"fixed": "4.10.0"})),
        _advisory(5, "numpy", ranges=_range({"introduced": "2.1.4"})),
        _advisory(6, "pillow", ranges=_range({"introduced": "1"}, {"last_affected": "12.2.9"})),
        _advisory(7, "pillow", versions=["12.3.0"]) | {"withdrawn": "2026-01-01T00:00:00Z"},
        _advisory(8, "absent", versions=["1"]),
    ]
    for advisories, code in ((missed, 0), (hit + missed, 1)):
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for advisory in advisories:
                archive.writestr(f"{advisory['id']}.json", json.dumps(advisory))
        done = run("tools/audit.py", tmp_path / "all.zip", tmp_path / "lock")
        assert done.returncode == code, done.stderr
        assert re.findall(r"TEST-\d", done.stdout) == (["TEST-2", "TEST-3", "TEST-1"] if code else [])
    for missing in (tmp_path / "none.zip", tmp_path / "lock"):
        done = run("tools/audit.py", missing, tmp_path / "lock")
        assert (done.returncode, done.stdout[:11]) == (1, "Not audited")


def test_the_base_can_be_renewed(tmp_path: Path) -> None:
    """With a stand-in for Docker, which alone can ask the registry."""
    for path in ("tools/image/pin_base.sh", "Dockerfile"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho sha256:{'b' * 64}\n")
    docker.chmod(0o755)
    environment = {"PATH": f"{docker.parent}:/usr/bin:/bin"}
    subprocess.run(
        ["bash", str(tmp_path / "tools/image/pin_base.sh")], env=environment, check=True, capture_output=True
    )
    assert f"ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:{'b' * 64}\n" in (tmp_path / "Dockerfile").read_text()
