"""What fcnn's networks become elsewhere, run by what runs them there; imported by `cases`."""

import ctypes
import io
import os
import shutil
import subprocess
import tempfile

import numpy as np
import tabular

import fcnn
from fcnn import convert
from makers.cases import case, perceptron, random_network, run, run_all, skl2onnx

OWN = ["leaky_relu(0.2)", "elu(0.5)", "leaky_relu(1.3)", "elu(0.05)"]


def inputs(rng, net):
    return rng.normal(size=(20, net.sizes[0])).astype(net.dtype)


def deep(rng, activations=None, dtype="float32", least=2):
    """A network of at least so many layers."""
    while len((net := random_network(rng, activations, dtype)).activations) < least:
        pass
    return net


def numbers_model(rng):
    """A model of numbers, with missing cells, and a row of such inputs."""
    from fcnn.tables import Preparation, Target

    names = [f"c{i}" for i in range(int(rng.integers(2, 6)))]
    data = {name: rng.normal(rng.normal() * 1000, 9, 40) for name in names}
    data[names[0]][3] = np.nan
    preparation = Preparation.fit(data)
    net = fcnn.Network((preparation.width, 7, 2), OWN[0], loss="squared_error", rng=rng)
    return fcnn.Model(net, preparation, Target(["u", "v"], (), [5, -3], [2, 4])), data


# --- ONNX Runtime --------------------------------------------------------------------------------


@case("ONNX Runtime", "every operator set", "out")
def _(rng):
    import onnx

    got, wanted = [], []
    for opset in range(13, onnx.defs.onnx_opset_version() + 1):
        net = random_network(rng)
        X = inputs(rng, net)
        wanted.append(net.predict(X).ravel())
        try:
            got.append(run(convert.to_onnx(net, opset=opset), X).ravel())
        except Exception as error:
            if "only *guarantees* support" not in str(error):  # a set newer than the runtime
                raise
            wanted.pop()
    return np.concatenate(got), np.concatenate(wanted)


@case("ONNX Runtime", "numbers of leaky_relu and elu", "out")
def _(rng):
    net = deep(rng, OWN)
    X = inputs(rng, net)
    return run(convert.to_onnx(net), X), net.predict(X)


@case("ONNX Runtime", "float64", "out")
def _(rng):
    # Those that the runtime has for doubles.
    net = deep(rng, ["relu", "tanh", "sigmoid", "leaky_relu(0.2)", "silu"], "float64")
    X = inputs(rng, net)
    return run(convert.to_onnx(net), X), net.predict(X)


@case("ONNX Runtime", "exp outputs", "out")
def _(rng):
    net = fcnn.Network((4, 6, 3), loss="poisson", rng=rng)
    X = inputs(rng, net)
    return run(convert.to_onnx(net), X), net.predict(X)


def table_case(form, target):
    @case("ONNX Runtime", f"model of a table, {form}", "out")
    def _(rng):
        import onnxruntime as ort

        model = tabular.model("every kind", target, "float32")
        data = tabular.table(60, seed=int(rng.integers(99)), new=False)
        session = ort.InferenceSession(convert.to_onnx(model).SerializeToString())
        raw = tabular.raw(data)
        given = {i.name: raw[i.name].reshape(60, -1) for i in session.get_inputs()}
        outputs = session.run(None, given)
        if model.classes:
            return outputs[1], model.predict_proba(data)
        return outputs[0], model.predict(data).reshape(outputs[0].shape)


table_case("classes", "texts")
table_case("numbers", "as they are")


# --- skl2onnx, skops -----------------------------------------------------------------------------


def estimator(rng, kind, **options):
    """One of fcnn.sklearn with the parameters of a random fit, alone or in a pipeline."""
    import fcnn.sklearn

    made, X, last = perceptron(rng, kind, **options)
    kinds = {"MLPClassifier": fcnn.sklearn.MLPClassifier, "MLPRegressor": fcnn.sklearn.MLPRegressor}
    ours = kinds[type(last).__name__](
        hidden_layer_sizes=last.hidden_layer_sizes, activation=OWN[: last.n_layers_ - 2],
        max_iter=5, random_state=0,
    )  # fmt: skip
    steps = [*getattr(made, "steps", [])[:-1]]
    before = X if not steps else made[:-1].transform(X)
    y = last.predict(before)
    if hasattr(last, "classes_"):
        y[: len(last.classes_)] = last.classes_  # all of them
    ours.fit(before, y)
    if not steps:
        return ours, X, ours
    made.steps[-1] = (made.steps[-1][0], ours)
    return made, X, ours


def probabilities(model):
    return model.predict_proba if hasattr(model, "predict_proba") else model.predict


def estimator_case(form, kind, is_scaled=False):
    def of(rng):
        from sklearn.preprocessing import StandardScaler

        return estimator(rng, kind, before=(StandardScaler(),) if is_scaled else ())

    @case("skl2onnx", f"estimators of fcnn.sklearn: {form}", "out")
    def _(rng):
        import fcnn.sklearn

        fcnn.sklearn.register_onnx()
        model, X, last = of(rng)
        zipmap = False if hasattr(last, "classes_") else None
        outputs = run_all(skl2onnx(model, X, last, zipmap), X)
        if hasattr(last, "classes_"):
            assert (outputs[0] == model.predict(X)).all()
        wanted = probabilities(model)(X)
        return outputs[-1].reshape(wanted.shape), wanted

    @case("skops", f"estimators: {form}", "out")
    def _(rng):
        import skops.io

        model, X, _ = of(rng)
        data = skops.io.dumps(model)
        loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
        return probabilities(loaded)(X), probabilities(model)(X)


