"""The tables of a .tflite file and what is worked out of them: its operations, by their names in TFLite's schema.

Source: tensorflow/lite/schema/schema.fbs, version 3.
"""

from typing import Any, Final

from fomoad.verify.flatbuffer import Layout

LAYOUTS: Final[dict[str, Layout]] = {
    "Model": (
        ("version", "u32"), ("operator_codes", "[OperatorCode]"), ("subgraphs", "[SubGraph]"), ("description", "str"),
        ("buffers", "[Buffer]"), ("metadata_buffer", "[i32]"), ("metadata", "[Metadata]"),
        ("signature_defs", "[SignatureDef]"), ("external_buffer_groups", "any"), ("external_buffers", "any"),
    ),
    "OperatorCode": (
        ("deprecated_builtin_code", "i8"), ("custom_code", "str"), ("version", "i32"), ("builtin_code", "i32"),
    ),
    "SubGraph": (
        ("tensors", "[Tensor]"), ("inputs", "[i32]"), ("outputs", "[i32]"), ("operators", "[Operator]"),
        ("name", "str"), ("debug_metadata_index", "i32"),
    ),
    "Tensor": (
        ("shape", "[i32]"), ("type", "i8"), ("buffer", "u32"), ("name", "str"),
        ("quantization", "QuantizationParameters"), ("is_variable", "bool"), ("sparsity", "any"),
        ("shape_signature", "[i32]"), ("has_rank", "bool"), ("variant_tensors", "any"), ("external_buffer", "u32"),
    ),
    "QuantizationParameters": (
        ("min", "[f32]"), ("max", "[f32]"), ("scale", "[f32]"), ("zero_point", "[i64]"), ("details_type", "u8"),
        ("details", "any"), ("quantized_dimension", "i32"),
    ),
    "Operator": (
        ("opcode_index", "u32"), ("inputs", "[i32]"), ("outputs", "[i32]"), ("options_type", "u8"), ("options", "any"),
        ("custom_options", "[u8]"), ("custom_options_format", "i8"), ("mutating_variable_inputs", "[bool]"),
        ("intermediates", "[i32]"), ("large_custom_options_offset", "u64"), ("large_custom_options_size", "u64"),
        ("options_2_type", "u8"), ("options_2", "any"), ("debug_metadata_index", "i32"),
    ),
    "Buffer": (("data", "[u8]"), ("offset", "u64"), ("size", "u64")),
    "Metadata": (("name", "str"), ("buffer", "u32")),
    "SignatureDef": (
        ("inputs", "[TensorMap]"), ("outputs", "[TensorMap]"), ("signature_key", "str"), ("deprecated_tag", "str"),
        ("subgraph_index", "u32"),
    ),
    "TensorMap": (("name", "str"), ("tensor_index", "u32")),
}  # fmt: skip

_OPTIONS: Final = {
    "biibiib": [1], "biiibii": [2], "iII": [3], "b": [4, 12, 20, 21, 27, 29, 40, 50, 55, 57, 77, 80, 116],
    "biiiib": [5], "ibb": [6, 107], "bb": [7, 11, 28, 37, 74, 102], "bbbbbB": [8], "f": [9, 75], "ib": [10],
    "ifff": [13], "bffbb": [14], "iibb": [15], "i": [16, 19, 35, 61, 79, 94, 103], "I": [17, 30], "iib": [18],
    "": [22, 24, 25, 26, 33, 34, 36, 38, 39, 41, 42, 43, 44, 45, 46, 47, 48, 51, 52, 53, 54, 56, 60, 62, 63, 65, 66, 67,
         68, 72, 73, 76, 78, 81, 82, 83, 84, 85, 86, 88, 89, 90, 91, 95, 96, 97, 98, 99, 100, 104, 105, 108, 109, 110,
         112, 113, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126],
    "ii": [23, 59, 64, 87, 92, 93], "bbb": [31, 101], "iiiiib": [32], "biibb": [49], "ffib": [58], "bffbbb": [69, 71],
    "bbbb": [70], "biiibiii": [106], "ss": [111], "qq": [114], "F": [115],
}  # fmt: skip
"""The kinds of the fields of each member of the schema's union BuiltinOptions, a letter a field."""
_LETTERS: Final = {"b": "u8", "i": "i32", "f": "f32", "q": "i64", "s": "str", "I": "[i32]", "B": "[u8]", "F": "[f32]"}

