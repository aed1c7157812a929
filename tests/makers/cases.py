"""Networks of other makers, of random sizes and numbers: what fcnn makes of them, and theirs.

A case is a maker, a form and a direction, "in" or "out"; its function takes a generator and returns
fcnn's answers and those of the maker's own runtime. Or it is `refused`: then the function returns
what is to be converted, or what converts it, and the message has the node, its operator, and what
to do. What goes out stands in `makers.out`.
"""

import functools
import importlib.util
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fcnn
from fcnn import convert

os.environ.setdefault("KERAS_BACKEND", "torch")
TOLERANCE = 1e-6  # of the largest output, in float32
SEEDS = range(3)

# What a maker is called, the packages that its cases need, and whose version is told.
MAKERS: dict[str, tuple[str, ...]] = {
    "scikit-learn": ("sklearn",),
    "skops": ("sklearn", "skops"),
    "skl2onnx": ("sklearn", "skl2onnx", "onnxruntime"),
    "PyTorch": ("torch",),
    "torch.onnx, dynamo": ("torch", "onnxscript", "onnxruntime"),
    "torch.onnx, script": ("torch", "onnxruntime"),
    "Keras": ("keras", "torch", "onnxruntime"),
    "ONNX Runtime": ("onnxruntime", "onnx"),
    "onnx.helper": ("onnx", "onnxruntime"),
    "C": ("cc",),
}  # fmt: skip


class Case(NamedTuple):
    maker: str
    form: str
    direction: str
    run: Callable[[np.random.Generator], Any]
    refused: str | None = None  # a pattern of the message

    @property
    def name(self) -> str:
        return f"{self.maker}: {self.form}, {self.direction}"

    def worst(self) -> float:
        """Return the largest relative error over random networks; raise if one is refused."""
        errors = []
        for seed in SEEDS:
            with quiet():
                got, wanted = self.run(np.random.default_rng(seed))
            got, wanted = np.asarray(got), np.asarray(wanted)
            assert got.shape == wanted.shape, (got.shape, wanted.shape)
            if wanted.dtype.kind in "US" or got.dtype.kind in "US":
                errors.append(float((got != wanted).any()))
                continue
            assert np.isfinite(wanted).all()
            assert np.ptp(wanted) > 0  # or there is nothing to compare
            got, wanted = got.astype(np.float64), wanted.astype(np.float64)
            errors.append(float(np.abs(got - wanted).max() / np.abs(wanted).max()))
        return max(errors)

    def message(self) -> str:
        """Return what a refusal says."""
        with quiet():
            given = self.run(np.random.default_rng(0))
        given, options = given if isinstance(given, tuple) else (given, {})
        with pytest.raises(ValueError, match=self.refused) as caught:
            given() if callable(given) else convert.from_onnx(given, **options)
        return str(caught.value)


class quiet:  # noqa: N801
    """Without what exporters print and warn of; warnings of fcnn are errors."""

    def __enter__(self):
        self.warnings = warnings.catch_warnings()
        self.warnings.__enter__()
        warnings.simplefilter("ignore")
        self.level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)

    def __exit__(self, *exception):
        logging.disable(self.level)
        self.warnings.__exit__(*exception)


CASES: list[Case] = []


def case(maker, form, direction="in", refused=None):
    def add(run):
        CASES.append(Case(maker, form, direction, run, refused))
        return run

    return add


def missing(maker: str) -> list[str]:
    """Return the packages of a maker that are not installed, or its compiler."""
    if maker == "C":
        return [name for name in MAKERS[maker] if shutil.which(name) is None]
    return [name for name in MAKERS[maker] if importlib.util.find_spec(name) is None]


# --- What they are run by ------------------------------------------------------------------------