estimator_case("binary", "texts")
estimator_case("multi-class", "classes")
estimator_case("one output", "number")
estimator_case("StandardScaler, several outputs", "numbers", is_scaled=True)


# --- PyTorch -------------------------------------------------------------------------------------


def by_torch(module, X):
    import torch

    with torch.no_grad():
        return module(torch.from_numpy(np.ascontiguousarray(X))).numpy()


for dtype in ("float32", "float64"):

    @case("PyTorch", f"to_torch, {dtype}", "out")
    def _(rng, dtype=dtype):
        net = random_network(rng, dtype=dtype)
        X = inputs(rng, net)
        return by_torch(convert.to_torch(net), X), net.predict(X)


@case("PyTorch", "saved and loaded there", "out")
def _(rng):
    import torch

    net = deep(rng, OWN)
    file = io.BytesIO()
    torch.save(convert.to_torch(net), file)
    file.seek(0)
    X = inputs(rng, net)
    return by_torch(torch.load(file, weights_only=False), X), net.predict(X)


@case("PyTorch", "model of numbers", "out")
def _(rng):
    model, data = numbers_model(rng)
    X = np.stack([*data.values()], axis=1)
    return by_torch(convert.to_torch(model), X), model.predict(data)


@case("PyTorch", "exp outputs", "out", refused=r"^net: PyTorch has no module for .* exp; to_onnx")
def _(rng):
    return lambda: convert.to_torch(fcnn.Network((4, 6, 3), loss="poisson"))


@case(
    "PyTorch",
    "model with categories",
    "out",
    refused=r"^column '\w+': .* this is category; to_onnx",
)
def _(rng):
    return lambda: convert.to_torch(tabular.model("every kind", "numbers", "float32"))


# --- scikit-learn --------------------------------------------------------------------------------


def sklearn_case(form, n_out, loss):
    @case("scikit-learn", form, "out")
    def _(rng):
        hidden = str(rng.choice(["relu", "tanh", "sigmoid", "identity"]))
        sizes = (4, int(rng.integers(2, 20)), int(rng.integers(2, 20)), n_out)
        net = fcnn.Network(sizes, hidden, loss=loss, dtype="float64", rng=rng)
        X = inputs(rng, net)
        model = convert.to_sklearn(net)
        got = probabilities(model)(X)
        if loss == "binary_cross_entropy" and n_out == 1:
            got = got[:, 1]
        return got.reshape(len(X), n_out), net.predict(X)


sklearn_case("one output", 1, "squared_error")
sklearn_case("several outputs", 3, "squared_error")
sklearn_case("counts", 1, "poisson")
sklearn_case("binary", 1, "binary_cross_entropy")
sklearn_case("several labels", 3, "binary_cross_entropy")
sklearn_case("multi-class", 4, "cross_entropy")


def sklearn_refused(form, message, *given, **options):
    @case("scikit-learn", form, "out", refused=rf"^net: .*{message}.*; to_onnx")
    def _(rng):
        return lambda: convert.to_sklearn(fcnn.Network(*given, **options))


sklearn_refused("numbers of leaky_relu", "one activation for", (4, 6, 3), "leaky_relu(0.2)")
sklearn_refused("several activations", "one activation for", (4, 6, 6, 3), ["relu", "tanh"])
sklearn_refused("softmax of two classes", "of two classes has one output", (4, 6, 2))
sklearn_refused("huber loss", "no identity outputs with loss huber", (4, 6, 2), loss="huber")


# --- C -------------------------------------------------------------------------------------------


def compiled(text):
    """Return the functions of a source text."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = os.path.join(folder, "net.c"), os.path.join(folder, "net.so")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fPIC", "-shared"]
        subprocess.run([shutil.which("cc"), *flags, source, "-o", made, "-lm"], check=True)
        return ctypes.CDLL(made)


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def by_c(text, X, outputs):
    library = compiled(text)
    for x, a in zip(np.ascontiguousarray(X), outputs, strict=True):
        library.net_predict(pointer(x), pointer(a))
    return outputs


for dtype in ("float32", "float64"):

    @case("C", f"to_c, {dtype}", "out")
    def _(rng, dtype=dtype):
        net = random_network(rng, dtype=dtype)
        X = inputs(rng, net)
        outputs = np.empty((len(X), net.sizes[-1]), dtype)
        return by_c(convert.to_c(net, "net"), X, outputs), net.predict(X)


@case("C", "numbers of leaky_relu and elu", "out")
def _(rng):
    net = deep(rng, OWN)
    X = inputs(rng, net)
    outputs = np.empty((len(X), net.sizes[-1]), "f4")
    return by_c(convert.to_c(net, "net"), X, outputs), net.predict(X)


@case("C", "model of numbers", "out")
def _(rng):
    model, data = numbers_model(rng)
    X = np.stack([*data.values()], axis=1)
    return by_c(convert.to_c(model, "net"), X, np.empty((len(X), 2))), model.predict(data)
