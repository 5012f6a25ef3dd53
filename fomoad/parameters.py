"""Parameters from everywhere: a file, the command line, the defaults; and where each came from."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomoad import settings
from fomoad.data.info_file import read_json
from fomoad.errors import UserError
from fomoad.progress import log, warn
from fomoad.settings import Source, TrainSettings, Values


@dataclass(frozen=True)
class Parameters:
    """Validated settings, and by field where each came from."""

    settings: TrainSettings
    sources: dict[str, Source]

    @classmethod
    def of(cls, given: Values) -> "Parameters":
        """Validate values that were given as arguments. Raises UserError as `settings.validate` does."""
        validated = settings.validate(given)
        return cls(validated, {name: "argument" if name in given else "default" for name in TrainSettings.model_fields})

    def as_json(self) -> str:
        """All parameters as the JSON object that `--parameters` takes, ending in a newline."""
        values = self.settings.model_dump()
        return json.dumps({_dashed(name): value for name, value in values.items()}, indent=2) + "\n"

    def warn_of_idle(self) -> None:
        """Warn of parameters that somebody gave although they have no effect."""
        given = [name for name, source in self.sources.items() if source != "default"]
        for name in settings.without_effect(self.settings, given):
            scorer = self.settings.scorer()
            warn(f"{settings.argument_name(name)} has no effect: the scoring function is {scorer}.")


def resolve(arguments: argparse.Namespace) -> Parameters:
    """Settle the parameters: an argument wins over the file of `--parameters`, and that over the default.

    Logs where they come from, and names parameters that nobody knows or that have no effect.

    Raises UserError for a file that is damaged, and for the first value that is not allowed.
    """
    path = arguments.parameters
    of_file = {} if path is None else read_parameters(path)
    given = {name: value for name, value in vars(arguments).items() if name in TrainSettings.model_fields}
    settings.validate(of_file, lambda name: f"In {path}, {_dashed(name)}")
    resolved = Parameters.of(of_file | given)
    for name in of_file.keys() - given.keys():
        resolved.sources[name] = "file"
    for source, where in (("file", path), ("argument", "the command line")):
        names = [name for name, value in resolved.sources.items() if value == source]
        if names:
            values = (f"{_dashed(name)} {getattr(resolved.settings, name)}" for name in names)
            log(f"Parameters from {where}: {', '.join(values)}")
    resolved.warn_of_idle()
    return resolved


def read_parameters(path: Path) -> Values:
    """The fields that a file of parameters gives, by their names with underscores; not validated yet.

    The file is a JSON object of names (with dashes or underscores) and values, a filled-in parameters.json of a block,
    or the anomaly_metadata.json of a training. Parameters that are not known are named in the log and left out.

    Raises UserError where it is none of these, or gives a parameter twice.
    """
    values: Values = {}
    for key, value in _entries(read_json(path, _unique), path):
        name = key.replace("-", "_")
        if name in values:
            raise UserError(f"{path} gives {_dashed(name)} twice: leave one of them out.")
        values[name] = value
    unknown = [name for name in values if name not in TrainSettings.model_fields]
    if unknown:
        warn(f"Ignoring unknown parameters in {path}: {', '.join(map(_dashed, unknown))}")
    return {name: value for name, value in values.items() if name not in unknown}


def _entries(content: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Names and values, whichever of the three forms the file has."""
    if not isinstance(content, dict):
        raise UserError(f'{path} does not hold a JSON object: write parameters as {{"name": value, ...}}.')
    if isinstance(content.get("parameters"), list):
        for entry in content["parameters"]:
            if not isinstance(entry, dict) or not isinstance(entry.get("param"), str) or "value" not in entry:
                raise UserError(f"{path} has an entry in 'parameters' without 'param' or 'value': add what is missing.")
            yield entry["param"], entry["value"]
    elif "schema_version" in content and isinstance(content.get("settings"), dict):
        yield from content["settings"].items()
    else:
        yield from content.items()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys differ. Raises ValueError for one that comes twice."""
    keys = [key for key, _ in pairs]
    repeated = next((key for key in keys if keys.count(key) > 1), None)
    if repeated is not None:
        raise ValueError(f"the key {repeated!r} comes twice")
    return dict(pairs)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