def run_all(model, X, optimize=False):
    """Return all outputs of ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: X})


def run(model, X, output=0, optimize=True):
    """Return an output of ONNX Runtime."""
    return run_all(model, X, optimize)[output]


def read(model, X, like, **options):
    """Return what fcnn's reading of a model predicts, in the shape of the maker's answer."""
    return np.reshape(convert.from_onnx(model, **options).predict(X), like.shape)


def both(model, X, wanted=None):
    wanted = run(model, X) if wanted is None else wanted
    return read(model, X, wanted), wanted


# --- skl2onnx ------------------------------------------------------------------------------------


def perceptron(rng, kind, dtype="float32", before=()):
    """Return a fitted estimator, its inputs and the options of skl2onnx that are of it."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline

    n = int(rng.integers(3, 9))
    X = rng.normal(rng.normal(size=n) * 5, rng.uniform(0.5, 4, n), size=(80, n))
    u = (X - X.mean(axis=0)) / X.std(axis=0)
    targets = {
        "binary": (u[:, 0] > 0) * 1,
        "texts": np.array(["no", "yes"])[(u[:, 0] > 0) * 1],
        "classes": np.array(["a", "b", "c"])[np.digitize(u[:, 0], [-0.5, 0.5])],
        "numbered classes": np.digitize(u[:, 0], [-0.5, 0.5]) + 5,
        "labels": (u[:, :3] > 0) * 1,
        "number": u[:, 0],
        "numbers": u[:, :2],
    }
    hidden = tuple(int(n) for n in rng.integers(2, 20, rng.integers(1, 3)))
    activation = str(rng.choice(["relu", "tanh", "logistic", "identity"]))
    kinds = MLPRegressor if kind.startswith("number") and "class" not in kind else MLPClassifier
    last = kinds(hidden_layer_sizes=hidden, activation=activation, max_iter=8, random_state=0)
    model = make_pipeline(*before, last) if before else last
    return model.fit(X.astype(dtype), targets[kind]), X.astype(dtype), last


def skl2onnx(model, X, last, zipmap=None):
    from skl2onnx import to_onnx

    options = {} if zipmap is None else {"options": {id(last): {"zipmap": zipmap}}}
    return to_onnx(model, X[:1], **options)


def classifier(kind, zipmap, scaled=False):
    """Labels as texts, and probabilities, of ONNX Runtime and of fcnn, as one array each."""

    def compare(rng):
        from sklearn.preprocessing import StandardScaler

        made = perceptron(rng, kind, before=(StandardScaler(),) if scaled else ())
        onnx_model, X = skl2onnx(*made, zipmap), made[1]
        labels, probabilities = run(onnx_model, X, 0), run(onnx_model, X, 1)
        model = convert.from_onnx(onnx_model)
        if zipmap:
            names = list(probabilities[0])
            assert list(model.classes) == names
            probabilities = np.array([[row[name] for name in names] for row in probabilities])
        assert (model.predict(X) == labels).all()
        assert set(made[0].classes_.tolist()) == set(model.classes)
        return model.predict_proba(X), probabilities

    return compare


for form, kind, zipmap in (
    ("binary, ZipMap", "binary", True), ("binary", "binary", False),
    ("binary, classes of text", "texts", False), ("multi-class, ZipMap", "classes", True),
    ("multi-class", "numbered classes", False),
):  # fmt: skip
    case("skl2onnx", form)(classifier(kind, zipmap))
case("skl2onnx", "StandardScaler, binary")(classifier("texts", True, scaled=True))
case("skl2onnx", "StandardScaler, multi-class")(classifier("classes", False, scaled=True))


@case("skl2onnx", "multi-label")
def _(rng):
    made = perceptron(rng, "labels")
    model, X = skl2onnx(*made, False), made[1]
    net = convert.from_onnx(model)  # warns of the labels, which it leaves out
    assert ((net.predict(X) > 0.5) == run(model, X, 0)).all()
    return net.predict(X), run(model, X, 1)


@case("skl2onnx", "one output")
def _(rng):
    made = perceptron(rng, "number")
    return both(skl2onnx(*made), made[1])


@case("skl2onnx", "several outputs")
def _(rng):
    made = perceptron(rng, "numbers")
    return both(skl2onnx(*made), made[1])


