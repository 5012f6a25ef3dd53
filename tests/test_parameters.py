"""Parameters from a file: three forms, what wins, what is refused, and what the log and the record say."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fomoad import cli, parameters, settings
from fomoad.errors import UserError
from fomoad.parameters import Parameters
from fomoad.settings import TrainSettings

ROOT = Path(__file__).parent.parent


def resolve(*arguments: str) -> Parameters:
    """Settle parameters as the command line does."""
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    return parameters.resolve(parser.parse_args(arguments))


def written(folder: Path, content: Any) -> str:
    """A file of parameters, as an argument."""
    path = folder / "given.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return f"--parameters={path}"


def as_block(values: dict[str, Any]) -> dict[str, Any]:
    """The block's own parameters.json with some values filled in."""
    block = json.loads((ROOT / "parameters.json").read_text())
    for entry in block["parameters"]:
        entry["value"] = values.get(entry["param"], entry["value"])
    return dict(block)


FORMS = {
    "dashes": {"scoring-function": "patchcore", "sampling-ratio": 0.02, "layers": 3},
    "underscores": {"scoring_function": "patchcore", "sampling_ratio": "0.02", "layers": "3"},
    "block": as_block({"scoring-function": "patchcore", "sampling-ratio": 0.02, "layers": "3"}),
    "metadata": {
        "schema_version": 1,
        "settings": TrainSettings(scoring_function="patchcore", sampling_ratio=0.02, layers=3).model_dump(),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_settings(form: str, tmp_path: Path) -> None:
    resolved = resolve(written(tmp_path, FORMS[form]))
    assert resolved.settings == TrainSettings(scoring_function="patchcore", sampling_ratio=0.02, layers=3)
    assert resolved.sources["sampling_ratio"] == "file"


def test_an_argument_wins_over_the_file_and_the_file_over_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = written(tmp_path, {"scoring-function": "patchcore", "k": 3, "seed": 7})
    resolved = resolve(given, "--k", "5")
    assert (resolved.settings.k, resolved.settings.seed, resolved.settings.layers) == (5, 7, "auto")
    assert {name: resolved.sources[name] for name in ("k", "seed", "layers")} == {
        "k": "argument",
        "seed": "file",
        "layers": "default",
    }
    said = capsys.readouterr().out
    assert "given.json: scoring-function patchcore, seed 7\n" in said
    assert "Parameters from the command line: k 5\n" in said


def test_unknown_parameters_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resolved = resolve(written(tmp_path, {"epochs": 30, "seed": 3, "learning_rate": None}))
    assert resolved.settings.seed == 3
    assert "Ignoring unknown parameters in" in (said := capsys.readouterr().out)
    assert ": epochs, learning-rate\n" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"k": 0}, "k cannot be 0: input should be greater than or equal to 1"),
        ({"k": 1.5}, "k cannot be 1.5: "),
        ({"k": True}, "k cannot be True: "),
        ({"layers": True}, "layers cannot be True: use one of auto, 1, 2, 3"),
        ({"sampling-ratio": "much"}, "sampling-ratio cannot be 'much'"),
        ({"sampling-ratio": None}, "sampling-ratio cannot be None"),
        ({"capacity": ["low"]}, "capacity cannot be ['low']: use one of low, medium, high"),
        ({"weights": 5}, "weights cannot be 5"),
        ({"weights": {"path": "x"}}, "weights cannot be {'path': 'x'}"),
        ('{"sampling-ratio": NaN}', "sampling-ratio cannot be nan"),
        ('{"k": 1, "k": 2}', "the key 'k' comes twice"),
        ({"pool-size": 1, "pool_size": 2}, "gives pool-size twice"),
        ({"parameters": [{"param": "k", "value": 1}, {"param": "k", "value": 1}]}, "gives k twice"),
        ({"parameters": [{"param": "k"}]}, "without 'param' or 'value'"),
        ({"parameters": [5]}, "without 'param' or 'value'"),
        ('{"k": 1', "not valid JSON"),
        ([1], "does not hold a JSON object"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_wrong_files_are_refused_with_what_is_wrong(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        resolve(written(tmp_path, content), "--k=1")  # a wrong value is refused also where an argument wins over it
    assert words in str(caught.value)
    assert "given.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json cannot be read"):
        resolve(f"--parameters={tmp_path / 'none.json'}")


def test_printed_parameters_are_a_file_that_gives_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON alone on standard output, whatever there is to warn of."""
    given = written(tmp_path, {"scoring-function": "patchcore", "epochs": 3})
    assert cli.main(["train", "--print-parameters", "--k=4", "--learning-rate=1", given]) == 0
    output, errors = capsys.readouterr()
    assert "epochs" in errors
    assert "--learning-rate" in errors
    again = resolve(written(tmp_path, output))
    assert again.settings == TrainSettings(scoring_function="patchcore", k=4)
    assert set(json.loads(output)) == {settings.argument_name(name)[2:] for name in TrainSettings.model_fields}


def test_what_has_no_effect_is_said_at_once_and_at_the_end(tmp_path: Path) -> None:
    """By a run that ends well: here one that only prints."""
    command = [sys.executable, "-m", "fomoad", "train", "--print-parameters", "--sampling-ratio=0.5", "--smapling=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for words in ("--sampling-ratio has no effect: the scoring function is gmm.", "unknown arguments: --smapling=1"):
        assert done.stderr.count(words) == 2
    last = done.stderr.split("Warnings of this run:\n")[1].splitlines()
    assert len(last) == 2


def test_a_value_that_is_the_default_is_not_complained_of(capsys: pytest.CaptureFixture[str]) -> None:
    """A block is sent every parameter, also those that it does not show."""
    resolve("--sampling-ratio=0.1", "--k=1")
    assert "no effect" not in capsys.readouterr().out


def test_the_block_shows_a_parameter_only_with_its_scoring_function() -> None:
    shown = {entry["param"]: entry.get("showIf") for entry in as_block({})["parameters"]}
    for name, field in TrainSettings.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            other = {"gmm": "patchcore", "patchcore": "gmm"}[str(extra["scorer"])]
            expected = {"parameter": "scoring-function", "operator": "neq", "value": other}
            assert shown[name.replace("_", "-")] == expected
