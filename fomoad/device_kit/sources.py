"""The kit's C files: templates, filled in with what is true of one model."""

import math
from collections.abc import Iterator
from importlib import resources
from string import Template
from typing import Final

from fomoad.device_kit.facts import Facts

FIXED: Final = ("fomoad.h", "fomoad.c", "self_test.c", "CMakeLists.txt")
CAMERA: Final = (320, 240)
"""Width and height of the example's camera."""
RESIZE_NAMES: Final = {
    "squash": "FOMOAD_SQUASH", "fit-short": "FOMOAD_FIT_SHORT", "fit-long": "FOMOAD_FIT_LONG", "crop": "FOMOAD_CROP",
}  # fmt: skip
_BYTES_A_LINE: Final = 24
_ODD_NAMES: Final = {"BATCH_MATMUL": "BatchMatMul", "TOPK_V2": "TopKV2", "HARD_SWISH": "HardSwish"}


def sources(facts: Facts) -> dict[str, bytes]:
    """File names to contents, without documents and test vectors."""
    files = {name: _template(name) for name in FIXED}
    files |= {
        "fomoad_config.h": config_header(facts),
        "fomoad_config.c": config_tables(facts),
        "fomoad_model.h": _model_header(facts),
        "fomoad_model.c": _model_bytes(facts),
        "main.cc": _example(facts),
    }
    return {name: text.encode() for name, text in files.items()}


def config_header(facts: Facts) -> str:
    """The sizes, scales, thresholds and places of one model, as macros."""
    detector = facts.detector
    _, height, width, channels = detector.model.input.shape
    cells, output = detector.cells, detector.model.output
    values = {
        "FOMOAD_MODEL_SHA256": f'"{facts.sha256}"',
        "FOMOAD_ARENA_BYTES": facts.arena_bytes,
        "FOMOAD_INPUT_WIDTH": width,
        "FOMOAD_INPUT_HEIGHT": height,
        "FOMOAD_INPUT_CHANNELS": channels,
        "FOMOAD_REVERSED_CHANNELS": int(facts.reversed_channels()),
        **{name: number for number, name in enumerate(RESIZE_NAMES.values())},
        "FOMOAD_RESIZE": RESIZE_NAMES[detector.resize],
        "FOMOAD_ROWS": cells.vertical.count,
        "FOMOAD_COLUMNS": cells.horizontal.count,
        "FOMOAD_CELL_ORIGIN_Y": repr(cells.vertical.origin),
        "FOMOAD_CELL_STRIDE_Y": repr(cells.vertical.stride),
        "FOMOAD_CELL_WINDOW_Y": repr(cells.vertical.window),
        "FOMOAD_CELL_ORIGIN_X": repr(cells.horizontal.origin),
        "FOMOAD_CELL_STRIDE_X": repr(cells.horizontal.stride),
        "FOMOAD_CELL_WINDOW_X": repr(cells.horizontal.window),
        "FOMOAD_OUTPUT_SCALE": _float(output.scale or 1.0),
        "FOMOAD_OUTPUT_ZERO_POINT": f"({output.zero_point})",
        "FOMOAD_THRESHOLD": f"({facts.threshold})",
        "FOMOAD_VOTE_NEEDED": detector.vote.needed,
        "FOMOAD_VOTE_IMAGES": detector.vote.images,
        "FOMOAD_COUNTER_EDGES": len(facts.counter_edges),
        "FOMOAD_IGNORED_CELLS": 0 if detector.ignored is None else int(detector.ignored.sum()),
    }
    macros = "\n".join(f"#define {name} {value}" for name, value in values.items())
    return Template(_template("fomoad_config.h.in")).substitute(macros=macros, score=repr(detector.threshold))


def config_tables(facts: Facts) -> str:
    """The tables that the header declares."""
    rows = ",\n".join("    {" + _numbers(row) + "}" for row in facts.input_table().tolist())
    edges = _numbers(facts.counter_edges.tolist() or [0])
    ignored = facts.detector.ignored
    cells = _numbers([0] if ignored is None else ignored.astype(int).ravel().tolist())
    return Template(_template("fomoad_config.c.in")).substitute(rows=rows, edges=edges, ignored=cells)


def resolver_calls(operations: dict[str, int]) -> list[str]:
    """The names of TFLite Micro's functions that add these operations to a MicroMutableOpResolver.

    >>> resolver_calls({"CONV_2D": 3, "AVERAGE_POOL_2D": 1})
    ['AddAveragePool2D', 'AddConv2D']
    """
    return [f"Add{_ODD_NAMES.get(name) or _words(name)}" for name in sorted(operations)]


def _words(name: str) -> str:
    """CONV_2D to Conv2D, PADV2 to PadV2."""
    words = "".join(word[:1].upper() + word[1:].lower() for word in name.split("_"))
    return words.replace("2d", "2D").replace("v2", "V2")


def _example(facts: Facts) -> str:
    calls = resolver_calls(facts.profile.operations)
    width, height = CAMERA
    values = {
        "@CAMERA_BYTES@": str(3 * width * height),
        "@CAMERA_WIDTH@": str(width),
        "@CAMERA_HEIGHT@": str(height),
        "@OPERATION_COUNT@": str(len(calls)),
        "@OPERATIONS@": "\n".join(f"  TF_LITE_ENSURE_STATUS(operations.{call}());" for call in calls),
    }
    text = _template("main.cc.in")
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _model_header(facts: Facts) -> str:
    return Template(_template("fomoad_model.h.in")).substitute(count=len(facts.content), sha256=facts.sha256)


def _model_bytes(facts: Facts) -> str:
    content = facts.content
    lines = (content[start : start + _BYTES_A_LINE] for start in range(0, len(content), _BYTES_A_LINE))
    rows = ",\n".join(",".join(map(str, line)) for line in lines)
    return Template(_template("fomoad_model.c.in")).substitute(rows=rows)


def _numbers(values: list[int]) -> str:
    return "".join(_wrapped(values)).rstrip(", ")


def _wrapped(values: list[int]) -> Iterator[str]:
    for position, value in enumerate(values):
        yield f"{value}, " + ("\n     " if position % _BYTES_A_LINE == _BYTES_A_LINE - 1 else "")


def _float(value: float) -> str:
    """A C constant of type float that is exactly this float32."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no scale")
    return f"{value!r}f"


def _template(name: str) -> str:
    return resources.files("fomoad.device_kit").joinpath(f"templates/{name}").read_text(encoding="utf-8")