@case("skl2onnx", "several outputs, float64")
def _(rng):
    made = perceptron(rng, "numbers", "float64")
    return both(skl2onnx(*made), made[1])


@case("skl2onnx", "StandardScaler, one output")
def _(rng):
    from sklearn.preprocessing import StandardScaler

    made = perceptron(rng, "number", before=(StandardScaler(),))
    return both(skl2onnx(*made), made[1])


@case("skl2onnx", "several scalers, float64")
def _(rng):
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    made = perceptron(rng, "number", "float64", (StandardScaler(), MinMaxScaler()))
    return both(skl2onnx(*made), made[1])


@case("skl2onnx", "ColumnTransformer of scalers")
def _(rng):
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    columns = make_column_transformer(
        (StandardScaler(), [2, 0]), (MaxAbsScaler(), [1]), remainder="drop"
    )
    made = perceptron(rng, "number", before=(columns,))
    return both(skl2onnx(*made), made[1])


@case("skl2onnx", "StandardScaler of integers")
def _(rng):
    from sklearn.preprocessing import StandardScaler

    model, X, last = perceptron(rng, "number", before=(StandardScaler(),))
    X = np.round(3 * X).astype(np.int64)
    return both(skl2onnx(model, X, last), X)


@case("skl2onnx", "PCA between")
def _(rng):
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    made = perceptron(rng, "number", before=(StandardScaler(), PCA(2)))
    return both(skl2onnx(*made), made[1])


@case("skl2onnx", "a Perceptron's scores")
def _(rng):
    """Beside its labels, by their names: no probabilities."""
    from sklearn.linear_model import Perceptron

    X = rng.normal(2, 3, size=(90, 5)).astype("f4")
    model = Perceptron().fit(X, np.digitize(X[:, 0] + X[:, 1], [2, 6]))
    onnx_model = skl2onnx(model, X, model)
    converted = convert.from_onnx(onnx_model)
    assert (converted.predict(X) == run(onnx_model, X)).all()
    wanted = run(onnx_model, X, 1)
    if isinstance(wanted, list):
        wanted = np.array([[*row.values()] for row in wanted])
    return converted.outputs(X), wanted


@case("skl2onnx", "trees", refused=r"\(TreeEnsembleRegressor\): .* another kind of model")
def _(rng):
    from sklearn.tree import DecisionTreeRegressor

    X = rng.normal(size=(60, 2)).astype("f4")
    model = DecisionTreeRegressor().fit(X, X[:, 0])
    return skl2onnx(model, X, model)


@case("skl2onnx", "inputs of another size than 1 (years)")
def _(rng):
    """Where a scaler that is folded into weights loses digits."""
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = rng.integers(1_700_000, 1_700_200, size=(60, 3)).astype("f4")
    last = MLPRegressor(hidden_layer_sizes=(8,), max_iter=20)
    model = make_pipeline(StandardScaler(), last).fit(X, X[:, 0] % 7)
    return both(skl2onnx(model, X, last), X)


@case("skl2onnx", "Normalizer first", refused=r"\(Normalizer\): divides by the norm .*output=NAME")
def _(rng):
    from sklearn.preprocessing import Normalizer

    return skl2onnx(*perceptron(rng, "number", before=(Normalizer(),)))


@case("skl2onnx", "OneHotEncoder", refused=r"\(OneHotEncoder\): .*from_sklearn")
def _(rng):
    from sklearn.compose import make_column_transformer
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    X = rng.integers(0, 3, size=(60, 2)).astype("f4")
    last = MLPRegressor(hidden_layer_sizes=(8,), max_iter=2)
    before = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    return skl2onnx(make_pipeline(before, last).fit(X, X[:, 0]), X, last)


# --- PyTorch -------------------------------------------------------------------------------------


def exported(module, x, dynamo, **options):
    import onnx
    import torch

    file = io.BytesIO()
    if dynamo:
        options.setdefault("dynamic_shapes", ({0: torch.export.Dim("n")},))
    else:
        options.setdefault("dynamic_axes", {"x": {0: "n"}})
    torch.onnx.export(
        module, (x,), file, dynamo=dynamo, input_names=["x"], verbose=False, **options
    )
    return onnx.load_from_string(file.getvalue())


