"""A graph of ONNX that is being written; a model's columns before the network, its answers behind.

Everything before the network is computed in double, as fcnn does: V (samples, m) holds the columns
that are numbers, and each column becomes some columns of X (samples, n_0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcnn.convert.steps import refuse
from fcnn.model import Model
from fcnn.tables import Preparation, Target
from fcnn.tables.categories import CategoryColumn, OrdinalColumn
from fcnn.tables.columns import BooleanColumn, DateColumn, IgnoredColumn, NumberColumn
from fcnn.tables.dates import PERIODS
from fcnn.tables.table import MISSING

Array = NDArray[Any]

_ML = "ai.onnx.ml"
_NUMBERS = (NumberColumn, BooleanColumn, DateColumn)
_TEXTS = (CategoryColumn, OrdinalColumn)


class Graph:
    """Nodes, constants, inputs and outputs of a graph.

    With `columns`, the names of its inputs, all other names have a prefix that no column begins
    with.
    """

    def __init__(self, onnx: Any, columns: Sequence[str] | None = None) -> None:
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._domains = {""}
        self._prefix = "" if columns is None else "fcnn."
        while columns and any(name.startswith(self._prefix) for name in columns):
            self._prefix = f"_{self._prefix}"

    def name(self, name: str) -> str:
        """Return the name of a tensor inside the graph."""
        return self._prefix + name

    def constant(self, name: str, value: Array) -> str:
        """Add a constant; return its name."""
        self._tensors.append(self._onnx.numpy_helper.from_array(value, self.name(name)))
        return self.name(name)

    def add(self, op: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        """Add a node with an output of exactly this name; return it."""
        if "to" in attributes:
            attributes["to"] = self._onnx.helper.np_dtype_to_tensor_dtype(attributes["to"])
        self._domains.add(attributes.get("domain", ""))
        self._nodes.append(self._onnx.helper.make_node(op, [*inputs], [output], name, **attributes))
        return output

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        made = self.name(output)
        return self.add(op, inputs, made, f"{made}.{op}", **attributes)

    def _value(self, name: str, dtype: DTypeLike, shape: Sequence[Any], doc: str) -> Any:
        helper = self._onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, shape, doc)

    def input(self, name: str, dtype: DTypeLike, shape: Sequence[Any], doc: str = "") -> str:
        """Add an input; return its name."""
        self._inputs.append(self._value(name, dtype, shape, doc))
        return name

    def output(self, name: str, dtype: DTypeLike, shape: Sequence[Any], doc: str = "") -> None:
        """Make a tensor an output."""
        self._outputs.append(self._value(name, dtype, shape, doc))

    def free(self, name: str) -> str:
        """Return a name for an output: this, or where an input has it one with underscores."""
        taken = {value.name for value in self._inputs}
        while name in taken:
            name += "_"
        return name

    def proto(self, opset: int) -> Any:
        """Return the model, checked."""
        onnx = self._onnx
        opsets = [onnx.helper.make_opsetid("", opset)]
        opsets += [onnx.helper.make_opsetid(_ML, 2)] if _ML in self._domains else []
        graph = onnx.helper.make_graph(
            self._nodes, "fcnn", self._inputs, self._outputs, self._tensors
        )
        proto = onnx.helper.make_model(
            graph,
            opset_imports=opsets,
            producer_name="fcnn",
            # So that older runtimes read it.
            ir_version=onnx.helper.find_min_ir_version_for(opsets),
        )
        onnx.checker.check_model(proto)
        return proto


# --- Before the network --------------------------------------------------------------------------


def write_columns(graph: Graph, preparation: Preparation) -> str:
    """Write what makes the network's inputs of a table; return the name of X, doubles."""
    inputs = _inputs(graph, preparation)
    pieces = _write_numbers(graph, preparation, inputs)
    for j, column in enumerate(preparation.columns):
        if isinstance(column, _TEXTS):
            start, end = preparation.starts[j : j + 2]
            written = _write_category(graph, column, inputs[j], f"category{j}", end - start)
            pieces.append((written, np.arange(start, end)))
    positions = np.concatenate([place for _, place in pieces])
    X = pieces[0][0]
    if len(pieces) > 1:
        X = graph.node("Concat", [name for name, _ in pieces], "pieces", axis=1)
    if (positions != np.arange(preparation.width)).any():
        X = _columns_of(graph, X, np.argsort(positions), "ordered")
    mean, scale = preparation.mean, preparation.scale
    if mean.any():
        X = graph.node("Sub", [X, graph.constant("mean", mean)], "centered")
    if (scale != 1).any():
        X = graph.node("Div", [X, graph.constant("scale", scale)], "scaled")
    return X


