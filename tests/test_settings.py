"""The settings' model, the command line made of it, and parameters.json agree."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fomoad import parameters, settings
from fomoad.errors import UserError
from fomoad.settings import TrainSettings

ROOT = Path(__file__).parent.parent
BLOCK = json.loads((ROOT / "parameters.json").read_text())
STUDIO_TYPES = {"string", "int", "float", "select", "boolean", "flag"}
STUDIO_KEYS = {
    "name", "value", "type", "param", "help", "valid", "optional", "readonly", "showIf", "section", "hint",
    "placeholder", "multiline", "allowEmpty",
}  # fmt: skip


def parse(*arguments: str) -> TrainSettings:
    """Validate arguments as the command line does."""
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    return parameters.resolve(parser.parse_args(arguments)).settings


def test_block_has_the_form_that_studio_demands() -> None:
    """The top level and the info are the contract's; the scaling is there, which `blocks init` deletes."""
    assert BLOCK["version"] == 1
    assert BLOCK["type"] == "machine-learning"
    assert BLOCK["info"]["operatesOn"] == "visual_anomaly_detection"
    assert BLOCK["info"]["imageInputScaling"] == TrainSettings().image_input_scaling
    for parameter in BLOCK["parameters"]:
        assert set(parameter) <= STUDIO_KEYS, parameter["param"]
        assert parameter["type"] in STUDIO_TYPES
        assert " " not in parameter["param"]
        condition = parameter.get("showIf")
        if condition:
            shown = {p["param"]: p for p in BLOCK["parameters"]}[condition["parameter"]]
            assert condition["operator"] in ("eq", "neq")
            assert condition["value"] in shown["valid"]


@pytest.mark.parametrize("name", TrainSettings.model_fields)
def test_every_setting_is_in_the_block(name: str) -> None:
    """Same name, default, choices and help; nothing more, nothing less."""
    field = TrainSettings.model_fields[name]
    parameters = {p["param"]: p for p in BLOCK["parameters"]}
    assert len(parameters) == len(BLOCK["parameters"]) == len(TrainSettings.model_fields)
    parameter = parameters[settings.argument_name(name).removeprefix("--")]
    assert parameter["help"] == field.description
    choices = settings.choices(name)
    if choices:
        assert parameter["type"] == "select"
        assert parameter["valid"] == [str(choice) for choice in choices]
        assert parameter["value"] == str(field.default)
    else:
        assert parameter["value"] == field.default
        assert parameter["type"] == {str: "string", int: "int", float: "float"}[type(field.default)]


def test_the_block_s_values_are_taken_as_studio_sends_them() -> None:
    """Every default and every choice of the file, as a string, is a valid value."""
    for parameter in BLOCK["parameters"]:
        for value in parameter.get("valid", [str(parameter["value"])]):
            parsed = parse(f"--{parameter['param']}={value}")
            assert str(getattr(parsed, parameter["param"].replace("-", "_"))) == value


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "gmm"),
        (["--target-device=high-power"], "patchcore"),
        (["--target-device=high-power", "--scoring-function=gmm"], "gmm"),
        (["--scoring-function=patchcore"], "patchcore"),
    ],
)
def test_auto_follows_the_device(arguments: list[str], expected: str) -> None:
    """The device decides only where the scoring function is auto."""
    assert parse(*arguments).scorer() == expected


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("sampling-ratio", "0"),
        ("sampling-ratio", "1.01"),
        ("sampling-ratio", "nan"),
        ("sampling-ratio", "inf"),
        ("sampling-ratio", ""),
        ("k", "0"),
        ("k", "51"),
        ("k", "1.5"),
        ("k", "1000000000"),
        ("layers", "4"),
        ("pool-size", "-1"),
        ("seed", "-1"),
        ("seed", "ein"),
        ("capacity", "huge"),
        ("backbone", "vgg"),
        ("weights", ""),
        ("false-positive-rate", "1"),
        ("image-input-scaling", "0..2"),
    ],
)
def test_values_out_of_range_are_named(argument: str, value: str) -> None:
    """The message names the argument and the value and is one sentence."""
    with pytest.raises(UserError) as caught:
        parse(f"--{argument}={value}")
    message = str(caught.value)
    assert message.startswith(f"--{argument} cannot be '{value}'")
    assert "\n" not in message


def run_cli(*arguments: str) -> Any:
    """Run the command line as a process."""
    command = [sys.executable, "-X", "importtime", "-m", "fomoad", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "train"),
        (["train", "--help"], 0, "--sampling-ratio"),
        (["train", "--data-directory", "d", "--out-directory", "o", "--k", "0"], 1, "--k cannot be '0'"),
        (["train", "--out-directory", "o"], 1, "--data-directory"),
        (["fly"], 1, "fly"),
        (["train", "--data-directory", "nowhere", "--out-directory", "o", "--seed"], 1, "--seed"),
    ],
)
def test_help_and_errors_do_not_load_tensorflow(arguments: list[str], code: int, words: str) -> None:
    """Help and parameter errors answer at once: neither TensorFlow nor scikit-learn is imported for them."""
    result = run_cli(*arguments)
    assert result.returncode == code
    imported = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    said = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    assert words in result.stdout + "\n".join(said)
    if code:
        assert len(said) == 1
        assert not result.stdout
    assert not [line for line in imported if "tensorflow" in line or "sklearn" in line]


def test_the_documents_list_every_argument() -> None:
    """The documents' table is the settings' own."""
    page = (ROOT / "docs" / "parameters.md").read_text()
    for name, field in TrainSettings.model_fields.items():
        row = f"| `{settings.argument_name(name)}` | {values_of(name)} | {field.default} | {field.description} |"
        assert row in page, row


def values_of(name: str) -> str:
    """The values that a field takes, as docs/parameters.md writes them."""
    choices = settings.choices(name)
    if choices:
        return ", ".join(map(str, choices))
    schema = TrainSettings.model_json_schema()["properties"][name]
    if schema["type"] == "string":
        return "text"
    low = f"above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else f"{schema['minimum']}"
    high = f"below {schema['exclusiveMaximum']:g}" if "exclusiveMaximum" in schema else f"at most {schema['maximum']}"
    return f"{low}, {high}" if "above" in low else f"{low} to {high}"