FORMS: dict[str, dict[str, Any]] = {}  # of PyTorch's modules


def dense(torch, rng, n_in, n_out=1, activation=None, before=None, after=None):
    """A module of two layers, with functions before, between and after them."""
    nn = torch.nn

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            n = int(rng.integers(2, 20))
            self.first, self.second = nn.Linear(n_in, n), nn.Linear(n, n_out)
            self.activation = activation(torch) if activation else nn.Tanh()
            self.before = before(torch) if before else None
            self.after = after(torch) if after else None

        def forward(self, x):
            x = self.before(x) if self.before else x
            x = self.second(self.activation(self.first(x)))
            return self.after(x) if self.after else x

    torch.manual_seed(int(rng.integers(1000)))
    return Dense().eval()


def several(torch, parts):
    """A module that returns what each of its parts does: an export by dynamo takes seconds."""

    class Several(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = parts

        def forward(self, x):
            return tuple(part(x) for part in self.parts)

    return Several().eval()


@functools.cache
def all_forms(dynamo, seed):
    """Return the model of a module that returns what each of FORMS does, inputs and outputs."""
    import torch

    rng = np.random.default_rng(seed)
    n_in = int(rng.integers(2, 20))
    forms = [
        form for form, options in FORMS.items() if dynamo in options.get("makers", (True, False))
    ]

    chosen = [{k: v for k, v in FORMS[form].items() if k != "makers"} for form in forms]
    parts = torch.nn.ModuleList(dense(torch, rng, n_in, **one) for one in chosen)
    module = several(torch, parts)
    x = torch.from_numpy(rng.normal(size=(9, n_in)).astype("f4"))
    names = [f"y{i}" for i in range(len(forms))]
    model = exported(module, x, dynamo, output_names=names)
    outputs = {
        form: (name, wanted.detach().numpy())
        for form, name, wanted in zip(forms, names, module(x), strict=True)
    }
    return model, x.numpy(), outputs


def torch_case(form, refused=None, **options):
    FORMS[form] = options
    for dynamo in options.get("makers", (True, False)):

        def compare(rng, dynamo=dynamo):
            # Dynamo's exports are slow: of one network.
            seed = 0 if dynamo or refused else int(rng.integers(2))
            model, X, outputs = all_forms(dynamo, seed)
            name, wanted = outputs[form]
            if refused:
                return model, {"output": name}
            return read(model, X, wanted, output=name), wanted

        case(f"torch.onnx, {'dynamo' if dynamo else 'script'}", form, refused=refused)(compare)


torch_case("one output")
torch_case("several outputs", n_out=3)
torch_case("softmax", n_out=3, after=lambda t: lambda z: z.softmax(1))
torch_case("scaled inputs", before=lambda t: lambda x: (x - 3.5) / t.tensor(0.25))
torch_case("scaled outputs", n_out=2, after=lambda t: lambda z: z * t.tensor([3.0, -2.0]) + 40)
torch_case("scaled behind an activation", n_out=4, after=lambda t: lambda z: z.relu() * 3 - 1)
torch_case("clipped, min=0", activation=lambda t: lambda z: z.clamp(min=0))
torch_case("clipped outputs, min=0", after=lambda t: lambda z: z.clamp(min=0))
torch_case("squeezed", after=lambda t: lambda z: z.squeeze(-1))
torch_case("squeezed, all axes", after=lambda t: lambda z: z.squeeze())
torch_case("reshaped, a row of samples", after=lambda t: lambda z: z.view(1, -1))
torch_case("reshaped, (n, 3, 1)", n_out=3, after=lambda t: lambda z: z.reshape(-1, 3, 1))
torch_case("reshaped by its shape", n_out=3, after=lambda t: lambda z: z.reshape(z.shape[0], -1))
torch_case("flattened, all axes", n_out=3, after=lambda t: lambda z: z.flatten())
torch_case("one of the outputs", n_out=3, after=lambda t: lambda z: z[:, 1])
torch_case("outputs in another order", n_out=3, after=lambda t: lambda z: z.flip(1)[:, :2],
           makers=(False,))  # fmt: skip
torch_case("unsqueezed in between", activation=lambda t: lambda z: z.unsqueeze(1).sigmoid())
torch_case("all rows of a slice", n_out=2, after=lambda t: lambda z: z[:])
torch_case("slopes of one's own", activation=lambda t: t.nn.LeakyReLU(0.2))
torch_case("alpha of one's own", activation=lambda t: t.nn.ELU(0.5))
torch_case("the first rows", after=lambda t: lambda z: z[:5],
           refused=r"\(Slice\): takes some of the rows alone; .*output=NAME")  # fmt: skip
torch_case("labels", n_out=4, before=lambda t: lambda x: 9 * x,
           after=lambda t: lambda z: z.argmax(1))  # fmt: skip
torch_case("tanh gelu", activation=lambda t: t.nn.GELU("tanh"),
           refused=r"\(Gelu\): expected approximate")  # fmt: skip
torch_case("ReLU6", activation=lambda t: t.nn.ReLU6(), refused=r"\(Clip\): clips to 0 and 6; fcnn")
torch_case("Hardswish", activation=lambda t: t.nn.Hardswish(), refused=r"\((HardSwish|\w+)\): ")
torch_case("residual", activation=lambda t: lambda z: z + z.relu(),
           refused=r"\(Add\): joins tensors .*; output=NAME")  # fmt: skip
torch_case("norm of rows", activation=lambda t: lambda z: t.layer_norm(z, [int(z.shape[1])]),
           refused=r"\(LayerNormalization\): .*output=NAME")  # fmt: skip
torch_case("mean of the batch", after=lambda t: lambda z: z - z.mean(0),
           refused=r"\(\w+\): .*; ")  # fmt: skip


@functools.cache
def halves(dynamo, kind):
    """Return the model of three modules with weights of 16 bits, inputs and outputs in float32."""
    import torch

    rng = np.random.default_rng(0)
    parts = torch.nn.ModuleList(dense(torch, rng, 5, 3) for _ in SEEDS)
    all_of_them = several(torch, parts).to(getattr(torch, kind))
    x = torch.from_numpy(rng.normal(size=(9, 5)).astype("f4"))
    names = [f"y{i}" for i in SEEDS]
    model = exported(all_of_them, x.to(getattr(torch, kind)), dynamo, output_names=names)
    # The same weights, computed in float32.
    wanted = [part.float()(x).detach().numpy() for part in parts]
    return model, x.numpy(), dict(zip(names, wanted, strict=True))


def half_case(maker, kind):
    def compare(rng):
        model, X, outputs = halves(maker.endswith("dynamo"), kind)
        nets = [convert.from_onnx(model, output=name) for name in outputs]
        assert {net.dtype for net in nets} == {np.dtype("f4")}
        return [net.predict(X) for net in nets], [*outputs.values()]

    case(maker, f"{kind}, against its weights in float32")(compare)


for maker in ("torch.onnx, dynamo", "torch.onnx, script"):
    for kind in ("float16", "bfloat16"):
        half_case(maker, kind)


# --- Keras ---------------------------------------------------------------------------------------


KERAS: dict[str, Callable[[Any], list[Any]]] = {}  # layers by form, or several endings of them


def random_weights(keras, rng, model):
    for layer in model.layers:
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            low = 0.5 if isinstance(layer, keras.layers.BatchNormalization) else -0.5
            layer.set_weights([rng.uniform(low, 1, w.shape) for w in layer.get_weights()])


def keras_onnx(model):
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        model.export(path, format="onnx", verbose=False)
        return onnx.load(path)


@functools.cache
def keras_forms():
    """Return a Functional model of all forms, two of each, inputs and outputs: it is slow, too."""
    import keras

    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, size=(20, 5)).astype("f4")
    x, outputs, forms = keras.Input((5,)), [], []
    for form in (*KERAS, *KERAS):
        layers, a = KERAS[form](keras.layers), x
        for layer in layers:
            if isinstance(layer, keras.layers.Normalization):
                layer.adapt(X)
            a = layer(a)
        outputs.append(a)
        forms.append(form)
    model = keras.Model(x, outputs)
    random_weights(keras, rng, model)
    wanted = [keras.ops.convert_to_numpy(values) for values in model(X)]
    onnx_model = keras_onnx(model)
    names = [output.name for output in onnx_model.graph.output]
    found: dict[str, list[Any]] = {form: [] for form in forms}
    for form, name, values in zip(forms, names, wanted, strict=True):
        found[form].append((name, values))
    return onnx_model, X, found


