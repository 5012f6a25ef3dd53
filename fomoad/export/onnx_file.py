"""ONNX files."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, MutableSet
from typing import Any

from tf2onnx import convert as converter  # loads all its modules, which the name alone does not

from fomoad.export.trace import INPUT_NAME, OUTPUT_NAME, Exported

FILE = "model.onnx"
OPSET = 17
"""Known to every ONNX Runtime since 1.12 (2022)."""
_CATCH_ERRORS = "TF2ONNX_CATCH_ERRORS"


def convert(exported: Exported) -> bytes:
    """Convert to an ONNX model that takes and gives the same arrays as the TFLite one."""
    with _ordered_sets(), _in_place():
        model, _ = converter.from_function(exported.function, exported.function.input_signature, opset=OPSET)
    _order(model.graph)
    return bytes(model.SerializeToString(deterministic=True))


class _OrderedSet(MutableSet[Any]):
    """A set that is walked through in the order in which its items came."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)

    def update(self, items: Iterable[Any]) -> None:
        self._items.update(dict.fromkeys(items))

    def union(self, items: Iterable[Any]) -> "_OrderedSet":
        return _OrderedSet((*self, *items))

    def intersection(self, items: Iterable[Any]) -> "_OrderedSet":
        return _OrderedSet(self & _OrderedSet(items))

    def issubset(self, items: Iterable[Any]) -> bool:
        return self <= _OrderedSet(items)


@contextlib.contextmanager
def _ordered_sets() -> Iterator[None]:
    """Give the converter's modules sets that keep their order.

    Its optimiser walks through sets of names. Python orders those by chance (PYTHONHASHSEED), and another
    order gives another graph for the same model.
    """
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "tf2onnx"]
    for module in modules:
        vars(module)["set"] = _OrderedSet
    try:
        yield
    finally:
        for module in modules:
            del vars(module)["set"]


@contextlib.contextmanager
def _in_place() -> Iterator[None]:
    """Let the converter's optimiser change its graph, instead of a new copy in each of its steps.

    The copies are for steps that fail and are left out then; here such a step fails the conversion.
    """
    before = os.environ.get(_CATCH_ERRORS)
    os.environ[_CATCH_ERRORS] = "FALSE"
    try:
        yield
    finally:
        del os.environ[_CATCH_ERRORS]
        if before is not None:
            os.environ[_CATCH_ERRORS] = before


def _order(graph: Any) -> None:
    """Order nodes by what the output needs first, and number all names in that order.

    The converter's own names and order change from run to run; the same model shall give the same file.
    """
    makers = {name: node for node in graph.node for name in node.output}
    ordered: list[Any] = []
    pending = [(graph.output[0].name, False)]
    seen: set[str] = set()
    while pending:
        name, inputs_done = pending.pop()
        node = makers.get(name)
        if node is None or (name in seen and not inputs_done):
            continue
        if inputs_done:
            ordered.append(node)
            continue
        seen.update(node.output)
        pending.append((name, True))
        pending.extend((used, False) for used in reversed(node.input))

    names = {graph.input[0].name: INPUT_NAME, graph.output[0].name: OUTPUT_NAME, "": ""}
    for node in ordered:
        for name in (*node.input, *node.output):
            names.setdefault(name, f"tensor_{len(names)}")
    initializers = sorted((i for i in graph.initializer if i.name in names), key=lambda i: int(names[i.name][7:]))
    for initializer in initializers:
        initializer.name = names[initializer.name]
    for number, node in enumerate(ordered):
        node.name = f"{node.op_type}_{number}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    graph.input[0].name, graph.output[0].name = INPUT_NAME, OUTPUT_NAME
    graph.name, graph.doc_string = "fomoad", ""
    del graph.value_info[:]
    for field, values in ((graph.node, ordered), (graph.initializer, initializers)):
        copies = list(values)
        del field[:]
        field.extend(copies)
