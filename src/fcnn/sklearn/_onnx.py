"""The estimators as skl2onnx converts them, alone and in pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fcnn._dispatch import core
from fcnn.convert.onnx_writer import write_ensemble, write_layers
from fcnn.convert.steps import Layer, imported, layers_of, refuse

_OLDEST = 13  # of the operators that layers are written with
# Of activations, those that ONNX Runtime (1.32) has for float32 alone.
_SINGLE = {"Elu", "Erf", "Gelu", "LeakyRelu", "PRelu", "Softplus", "Swish"}


class _Graph:
    """What fcnn.convert writes layers to, of skl2onnx's scope and container."""

    def __init__(self, scope: Any, container: Any, dtype: Any) -> None:
        self._scope, self._container = scope, container
        self._network = dtype
        self._names: dict[str, str] = {}
        self._dtype = imported("onnx.helper", "onnx").np_dtype_to_tensor_dtype

    def name(self, name: str) -> str:
        """Return the name of a tensor, the same for the same name."""
        if name not in self._names:
            self._names[name] = self._scope.get_unique_variable_name(f"fcnn_{name}")
        return self._names[name]

    def constant(self, name: str, value: Any) -> str:
        """Add a constant; return its name."""
        made = self.name(name)
        number = self._dtype(value.dtype) if value.dtype.kind not in "OU" else 8  # texts
        entries = value.ravel()
        content = [text.encode() for text in entries] if number == 8 else entries
        self._container.add_initializer(made, number, value.shape, content)
        return made

    def add(self, op: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        """Add a node with an output of exactly this name; return it."""
        if "to" in attributes:
            attributes["to"] = self._dtype(np.dtype(attributes["to"]))
        if op in _SINGLE:
            unique = self._scope.get_unique_variable_name
            inputs = [self.add("Cast", [x], unique(x), name, to="f4") for x in inputs]
            output, wanted = unique(output), output
        name = self._scope.get_unique_operator_name(name)
        self._container.add_node(op, list(inputs), [output], name=name, **attributes)
        if op in _SINGLE:
            return self.add("Cast", [output], wanted, name, to=self._network)
        return output

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        return self.add(op, inputs, self.name(output), f"fcnn_{output}", **attributes)


def _outputs(scope: Any, operator: Any, container: Any) -> tuple[_Graph, str]:
    """Write the network; return the graph and the tensor of a^L, in the network's dtype."""
    estimator = operator.raw_operator
    if container.target_opset < _OLDEST:
        refuse("target_opset", f"expected at least {_OLDEST}, got {container.target_opset}")
    networks = _networks(estimator)
    network = networks[0]
    graph = _Graph(scope, container, network.dtype)
    all_layers = [layers_of(one) for one in networks]
    if core.split_loss(network.loss)[0] == "gaussian_nll":  # whose predictions are the means
        for layers in all_layers:
            W, b, activation = layers[-1]
            layers[-1] = Layer(W[: network.num_targets], b[: network.num_targets], activation)
    x = graph.node("Cast", [operator.inputs[0].full_name], "x", to=network.dtype)
    a, opset, m = graph.name("a"), container.target_opset, network.num_targets
    if len(networks) == 1:
        return graph, write_layers(graph, all_layers[0], x, a, opset, m)
    return graph, write_ensemble(graph, all_layers, x, a, opset, m, is_normal=False)


def _networks(estimator: Any) -> Sequence[Any]:
    """Return the networks of an estimator: one, or those of an ensemble."""
    several = hasattr(estimator, "estimators_")
    return estimator.ensemble_.networks if several else [estimator.network_]


def _answer(graph: _Graph, value: str, variable: Any) -> None:
    """Write a tensor to one of the operator's outputs, in the type that this has."""
    double = type(variable.type).__name__ == "DoubleTensorType"
    graph.add("Cast", [value], variable.full_name, "fcnn_answer", to="f8" if double else "f4")


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph, a = _outputs(scope, operator, container)
    _answer(graph, a, operator.outputs[0])


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    classes = _classes(scope, operator.raw_operator)
    graph, a = _outputs(scope, operator, container)
    label = operator.outputs[0].full_name
    dtype = _networks(operator.raw_operator)[0].dtype
    if _is_multilabel(operator.raw_operator):
        half = graph.constant("half", np.array(0.5, dtype))
        chosen = graph.node("Greater", [a, half], "chosen")
        graph.add("Cast", [chosen], label, "fcnn_label", to=np.int64)
        _answer(graph, a, operator.outputs[1])
        return
    if _networks(operator.raw_operator)[0].sizes[-1] == 1:
        one = graph.constant("one", np.array(1, dtype))
        a = graph.node("Concat", [graph.node("Sub", [one, a], "rest"), a], "both", axis=1)
    best = graph.node("ArgMax", [a], "best", axis=1, keepdims=0)
    graph.add("Gather", [graph.constant("classes", classes), best], label, "fcnn_label", axis=0)
    _answer(graph, a, operator.outputs[1])


def _is_multilabel(estimator: Any) -> bool:
    return bool(estimator._label_binarizer.y_type_ == "multilabel-indicator")


def _classes(scope: Any, estimator: Any) -> Any:
    """Return the classes as ONNX has labels: int64, or texts."""
    utils = imported("skl2onnx.common.utils_classifier", "onnx")
    classes = np.asarray(utils.get_label_classes(scope, estimator))
    if classes.dtype.kind in "OU" and all(isinstance(label, str) for label in classes):
        return classes
    whole = classes.astype(np.int64) if classes.dtype.kind in "biuf" else None
    if whole is None or (whole != classes).any():
        refuse(
            f"classes of {type(estimator).__name__}",
            f"ONNX has integers and texts for labels, got {classes.tolist()}",
        )
    return whole


def _classifier_shapes(operator: Any) -> None:
    shapes = imported("skl2onnx.common.shape_calculator", "onnx")
    types = imported("skl2onnx.common.data_types", "onnx")
    _classes(operator.scope_inst, operator.raw_operator)
    shapes.calculate_linear_classifier_output_shapes(operator)
    options = operator.scope_inst.get_options(operator.raw_operator, {"zipmap": True})
    if options["zipmap"] is True:  # ZipMap takes float32 alone
        operator.outputs[1].set_type(types.FloatTensorType(operator.outputs[1].type.shape))
    if _is_multilabel(operator.raw_operator):
        rows = operator.inputs[0].get_first_dimension()
        n_out = _networks(operator.raw_operator)[0].sizes[-1]
        operator.outputs[0].set_type(types.Int64TensorType([rows, n_out]))


def _regressor_shapes(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    estimator = operator.raw_operator
    if estimator.quantiles_ is None:
        n_out = estimator.n_outputs_
    elif estimator.n_outputs_ == 1:
        n_out = len(estimator.quantiles_)
    else:
        refuse(
            f"quantiles of {type(estimator).__name__}",
            f"of {estimator.n_outputs_} targets they have three dimensions, ONNX's regressors two",
        )
    operator.outputs[0].type.shape = [rows, n_out]


def register(classifier: type, regressor: type) -> None:
    """Name the estimators' converters to skl2onnx."""
    update = imported("skl2onnx", "onnx").update_registered_converter
    update(
        classifier, "FcnnMLPClassifier", _classifier_shapes, _convert_classifier,
        options={
            "zipmap": [True, False, "columns"], "output_class_labels": [False, True],
            "nocl": [True, False],
        },
    )  # fmt: skip
    update(regressor, "FcnnMLPRegressor", _regressor_shapes, _convert_regressor)