def keras_case(form, layers, refused=None):
    KERAS[form] = layers

    def compare(rng):
        model, X, found = keras_forms()
        if refused:
            return model, {"output": found[form][0][0]}
        made = [(read(model, X, wanted, output=name), wanted) for name, wanted in found[form]]
        return [got for got, _ in made], [wanted for _, wanted in made]

    case("Keras", form, refused=refused)(compare)


def residual(layers):
    dense, last = layers.Dense(7, activation="tanh"), layers.Dense(2)
    inner = layers.Dense(7, activation="relu")
    return [dense, lambda h: layers.Add()([h, inner(h)]), last]


@case("Keras", "Sequential, several activations")
def _(rng):
    import keras

    layers = keras.layers
    # Of more layers, sums in another order alone make an error of 1e-6.
    dense = [layers.Dense(6, name) for name in ("elu", "silu", "softplus")]
    model = keras.Sequential([
        keras.Input((5,)), *dense, layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(2)
    ])  # fmt: skip
    random_weights(keras, rng, model)
    X = rng.normal(3, 2, size=(20, 5)).astype("f4")
    wanted = keras.ops.convert_to_numpy(model(X))
    return both(keras_onnx(model), X, wanted)


keras_case("Functional, multi-class", lambda of: [of.Dense(7, "tanh"), of.Dense(3, "softmax")])
keras_case("Functional, binary", lambda of: [of.Dense(7, "tanh"), of.Dense(1, "sigmoid")])
keras_case("Normalization", lambda of: [
    of.Normalization(), of.Dense(6, "gelu"), of.Dense(1, "sigmoid")])  # fmt: skip
