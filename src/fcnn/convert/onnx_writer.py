"""ONNX models, written node by node: a network, or a model with what stands around its network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fcnn import _validation as check
from fcnn._dispatch import core
from fcnn._format.container import as_path
from fcnn._format.replacing import write_whole
from fcnn.convert.onnx import OPERATORS, Nodes
from fcnn.convert.onnx_table import Graph, write_answers, write_columns
from fcnn.convert.steps import Layer, entry_of, imported, layers_of, refuse_surrogates
from fcnn.ensemble import Ensemble
from fcnn.model import Model
from fcnn.network import Network


def to_onnx(
    net: Network | Model | Ensemble, path: str | os.PathLike[str] | None = None, opset: int = 17
) -> Any:
    """Return an ONNX model that computes what a network, a model or an ensemble computes.

    Parameters
    ----------
    net : fcnn.Network, fcnn.Model or fcnn.Ensemble
    path : str or path-like, optional
        A file to write the model to; an existing one is replaced at once.
    opset : int, default 17
        Version of the operators, from 13 to the newest of the installed onnx package. From 20 on
        gelu is one node, before it is written with Erf.

    Returns
    -------
    onnx.ModelProto
        Of a network: one input "x" (samples, n_0) and one output "a" (samples, n_L) in its dtype,
        with tensors W1 (n_1, n_0), b1 (n_1,), ..., WL, bL. Of an ensemble the same, with the mean
        that `fcnn.Ensemble.predict` returns, and tensors 0.W1, 0.b1, ... of its first network.

        Of a model: an input of its name (samples, 1) for each column, of strings for categories, of
        doubles for all else: booleans are 1 and 0, dates seconds since 1970 UTC. NaN, and for
        categories "", is a missing cell. Columns without names that are all numbers are one input
        "x" (samples, columns). Of classes the outputs are "label" (samples,), the class itself, and
        "probabilities" (samples, K) in the order of `Model.classes`, or "outputs" where these are
        no probabilities; of numbers "prediction" (samples, n_L), doubles in the target's own units.
        An output whose name a column has gets underscores behind it.

        Where the model would refuse a cell, because it fills none in or knows the category not,
        or because a number is infinite or a boolean neither 0 nor 1, all numbers of that row's
        answer are NaN, its label is "" or a number that is none of the classes (a boolean is
        False).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    OSError
        If the file cannot be written.
    """
    model, network = (net, net.network) if isinstance(net, Model) else (None, net)
    networks = network.networks if isinstance(network, Ensemble) else [network]
    all_layers = [layers_of(one) for one in networks]
    layers = all_layers[0]
    onnx = imported("onnx", "onnx")
    newest = onnx.defs.onnx_opset_version()
    if check.as_count("opset", opset) not in range(13, newest + 1):
        raise ValueError(f"opset: expected 13 to {newest}, got {opset}")
    file = None if path is None else as_path(path)
    dtype = layers[0].W.dtype
    if model is None:
        graph = Graph(onnx)
        x = graph.input("x", dtype, ["samples", layers[0].W.shape[1]])
        if isinstance(network, Ensemble):
            is_normal = core.split_loss(network.loss)[0] == "gaussian_nll"
            write_ensemble(graph, all_layers, x, "a", opset, network.num_targets, is_normal)
        else:
            write_layers(graph, layers, x, "a", opset, network.num_targets)
        graph.output("a", dtype, ["samples", len(layers[-1].W)])
    else:
        refuse_surrogates(model)
        graph = Graph(onnx, [column.name for column in model.preparation.columns])
        x = graph.node("Cast", [write_columns(graph, model.preparation)], "x", to=dtype)
        a = write_layers(graph, layers, x, graph.name("a"), opset, network.num_targets)
        write_answers(graph, model, x, a)
    proto = graph.proto(opset)
    if file is not None:
        write_whole(file, proto.SerializeToString())
    return proto


def write_layers(
    graph: Any, layers: Sequence[Layer], a: str, last: str, opset: int, num_targets: int
) -> str:
    """Write the layers, from the tensor of inputs to that of outputs; return its name."""
    for l, (W, b, activation) in enumerate(layers, start=1):
        output = last if l == len(layers) else graph.name(f"a{l}")
        ascends = (
            activation == "ascending"
        )  # of whose nodes all but the lowest are sums of softplus
        if ascends:
            activation, whole, output = "softplus", output, graph.name(f"softplus{l}")
        written, attributes = _written(activation, W.dtype.name, opset)
        z = graph.name(f"z{l}") if written.nodes else output
        parameters = [graph.constant(f"W{l}", W), graph.constant(f"b{l}", b)]
        graph.add("Gemm", [a, *parameters], z, f"layer{l}", transB=1)
        names = {"z": z, "a": output}
        for key, value in written.constants.items():
            names[key] = graph.constant(f"{activation}{l}.{key}", np.array(value, W.dtype))
        for op, inputs, result in written.nodes:
            given = [names.get(name, graph.name(f"{activation}{l}.{name}")) for name in inputs]
            made = names.get(result, graph.name(f"{activation}{l}.{result}"))
            graph.add(op, given, made, f"{made}.{op}", **attributes)
        if ascends:
            _write_sums(graph, z, output, whole, len(W), num_targets)
        a = output
    return last


class _Part:
    """A graph whose names begin with those of one of its networks."""

    def __init__(self, graph: Any, prefix: str) -> None:
        self._graph, self._prefix = graph, prefix

    def name(self, name: str) -> str:
        return self._graph.name(self._prefix + name)

    def constant(self, name: str, value: Any) -> str:
        return self._graph.constant(self._prefix + name, value)

    def add(self, op: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        name = name if name.startswith(self._prefix) else self._prefix + name
        return self._graph.add(op, inputs, output, name, **attributes)

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        return self._graph.node(op, inputs, self._prefix + output, **attributes)


def write_ensemble(
    graph: Any, networks: Sequence[Sequence[Layer]], x: str, last: str, opset: int,
    num_targets: int, is_normal: bool,
) -> str:  # fmt: skip
    """Write all networks and their mean, `is_normal` that of normal distributions: see Ensemble."""
    outputs = []
    for i, layers in enumerate(networks):
        part = _Part(graph, f"{i}.")
        outputs.append(write_layers(part, layers, x, part.name("a"), opset, num_targets))
    # Not the operator Mean, which ONNX Runtime has for float32 alone.
    count = graph.constant("count", np.array(len(networks), networks[0][0].W.dtype))
    if not is_normal:
        return graph.add("Div", [graph.node("Sum", outputs, "sum"), count], last, "mean")
    ends = [graph.constant(f"end{i}", np.array([i * num_targets])) for i in range(3)]
    axis = graph.constant("axis", np.array([1]))
    parts = [_Part(graph, f"{i}.") for i in range(len(networks))]
    means = [
        part.node("Slice", [a, ends[0], ends[1], axis], "mean")
        for part, a in zip(parts, outputs, strict=True)
    ]
    mean = graph.node("Div", [graph.node("Sum", means, "sum"), count], "mean")
    terms = []
    for part, a, own in zip(parts, outputs, means, strict=True):
        terms.append(
            part.node("Exp", [part.node("Slice", [a, ends[1], ends[2], axis], "log")], "variance")
        )
        apart = part.node("Sub", [own, mean], "apart")
        terms.append(part.node("Mul", [apart, apart], "square"))
    variance = graph.node("Div", [graph.node("Sum", terms, "sum_of_variances"), count], "variance")
    logarithm = graph.node("Log", [variance], "log_variance")
    return graph.add("Concat", [mean, logarithm], last, "mixture", axis=1)


def _write_sums(graph: Any, z: str, rises: str, a: str, n: int, m: int) -> None:
    """Write ascending outputs: z of the first m nodes, of the others that before it + softplus."""
    lowest = graph.constant("ascending.lowest", np.arange(n) < m)
    shape = graph.constant("ascending.shape", np.array([-1, n // m, m]))
    axis = graph.constant("ascending.axis", np.array(1))
    flat = graph.constant("ascending.flat", np.array([-1, n]))
    terms = graph.node("Where", [lowest, z, rises], "ascending.terms")
    by_level = graph.node("Reshape", [terms, shape], "ascending.by_level")
    sums = graph.node("CumSum", [by_level, axis], "ascending.sums")
    graph.add("Reshape", [sums, flat], a, "ascending.Reshape")


def _written(activation: str, dtype: str, opset: int) -> tuple[Nodes, dict[str, Any]]:
    """Return the nodes of an activation, and the attributes that each of them has."""
    operator, constant = entry_of(OPERATORS, activation, "ONNX has no operator")
    instead = operator.instead
    is_written = instead is not None and dtype in instead.dtypes and opset < instead.before
    if instead is not None and is_written and activation != "elu":  # whose alpha, 1, is exact
        if constant is not None:
            instead = instead._replace(constants=dict.fromkeys(instead.constants, constant))
        return instead, {}
    attributes = {name: valid[0] for name, valid in operator.attributes.items()}
    if constant is not None:
        attributes["alpha"] = constant
    return Nodes(((operator.name, ("z",), "a"),), {}), attributes
