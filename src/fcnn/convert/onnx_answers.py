"""What stands behind the network of an ONNX graph: probabilities of two classes, labels, ZipMap.

Of labels the classes are kept: a `fcnn.Model` finds the label again as the most probable class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fcnn.convert.onnx_activations import numbers_of
from fcnn.convert.onnx_flow import CHAIN, Flow
from fcnn.convert.onnx_operators import Node, fail
from fcnn.convert.steps import Activation, Array, Cast, Linear, Step

_INT64 = np.dtype(np.int64)


@dataclass(frozen=True)
class Answer:
    """What is made of a network's outputs, in any shape.

    "labels", one of `classes` for each row; "several", a 0 or 1 for each output; "both", 1 - p and
    p of one output p, shape (s, 2); "named", a mapping from `classes` to the probabilities.
    """

    kind: str
    flow: Flow
    classes: tuple[Any, ...] = ()
    from_logits: str = ""  # the output activation that linear outputs are to have
    dtype: Any = _INT64


def _is_probability(flow: Flow, *names: str) -> bool:
    return bool(flow.steps) and getattr(flow.steps[-1], "name", None) in names


def is_linear(steps: Sequence[Step]) -> bool:
    """Return whether outputs are those of a layer without an activation."""
    behind = [step for step in steps if isinstance(step, (Linear, Activation))]
    return bool(behind) and isinstance(behind[-1], Linear)


def _distinct(node: Node, classes: Sequence[Any]) -> tuple[Any, ...]:
    """Return classes, each of one output."""
    if len(set(classes)) != len(classes):
        fail(node, f"makes the same of several labels; {CHAIN}")
    return tuple(classes)


def _index(node: Node, value: Any) -> Any:
    """Return the place of the largest output."""
    if isinstance(value, Answer):
        if value.kind != "both" or node.attributes.get("axis", 0) not in (1, -1):
            fail(node, f"is not of the outputs of each row; {CHAIN}")
        return Answer("labels", value.flow, (0, 1))
    flow = value
    at = flow.where_rows_are(node.source)
    axis = node.attributes.get("axis", 0) % len(flow.shape)
    if node.attributes.get("select_last_index", 0):
        fail(
            node,
            "expected select_last_index=0, got 1: fcnn takes the first of equal ones; output=NAME "
            "of its input leaves it out",
        )
    if axis == at or flow.shape[axis] != flow.width or flow.width < 2:
        fail(node, f"expected the largest of the outputs, got axis {axis} of {flow.shown}; {CHAIN}")
    logits = "softmax" if is_linear(flow.steps) else ""
    return Answer("labels", flow, tuple(range(flow.width)), logits)


def _threshold(node: Node, flow: Flow, limit: float) -> Any:
    """Return whether probabilities are above 1/2, or linear outputs above 0."""
    is_sigmoid = _is_probability(flow, "sigmoid")
    if not (is_sigmoid or is_linear(flow.steps)) or limit != (0.5 if is_sigmoid else 0.0):
        fail(
            node,
            "expected sigmoid outputs above 0.5, or linear ones above 0, got a limit of "
            f"{limit:g}; {CHAIN}",
        )
    kind, classes = ("labels", (0, 1)) if flow.width == 1 else ("several", ())
    return Answer(kind, flow, classes, "" if is_sigmoid else "sigmoid", flow.dtype)


def _binarizer(node: Node, value: Any) -> Any:
    if not isinstance(value, Flow):
        fail(node, f"is not of what a layer returns; {CHAIN}")
    return _threshold(node, value, node.attributes.get("threshold", 0.0))


def is_threshold(node: Node) -> bool:
    """Return whether a Greater compares probabilities, not what an activation is made of."""
    first = node.values[0]
    return isinstance(first, Flow) and _is_probability(first, "sigmoid")


def greater(node: Node) -> Any:
    """Return whether probabilities are above a constant."""
    limit = node.constant(1)
    if limit.size != 1:
        fail(node, f"expected one limit, got shape {limit.shape}")
    answer = _threshold(node, node.values[0], float(limit.reshape(())))
    classes = (False, True) if answer.classes else ()
    return replace(answer, classes=classes, dtype=np.dtype(bool))


def both(node: Node) -> Answer | None:
    """Return 1 - p and p side by side; None if it is something else."""
    flows = node.values
    if len(flows) != 2 or not all(isinstance(value, Flow) for value in flows):
        return None
    rest, p = flows
    steps = rest.steps
    n = len(p.steps)
    is_rest = steps[:n] == p.steps and numbers_of(steps[n:]) == (-1, 1)
    of_columns = len(p.shape) == 2 and p.axis == 0 and p.width == 1 and p.shape == rest.shape
    if not (is_rest and of_columns and _is_probability(p, "sigmoid")):
        return None
    if node.attributes["axis"] not in (1, -1):
        return None
    return Answer("both", p, dtype=p.dtype)


def _chosen(node: Node, value: Any) -> Any:
    """Return the classes that labels are the places of."""
    table, labels = node.values[0], node.values[1]
    if not (isinstance(labels, Answer) and labels.kind == "labels"):
        return fail(node, f"chooses by what is no label; {CHAIN}")
    if not isinstance(table, np.ndarray) or node.attributes.get("axis", 0):
        fail(node, f"expected classes that are constant; {CHAIN}")
    table = table.ravel()
    if not all(-len(table) <= k < len(table) for k in labels.classes):
        fail(node, f"has {len(table)} classes for the labels {list(labels.classes)}; {CHAIN}")
    classes = _distinct(node, [_value(table[int(k)]) for k in labels.classes])
    return replace(labels, classes=classes, dtype=table.dtype)


def _value(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _encoded(node: Node, value: Any) -> Any:
    """Return what a LabelEncoder makes of labels."""
    if not (isinstance(value, Answer) and value.kind == "labels"):
        fail(node, f"encodes what is no label; {CHAIN}")
    given = node.attributes
    if "classes_strings" in given:  # the first version: texts and their numbers
        texts = [_value(text) for text in given["classes_strings"]]
        forward = dict(enumerate(texts))
        table, default = forward, _value(given.get("default_string", b"_Unused"))
        if any(isinstance(one, str) for one in value.classes):
            table = {text: k for k, text in forward.items()}
            default = given.get("default_int64", -1)
    else:
        found = {
            part: next(
                (
                    [_value(v) for v in np.ravel(_array(values)).tolist()]
                    for name, values in given.items()
                    if name.startswith(part)
                ),
                [],
            )
            for part in ("keys_", "values_")
        }
        table = dict(zip(found["keys_"], found["values_"], strict=True))
        default = object()
    classes = []
    for one in value.classes:
        if one not in table and not isinstance(default, (str, int)):
            fail(node, f"has no value for the class {one!r}; {CHAIN}")
        classes.append(table.get(one, default))
    kind = np.dtype(object) if isinstance(classes[0], str) else np.array(classes).dtype
    return replace(value, classes=_distinct(node, classes), dtype=kind)


def _array(values: Any) -> Array:
    return np.array(values, object) if isinstance(values, (list, tuple)) else np.asarray(values)


def _named(node: Node, value: Any) -> Any:
    """Return probabilities by the names of the classes."""
    flow = value.flow if isinstance(value, Answer) else value
    if isinstance(value, Answer) and value.kind != "both":
        fail(node, f"is not of probabilities; {CHAIN}")
    for name in ("classlabels_strings", "classlabels_int64s"):
        if names := node.attributes.get(name):
            classes = tuple(map(_value, names))
            width = 2 if isinstance(value, Answer) else flow.width
            if len(classes) != width:
                fail(node, f"has {len(classes)} classes for {width} probabilities; {CHAIN}")
            return Answer("named", flow, _distinct(node, classes))
    return fail(node, f"has no classes; {CHAIN}")


def _normalizer(node: Node, value: Any) -> Any:
    """Return probabilities whose sum is 1 already, as they are."""
    norm = _value(node.attributes.get("norm", b"MAX"))
    sums_to_1 = (
        value.kind == "both" if isinstance(value, Answer) else _is_probability(value, "softmax")
    )
    if norm != "L1" or not sums_to_1:
        fail(
            node,
            f"divides by the norm {norm} of the rows, which fcnn has nothing for; output=NAME of "
            "its input converts the network alone",
        )
    return value


def _cast(node: Node, value: Answer) -> Any:
    dtype = np.dtype(node.to_dtype(node.attributes["to"]))
    if value.kind == "several" or dtype == value.dtype:
        return value
    if value.kind == "both":
        # As of a network's outputs: not to fewer digits than it computes.
        return replace(value, flow=value.flow.then(Cast(node.source, dtype)), dtype=dtype)
    if dtype.kind not in "iufb" or any(isinstance(one, str) for one in value.classes):
        fail(node, f"makes {dtype} of labels; output=NAME of its input leaves it out")
    classes = np.array(value.classes).astype(dtype).tolist()
    return replace(value, classes=_distinct(node, classes), dtype=dtype)


def _same(node: Node, value: Any) -> Any:
    return value


def _reshaped(node: Node, value: Any) -> Any:
    """Return labels, of which there is one for each row in any shape."""
    if value.kind == "both":
        fail(node, f"changes the shape of what is made of an output; {CHAIN}")
    return value


# Of answers, and of flows where nothing else is said of them.
ANSWERS: dict[str, Callable[[Node, Any], Any]] = {
    "ArgMax": _index, "Cast": _cast, "Flatten": _reshaped, "Gather": _chosen, "Identity": _same,
    "Reshape": _reshaped, "Squeeze": _reshaped, "Transpose": _reshaped, "Unsqueeze": _reshaped,
    "ai.onnx.ml.ArrayFeatureExtractor": _chosen, "ai.onnx.ml.Binarizer": _binarizer,
    "ai.onnx.ml.LabelEncoder": _encoded, "ai.onnx.ml.Normalizer": _normalizer,
    "ai.onnx.ml.ZipMap": _named,
}  # fmt: skip
TABLES = ("Gather", "ai.onnx.ml.ArrayFeatureExtractor")  # whose second input is chosen by
OF_FLOWS = ("ArgMax", "ai.onnx.ml.Binarizer", "ai.onnx.ml.Normalizer", "ai.onnx.ml.ZipMap")


def outermost(values: Sequence[Any]) -> Flow | None:
    """Return the one of several tensors that the others lead to; None if they are no such chain.

    A label may be found before the softmax, which keeps the order.
    """
    flows = [value.flow if isinstance(value, Answer) else value for value in values]
    last = max(flows, key=lambda flow: len(flow.steps))
    for flow in flows:
        more = [step for step in last.steps[len(flow.steps) :] if not isinstance(step, Cast)]
        if flow.inputs is not last.inputs or last.steps[: len(flow.steps)] != flow.steps:
            return None
        names = {getattr(step, "name", "") for step in more if isinstance(step, Activation)}
        if more and (len(more) != len(names) or not names <= {"softmax", "sigmoid"}):
            return None
    return last
