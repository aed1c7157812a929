"""Random graphs of ONNX: chains of layers, and among them what no network does.

`graph(seed)` makes one, that ONNX Runtime runs or not; most are refused. What is accepted must be
what ONNX Runtime computes, for every number of rows.
"""

import math
import re
import warnings

import numpy as np

import fcnn
from fcnn import convert

ML, MS = "ai.onnx.ml", "com.microsoft"
# What a refusal begins with, and the ways out that it may name.
NAMED = re.compile(r"(node '.*' \(\w+\)|input '.*'|model): ", re.DOTALL)
WAY_OUT = re.compile(
    r"output=NAME|loss=.cross_entropy|[Tt]rain the network|from_sklearn|before its quant|[Ee]xport "
)
MOVES = []  # functions that add to a graph, and how often


class Impossible(Exception):  # noqa: N818
    """Something does not go with the graph so far."""


class Growing:
    """A graph while it grows: `last` is its newest tensor, for an input of some rows."""

    def __init__(self, seed):
        rng = self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.domains, self.outputs = [], [], set(), []
        self.opset = int(rng.choice([9, 11, 13, 17, 18, 21]))
        self.dtype = self.input_dtype = np.dtype(str(rng.choice(["f4"] * 6 + ["f8", "f2"])))
        n, width = int(rng.choice([1, 3, 4, 7])), int(rng.integers(1, 6))
        self.input_shape = (n, width) if self.chance(0.9) else (n, 2, width)
        self.is_fixed = self.chance(0.3)  # the number of rows
        self.last, self.shape = "x", self.input_shape
        self.before = []  # tensors and shapes

    def chance(self, p):
        return self.rng.random() < p

    def some(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def normal(self, *shape):
        return np.asarray(self.rng.normal(size=shape)).astype(self.dtype)

    def constant(self, values, dtype=None):
        import onnx

        name = f"c{len(self.nodes)}_{len(self.constants)}"
        values = np.asarray(values, self.dtype if dtype is None else dtype)
        made = onnx.numpy_helper.from_array(values, name)
        if self.chance(0.15):
            self.nodes.append(onnx.helper.make_node("Constant", [], [name], value=made))
        else:
            self.constants.append(made)
        return name

    def integers(self, *values):
        return self.constant(np.array(values, np.int64), np.int64)

    def node(self, op, *inputs, outputs=1, domain="", **attributes):
        import onnx

        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(onnx.helper.make_node(op, inputs, names, domain=domain, **attributes))
        self.domains.add(domain)
        return names[0] if outputs == 1 else names

    def to(self, tensor, shape=None):
        """Go on from a tensor."""
        shape = self.shape if shape is None else tuple(int(n) for n in shape)
        if not shape or not all(shape):
            raise Impossible
        self.last, self.shape = tensor, shape

    def listed(self, op, tensor, values, attribute="axes", since=13, outputs=1, **attributes):
        """A node whose integers were an attribute before a version."""
        if self.opset < since:
            return self.node(op, tensor, outputs=outputs, **{attribute: values}, **attributes)
        return self.node(op, tensor, self.integers(*values), outputs=outputs, **attributes)

    def axis(self):
        return int(self.rng.integers(len(self.shape)))

    def either(self, op, other):
        """A node of the newest tensor and another one, in either order."""
        return self.node(op, *self.some((self.last, other), (other, self.last)))


def move(often):
    def add(function):
        MOVES.append((function, often))
        return function

    return add


# --- Layers --------------------------------------------------------------------------------------


@move(6)
def gemm(g):
    if len(g.shape) != 2:
        raise Impossible
    A, shape, options = g.last, g.shape, {}
    if g.chance(0.1):
        options["transA"] = 1
        if g.chance(0.7):
            A = g.node("Transpose", A)
        else:
            shape = shape[::-1]
    W = g.normal(shape[1], m := int(g.rng.integers(1, 6)))
    for name in ("alpha", "beta"):
        if g.chance(0.2):
            options[name] = float(g.normal())
    if g.chance(0.4):
        W, options["transB"] = W.T, 1
    inputs = [A, g.constant(W)]
    if g.chance(0.8) or g.opset < 11:
        odd = g.some((1, m), (1,), (shape[0], m), (shape[0], 1), ())
        inputs.append(g.constant(g.normal(*(odd if g.chance(0.3) else (m,)))))
    g.to(g.node("Gemm", *inputs, **options), (shape[0], m))


@move(8)
def matmul(g):
    m, lead = int(g.rng.integers(1, 6)), g.shape[:-1]
    if g.chance(0.1) and len(g.shape) > 1:
        W = g.constant(g.normal(m, g.shape[-2]))
        g.to(g.node("MatMul", W, g.last), (*g.shape[:-2], m, g.shape[-1]))
    elif g.chance(0.1):
        W = g.constant(g.normal(1, g.shape[-1], m))
        g.to(g.node("MatMul", g.last, W), (*(lead if len(lead) > 1 else (1, *lead)), m))
    elif g.chance(0.1):
        g.to(g.node("MatMul", g.last, g.constant(g.normal(g.shape[-1]))), lead)
    else:
        W = g.constant(g.normal(g.shape[-1], m))
        g.to(g.node("MatMul", g.last, W), (*lead, m))


@move(3)
def arithmetic(g):
    op = g.some("Add", "Add", "Sub", "Mul", "Mul", "Div", "Sum")
    n = g.shape[-1]
    shape = g.some((), (1,), (n,), (n,), (n,), (n,), (1, n), g.shape, (1, 1, 1, n),
                   (g.shape[0], *(1,) * (len(g.shape) - 1)))  # fmt: skip
    values = g.normal(*shape)
    if op == "Div":
        values[np.abs(values) < 0.1] = 1
    g.to(g.either(op, g.constant(values)), np.broadcast_shapes(g.shape, shape))


@move(1)
def batch_normalization(g):
    if len(g.shape) < 2:
        raise Impossible
    numbers = [g.normal(g.shape[1]) for _ in range(3)]
    numbers.append(np.abs(g.normal(g.shape[1])) + 0.1)
    options = g.some({}, {"epsilon": 0.001})
    g.to(g.node("BatchNormalization", g.last, *map(g.constant, numbers), **options))


# --- Activations ---------------------------------------------------------------------------------


@move(8)
def elementwise(g):
    usual = ("Relu", "Tanh", "Sigmoid") * 3
    op = g.some(*usual, "Softplus", "Identity", "Neg", "Dropout", "Exp", "Erf", "Selu", "Floor")
    g.to(g.node(op, g.last))


@move(3)
def with_a_number(g):
    op = g.some("Elu", "LeakyRelu", "LeakyRelu", "Celu", "PRelu", "PRelu", "ThresholdedRelu")
    number = g.some(0.2, 0.5, 1.0, 0.0, 1.5, -0.3)
    if op == "Celu" and (g.opset < 12 or not number):
        raise Impossible
    if op == "PRelu":
        n = g.shape[-1]
        slopes = g.some(np.full(1, number), np.full(n, number), np.full((), number), g.normal(n))
        g.to(g.node(op, g.last, g.constant(slopes)))
    else:
        g.to(g.node(op, g.last, **g.some({}, {"alpha": number}, {"alpha": number})))


@move(2)
def softmax(g):
    axis = g.some({}, {"axis": -1}, {"axis": g.axis()})
    g.to(g.node(g.some("Softmax", "Softmax", "LogSoftmax"), g.last, **axis))


@move(2)
def clip(g):
    bounds = {"min": g.some(0.0, 0.0, -1.0, None), "max": g.some(None, None, 6.0, math.inf)}
    largest = float(np.finfo(g.dtype).max)
    given = {name: min(value, largest) for name, value in bounds.items() if value is not None}
    if g.opset < 11:
        g.to(g.node("Clip", g.last, **given))
        return
    inputs = [g.constant(given[name]) if name in given else "" for name in ("min", "max")]
    while inputs and not inputs[-1]:
        inputs.pop()
    g.to(g.node("Clip", g.last, *inputs))


@move(1)
def largest(g):
    zeros = g.some(np.zeros(()), np.zeros(g.shape[-1]), g.normal(g.shape[-1]))
    g.to(g.either(g.some("Max", "Max", "Min"), g.constant(zeros)))


@move(1)
def gelu(g):
    if g.opset >= 20:
        g.to(g.node("Gelu", g.last, **g.some({}, {"approximate": "none"}, {"approximate": "tanh"})))
    else:
        op, options = g.some(("Gelu", {}), ("QuickGelu", {}), ("QuickGelu", {"alpha": 1.0}))
        g.to(g.node(op, g.last, domain=MS, **options))


@move(1)
def formula_of_gelu(g):
    z, root = g.last, g.some(0.5**0.5, 0.5**0.5, 0.7)
    inner = g.some(g.node("Mul", z, g.constant(root)), g.node("Div", z, g.constant(1 / root)))
    gate = g.node("Add", g.node("Erf", inner), g.constant(g.some(1, 1, 1, 0.9)))
    if g.chance(0.5):
        g.to(g.node("Mul", g.node("Mul", z, gate), g.constant(0.5)))
    else:
        g.to(g.node("Mul", g.node("Mul", z, g.constant(0.5)), gate))


@move(1)
def formula_of_silu(g):
    z = g.some(g.last, g.last, g.node("Mul", g.last, g.constant(2.0)))
    inner = g.some(g.last, g.last, g.node("Mul", g.last, g.constant(1.702)))
    g.to(g.node("Mul", *g.some((z, gate := g.node("Sigmoid", inner)), (gate, z))))


@move(1)
def formula_of_slopes(g):
    z = g.last
    scaled = g.node("Mul", z, g.constant(g.some(0.2, 0.01, 1.5, -0.2, 0)))
    limit = g.constant(g.some(0, 0, 0, 0.5))
    above = g.node(g.some("Greater", "Greater", "Greater", "Less"), z, limit)
    g.to(g.some(lambda: g.node("Max", scaled, z), lambda: g.node("Where", above, z, scaled),
                lambda: g.node("Where", above, scaled, z))())  # fmt: skip


@move(1)
def formula_of_softplus(g):
    z, other = g.some(g.last, g.last), g.node("Softplus", g.last)
    above = g.node("Greater", z, g.constant(g.some(20, 20, 1)))
    g.to(g.node("Where", above, *g.some((z, other), (z, other), (other, z))))


@move(1)
def like(g):
    if g.opset < 15:
        raise Impossible
    made = g.node("CastLike", g.constant(g.some(2.5, 0.0), "f4"), g.last)
    g.to(g.node(g.some("Mul", "Add", "Max"), g.last, made))


# --- Shapes --------------------------------------------------------------------------------------


@move(1)
def reshape(g):
    first, *rest = g.shape
    shape = g.some([-1], [first, -1], [0, -1], [1, -1], [-1, 1], [-1, g.shape[-1]], [1, *g.shape],
                   [g.shape[-1], -1], [*rest, first], [0] * len(g.shape))  # fmt: skip
    if len([*shape]) > len(g.shape) and 0 in shape:
        raise Impossible
    real = [g.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    tensor = g.node("Reshape", g.last, g.integers(*shape))
    try:
        g.to(tensor, np.empty(g.shape).reshape(real).shape)
    except ValueError:
        raise Impossible from None


@move(1)
def reshape_by_its_shape(g):
    at = g.axis()
    n = g.node("Gather", g.node("Shape", g.last), g.integers(at), axis=0)
    rest = math.prod(g.shape) // g.shape[at]
    parts, shape = g.some(
        ([n, g.integers(-1)], (g.shape[at], rest)), ([g.integers(-1), n], (rest, g.shape[at]))
    )
    g.to(g.node("Reshape", g.last, g.node("Concat", *parts, axis=0)), shape)


@move(1)
def flatten(g):
    axis = int(g.rng.integers(len(g.shape) + 1))
    parts = g.shape[:axis], g.shape[axis:]
    g.to(g.node("Flatten", g.last, axis=axis), map(math.prod, parts))


@move(1)
def squeeze(g):
    ones = [i for i, n in enumerate(g.shape) if n == 1]
    if not ones:
        raise Impossible
    if g.chance(0.4):
        g.to(g.node("Squeeze", g.last), [n for n in g.shape if n != 1])
        return
    axis = g.some(*ones)
    shape = [n for i, n in enumerate(g.shape) if i != axis]
    written = axis - len(g.shape) if g.opset >= 11 and g.chance(0.4) else axis
    g.to(g.listed("Squeeze", g.last, [written]), shape)


@move(1)
def unsqueeze(g):
    axis = int(g.rng.integers(len(g.shape) + 1))
    g.to(g.listed("Unsqueeze", g.last, [axis]), (*g.shape[:axis], 1, *g.shape[axis:]))


@move(1)
def transpose(g):
    order = g.rng.permutation(len(g.shape)).tolist()
    g.to(g.node("Transpose", g.last, perm=order), [g.shape[i] for i in order])


@move(2)
def slices(g):
    axis, end = g.axis(), g.some(2, 3, 5, 100, -1, 2**31 - 1, 2**63 - 1)
    start, step = g.some(0, 0, 1, -1, -2), 1
    if g.opset < 10:
        tensor = g.node("Slice", g.last, starts=[start], ends=[end], axes=[axis])
    else:
        if g.chance(0.15):
            start, end, step = -1, -(2**31), -1
        ends = g.integers(end)
        if step == 1 and g.chance(0.3):  # as many as there are of another axis
            other = g.axis()
            start, end = 0, g.shape[other]
            ends = g.node("Gather", g.node("Shape", g.last), g.integers(other), axis=0)
        tensor = g.node("Slice", g.last, g.integers(start), ends, g.integers(axis),
                        g.integers(step))  # fmt: skip
    left = range(g.shape[axis])[slice(start, None if step < 0 else end, step)]
    g.to(tensor, (*g.shape[:axis], len(left), *g.shape[axis + 1 :]))


@move(1)
def gather(g):
    axis = g.some(g.axis(), len(g.shape) - 1)
    size = g.shape[axis]
    indices = g.rng.integers(-size if g.opset >= 11 else 0, size, int(g.rng.integers(1, size + 1)))
    if g.chance(0.6):
        indices = g.rng.permutation(size)[: len(indices)]
    indices = indices[0] if g.chance(0.2) else indices
    tensor = g.node("Gather", g.last, g.constant(indices, np.int64), axis=axis)
    g.to(tensor, (*g.shape[:axis], *np.shape(indices), *g.shape[axis + 1 :]))


@move(1)
def split(g):
    axis = g.axis()
    if g.shape[axis] < 2:
        raise Impossible
    first = int(g.rng.integers(1, g.shape[axis]))
    sizes = [first, g.shape[axis] - first]
    parts = g.listed("Split", g.last, sizes, "split", outputs=2, axis=axis)
    if g.chance(0.3):
        g.to(g.node("Concat", *g.some(parts, parts[::-1]), axis=axis))
    else:
        i = g.some(0, 1)
        g.to(parts[i], (*g.shape[:axis], sizes[i], *g.shape[axis + 1 :]))


# --- Others --------------------------------------------------------------------------------------


@move(1)
def join(g):
    other = g.some(*(name for name, shape in [*g.before, (g.last, g.shape)] if shape == g.shape))
    op = g.some("Add", "Mul", "Sub", "Max", "Concat")
    if op == "Concat":
        axis = g.axis()
        shape = [n * (1 + (i == axis)) for i, n in enumerate(g.shape)]
        g.to(g.node(op, g.last, other, axis=axis), shape)
    else:
        g.to(g.either(op, other))


@move(1)
def cast(g):
    numbers = {"f4": 1, "f8": 11, "f2": 10}
    if g.chance(0.3):  # to integers and back
        back = numbers[g.dtype.str[1:]]
        g.to(g.node("Cast", g.node("Cast", g.last, to=g.some(6, 7)), to=back))
    else:
        name = g.some(*numbers)
        g.to(g.node("Cast", g.last, to=numbers[name]))
        g.dtype = np.dtype(name)


@move(1)
def output(g):
    g.outputs.append(g.last)


# --- Ends ----------------------------------------------------------------------------------------


def sigmoid(g, often):
    return g.node("Sigmoid", g.last) if g.chance(often) else g.last


def end_with_both(g):
    p, axis = sigmoid(g, 0.8), g.axis()
    rest = g.node("Sub", g.constant(g.some(1, 1, 1, 1, 2)), p)
    both = g.node("Concat", *g.some((rest, p), (rest, p), (p, rest)), axis=axis)
    if g.chance(0.3):
        both = g.some(g.node("Transpose", both), g.node("Cast", both, to=g.some(1, 11, 7)))
    g.outputs.append(both)
    if g.chance(0.5):
        both = g.node("ArgMax", both, axis=g.axis(), keepdims=g.some(0, 1))
    return both


def end_with_labels(g):
    if g.chance(0.4):
        g.outputs.append(g.node("Softmax", g.last, axis=len(g.shape) - 1))
    axis = g.some(len(g.shape) - 1, g.axis())
    label = g.node("ArgMax", g.last, axis=axis, keepdims=g.some(0, 1))
    if g.chance(0.5):
        names = g.rng.integers(-9, 9, 30) if g.chance(0.5) else g.rng.permutation(30)
        label = g.node("Gather", g.constant(names[: g.shape[axis]], np.int64), label, axis=0)
    return g.node("Cast", label, to=g.some(1, 6, 7, 9)) if g.chance(0.3) else label


def end_with_a_limit(g):
    limit = g.some(0.0, 0.5, 0.5, 0.3)
    if g.chance(0.5) and g.dtype == np.float32:
        return g.node("Binarizer", sigmoid(g, 0.6), domain=ML, threshold=limit)
    return g.node("Greater", sigmoid(g, 0.6), g.constant(limit))


def end_with_ml(g):
    if g.dtype != np.float32 or len(g.shape) != 2:
        raise Impossible
    if g.chance(0.5):
        x = g.node("Softmax", g.last, axis=1) if g.chance(0.6) else g.last
        return g.node("Normalizer", x, domain=ML, norm=g.some("L1", "L2", "MAX"))
    numbers = {name: g.normal(g.shape[1]).tolist() for name in ("offset", "scale")}
    return g.node("Scaler", g.last, domain=ML, **numbers)


ENDS = (end_with_both, end_with_labels, end_with_a_limit, end_with_ml)


def graph(seed):
    """Return a model, inputs for it, and of how many at once; raise if it came to nothing."""
    import onnx

    g = Growing(seed)
    moves, often = zip(*MOVES, strict=True)
    for i in range(int(g.rng.integers(1, 8))):
        at = g.rng.choice(len(moves), p=np.array(often) / sum(often))
        chosen = matmul if not i and g.chance(0.4) else moves[at]
        g.before.append((g.last, g.shape))
        try:
            chosen(g)
        except Impossible:
            continue
    if g.chance(0.3):
        g.last = g.some(*ENDS)(g)
    outputs = [*dict.fromkeys([*g.outputs, g.last])]
    helper = onnx.helper
    number = helper.np_dtype_to_tensor_dtype(g.input_dtype)
    shape = [*g.input_shape] if g.is_fixed else ["n", *g.input_shape[1:]]
    made = helper.make_graph(
        g.nodes, "g", [helper.make_tensor_value_info("x", number, shape)], [], g.constants
    )
    opsets = [helper.make_opsetid("", g.opset)]
    opsets += [helper.make_opsetid(domain, 3 if domain == ML else 1) for domain in g.domains - {""}]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    known = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    if "x" in outputs or not known.keys() >= {*outputs}:
        raise Impossible
    for name in outputs:
        info = helper.make_tensor_value_info(name, known[name].type.tensor_type.elem_type, [])
        info.type.tensor_type.shape.CopyFrom(known[name].type.tensor_type.shape)
        model.graph.output.append(info)
    X = (g.some(1, 3) * g.rng.normal(size=(13, *g.input_shape[1:]))).astype(g.input_dtype)
    n = g.input_shape[0]
    return model, X, [n] if g.is_fixed else [n, 1, 2, 13]


# --- Comparing -----------------------------------------------------------------------------------


def difference(got, wanted, n):
    """Return how far two arrays are apart, of the largest; rows of the second may stand anywhere.

    NaN if the second is not finite.
    """
    got, wanted = np.asarray(got).astype(float), np.asarray(wanted).astype(float)
    if got.size != wanted.size:
        return math.inf
    if not np.isfinite(wanted).all():
        return math.nan
    ways = [wanted, wanted.reshape(-1, n).T]
    ways += [np.moveaxis(wanted, axis, 0) for axis, size in enumerate(wanted.shape) if size == n]
    apart = min(np.abs(got.reshape(-1) - way.reshape(-1)).max() for way in ways)
    return apart / max(np.abs(wanted).max(), 1e-2)


def answers(converted, X, several):
    """Return all that a network or a model says of inputs."""
    X = X.reshape(len(X), -1)
    if isinstance(converted, fcnn.Network):
        made = [converted.predict(X)]
    else:
        made = [np.atleast_1d(converted.predict(X)), converted.outputs(X)]
        if converted.classes and converted.network.activations[-1] in ("sigmoid", "softmax"):
            made.append(converted.predict_proba(X))
    return [*made, made[0] > 0.5] if several else made


def check(seed, run):
    """Return what came of a graph: "right", "refused", or "" if ONNX Runtime does not run it."""
    import onnx

    try:
        model, X, numbers = graph(seed)
        onnx.checker.check_model(model)
    except (Impossible, onnx.checker.ValidationError):
        return ""
    wanted = {}
    for n in numbers:
        try:
            wanted[n] = run(model, X[:n])
        except Exception as error:  # ONNX Runtime's have no class of their own
            if "onnx" not in type(error).__module__:
                raise
    if numbers[0] not in wanted:
        return ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            converted = convert.from_onnx(model)
        except ValueError as error:
            said = str(error)
            assert NAMED.match(said), (seed, said)
            assert WAY_OUT.search(said), (seed, said)
            return "refused"
    several = [str(one.message) for one in caught]
    assert all("is left out" in text for text in several), (seed, several)
    halves = any(t.data_type == 10 for t in model.graph.initializer) or X.dtype == np.float16
    halves |= any(a.name == "to" and a.i == 10 for node in model.graph.node for a in node.attribute)
    for n, outputs in wanted.items():
        made = answers(converted, X[:n], several)
        for output in outputs:
            apart = min(difference(one, output, n) for one in made)
            assert not apart > (5e-2 if halves else 2e-5), (seed, n, apart, str(converted))
    return "right"