def _columns_of(graph: Graph, tensor: str, columns: Array, name: str) -> str:
    indices = graph.constant(f"{name}.columns", columns.astype(np.int64))
    return graph.node("Gather", [tensor, indices], name, axis=1)


def _inputs(graph: Graph, preparation: Preparation) -> list[str]:
    """Add the inputs; return the name of each column's, the same for all of one matrix."""
    columns = preparation.columns
    for column in columns:
        if not isinstance(column, (*_NUMBERS, *_TEXTS, IgnoredColumn)):
            refuse(f"column {column.name!r}", f"columns of kind {column.kind} cannot be written")
    if not preparation.is_named and not any(isinstance(c, (DateColumn, *_TEXTS)) for c in columns):
        shape = ["samples", len(columns)]
        x = graph.input("x", np.float64, shape, "Numbers; NaN is a missing one.")
        return [x] * len(columns)
    names = []
    taken = {column.name for column in columns}
    for j, column in enumerate(columns, start=1):
        name = column.name if preparation.is_named else ""
        if not name:
            name = f"x{j}"
            while name in taken:
                name += "_"
            taken.add(name)
        if not isinstance(column, IgnoredColumn):
            dtype = object if isinstance(column, _TEXTS) else np.float64
            graph.input(name, dtype, ["samples", 1], _described(column))
        names.append(name)
    return names


def _described(column: Any) -> str:
    """Return what an input takes, for its documentation in the file."""
    if isinstance(column, _TEXTS):
        known = ", ".join(f'"{text}"' for text in column.codes.texts)
        missing = "NaN" if "" in column.codes.texts else ""
        return f'A category: {known}, or another text; "{missing}" is a missing one.'
    kind = {
        "number": "A number", "boolean": "True or false, as 1 or 0",
        "date": "A date and time, as seconds since 1970-01-01 UTC",
    }[column.kind]  # fmt: skip
    fill = "" if column.fill is None else f", counted as {column.fill!r}"
    return f"{kind}; NaN is a missing one{fill}."


def _write_numbers(
    graph: Graph, preparation: Preparation, inputs: Sequence[str]
) -> list[tuple[str, Array]]:
    """Write columns of numbers, booleans and dates: tensors, and which columns of X they are."""
    numbers = [(j, c) for j, c in enumerate(preparation.columns) if isinstance(c, _NUMBERS)]
    if not numbers:
        return []
    names = [inputs[j] for j, _ in numbers]
    if len({*inputs}) == 1 < len(inputs):
        V = names[0]
        if len(numbers) < len(inputs):
            V = _columns_of(graph, V, np.array([j for j, _ in numbers]), "used")
    else:
        V = graph.node("Concat", names, "numbers", axis=1) if len(names) > 1 else names[0]
    fills = np.array([np.nan if c.fill is None else c.fill for _, c in numbers])
    flagged = [i for i, (_, column) in enumerate(numbers) if column.flag]
    missing = ""
    if flagged or not np.isnan(fills).all():
        missing = graph.node("IsNaN", [V], "missing")
    if not np.isnan(fills).all():
        V = graph.node("Where", [missing, graph.constant("fills", fills), V], "filled")
    V = _bounded(
        graph, V, [None if isinstance(c, DateColumn) else c for _, c in numbers], "numbers"
    )
    V = _checked(graph, V, [isinstance(column, BooleanColumn) for _, column in numbers])
    starts = preparation.starts
    plain = [i for i, (_, column) in enumerate(numbers) if not isinstance(column, DateColumn)]
    pieces = []
    if plain:
        values = V
        if len(plain) < len(numbers):
            values = _columns_of(graph, V, np.array(plain), "values")
        pieces.append((values, np.array([starts[numbers[i][0]] for i in plain])))
    if flagged:
        flags = graph.node("Cast", [missing], "all_flags", to=np.dtype(np.float64))
        if len(flagged) < len(numbers):
            flags = _columns_of(graph, flags, np.array(flagged), "flags")
        pieces.append((flags, np.array([starts[numbers[i][0] + 1] - 1 for i in flagged])))
    for i, (j, column) in enumerate(numbers):
        if isinstance(column, DateColumn):
            seconds = V if len(numbers) == 1 else _columns_of(graph, V, np.array([i]), f"date{j}")
            pieces.append(_write_date(graph, column, seconds, starts[j], f"date{j}"))
    return pieces


