"""The two small readers against the libraries of their formats."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from fomoad.errors import UserError
from fomoad.verify import protobuf, tflite
from fomoad.verify.flatbuffer import Reader
from fomoad.verify.tflite_schema import ALLOWED, LAYOUTS, builtin_code

CORPORA = Path(__file__).parents[1] / "corpora"


@pytest.mark.parametrize("name", ["good-float", "good-int8"])
def test_a_flatbuffer_reads_as_with_its_generated_classes(name: str) -> None:
    content = (CORPORA / "tflite_model" / name).read_bytes()
    model, expected = Reader(content, LAYOUTS).root("Model"), schema.ModelT.InitFromPackedBuf(content, 0)
    assert model["version"] == expected.version
    [graph], [expected_graph] = model["subgraphs"], expected.subgraphs
    assert len(graph["tensors"]) == len(expected_graph.tensors)
    for tensor, other in zip(graph["tensors"], expected_graph.tensors, strict=True):
        assert tensor["name"] == other.name
        np.testing.assert_array_equal(tensor.get("shape", []), [] if other.shape is None else other.shape)
        assert tensor.get("type", 0) == other.type
        if other.quantization is not None and other.quantization.scale is not None:
            np.testing.assert_array_equal(tensor["quantization"]["scale"], other.quantization.scale)
    for operator, other in zip(graph["operators"], expected_graph.operators, strict=True):
        np.testing.assert_array_equal(operator["inputs"], other.inputs)
        np.testing.assert_array_equal(operator["outputs"], other.outputs)
        assert operator.get("options_type", 0) == other.builtinOptionsType
    for buffer, other in zip(model["buffers"], expected.buffers, strict=True):
        assert bytes(buffer.get("data", b"")) == bytes([] if other.data is None else other.data)


def test_names_of_operations_are_those_of_the_schema() -> None:
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    assert {code: names[code] for code in ALLOWED} == ALLOWED
    assert builtin_code({"deprecated_builtin_code": 127, "builtin_code": 150}) == 150
    assert builtin_code({"deprecated_builtin_code": 3}) == 3


def test_protobuf_fields_are_those_of_the_library() -> None:
    content = (CORPORA / "onnx_model" / "good").read_bytes()
    model = onnx.load_model_from_string(content)
    [graph] = protobuf.messages(memoryview(content), 7)
    nodes = list(protobuf.messages(graph, 1))
    assert [protobuf.texts(node, 4) for node in nodes] == [[node.op_type] for node in model.graph.node]
    assert [protobuf.texts(node, 1) for node in nodes] == [list(node.input) for node in model.graph.node]
    assert dict(protobuf.fields(memoryview(content)))[1] == model.ir_version


def test_every_cut_of_a_tflite_file_is_refused() -> None:
    """A file that lacks its last bytes is refused, or lacks nothing that is read."""
    content = (CORPORA / "tflite_model" / "good-int8").read_bytes()
    refused = 0
    for length in range(len(content)):
        try:
            tflite.check_structure(content[:length], "x")
        except UserError:
            refused += 1
    assert refused >= len(content) - 8
