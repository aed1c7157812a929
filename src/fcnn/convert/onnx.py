"""What each activation is in ONNX, for the reader and the writer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Nodes(NamedTuple):
    """Nodes from z to a, (operator, inputs, output), and the constants that they read."""

    nodes: tuple[tuple[str, tuple[str, ...], str], ...]
    constants: dict[str, float]
    dtypes: tuple[str, ...] = ("float32", "float64")  # where they are written
    before: float = math.inf  # the first opset where they are not


class Operator(NamedTuple):
    """The operator of an activation, and what is written in its place."""

    name: str
    # What they must be, the one to be written first; of an activation with a number, which is
    # alpha, where there is none.
    attributes: dict[str, tuple[Any, ...]]
    instead: Nodes | None = None


# None is an activation that is no node, nor nodes of z alone: ascending, see onnx_writer.
OPERATORS: dict[str, Operator | None] = {
    "identity": Operator("Identity", {}, Nodes((), {})),
    "sigmoid": Operator("Sigmoid", {}),
    "tanh": Operator("Tanh", {}),
    "relu": Operator("Relu", {}),
    "leaky_relu": Operator(
        "LeakyRelu", {},
        # alpha is a float32, for a double up to 6e-8 off; what its number is, is a tensor here.
        Nodes((("PRelu", ("z", "slope"), "a"),), {"slope": 0.01}, dtypes=("float64",)),
    ),
    "elu": Operator("Elu", {}, Nodes((
        ("Elu", ("z",), "unit"),
        ("PRelu", ("unit", "slope"), "a"),
    ), {"slope": 1.0}, dtypes=("float64",))),
    "gelu": Operator("Gelu", {"approximate": (b"none",)}, Nodes((
        ("Mul", ("z", "scale"), "scaled"),
        ("Erf", ("scaled",), "erf"),
        ("Add", ("erf", "one"), "sum"),
        ("Mul", ("z", "sum"), "twice"),
        ("Mul", ("twice", "half"), "a"),
    ), {"scale": math.sqrt(0.5), "one": 1.0, "half": 0.5}, before=20)),
    "silu": Operator("Swish", {"alpha": (1.0,)}, Nodes((
        ("Sigmoid", ("z",), "sigmoid"),
        ("Mul", ("z", "sigmoid"), "a"),
    ), {})),
    "softplus": Operator("Softplus", {}, Nodes((
        # Softplus alone is 2e-9 off where z is a little above 20; in float32 that is nothing.
        ("Greater", ("z", "limit"), "above"),
        ("Softplus", ("z",), "softplus"),
        ("Where", ("above", "z", "softplus"), "a"),
    ), {"limit": 20.0}, dtypes=("float64",))),
    "softmax": Operator("Softmax", {"axis": (-1, 1)}),
    "exp": Operator("Exp", {}),
    "ascending": None,
}  # fmt: skip
