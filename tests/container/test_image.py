"""What the image is made of."""

import json
import platform

import pytest

from tests.container.containers import ROOT, docker


def inside(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """The output of a command in the image."""
    result = docker("run", "--rm", "--network", "none", *options, "--entrypoint", command[0], image, *command[1:])
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_it_is_configured_as_a_block_must_be(image: str) -> None:
    config = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]
    assert config["Entrypoint"] == ["python", "/app/train.py"]
    assert config["WorkingDir"] == "/app"
    assert "PYTHONUNBUFFERED=1" in config["Env"]
    assert {f"org.opencontainers.image.{name}" for name in ("title", "description", "licenses")} <= set(
        config["Labels"]
    )


def test_no_compiler_and_no_installer_is_left(image: str) -> None:
    tools = "for tool in gcc cc c++ clang make; do command -v $tool; done; ls /opt/fomoad/bin | grep '^pip' || true"
    assert inside(image, "sh", "-c", tools) == ""


def test_help_needs_nothing(image: str) -> None:
    help_text = inside(image, "python", "/app/train.py", "--help", options=("--read-only", "--user", "4711"))
    assert "--data-directory" in help_text


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the notices list the packages of x86-64")
def test_notices_name_what_ships(image: str) -> None:
    table = inside(image, "cat", "/opt/fomoad/THIRD_PARTY_NOTICES").split("\n====")[0].strip()
    assert (ROOT / "THIRD_PARTY_NOTICES.md").read_text().endswith(f"\n{table}\n")


def test_missing_weights_can_be_made_fatal(image: str) -> None:
    fetched = docker(
        *("run", "--rm", "--network", "none", "--volume", f"{ROOT}/tools/image:/tools:ro", "--entrypoint", "python"),
        *(image, "/tools/fetch_weights.py", "/tmp/weights", "--required", "1"),
    )
    assert fetched.returncode == 1
    assert len(fetched.stdout.splitlines()) == 1
    assert "could not be fetched" in fetched.stdout
