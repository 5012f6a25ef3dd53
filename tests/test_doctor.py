"""What a request for support says, and that the extras are those of pyproject.toml."""

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import fomoad
from fomoad import cli, doctor, extras
from fomoad.backbones.architectures import ARCHITECTURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = {"tflite-micro"}
"""Of some machines only; what needs it says so."""


def test_the_report_is_about_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As JSON and as text, with a program that fails and weights that are not there."""
    (tmp_path / "docker").write_text("#!/bin/sh\necho nobody answers >&2; exit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert cli.main(["doctor", "--json"]) == 0
    report = doctor.Report.model_validate_json(capsys.readouterr().out)
    assert report.fomoad == fomoad.__version__
    assert report.python == sys.version.split()[0]
    assert report.packages["numpy"] == metadata.version("numpy")
    assert report.packages["tf2onnx"] == metadata.version("tf2onnx")
    assert report.extras["train"].installed
    assert report.weights.keys() == ARCHITECTURES.keys()
    assert report.weights["mobilenet-v2-0.35"].says == "bundled"
    assert "No ImageNet weights for resnet50" in report.weights["resnet50"].says
    assert not report.weights["resnet50"].works
    assert 1 <= report.processors <= (os.cpu_count() or 1)
    assert report.programs["LiteRT"].works
    assert report.programs["Docker"] == doctor.Answer(works=False, says="nobody answers")
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Docker +no: nobody answers$", text, re.MULTILINE)
    assert all(name in text for name in (*ARCHITECTURES, *doctor.QUESTIONS))


def test_json_is_all_that_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    assert set(json.loads(capfd.readouterr().out)) == set(doctor.Report.model_fields)


def names(requirements: list[str]) -> set[str]:
    """The packages that are required on this machine."""
    parsed = map(Requirement, requirements)
    return {each.name for each in parsed if each.marker is None or each.marker.evaluate()} - OPTIONAL


@pytest.fixture(scope="module")
def packages() -> dict[str, str]:
    """The package of every module here."""
    return doctor.packages()


@pytest.mark.parametrize("extra", ["", *extras.EXTRAS])
def test_the_extras_are_those_of_the_project(extra: str, packages: dict[str, str]) -> None:
    required = names(PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"])
    modules = extras.EXTRAS[extra] if extra else extras.BASE
    found = {packages[module].replace("_", "-") for module in modules}
    assert {name.lower() for name in found} == {name.lower() for name in required}


def test_pins_lie_in_the_project_s_ranges() -> None:
    lines = [line for name in ("", "-dev") for line in (ROOT / f"requirements{name}.txt").read_text().splitlines()]
    pins = [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]
    ranges = [Requirement(text) for group in PROJECT["optional-dependencies"].values() for text in group]
    ranges += map(Requirement, PROJECT["dependencies"])
    assert {pin.name.lower() for pin in pins} >= {each.name.lower() for each in ranges}
    for pin in pins:
        [version] = [specifier.version for specifier in pin.specifier]
        for each in ranges:
            if each.name.lower() == pin.name.lower():
                assert each.specifier.contains(version, prereleases=True), f"{pin} is not in {each}"
