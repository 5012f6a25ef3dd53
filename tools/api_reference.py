"""Writes docs/python-api.md from the docstrings of the public names: `python -m tools.api_reference`.

The tests run it too and compare, so the page is never out of date.
"""

import inspect
import re
from pathlib import Path
from typing import Any, Final

import fomoad
from fomoad import settings
from fomoad.settings import TrainSettings

PAGE: Final = Path(__file__).parents[1] / "docs" / "python-api.md"
ORDER: Final = ("AnomalyDetector", "load", "Prediction", "Box", "UserError", "NotFittedError")
INTRODUCTION: Final = """\
# Python API

```python
import fomoad

detector = fomoad.AnomalyDetector(scoring_function="patchcore", sampling_ratio=0.02).fit("photos/good")
result = detector.predict("photos/new")
print(result.scores, result.verdicts)  # one score and one verdict a photo, higher is more anomalous
detector.save("models")  # the files that `fomoad train` writes, byte for byte

detector = fomoad.load("models")  # or one model file
```

`pip install fomoad` is enough to load a `.tflite` file and score with it. `fit` needs `pip install 'fomoad[train]'`,
and `.onnx` files need `pip install 'fomoad[onnx]'`. Importing `fomoad` takes some milliseconds and does nothing else.
All of it works in a notebook and in threads. Errors that you can fix are `fomoad.UserError`: one sentence that says
what is wrong and what to do. The examples below run as tests.

*This page is made from the docstrings by `python -m tools.api_reference`.*
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for name in ORDER:
        thing = getattr(fomoad, name)
        parts.append(f"## fomoad.{name}\n")
        if name == "AnomalyDetector":
            parts += [
                "```python\nfomoad.AnomalyDetector(**settings)\n```\n",
                _text(thing),
                _settings(),
                *_methods(thing),
            ]
        elif inspect.isfunction(thing):
            parts += [_call(f"fomoad.{name}", thing), _text(thing)]
        else:
            parts.append(_text(thing))
    return "\n".join(parts)


def _methods(thing: type) -> list[str]:
    """A section for each public method and property, in the order of the code."""
    parts = []
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            parts += [f"### {name}\n", _text(member)]
        elif inspect.isfunction(member):
            parts += [f"### {name}\n", _call(f"detector.{name}", member), _text(member)]
    return parts


def _call(name: str, function: Any) -> str:
    """A function's signature, without `self` and without quotes around types."""
    signature = inspect.signature(function)
    kept = [each for each in signature.parameters.values() if each.name != "self"]
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature.replace(parameters=kept)))
    return f"```python\n{name}{text}\n```\n"


def _text(thing: Any) -> str:
    """A docstring as Markdown: its sections (Args, Attributes, Raises, Examples) as bold words with lists or code."""
    blocks = re.split(r"^(Args|Attributes|Raises|Examples):\n", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    parts = [blocks[0].strip() + "\n"]
    for heading, body in zip(blocks[1::2], blocks[2::2], strict=True):
        text = inspect.cleandoc(body)
        if heading == "Examples":
            parts.append(f"**{heading}**\n\n```pycon\n{text}\n```\n")
        else:
            entries = re.sub(r"\n(?=\w+: )", "\n- ", "\n" + text).strip()
            parts.append(f"**{heading}**\n\n" + re.sub(r"^- (\w+): ", r"- `\1`: ", entries, flags=re.MULTILINE) + "\n")
    return "\n".join(parts)


def _settings() -> str:
    """The table of the keyword arguments."""
    rows = ["| setting | values | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in TrainSettings.model_fields.items():
        allowed = ", ".join(f"`{choice!r}`" for choice in settings.choices(name) or ()) or type(field.default).__name__
        rows.append(f"| `{name}` | {allowed} | `{field.default!r}` | {field.description} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