OPTIONS_LAYOUT: Final = {member: f"options {letters}" for letters, members in _OPTIONS.items() for member in members}
"""From a member of BuiltinOptions to its layout."""
LAYOUTS.update(
    {f"options {letters}": tuple((str(i), _LETTERS[x]) for i, x in enumerate(letters)) for letters in _OPTIONS}
)

BITS: Final = {
    0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64, 15: 32, 16: 16, 17: 4, 18: 16,
}  # fmt: skip
"""Bits a value, by the schema's TensorType; types that are missing have no fixed size (strings, resources)."""
INTEGER_RANGES: Final = {2: (-(2**31), 2**31 - 1), 3: (0, 255), 7: (-(2**15), 2**15 - 1), 9: (-128, 127), 17: (-8, 7)}
"""Quantised types and the range of their zero points."""

CUSTOM: Final = 32
ALLOWED: Final = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE", 8: "FLOOR", 9: "FULLY_CONNECTED", 11: "L2_NORMALIZATION", 12: "L2_POOL_2D", 14: "LOGISTIC",
    17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 20: "RELU_N1_TO_1", 21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR",
    25: "SOFTMAX", 26: "SPACE_TO_DEPTH", 28: "TANH", 34: "PAD", 36: "GATHER", 37: "BATCH_TO_SPACE_ND",
    38: "SPACE_TO_BATCH_ND", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV", 43: "SQUEEZE", 45: "STRIDED_SLICE",
    47: "EXP", 48: "TOPK_V2", 49: "SPLIT", 50: "LOG_SOFTMAX", 53: "CAST", 54: "PRELU", 55: "MAXIMUM", 56: "ARG_MAX",
    57: "MINIMUM", 58: "LESS", 59: "NEG", 60: "PADV2", 61: "GREATER", 62: "GREATER_EQUAL", 63: "LESS_EQUAL",
    64: "SELECT", 65: "SLICE", 66: "SIN", 67: "TRANSPOSE_CONV", 69: "TILE", 70: "EXPAND_DIMS", 71: "EQUAL",
    72: "NOT_EQUAL", 73: "LOG", 74: "SUM", 75: "SQRT", 76: "RSQRT", 77: "SHAPE", 78: "POW", 79: "ARG_MIN",
    81: "REDUCE_PROD", 82: "REDUCE_MAX", 83: "PACK", 84: "LOGICAL_OR", 86: "LOGICAL_AND", 87: "LOGICAL_NOT",
    88: "UNPACK", 89: "REDUCE_MIN", 92: "SQUARE", 93: "ZEROS_LIKE", 97: "RESIZE_NEAREST_NEIGHBOR", 98: "LEAKY_RELU",
    99: "SQUARED_DIFFERENCE", 100: "MIRROR_PAD", 101: "ABS", 102: "SPLIT_V", 104: "CEIL", 106: "ADD_N", 108: "COS",
    111: "ELU", 114: "QUANTIZE", 116: "ROUND", 117: "HARD_SWISH", 123: "SELECT_V2", 126: "BATCH_MATMUL",
    85: "ONE_HOT", 90: "FLOOR_DIV", 91: "REDUCE_ANY", 94: "FILL", 95: "FLOOR_MOD", 96: "RANGE", 105: "REVERSE_V2",
    107: "GATHER_ND", 110: "RANK", 128: "CUMSUM", 140: "REDUCE_ALL",
    130: "BROADCAST_TO", 150: "GELU", 152: "RELU_0_TO_1", 156: "ATAN2", 158: "SIGN",
}  # fmt: skip
"""Operations that only compute outputs from inputs: no control flow, no state, no resources, no code of others."""


def builtin_code(code: dict[str, Any]) -> int:
    """The operation that an operator code means: the old field ends at 127, the new one may be unset."""
    return int(max(code.get("deprecated_builtin_code", 0), code.get("builtin_code", 0)))
