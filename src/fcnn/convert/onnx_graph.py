"""ONNX models, loaded and checked; their constants computed, their nodes followed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fcnn.convert.onnx_activations import ACTIVATIONS, OTHERS, joined_activation
from fcnn.convert.onnx_answers import (
    ANSWERS,
    OF_FLOWS,
    TABLES,
    Answer,
    both,
    greater,
    is_threshold,
)
from fcnn.convert.onnx_flow import CHAIN, FEATURES, ROWS, Flow, Inputs
from fcnn.convert.onnx_operators import LAYERS, SHAPES, Node, tensor_shape
from fcnn.convert.steps import Array, imported, refuse

# What may be computed from constants: each gives the same in every runtime, and ends.
_FOLDED = {
    "Abs", "Add", "Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "DequantizeLinear",
    "Div", "Equal", "Exp", "Expand", "Flatten", "Gather", "Identity", "Log", "MatMul", "Max", "Min",
    "Mul", "Neg", "Not", "Pow", "Range", "Reciprocal", "ReduceProd", "ReduceSum", "Reshape",
    "Shape", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tile", "Transpose",
    "Unsqueeze", "Where",
}  # fmt: skip
# And from the number of rows, which stands for any: numbers of a shape, not arrays of that size.
_OF_SHAPES = {
    "Add", "Cast", "Concat", "Div", "Equal", "Gather", "Identity", "Mul", "ReduceProd", "Reshape",
    "Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze", "Where",
}  # fmt: skip
_TAKES_SHAPES = {"Reshape", "Slice"}
# Those that choose among numbers of a shape: of features, it may be, alone.
_OF_PARTS = {"Concat", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze"}
_QUANTIZED = ("Quantize", "QLinear", "Integer", "QGemm", "QAttention", "MatMulNBits")

# Operators of other kinds of networks, by what they lack to be layers, and what to do.
_PART = "output=NAME converts what leads to a tensor"
_OTHERS: dict[str, tuple[str, ...]] = {
    f"a network's layers connect all nodes; {_PART}": (
        "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "LSTM", "GRU",
        "RNN", "Attention", "MultiHeadAttention", "Einsum",
    ),
    f"a network has no normalization of each row, nor sums over it; {_PART}": (
        "InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization",
        "LpNormalization", "MeanVarianceNormalization", "SkipLayerNormalization",
        "SimplifiedLayerNormalization", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin",
        "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSumExp", "CumSum",
        "TopK",
    ),
    f"it is of another kind of model than networks; {_PART}": (
        "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "SVMClassifier",
        "SVMRegressor", "LinearClassifier", "LinearRegressor",
    ),
    "what is no number is read by a Model; convert the pipeline itself by from_sklearn": (
        "OneHotEncoder", "OneHot", "Imputer", "FeatureVectorizer", "CategoryMapper",
        "TfIdfVectorizer", "StringNormalizer", "KBinsDiscretizer",
    ),
}  # fmt: skip


def load(onnx: Any, model: Any) -> Any:
    """Return a checked model, its own functions put in the place of their calls."""
    source = os.fspath(model) if isinstance(model, (str, os.PathLike)) else "model"
    try:
        if isinstance(model, (str, os.PathLike)):
            model = onnx.load(os.fspath(model), "protobuf")
        elif isinstance(model, (bytes, bytearray, memoryview)):
            model = onnx.load_from_string(bytes(model))
        elif not isinstance(model, onnx.ModelProto):
            raise TypeError(
                f"model: expected a path, bytes or an onnx.ModelProto, got {type(model).__name__}"
            )
        onnx.checker.check_model(model)
        if model.functions:
            model = imported("onnx.inliner", "onnx").inline_local_functions(model)
    except (
        imported("google.protobuf.message", "onnx").DecodeError,
        onnx.checker.ValidationError,
    ) as error:
        raise ValueError(f"{source}: not a sound ONNX model ({error})") from None
    return model


class Graph:
    """A graph, each of whose tensors is a constant, or what the steps to it make of the input."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self.onnx = onnx
        self.graph = model.graph
        self.opsets = model.opset_import
        self.versions = {opset.domain: opset.version for opset in self.opsets}
        for domain in ("", "ai.onnx"):
            if self.versions.get(domain, 7) < 7:
                raise ValueError(
                    f"model: expected opset 7 or newer, got {self.versions[domain]}; "
                    "onnx.version_converter.convert_version makes it newer"
                )
        self.values: dict[str, Any] = {}
        for tensor in self.graph.initializer:
            self.values[tensor.name] = self._array(tensor)
        if self.graph.sparse_initializer:
            name = self.graph.sparse_initializer[0].values.name
            refuse(f"initializer {name!r}", "is sparse; write it as a dense one")
        # That they tell the number of rows is no reason to compute with it.
        self.of_rows: set[str] = set()
        self.floats: set[np.dtype[Any]] = set()  # of the layers
        inputs = [v for v in self.graph.input if v.name not in self.values]
        if len(inputs) != 1:
            names = ", ".join(repr(v.name) for v in inputs) or "none"
            raise ValueError(
                f"model: expected one input, got {names}; put their columns together before it"
            )
        given = self._input(inputs[0])
        self.num_features = 0 if FEATURES in given.shape else given.width  # 0 if not known
        self.values[inputs[0].name] = given

    def _array(self, tensor: Any) -> Array:
        try:
            return np.asarray(self.onnx.numpy_helper.to_array(tensor))
        # KeyError: of a type that this version of onnx does not know
        except (
            OSError, ValueError, TypeError, KeyError, self.onnx.checker.ValidationError
        ) as error:  # fmt: skip
            raise ValueError(
                f"initializer {tensor.name!r}: cannot be read ({error}); give the path of a model "
                "whose data are files of their own"
            ) from error

    def _dtype(self, code: int) -> np.dtype[Any]:
        try:
            return np.dtype(self.onnx.helper.tensor_dtype_to_np_dtype(code))
        except (KeyError, TypeError):
            raise ValueError(f"model: this onnx knows no data type {code}") from None

    def _input(self, value: Any) -> Flow:
        """Return the input as a tensor whose first axis is that of the rows."""
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type == self.onnx.TensorProto.STRING:
            refuse(
                f"input {value.name!r}",
                "expected a tensor of numbers; convert a pipeline that reads texts by from_sklearn",
            )
        dims = kind.shape.dim
        shape = [dim.dim_value or FEATURES for dim in dims] if dims else [ROWS, FEATURES]
        if len(shape) < 2:
            refuse(
                f"input {value.name!r}",
                f"expected shape (samples, features), got {len(shape)} axis; export the model with "
                "a batch of samples",
            )
        shape[0] = dims[0].dim_value if dims and dims[0].dim_value else ROWS
        if FEATURES in shape:
            columns, n = None, 1
        else:
            n = int(np.prod(shape[1:]))
            columns = np.arange(n)
        dtype = self._dtype(kind.elem_type)
        inputs = Inputs(columns, np.zeros(n), np.ones(n))
        return Flow(tuple(shape), shape[0], 1, dtype, inputs)

    # --- Following -------------------------------------------------------------------------------

    def follow(self, wanted: list[str]) -> list[Any]:
        """Return what some tensors are: constants, or what the input leads to."""
        needed, nodes = set(wanted), []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(filter(None, node.input))  # "" is an input that is left out
        for node in reversed(nodes):
            self._take(node, needed)
        absent = [name for name in wanted if name not in self.values]
        if absent:
            names = [name for node in self.graph.node for name in node.output]
            raise ValueError(f"output: the model has no tensor {absent[0]!r}, only {_some(names)}")
        return [self.values[name] for name in wanted]

    def _take(self, proto: Any, needed: set[str]) -> None:
        """Find out what a node's outputs are."""
        source = f"node {proto.name or proto.output[0]!r} ({proto.op_type})"
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        op = f"{domain}.{proto.op_type}" if domain else proto.op_type
        for name in proto.input:
            if name and name not in self.values:
                refuse(source, f"the tensor {name!r} cannot be followed; {CHAIN}")
        given = [self.values[name] if name else None for name in proto.input]
        of_rows = self.of_rows.intersection(proto.input)
        if not any(isinstance(value, (Flow, Answer)) for value in given):
            if op not in (_OF_SHAPES if of_rows else _FOLDED):
                what = "computes with the number of rows" if of_rows else "cannot be converted"
                refuse(source, f"{what}; {self._reason(op)}")
            made: Any = self._computed(proto, source, given)
            # No number that choosing leaves as small as this is one of rows.
            is_known = op in _OF_PARTS and all(np.all(np.abs(v) < ROWS // 10) for v in made)
            self.of_rows.update(proto.output if of_rows and not is_known else ())
        else:
            node = Node(
                source,
                op,
                {a.name: self._attribute(a) for a in proto.attribute},
                given,
                self.versions.get(proto.domain, self.versions.get(domain, 1)),
                len(proto.output),
                self._dtype,
                bool(of_rows),
            )
            if op in ("Shape", "Size") and isinstance(given[0], Flow):
                made = tensor_shape(node, given[0])
                self.of_rows.update(proto.output)
            else:
                if of_rows and op not in _TAKES_SHAPES:
                    refuse(source, f"computes with the number of rows; {CHAIN}")
                made = self._made(node)
        values = made if isinstance(made, list) else [made]
        for name, value in zip(proto.output, values, strict=False):
            self.values[name] = value

    def _attribute(self, attribute: Any) -> Any:
        value = self.onnx.helper.get_attribute_value(attribute)
        is_tensor = attribute.type == self.onnx.AttributeProto.TENSOR
        return self._array(value) if is_tensor else value

    def _made(self, node: Node) -> Any:
        """Return what a node makes of what the input leads to."""
        followed = [value for value in node.values if isinstance(value, (Flow, Answer))]
        first: Any = followed[0]
        if any(isinstance(value, Answer) for value in followed):
            # But for tables of classes, none is what labels change.
            is_changed = first is node.values[0] or node.op in TABLES
            if node.op in ANSWERS and len(followed) == 1 and is_changed:
                return ANSWERS[node.op](node, first)
            refuse(node.source, f"cannot be converted; {CHAIN}")
        if node.op in OF_FLOWS and len(followed) == 1:
            return ANSWERS[node.op](node, first)
        if node.op == "Greater" and is_threshold(node):
            return greater(node)
        if node.op == "Concat" and len(followed) > 1 and (pair := both(node)) is not None:
            return pair
        if node.op in SHAPES:
            return SHAPES[node.op](node, first)
        if len(followed) > 1 and node.op in ("Max", "Mul", "Where"):
            return joined_activation(node)
        change: Callable[[Node, Flow], Any] | None = LAYERS.get(node.op) or ACTIVATIONS.get(node.op)
        if change is None:
            refuse(node.source, f"cannot be converted; {self._reason(node.op)}")
        made = change(node, node.flow)
        if any(part in node.op for part in ("Gemm", "MatMul")):
            self.floats.add(made.dtype)
        return made

    def _reason(self, op: str) -> str:
        """Return why an operator is none of a network, and the way out."""
        name = op.rpartition(".")[2]
        if any(part in name for part in _QUANTIZED):
            return "it is of a quantized model: convert it as it was before its quantization"
        for reason, names in _OTHERS.items():
            if name in names:
                return reason
        if name in ("If", "Loop", "Scan"):
            return "export the model without branches, for a fixed shape of its inputs"
        if name.startswith("Random") or name in ("Bernoulli", "Multinomial"):
            return "it is random; export the model for inference"
        return OTHERS

    def _computed(self, node: Any, source: str, given: list[Any]) -> list[Array]:
        onnx, reference = self.onnx, imported("onnx.reference", "onnx")
        inputs = {n: v for n, v in zip(node.input, given, strict=True) if n}
        outputs = [name for name in node.output if name]
        function = onnx.helper.make_function(
            "", "constant", list(inputs), outputs, [node], self.opsets
        )
        try:
            evaluator = reference.ReferenceEvaluator(function)
            values = evaluator.run(None, inputs, attributes={})
        except Exception as error:  # whatever NumPy or the evaluator finds wrong
            raise ValueError(f"{source}: cannot be computed ({error})") from error
        return [np.asarray(value) for value in values]


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:20])
    return shown + (", ..." if len(names) > 20 else "")