def _bounded(graph: Graph, V: str, columns: Sequence[Any], name: str) -> str:
    """Write the bounds of columns in the place of finite numbers beyond them; NaN is not beyond."""
    for key, comparison, none in (("low", "Less", -np.inf), ("high", "Greater", np.inf)):
        bounds = [getattr(column, key, None) for column in columns]
        if bounds == [None] * len(bounds):
            continue
        limits = np.array([[none if bound is None else bound for bound in bounds]])
        limit, infinity = (
            graph.constant(f"{name}.{key}.limits", limits),
            graph.constant(f"{name}.{key}.infinity", np.array(none)),
        )
        beyond = graph.node(comparison, [V, limit], f"{name}.{key}.beyond")
        is_finite = graph.node(
            "Greater" if key == "low" else "Less", [V, infinity], f"{name}.{key}.finite"
        )
        far = graph.node("And", [beyond, is_finite], f"{name}.{key}.far")
        V = graph.node("Where", [far, limit, V], f"{name}.{key}.bounded")
    return V


def _checked(graph: Graph, V: str, is_boolean: Sequence[bool]) -> str:
    """Write NaN in the place of booleans that are neither 0 nor 1."""
    if not any(is_boolean):
        return V
    others = graph.constant("no_booleans", ~np.array([is_boolean]))
    square = graph.node("Mul", [V, V], "square")
    is_sound = graph.node("Equal", [square, V], "is_0_or_1")
    kept = graph.node("Or", [is_sound, others], "kept")
    nan = graph.constant("no_boolean", np.array(np.nan))
    return graph.node("Where", [kept, V, nan], "checked")


def _write_date(
    graph: Graph, column: DateColumn, seconds: str, start: int, name: str
) -> tuple[str, Array]:
    parts = []
    for part in column.parts:
        period = PERIODS[part]
        length = graph.constant(f"{name}.{part}.length", np.array(period or 86400.0))
        if not period:
            within = _bounded(graph, seconds, [column], name)
            parts.append(graph.node("Div", [within, length], f"{name}.{part}"))
            continue
        # Before 1970 its remainder is negative, the same phase.
        rest = graph.node("Mod", [seconds, length], f"{name}.{part}.rest", fmod=1)
        turns = graph.node("Div", [rest, length], f"{name}.{part}.turns")
        circle = graph.constant(f"{name}.{part}.circle", np.array(2 * np.pi))
        phase = graph.node("Mul", [turns, circle], f"{name}.{part}.phase")
        parts.append(graph.node("Sin", [phase], f"{name}.{part}.sine"))
        parts.append(graph.node("Cos", [phase], f"{name}.{part}.cosine"))
    place = np.arange(start, start + len(parts))
    if len(parts) == 1:
        return parts[0], place
    return graph.node("Concat", parts, f"{name}.parts", axis=1), place


def _write_category(graph: Graph, column: Any, given: str, name: str, width: int) -> str:
    """Write a column of categories: each text's number, looked up, and what it becomes."""
    codes = column.codes
    missing = sorted(MISSING - {*codes.texts})

    def looked_up(values: Sequence[int], of_missing: int, of_unseen: int) -> str:
        return graph.node(
            "LabelEncoder", [given], f"{name}.code", domain=_ML,
            keys_strings=[*codes.texts, *missing],
            values_int64s=[*values, *[of_missing] * len(missing)], default_int64=of_unseen,
        )  # fmt: skip

    if isinstance(column, OrdinalColumn):
        n = len(codes.values)
        code = looked_up(range(n), n, n + 1)
        rows = [*codes.values, codes.missing, codes.unseen]
        values = np.array([np.nan if value is None else value for value in rows])
        return graph.node("Gather", [graph.constant(f"{name}.values", values), code], name)
    refused = -2
    numbers = [refused if v is None else int(v) for v in (codes.missing, codes.unseen)]
    code = looked_up([int(value) for value in codes.values], *numbers)
    indicators = graph.constant(f"{name}.indicators", np.arange(width)[np.newaxis])
    is_set = graph.node("Equal", [code, indicators], f"{name}.set")
    output = graph.node("Cast", [is_set], name, to=np.dtype(np.float64))
    if refused in numbers:
        number = graph.constant(f"{name}.refused", np.array(refused))
        is_refused = graph.node("Equal", [code, number], f"{name}.is_refused")
        constant = graph.constant(f"{name}.nan", np.array(np.nan))
        output = graph.node("Where", [is_refused, constant, output], f"{name}.checked")
    return output