keras_case("Rescaling", lambda of: [
    of.Rescaling(0.25, offset=-1), of.Dense(6, "relu"), of.Dense(2)])  # fmt: skip
keras_case("LeakyReLU and ELU of any number", lambda of: [
    of.Dense(6), of.LeakyReLU(negative_slope=0.2), of.Dense(5), of.ELU(0.5), of.Dense(2)
])  # fmt: skip
keras_case("Reshape", lambda of: [of.Dense(6, "tanh"), of.Reshape((2, 3)), of.Flatten(),
                                  of.Dense(2)])  # fmt: skip
keras_case("ReLU of slopes and bounds", lambda of: [
    of.Dense(6), of.ReLU(max_value=6), of.Dense(2),
], r"\(Clip\): clips to 0 and 6; fcnn")  # fmt: skip
keras_case("residual", residual, r"\(Add\): joins tensors .*; output=NAME")


@case("Keras", "two outputs", refused=r"expected one output, got .*; output=NAME")
def _(rng):
    import keras

    x = keras.Input((5,))
    model = keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(3)(x)])
    model(np.ones((2, 5), "f4"))
    return keras_onnx(model)


# --- ONNX Runtime --------------------------------------------------------------------------------


def optimized(model):
    """Return what ONNX Runtime makes of a model before it runs it."""
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def random_network(rng, activations=None, dtype="float32"):
    from fcnn._validation import ACTIVATIONS, OUTPUT_ONLY

    L = int(rng.integers(1, 5))
    sizes = [int(n) for n in rng.integers(2, 30, L + 1)]
    numbers = [f"leaky_relu({rng.uniform(0, 1):.3f})", f"elu({rng.uniform(0, 2):.3f})"]
    names = activations or [name for name in ACTIVATIONS if name not in OUTPUT_ONLY] + numbers
    loss, output = [
        ("squared_error", "identity"), ("cross_entropy", "softmax"),
        ("binary_cross_entropy", "sigmoid"),
    ][int(rng.integers(3))]  # fmt: skip
    net = fcnn.Network(sizes, [str(n) for n in rng.choice(names, L - 1)], output, loss, dtype)
    for W, b in zip(net.weights, net.biases, strict=True):
        W[...] = rng.normal(0, 1 / np.sqrt(W.shape[1]), W.shape)
        b[...] = rng.normal(0, 0.5, b.shape)
    return net