# --- Behind it -----------------------------------------------------------------------------------


def write_answers(graph: Graph, model: Model, x: str, a: str) -> None:
    """Write the answers, from the network's inputs and outputs."""
    dtype, n_out = model.network.dtype, model.network.sizes[-1]
    # 0, but NaN in a row whose inputs are not all finite, which ReLU and ArgMax would hide.
    zeros = graph.node("Sub", [x, x], "zeros")
    axes = graph.constant("axes", np.array([1]))
    doubt = graph.node("ReduceSum", [zeros, axes], "doubt", keepdims=1)
    target = model.target
    if not target.is_classes:
        value = graph.node("Cast", [a], "value", to=np.dtype(np.float64))
        if model.output_scaling is not None:
            mean, scale = model.output_scaling
            factors = graph.constant("target_scale", scale)
            terms = graph.constant("target_mean", mean)
            value = graph.node("Mul", [value, factors], "value.scaled")
            value = graph.node("Add", [value, terms], "value.shifted")
        doubt = graph.node("Cast", [doubt], "doubt.double", to=np.dtype(np.float64))
        name = graph.free("prediction")
        graph.add("Add", [value, doubt], name, f"{name}.Add")
        of = f": {', '.join(target.names)}" if target.names else ""
        graph.output(name, np.float64, ["samples", n_out], f"In own units{of}.")
        return
    classes = _classes(target)
    if n_out == 1:
        half = graph.constant("half", np.array(0.5, dtype))
        above = graph.node("Greater", [a, half], "above")
        index = graph.node("Cast", [above], "index.column", to=np.dtype(np.int64))
        index = graph.node("Squeeze", [index, axes], "index")
    else:
        index = graph.node("ArgMax", [a], "index", axis=1, keepdims=0)
    in_doubt = graph.node("IsNaN", [graph.node("Squeeze", [doubt, axes], "doubts")], "in_doubt")
    last = graph.constant("index.none", np.array(len(classes) - 1))
    index = graph.node("Where", [in_doubt, last, index], "index.checked")
    name = graph.free("label")
    graph.add("Gather", [graph.constant("classes", classes), index], name, f"{name}.Gather")
    graph.output(name, classes.dtype, ["samples"], "The class.")
    is_probability = model.network.activations[-1] in ("softmax", "sigmoid")
    if n_out == 1 and is_probability:
        one = graph.constant("one", np.array(1, dtype))
        a = graph.node("Concat", [graph.node("Sub", [one, a], "other"), a], "both", axis=1)
        n_out = 2
    name = graph.free("probabilities" if is_probability else "outputs")
    graph.add("Add", [a, doubt], name, f"{name}.Add")
    order = ", ".join(target.class_texts)
    graph.output(name, dtype, ["samples", n_out], f"Of the classes in this order: {order}.")


def _classes(target: Target) -> Array:
    """Return classes as a tensor, and as its last entry what stands for none of them."""
    values = target.classes
    kinds = {*map(type, values)}
    if kinds == {bool}:
        return np.array([*values, False])
    if kinds == {int}:
        if not all(-(2**63) <= value < 2**63 for value in values):
            refuse("target", "has classes that are integers beyond int64")
        nothing = next(k for k in range(-1, -len(values) - 2, -1) if k not in values)
        return np.array([*values, nothing], np.int64)
    if kinds <= {int, float}:
        return np.array([*values, np.nan])
    return np.array([*target.class_texts, ""], object)