@case("ONNX Runtime", "to_onnx, as optimized")
def _(rng):
    net = random_network(rng)
    X = rng.normal(size=(20, net.sizes[0])).astype("f4")
    return both(optimized(convert.to_onnx(net)), X, net.predict(X))


@case("ONNX Runtime", "FusedGemm of its optimizer")
def _(rng):
    net = random_network(rng, ["relu", "tanh", "sigmoid", "leaky_relu"])
    while len(net.sizes) < 3:
        net = random_network(rng, ["relu", "tanh", "sigmoid", "leaky_relu"])
    X = rng.normal(size=(20, net.sizes[0])).astype("f4")
    model = optimized(convert.to_onnx(net, opset=17))
    assert "FusedGemm" in {node.op_type for node in model.graph.node}
    return both(model, X, net.predict(X))


@case("ONNX Runtime", "Gelu of its optimizer")
def _(rng):
    X, kinds = rng.normal(size=(9, 3)).astype("f4"), set()
    got, wanted = [], []
    numbers = {"r2": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    for first in ("h = Gemm(x, A, b)", "g = MatMul(x, A) h = Add(g, b)"):
        model = graph(rng, f"{first} i = Div(h, r2) e = Erf(i) f = Add(e, one) m = Mul(h, f) "
                      "a = Mul(m, half) y = MatMul(a, B)", constants=numbers)  # fmt: skip
        fused = optimized(model)
        kinds |= {node.op_type for node in fused.graph.node}
        wanted.append(run(model, X, optimize=False))
        got.append(read(fused, X, wanted[-1]))
    assert "Gelu" in kinds
    return np.array(got), np.array(wanted)


@case("ONNX Runtime", "skl2onnx, as optimized")
def _(rng):
    made = perceptron(rng, "numbers")
    return both(optimized(skl2onnx(*made)), made[1], run(skl2onnx(*made), made[1]))


@case("ONNX Runtime", "quantized, int8", refused=r"quantized model: convert it as it was before")
def _(rng):
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("a.onnx", "b.onnx")]
        onnx.save(convert.to_onnx(random_network(rng, ["relu"])), paths[0])
        quantize_dynamic(*paths)
        return onnx.load(paths[1])


# --- onnx.helper ---------------------------------------------------------------------------------


def graph(rng, nodes, opset=17, constants=(), dtype="float32", shape=("n", 3), outputs=("y",)):
    """A model from the text of its nodes."""
    import onnx

    helper = onnx.helper
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shapes = {"A": (3, 4), "At": (4, 3), "b": (4,), "B": (4, 2), "Bt": (2, 4), "d": (2,)}
    arrays = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    arrays |= {name: np.asarray(value) for name, value in dict(constants).items()}
    body = onnx.parser.parse_graph("g (float x) => (float y) { " + nodes + " }").node
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        body, "g", [info("x", number, shape)], [info(name, number, ("n", "m")) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset)]
    ir = max(helper.find_min_ir_version_for(opsets), 4)
    return helper.make_model(made, opset_imports=opsets, ir_version=ir)


NODES = {
    "Gemm, transposed": "h = Gemm <transB = 1> (x, At, b) i = Tanh(h) y = Gemm(i, B, d)",
    "Gemm of the transposed data": (
        "t = Transpose(x) h = Gemm <transA = 1> (t, A, b) i = Tanh(h) y = Gemm(i, B, d)"),
    "weights first, columns of samples": (
        "t = Transpose(x) h = MatMul(At, t) i = Tanh(h) j = MatMul(Bt, i) y = Transpose(j)"),
    "MatMul and Add, either order": (
        "h = MatMul(x, A) i = Add(b, h) j = Sigmoid(i) k = MatMul(j, B) y = Add(k, d)"),
    "constants as nodes": (
        "k = Constant <value = float[4] {0.5, -1.0, 2.0, 0.25}> () h = MatMul(x, A) i = Sub(k, h) "
        "j = Relu(i) y = Gemm(j, B, d)"),
    "other forms of relu": (
        "z = Constant <value_float = 0.0> () h = Gemm(x, A, b) i = Max(z, h) y = Gemm(i, B, d)"),
    "parts that are not used": "h = Gemm(x, A, b) s = Selu(h) i = Elu(h) y = Gemm(i, B, d)",
}  # fmt: skip
for form, nodes in NODES.items():

    @case("onnx.helper", form)
    def _(rng, nodes=nodes):
        X = rng.normal(size=(9, 3)).astype("f4")
        return both(graph(rng, nodes), X)


@case("onnx.helper", "operator sets 7 to 24")
def _(rng):
    X, got, wanted = rng.normal(size=(9, 3)).astype("f4"), [], []
    nodes = "h = Gemm(x, A, b) i = Elu(h) j = Dropout(i) k = MatMul(j, B) l = Add(k, d) "
    for opset in (7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 24):
        model = graph(rng, nodes + "m = Flatten(l) y = Softmax(m)", opset)
        a, b = both(model, X)
        got.append(a)
        wanted.append(b)
    return np.array(got), np.array(wanted)


@case("onnx.helper", "data in a file of their own")
def _(rng):
    import onnx

    X = rng.normal(size=(9, 3)).astype("f4")
    model = graph(rng, NODES["Gemm, transposed"])
    wanted = run(model, X)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        onnx.save_model(model, path, save_as_external_data=True, location="data", size_threshold=0)
        return read(path, X, wanted), wanted


@case("onnx.helper", "labels of texts")
def _(rng):
    model = graph(
        rng, "h = Gemm(x, A, b) i = ArgMax <axis = 1> (h) y = Gather(texts, i)",
        constants={"texts": np.array(["p", "q", "r", "s"], object)},
    )  # fmt: skip
    model.graph.output[0].type.tensor_type.elem_type = 8
    X = rng.normal(size=(9, 3)).astype("f4")
    wanted = run(model, X)
    return convert.from_onnx(model).predict(X).astype(str), wanted.astype(str)[:, 0]


for form, nodes, message in (
    ("Selu", "h = Gemm(x, A, b) y = Selu(h)", r"'y' \(Selu\): cannot be converted; fcnn has no"),
    ("HardSigmoid", "h = Gemm(x, A, b) y = HardSigmoid(h)", r"'y' \(HardSigmoid\): .*; fcnn has"),
    ("softmax over samples", "h = Gemm(x, A, b) y = Softmax <axis = 0> (h)",
     r"'y' \(Softmax\): expected axis=-1.*; output=NAME"),
    ("another row of constants for each sample", "h = Gemm(x, A, b) y = Add(h, rows)",
     r"'y' \(Add\): expected a number for each node"),
    ("a shape of the number of samples", "h = Gemm(x, A, b) y = Reshape(h, three)",
     r"'y' \(Reshape\): the shape \[3, 4\] does not follow from .*; export the model"),
):  # fmt: skip

    @case("onnx.helper", form, refused=message)
    def _(rng, nodes=nodes):
        constants = {"rows": np.ones((9, 4), "f4"), "three": np.array([3, 4])}
        return graph(rng, nodes, constants=constants)
