"""Networks from and to scikit-learn, PyTorch, ONNX and Keras, held against those packages."""

import itertools
import math
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, random_network

import fcnn
from fcnn import convert

DTYPES = ["float32", "float64"]
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def inputs(rng, net, rows=50):
    return rng.normal(size=(rows, net.sizes[0])).astype(net.dtype)


def assert_close(got, wanted, dtype):
    """Within 1e-6 (float32) or 1e-12 (float64) of the largest output."""
    assert got.shape == wanted.shape
    assert np.isfinite(wanted).all()
    error = np.abs(np.asarray(got, np.float64) - wanted).max() / np.abs(wanted).max()
    assert error <= TOLERANCE[str(np.dtype(dtype))], error


def assert_same(a, b, loss=True):
    """The same architecture, and parameters that are equal in every bit."""
    assert (a.sizes, a.activations, a.dtype) == (b.sizes, b.activations, b.dtype)
    assert a.parameters.tobytes() == b.parameters.tobytes()
    assert not np.shares_memory(a.parameters, b.parameters)
    if loss:
        assert a.loss == b.loss


def negative_zeros(net):
    """Which only a copy of the bits keeps."""
    for b in net.biases:
        b[0] = -0.0
    return net


@pytest.mark.parametrize(
    ("function", "package", "extra"),
    [
        ("from_sklearn", "sklearn", "sklearn"),
        ("to_sklearn", "sklearn", "sklearn"),
        ("from_torch", "torch", "torch"),
        ("to_torch", "torch", "torch"),
        ("from_onnx", "onnx", "onnx"),
        ("to_onnx", "onnx", "onnx"),
    ],
)
def test_a_missing_package_is_named_with_the_extra(function, package, extra, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    net = fcnn.Network((2, 3), loss="squared_error")
    with pytest.raises(ImportError, match=rf"needs {package} .*pip install 'fcnn\[{extra}\]'"):
        getattr(convert, function)(net)


@pytest.mark.parametrize("function", ["to_sklearn", "to_torch", "to_onnx"])
def test_writers_take_networks(function):
    with pytest.raises(TypeError, match=r"net: expected a fcnn.Network, got dict"):
        getattr(convert, function)({})


# --- scikit-learn --------------------------------------------------------------------------------

SKLEARN_HIDDEN = ["identity", "sigmoid", "tanh", "relu"]


def fitted(kind, rng, dtype, **options):
    """An estimator after a few epochs, and its inputs."""
    neural = pytest.importorskip("sklearn.neural_network")
    X = rng.normal(size=(60, 5)).astype(dtype)
    targets = {
        "binary": np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)],
        "classes": np.digitize(X[:, 0], [-0.5, 0.5]),
        "labels": (X[:, :3] > 0).astype(int),
        "number": X[:, 0].astype(dtype),
        "numbers": X[:, :2],
        "counts": np.exp(X[:, 0]).round(),
    }
    regression = kind in ("number", "numbers", "counts")
    model = neural.MLPRegressor if regression else neural.MLPClassifier
    if kind == "counts":
        options["loss"] = "poisson"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model(max_iter=3, random_state=0, **options).fit(X, targets[kind]), X


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", ["binary", "classes", "labels", "number", "numbers", "counts"])
def test_from_sklearn(kind, activation, dtype):
    rng = np.random.default_rng(0)
    hidden = tuple(rng.integers(1, 20, rng.integers(0, 4)))
    estimator, X = fitted(kind, rng, dtype, activation=activation, hidden_layer_sizes=hidden)
    net = convert.from_sklearn(estimator)
    assert net.dtype == dtype
    if kind in ("number", "numbers", "counts"):
        assert net.loss == ("poisson" if kind == "counts" else "squared_error")
        wanted = estimator.predict(X)
        wanted = wanted.reshape(len(X), -1)
    else:
        assert net.loss == ("cross_entropy" if kind == "classes" else "binary_cross_entropy")
        wanted = estimator.predict_proba(X)
        wanted = wanted[:, 1:] if kind == "binary" else wanted
    assert_close(net.predict(X), wanted, dtype)
    for coef, W in zip(estimator.coefs_, net.weights, strict=True):
        np.testing.assert_array_equal(coef, W.T, strict=True)
    assert not np.shares_memory(estimator.coefs_[0], net.parameters)
    assert net.classes == (estimator.classes_.tolist() if hasattr(estimator, "classes_") else None)
    assert net.features is None


def test_features_and_classes_of_an_estimator_are_the_network_s():
    neural = pytest.importorskip("sklearn.neural_network")
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["b", "a"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = neural.MLPClassifier((3,), max_iter=2).fit(frame, ["yes", "no"] * 15)
    net = convert.from_sklearn(estimator)
    assert net.classes == ["no", "yes"]
    assert net.features == ["b", "a"]
    with pytest.raises(ValueError, match=r"order: 'b', 'a'; their order is another$"):
        net.predict(frame[["a", "b"]])


def test_from_sklearn_to_another_dtype():
    estimator, X = fitted("classes", np.random.default_rng(0), "float64")
    net = convert.from_sklearn(estimator, dtype="float32")
    assert net.dtype == "float32"
    assert_close(net.predict(X), estimator.predict_proba(X), "float32")
    estimator.coefs_[0][0, 0] = 1e300
    with pytest.raises(ValueError, match="too large for float32"):
        convert.from_sklearn(estimator, dtype="float32")


def test_from_an_estimator_of_fcnn():
    pytest.importorskip("sklearn")
    from fcnn.sklearn import MLPRegressor

    X = np.random.default_rng(0).normal(size=(60, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPRegressor("huber", (5, 6), ["gelu", "elu"], max_iter=2)
        model.fit(X, X[:, 0])
    net = convert.from_sklearn(model)
    assert_same(net, model.network_)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(12))
def test_to_sklearn(seed, dtype):
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(seed)
    pairs = [
        ("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid"),
        ("squared_error", "identity"), ("poisson", "exp"),
    ]  # fmt: skip
    hidden = SKLEARN_HIDDEN[seed % 4 :][:1]
    net = negative_zeros(random_network(rng, dtype, None, pairs[seed // 4 :][:1], hidden=hidden))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    model = convert.to_sklearn(net)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    X = inputs(rng, net)
    if "entropy" in net.loss:
        n_out = net.sizes[-1]
        got = model.predict_proba(X)
        if n_out == 1:
            np.testing.assert_array_equal(model.classes_, [0, 1])
            got = got[:, 1:]
        else:
            np.testing.assert_array_equal(model.classes_, np.arange(n_out))
        labels = model.predict(X)
        wanted = net.predict(X)
        assert np.array_equal(labels, wanted.argmax(1)) or net.loss != "cross_entropy"
    else:
        got = model.predict(X).reshape(len(X), -1)
    assert_close(got, net.predict(X), dtype)
    assert_same(convert.from_sklearn(model), net)


@pytest.mark.parametrize("names", [[0.5, 1.5, 2.5], [1, 2.5, 3], [1.0, 2.0, np.inf], [1, 2, 2**63]])
def test_scikit_learn_has_no_classes_that_look_like_measurements(names):
    pytest.importorskip("sklearn")
    net = fcnn.Network((3, 3))
    net.classes = names
    with pytest.raises(ValueError, match=r"^net: scikit-learn has classes of one type .* whole"):
        convert.to_sklearn(net)
    net.classes = [1.0, 2.0, 4.0]
    assert convert.to_sklearn(net).classes_.tolist() == [1, 2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("names", [["a", "bb", "c"], [-3, 5, 7], [False, True]])
def test_names_go_to_scikit_learn_and_come_back(names):
    neural = pytest.importorskip("sklearn.neural_network")
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.array(names)[np.arange(60) % len(names)]
    original = neural.MLPClassifier((5,), random_state=0, tol=10, n_iter_no_change=1).fit(X, y)
    net = convert.from_sklearn(original)
    model = convert.to_sklearn(net)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    assert model.partial_fit(X, y).classes_.tolist() == names
    net.features = ["u", "v", "w"]
    again = convert.from_sklearn(convert.to_sklearn(net))
    assert (again.classes, again.features) == (names, ["u", "v", "w"])
    for wrong in (names[::-1], [*names[:-1], None], [*names[:-1], names[0]]):
        net.classes = wrong
        with pytest.raises(ValueError, match=r"^net: scikit-learn has classes of one type that"):
            convert.to_sklearn(net)
    net.classes = None
    assert convert.to_sklearn(net).classes_.tolist() == list(range(len(names)))


def test_what_to_sklearn_returns_can_be_trained_on():
    pytest.importorskip("sklearn")
    from sklearn.base import clone

    rng = np.random.default_rng(0)
    net = fcnn.Network((4, 8, 3), "tanh", dtype="float64", rng=0)
    X = rng.normal(size=(200, 4))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    model = convert.to_sklearn(net)
    before = model.coefs_[0].copy()
    assert model.n_iter_ == 0
    model.set_params(learning_rate_init=0.05)
    for _ in range(60):
        model.partial_fit(X, y)
    assert model.t_ == 60 * 200
    assert model.score(X, y) > 0.9 > convert.to_sklearn(net).score(X, y)
    assert not np.array_equal(model.coefs_[0], before)
    np.testing.assert_array_equal(net.weights[0].T, before)  # the network keeps its own
    wanted = {"hidden_layer_sizes": (8,), "activation": "tanh", "learning_rate_init": 0.05}
    default = type(model)().get_params()
    assert clone(model).get_params() == default | wanted


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (((2, 3, 4, 1), ["relu", "tanh"], None, "squared_error"), "one activation for all hidden"),
        (((2, 3, 1), "gelu", None, "squared_error"), "identity, sigmoid, tanh or relu; got gelu"),
        (((2, 3, 1), "relu", None, "huber"), "no identity outputs with loss huber"),
        (((2, 3, 1), "relu", "tanh", "squared_error"), "no tanh outputs with loss squared_error"),
        (((2, 3, 2), "relu", None, "cross_entropy"), "two classes has one output"),
    ],
)
def test_what_sklearn_does_not_have(net, message):
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match=message):
        convert.to_sklearn(fcnn.Network(*net))


def test_from_sklearn_refuses():
    neural = pytest.importorskip("sklearn.neural_network")
    with pytest.raises(
        TypeError, match=r"estimator: expected an MLPClassifier or .* got BernoulliR"
    ):
        convert.from_sklearn(neural.BernoulliRBM())
    with pytest.raises(ValueError, match="estimator: this MLPRegressor has not been fitted"):
        convert.from_sklearn(neural.MLPRegressor())


# --- PyTorch -------------------------------------------------------------------------------------

NO_EXP = [pair for pair in PAIRS if pair[1] not in ("exp", "ascending")]


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def torch_activations(nn):
    return {
        "identity": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU,
        "softplus": nn.Softplus, "leaky_relu(0.3)": lambda: nn.LeakyReLU(0.3),
        "elu(0.7)": lambda: nn.ELU(0.7), "softmax": lambda: nn.Softmax(dim=1),
    }  # fmt: skip


OF_FLOAT32 = ("leaky_relu", "leaky_relu(0.3)", "elu(0.7)")


def outputs_of(torch, module, X):
    module.eval()
    with torch.no_grad():
        return module(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(25))
def test_to_torch_and_back(torch, seed, dtype):
    rng = np.random.default_rng(seed)
    net = negative_zeros(random_network(rng, dtype, pairs=NO_EXP))
    state = torch.get_rng_state()
    module = convert.to_torch(net)
    assert torch.equal(torch.get_rng_state(), state)
    X = inputs(rng, net)
    assert_close(net.predict(X), outputs_of(torch, module, X), dtype)
    assert_same(convert.from_torch(module, loss=net.loss), net)
    activations = net.activations
    assert_same(convert.from_torch(module.state_dict(), activations, net.loss), net)
    # The module has its own parameters, and they can be trained.
    module[0].weight.data.zero_()
    assert net.weights[0].all()
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(25))
def test_from_torch(torch, seed, dtype):
    """Modules of all that can be read, with PyTorch's initial weights."""
    nn = torch.nn
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    made = torch_activations(nn)
    sizes = [int(n) for n in rng.integers(2, 41, rng.integers(2, 7))]
    names = [str(name) for name in rng.choice(HIDDEN, len(sizes) - 1)]
    names[-1] = str(rng.choice(list(made)))
    sequence = [nn.Flatten()]
    for (n_in, n_out), name in zip(itertools.pairwise(sizes), names, strict=True):
        block = [nn.Linear(n_in, n_out, bias=bool(rng.integers(2)))]
        if rng.integers(2):
            block.append(batch_norm(torch, rng, n_out))
        block.append(made[name]())
        sequence += [nn.Sequential(*block), nn.Dropout(0.5)] if rng.integers(2) else block
    module = nn.Sequential(*sequence).to(getattr(torch, dtype))
    net = convert.from_torch(module)
    assert net.sizes == tuple(sizes)
    assert net.activations == tuple(names)
    assert net.dtype == dtype
    X = inputs(rng, net)
    assert_close(net.predict(X), outputs_of(torch, module, X), dtype)


def batch_norm(torch, rng, n):
    norm = torch.nn.BatchNorm1d(n, eps=float(rng.uniform(1e-5, 1e-2)), affine=bool(rng.integers(2)))
    norm.running_mean[:] = torch.from_numpy(rng.normal(size=n))
    norm.running_var[:] = torch.from_numpy(rng.uniform(0.5, 2, n))
    if norm.affine:
        norm.weight.data[:] = torch.from_numpy(rng.normal(size=n))
        norm.bias.data[:] = torch.from_numpy(rng.normal(size=n))
    return norm


def test_a_batch_normalization_is_folded_into_the_layer_after_it(torch):
    nn, rng = torch.nn, np.random.default_rng(0)
    torch.manual_seed(0)
    module = nn.Sequential(
        batch_norm(torch, rng, 4), nn.Linear(4, 5), nn.ReLU(), batch_norm(torch, rng, 5),
        nn.Dropout(), batch_norm(torch, rng, 5), nn.Linear(5, 2, bias=False),
    ).double()  # fmt: skip
    net = convert.from_torch(module)
    assert net.sizes == (4, 5, 2)
    X = inputs(rng, net)
    assert_close(net.predict(X), outputs_of(torch, module, X), "float64")


def test_a_module_may_stand_in_several_places(torch):
    nn, relu, square = torch.nn, torch.nn.ReLU(), torch.nn.Linear(5, 5)
    module = nn.Sequential(nn.Linear(4, 5), relu, square, relu, square, nn.Linear(5, 3))
    net = convert.from_torch(module)
    assert net.activations == ("relu", "relu", "identity", "identity")
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert_close(net.predict(X), module(torch.from_numpy(X)).detach().numpy(), "float32")


def test_parameters_without_numbers_are_refused(torch):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3, device="meta"))
    with pytest.raises(ValueError, match=r"module '0' \(Linear\): .*device meta"):
        convert.from_torch(module)


def test_images_are_flattened(torch):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24, 3))
    X = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype("float32")
    net = convert.from_torch(module)
    assert_close(net.predict(X.reshape(5, 24)), outputs_of(torch, module, X), "float32")


@pytest.mark.parametrize(
    ("last", "loss", "activation", "expected"),
    [
        ([], None, "identity", "squared_error"),
        ([], "squared_error", "identity", "squared_error"),
        ([], "huber", "identity", "huber"),
        ([], "cross_entropy", "softmax", "cross_entropy"),
        ([], "binary_cross_entropy", "sigmoid", "binary_cross_entropy"),
        ([], "poisson", "exp", "poisson"),
        (["Softmax"], None, "softmax", "cross_entropy"),
        (["Softmax"], "squared_error", "softmax", "squared_error"),
        (["LogSoftmax"], "cross_entropy", "softmax", "cross_entropy"),
        (["Sigmoid"], None, "sigmoid", "binary_cross_entropy"),
        (["Tanh"], None, "tanh", "squared_error"),
    ],
)
def test_outputs_and_losses(torch, last, loss, activation, expected):
    torch.manual_seed(0)
    modules = [getattr(torch.nn, name)(*[1] * name.endswith("max")) for name in last]
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), *modules)
    net = convert.from_torch(module, loss=loss)
    assert (net.activations, net.loss) == ((activation,), expected)
    X = inputs(np.random.default_rng(0), net)
    wanted = torch.from_numpy(outputs_of(torch, module, X))
    if not last:  # what PyTorch's losses do to logits
        functions = {"softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid, "exp": torch.exp}
        wanted = functions.get(activation, lambda z: z)(wanted)
    if last == ["LogSoftmax"]:
        wanted = wanted.exp()
    assert_close(net.predict(X), wanted.numpy(), "float32")


def test_a_single_softmax_output_has_no_cross_entropy(torch):
    module = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Softmax(dim=1))
    assert convert.from_torch(module).loss == "squared_error"


def test_state_dicts():
    """Of arrays, so without PyTorch."""
    rng = np.random.default_rng(0)
    state = {
        "body.0.weight": rng.normal(size=(5, 3)), "body.0.bias": rng.normal(size=5),
        "body.3.weight": rng.normal(size=(4, 5)),
        "head.bias": rng.normal(size=2), "head.weight": rng.normal(size=(2, 4)),
    }  # fmt: skip
    for activations, expected in [
        ("tanh", ("tanh", "tanh", "identity")),
        (["tanh", "relu"], ("tanh", "relu", "identity")),
        (("tanh", "relu", "sigmoid"), ("tanh", "relu", "sigmoid")),
    ]:
        net = convert.from_torch(state, activations, loss="squared_error")
        assert net.activations == expected
    assert net.sizes == (3, 5, 4, 2)
    np.testing.assert_array_equal(net.weights[2], state["head.weight"])
    np.testing.assert_array_equal(net.biases[1], np.zeros(4))
    a = np.maximum(np.tanh(state["body.0.bias"]) @ state["body.3.weight"].T, 0)
    z = a @ state["head.weight"].T + state["head.bias"]
    np.testing.assert_allclose(net.predict(np.zeros(3)), 1 / (1 + np.exp(-z)), rtol=1e-13)
    net = convert.from_torch(state, "relu", "cross_entropy", "float32")
    assert (net.activations[-1], net.loss, net.dtype) == ("softmax", "cross_entropy", "float32")
    assert convert.from_torch({"weight": np.ones((2, 3))}).sizes == (3, 2)


# --- The order of a state dict's layers -----------------------------------------------------------


def square_state(names, n=4, bias=True, seed=0):
    """Layers of n to n nodes, whose shapes say nothing of their order."""
    rng = np.random.default_rng(seed)
    state = {}
    for name in names:
        state[f"{name}.weight"] = rng.normal(0, 0.5, (n, n))
        if bias:
            state[f"{name}.bias"] = rng.normal(size=n)
    return state


def through_layers(state, names, X):
    """What a network of tanh computes, by its formulas."""
    for l, name in enumerate(names, start=1):
        z = X @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)
        X = z if l == len(names) else np.tanh(z)
    return X


NUMBERED = {
    "a Sequential's": ["0", "2", "4", "6", "8", "10", "12"],
    "with a prefix": [f"model.layers.{i}.linear" for i in (0, 1, 2, 9, 10, 11, 100)],
    "fc1, fc2": [f"fc{i}" for i in range(1, 13)],
    "leading zeros": ["fc08", "fc09", "fc10", "fc100"],
    "nested": ["0", "1.0", "1.2", "1.10.1", "1.10.3", "2", "10.0"],
    "two numbers": ["block1_2", "block1_10", "block2_1", "block10_0"],
    "numbers first": ["1st", "2st", "10st"],
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("names", NUMBERED.values(), ids=NUMBERED)
def test_numbers_in_names_give_the_order_whatever_that_of_the_keys(names, bias):
    state = square_state(names, bias=bias)
    X = np.random.default_rng(1).normal(size=(9, 4))
    wanted = through_layers(state, names, X)
    rng = np.random.default_rng(2)
    orders = [list(state), sorted(state), sorted(state)[::-1]]
    orders += [list(rng.permutation(list(state))) for _ in range(5)]
    for order in orders:
        net = convert.from_torch({key: state[key] for key in order}, "tanh", "squared_error")
        np.testing.assert_allclose(net.predict(X), wanted, rtol=1e-12)


def test_a_state_dict_through_a_file(torch, tmp_path):
    """Of safetensors and NumPy, which sort keys as texts, or may."""
    numpy_files = pytest.importorskip("safetensors.numpy")
    torch_files = pytest.importorskip("safetensors.torch")
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(*(part for _ in range(7) for part in (nn.Linear(5, 5), nn.Tanh())))
    X = np.random.default_rng(0).normal(size=(9, 5)).astype("float32")
    wanted = outputs_of(torch, module, X)
    state = module.state_dict()
    torch_files.save_file(state, tmp_path / "state.safetensors")
    np.savez(tmp_path / "state.npz", **{key: v.numpy() for key, v in sorted(state.items())})
    for read in (
        numpy_files.load_file(tmp_path / "state.safetensors"),
        torch_files.load_file(tmp_path / "state.safetensors"),
        dict(np.load(tmp_path / "state.npz")),
        np.load(tmp_path / "state.npz"),  # a Mapping, too
    ):
        net = convert.from_torch(read, ["tanh"] * 7, "squared_error")
        assert_close(net.predict(X), wanted, "float32")


UNORDERED = {
    "words": ["input", "middle", "output"],
    "a word beside numbers": ["fc1", "fc2", "out"],
    "two kinds of numbers": ["enc.0", "enc.2", "dec.0", "dec.2"],
    "the same number twice": ["fc1", "fc01"],
    "one inside another": ["body", "body.0"],
    "letters": ["a", "b"],
}


@pytest.mark.parametrize("names", UNORDERED.values(), ids=UNORDERED)
def test_names_that_leave_more_than_one_order(names):
    state = square_state(names)
    message = "^layers: the names .* do not say .*; expected layers="
    for order in (state, reversed(state)):
        with pytest.raises(ValueError, match=message):
            convert.from_torch({key: state[key] for key in order}, "tanh")
    X = np.random.default_rng(1).normal(size=(9, 4))
    for order in (names, names[::-1]):
        net = convert.from_torch(state, "tanh", "squared_error", layers=order)
        np.testing.assert_allclose(net.predict(X), through_layers(state, order, X), rtol=1e-12)


def test_shapes_give_the_order_where_one_alone_fits():
    sizes = {"out": (4, 2), "fc2": (8, 4), "fc1": (3, 8)}
    state = {f"{name}.weight": np.ones((n_out, n_in)) for name, (n_in, n_out) in sizes.items()}
    assert convert.from_torch(state, "tanh").sizes == (3, 8, 4, 2)
    # Two hidden layers of the same size: 3-8-8-2 fits with either of them first.
    state = {f"{name}.weight": np.ones(shape) for name, shape in
             {"a": (8, 3), "b": (8, 8), "c": (8, 8), "d": (2, 8)}.items()}  # fmt: skip
    with pytest.raises(ValueError, match=r"^layers: the names"):
        convert.from_torch(state, "tanh")
    # A layer that may be the first or the last: 4-8-4, and 8-4-8.
    state = {"up.weight": np.ones((8, 4)), "down.weight": np.ones((4, 8))}
    with pytest.raises(ValueError, match=r"^layers: the names"):
        convert.from_torch(state, "tanh")
    assert convert.from_torch(state, "tanh", layers=["down", "up"]).sizes == (8, 4, 8)
    # None fits: an order by numbers names the layer, there is none to name otherwise.
    state = {"fc1.weight": np.ones((2, 4)), "fc2.weight": np.ones((4, 3))}
    with pytest.raises(ValueError, match=r"'fc2.weight': has 3 inputs, the layer before 2"):
        convert.from_torch(state, "tanh")
    state = {"x.weight": np.ones((2, 4)), "y.weight": np.ones((5, 3))}
    with pytest.raises(ValueError, match=r"^layers: the names"):
        convert.from_torch(state, "tanh")


@pytest.mark.slow
def test_many_layers_take_no_time():
    """Orders are not gone through one by one."""
    numbered = [f"fc{i}" for i in range(1, 401)]
    assert len(convert.from_torch(square_state(numbered, 2), "tanh").weights) == 400
    letters = [chr(97 + i) for i in range(26)]
    for names in (letters, [*numbered, "out"]):
        with pytest.raises(ValueError, match=r"^layers: the names"):
            convert.from_torch(square_state(names, 2), "tanh")


@pytest.mark.parametrize(
    "layers", [["0"], ["0", "2", "2"], ["0", "1"], "0", 5, [], ["0.weight", "2.weight"], [0, 3]]
)
def test_layers_that_are_not_those_of_the_state_dict(layers):
    with pytest.raises(ValueError, match=r"^layers: expected a list of \['0', '2'\], each once"):
        convert.from_torch(STATE, "tanh", layers=layers)
    assert convert.from_torch(STATE, "tanh", layers=(0, 2)).sizes == (3, 5, 2)


def test_layers_are_for_a_state_dict(torch):
    with pytest.raises(ValueError, match=r"^layers: a module has its own order"):
        convert.from_torch(torch.nn.Linear(2, 2), layers=["0"])


STATE = {"0.weight": np.ones((5, 3)), "0.bias": np.ones(5), "2.weight": np.ones((2, 5))}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {}, "activations: expected a name or a list of names"),
        ({}, {"activations": ["relu"] * 3}, "activations: expected 1 names, .* or 2 .*, got 3"),
        ({}, {"activations": "mish"}, r"activations\[0\]: expected identity, .* got 'mish'"),
        ({}, {"activations": "softmax"}, r"activations\[0\]: softmax is for the output layer only"),
        ({}, {"activations": "relu", "loss": "hinge"}, "loss: expected squared_error, .* 'hinge'"),
        ({}, {"activations": ["relu", "tanh"], "loss": "cross_entropy"}, "'tanh' does not go with"),
        ({}, {"activations": "relu", "dtype": "float16"}, "dtype: expected float32 or float64"),
        ({"1.running_mean": np.ones(5)}, {}, "tensor '1.running_mean': expected the weights and"),
        ({"0.bias": np.ones(4)}, {"activations": "relu"}, r"'0.weight': expected 5 biases, .*\(4,"),
        ({"1.weight": np.ones(5)}, {"activations": ["relu"] * 2}, "'1.weight': expected a matrix"),
        ({"2.weight": np.ones((2, 4))}, {"activations": "relu"}, "'2.weight': has 4 inputs, .* 5"),
        (
            {"0.weight": np.ones((5, 3), "f2")},
            {"activations": "relu"},
            "'0.weight': .* got float16",
        ),
        ({"0.weight": [[1.0]]}, {"activations": "relu"}, "'0.weight': .* got list"),
        ({"0.weight": np.ones((5, 3), int)}, {"activations": "relu"}, "'0.weight': .* got int64"),
    ],
)
def test_state_dicts_that_are_refused(changes, options, message):
    with pytest.raises(ValueError, match=message):
        convert.from_torch(STATE | changes, **options)


def test_empty_models_are_refused(torch):
    for nothing in ({}, torch.nn.Sequential()):
        with pytest.raises(ValueError, match=r"one or more layers|expected -1 names"):
            convert.from_torch(nothing)


def unknown_modules(nn):
    class Shortcut(nn.Linear):
        def forward(self, x):
            return x + super().forward(x)

    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    return {
        "Conv1d": nn.Conv1d(3, 3, 1),
        "SELU": nn.SELU(),
        "ReLU6": nn.ReLU6(),
        "Shortcut": Shortcut(3, 3),
        "Twice": Twice(nn.Linear(3, 3)),
        "LeakyReLU": nn.LeakyReLU(-0.2),
        "ELU": nn.ELU(-0.5),
        "GELU": nn.GELU("tanh"),
        "Softplus": nn.Softplus(threshold=10),
        "Softmax": nn.Softmax(dim=0),
        "LogSoftmax": nn.LogSoftmax(dim=1),
        "Flatten": nn.Flatten(0),
        "BatchNorm1d": nn.BatchNorm1d(3, track_running_stats=False),
        "LayerNorm": nn.LayerNorm(3),
    }


@pytest.mark.parametrize(
    "kind",
    ["Conv1d", "SELU", "ReLU6", "Shortcut", "Twice", "LeakyReLU", "ELU", "GELU", "Softplus",
     "Softmax", "LogSoftmax", "Flatten", "BatchNorm1d", "LayerNorm"],
)  # fmt: skip
def test_unknown_modules_are_named(torch, kind):
    nn = torch.nn
    unknown = unknown_modules(nn)[kind]
    module = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout(), unknown))
    with pytest.raises(ValueError, match=rf"^module '1.1' \({kind}\): "):
        convert.from_torch(module)


def test_modules_that_are_refused(torch):
    nn = torch.nn
    with pytest.raises(ValueError, match=r"'0' \(Tanh\): an activation that does not come after a"):
        convert.from_torch(nn.Sequential(nn.Tanh(), nn.Linear(2, 2)))
    with pytest.raises(ValueError, match=r"'2' \(Tanh\): an activation that does not come after a"):
        convert.from_torch(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh()))
    with pytest.raises(ValueError, match=r"'1' \(Softmax\): softmax is for the output layer only"):
        convert.from_torch(nn.Sequential(nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)))
    with pytest.raises(ValueError, match=r"'2' \(BatchNorm1d\): there is no layer after it"):
        convert.from_torch(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2)))
    with pytest.raises(ValueError, match=r"'2' \(Linear\): has 4 inputs, the layer before 3"):
        convert.from_torch(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 2)))
    with pytest.raises(ValueError, match=r"'0' \(Linear\): .* got torch.bfloat16"):
        convert.from_torch(nn.Sequential(nn.Linear(2, 3)).bfloat16())
    with pytest.raises(ValueError, match="activations: a module has its own"):
        convert.from_torch(nn.Sequential(nn.Linear(2, 3)), "relu")
    with pytest.raises(TypeError, match=r"module_or_state_dict: expected a torch.nn.Module or"):
        convert.from_torch([nn.Linear(2, 3)])
    hooked = nn.Sequential(nn.Linear(2, 3))
    hooked[0].register_forward_hook(lambda module, x, y: y + 1)
    with pytest.raises(ValueError, match=r"module '0' \(Linear\): has hooks"):
        convert.from_torch(hooked)
    with pytest.raises(ValueError, match=r"'1' \(SELU\): not one of .*; from_onnx reads more"):
        convert.from_torch(nn.Sequential(nn.Linear(2, 3), nn.SELU()))
    with pytest.raises(ValueError, match="PyTorch has no module for the output activation exp"):
        convert.to_torch(fcnn.Network((2, 1), loss="poisson"))


def test_modules_with_methods_of_their_own_are_refused(torch):
    """Of a subclass, or of the one module: it computes what they say."""
    nn = torch.nn

    class Forward(nn.ReLU):
        def forward(self, x):
            return x

    class Call(nn.ReLU):
        def __call__(self, x):
            return 3 * x

    class Backwards(nn.Sequential):
        def __iter__(self):
            return reversed(list(self._modules.values()))

    of_one = {name: nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for name in ("all", "Linear", "ReLU")}
    of_one["all"].forward = lambda x: 2 * x
    of_one["Linear"][0].forward = lambda x: 2 * x
    of_one["ReLU"][1]._call_impl = lambda x: 2 * x
    for module, what in (
        (nn.Sequential(nn.Linear(3, 3), Forward()), r"module '1' \(Forward\)"),
        (nn.Sequential(nn.Linear(3, 3), Call()), r"module '1' \(Call\)"),
        (Backwards(nn.Linear(3, 3), nn.Linear(3, 3)), r"module \(Backwards\)"),
        (of_one["all"], r"module \(Sequential\)"),
        (of_one["Linear"], r"module '0' \(Linear\)"),
        (of_one["ReLU"], r"module '1' \(ReLU\)"),
    ):
        with pytest.raises(ValueError, match=rf"^{what}: not one of the modules"):
            convert.from_torch(module)


@pytest.mark.parametrize("how", ["weight_norm", "spectral_norm", "orthogonal"])
def test_parametrized_weights_are_read_as_they_are(torch, how):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    getattr(torch.nn.utils.parametrizations, how)(module[0])
    x = torch.randn(9, 4)
    wanted = module.eval()(x).detach().numpy()
    assert np.abs(convert.from_torch(module).predict(x.numpy()) - wanted).max() <= 1e-6


# --- ONNX ----------------------------------------------------------------------------------------


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


def precise_reference(model):
    """The evaluator of the onnx package, whose error function is 2e-8 off, with Python's."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    erf = np.vectorize(math.erf, otypes=[float])

    class Erf(OpRun):
        op_domain = ""

        def _run(self, x):
            return (erf(x).astype(x.dtype),)

    class Gelu(OpRun):
        op_domain = ""

        def _run(self, x, approximate=None):
            assert approximate == "none"
            return ((x * (1 + erf(x / math.sqrt(2))) / 2).astype(x.dtype),)

    return ReferenceEvaluator(model, new_ops=[Erf, Gelu])


def run_onnx(model, X):
    """The outputs of ONNX Runtime, or of onnx's reference where the runtime lacks a kernel."""
    ort = pytest.importorskip("onnxruntime")
    try:
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    except ort.capi.onnxruntime_pybind11_state.NotImplemented:
        session = precise_reference(model)
    name = model.graph.input[0].name
    (outputs,) = session.run(None, {name: X})
    return outputs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("opset", [13, 17, 20, 24, None])
@pytest.mark.parametrize("seed", range(6))
def test_to_onnx_and_back(onnx, seed, opset, dtype):
    rng = np.random.default_rng(100 * seed + (opset or 0))
    net = negative_zeros(random_network(rng, dtype))
    opset = min(opset or 99, onnx.defs.onnx_opset_version())
    model = convert.to_onnx(net, opset=opset)
    assert model.opset_import[0].version == opset
    operators = {node.op_type for node in model.graph.node}
    assert ("Gelu" in operators) == ("gelu" in net.activations and opset >= 20)
    assert ("Erf" in operators) == ("gelu" in net.activations and opset < 20)
    onnx.checker.check_model(model, full_check=True)
    if net.activations[-1] != "ascending":
        assert_same(convert.from_onnx(model, loss=net.loss), net)
    if opset <= 24:
        X = inputs(rng, net)
        assert_close(net.predict(X), run_onnx(model, X), dtype)


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_each_activation_in_onnx(onnx, name, dtype, opset):
    """Over a wide range of z, where the definitions may differ."""
    net = fcnn.Network((1, 1, 1), name, loss="squared_error", dtype=dtype, init="zeros")
    net.parameters = [1, 0, 1, 0]
    X = np.array([0, 1e-3, -1e-3, 1, -1, 5, -5, 19, 20, 20.1, 21, -21, 30, -30], dtype)[:, None]
    model = convert.to_onnx(net, opset=opset)
    for x in X:
        wanted = net.predict(x[None])
        got = run_onnx(model, x[None])
        # Where a is small against z, digits are lost in any of them.
        assert abs(got - wanted) <= 2 * np.finfo(dtype).eps * max(abs(x[0]), 1)


def test_a_file(onnx, tmp_path):
    net = random_network(np.random.default_rng(0))
    path = tmp_path / "net.onnx"
    model = convert.to_onnx(net, path)
    assert path.read_bytes() == model.SerializeToString()
    for given in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), model):
        assert_same(convert.from_onnx(given, loss=net.loss), net)


def graph(onnx, nodes, constants=(), shape=("n", 3), output="y", opset=17, dtype="float32"):
    """A model from the text of its nodes, [name] before some, and a dict of arrays."""
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    names = {y: name for name, y in re.findall(r"\[(\w+)\] (\w+) =", nodes)}
    nodes = re.sub(r"\[\w+\] (?=\w+ =)", "", nodes)
    body = onnx.parser.parse_graph("g (float x) => (float y) { " + nodes + " }").node
    for node in body:
        node.name = names.get(node.output[0], "")
    info = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        body, "g", [info("x", number, shape)], [info(output, number, ("n", "m"))],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in dict(constants).items()],
    )  # fmt: skip
    opsets = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("com.microsoft", 1)]
    ir = max(onnx.helper.find_min_ir_version_for(opsets[:1]), 4)
    return onnx.helper.make_model(made, opset_imports=opsets, ir_version=ir)


def numbers(dtype="float32"):
    rng = np.random.default_rng(0)
    shapes = {
        "A": (3, 4), "At": (4, 3), "b": (4,), "b1": (1, 4), "c": (3,), "s": (), "one": (1,),
        "B": (4, 2), "d": (2,), "mean": (4,), "beta": (4,), "gamma": (4,),
    }  # fmt: skip
    made = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    made["var"] = rng.uniform(0.5, 2, 4).astype(dtype)
    for name, value in {"half": 0.5, "r2": 2**0.5, "ir2": 0.5**0.5, "1": 1, "k2": 2}.items():
        made[f"c{name}" if name == "1" else name] = np.array(value, dtype)
    return made


GRAPHS = {
    "MatMul": "y = MatMul(x, A)",
    "MatMul and Add": "h = MatMul(x, A) y = Add(h, b)",
    "Add from the left": "h = MatMul(x, A) y = Add(b1, h)",
    "Sub": "h = MatMul(x, A) y = Sub(h, b)",
    "Mul and Div of outputs": "h = MatMul(x, A) i = Mul(b, h) j = Div(i, beta) y = Add(j, s)",
    "Sub and Div of inputs": "h = Sub(x, c) i = Div(h, s) y = MatMul(i, A)",
    "Gemm": "y = Gemm(x, A)",
    "Gemm, all": "y = Gemm <alpha = 0.7, beta = -1.3, transB = 1> (x, At, b)",
    "Gemm, a number as C": "y = Gemm <beta = 0.5> (x, A, s)",
    "Gemm, a row as C": "y = Gemm(x, A, b1)",
    "Gemm twice": "h = Gemm(x, A, b) y = Gemm(h, B, d)",
    "Relu": "h = Gemm(x, A, b) y = Relu(h)",
    "PRelu": "k = Constant <value_float = 0.01> () h = Gemm(x, A, b) y = PRelu(h, k)",
    "left out": """f = Flatten(x) i = Identity(f) h = Gemm(i, A, b) e = Dropout(h) t = Tanh(e)
        y = Identity(t)""",
    "Dropout with inputs": """f = Constant <value_float = 0.5> () h = Gemm(x, A, b)
        y = Dropout(h, f)""",
    "BatchNormalization": """h = Gemm(x, A, b) i = BatchNormalization <epsilon = 0.01>
        (h, gamma, beta, mean, var) y = Sigmoid(i)""",
    "BatchNormalization after": """h = Gemm(x, A, b) i = Elu(h)
        j = BatchNormalization(i, gamma, beta, mean, var) y = MatMul(j, B)""",
    "constants of constants": """t = Transpose(At) k = Mul(t, half) u = Unsqueeze(k, zero)
        v = Squeeze(u, zero) h = MatMul(x, v) w = Cast <to = 1> (half) y = Add(h, w)""",
    "Softmax": "h = Gemm(x, A) y = Softmax <axis = 1> (h)",
    "Gelu, PyTorch's": """z = Gemm(x, A, b) i = Div(z, r2) e = Erf(i) f = Add(e, c1) g = Mul(z, f)
        a = Mul(g, half) y = MatMul(a, B)""",
    "Gelu, as output": """z = Gemm(x, A, b) i = Mul(ir2, z) e = Erf(i) f = Add(c1, e) g = Mul(f, z)
        y = Div(g, k2)""",
    "Gelu, half first": """z = MatMul(x, A) v = Add(z, b) h = Mul(v, half) i = Mul(v, ir2)
        e = Erf(i) f = Add(e, c1) a = Mul(h, f) y = MatMul(a, B)""",
    "Gelu, half inside": """z = Gemm(x, A, b) i = Mul(z, ir2) e = Erf(i) f = Add(e, c1)
        k = Mul(half, f) a = Mul(z, k) y = MatMul(a, B)""",
    "Silu": "z = MatMul(x, A) v = Add(z, b) s1 = Sigmoid(v) a = Mul(s1, v) y = MatMul(a, B)",
    "Silu, doubled": """z = Gemm(x, A, b) s1 = Sigmoid(z) a = Mul(z, s1) k = Mul(a, k2)
        y = MatMul(k, B)""",
    "Silu of a multiple": """z = Gemm(x, A, b) s1 = Sigmoid(z) k = Mul(z, k2) a = Mul(s1, k)
        y = MatMul(a, B)""",
    "Softplus, PyTorch's": """z = Gemm(x, A, b) l = Constant <value_float = 20.0> ()
        g = Greater(z, l) p = Softplus(z) y = Where(g, z, p)""",
    "a part that is not used": "y = Gemm(x, A, b) i = Selu(x) j = NonZero(i)",
    "scaled at last": "h = Gemm(x, A, b) i = Relu(h) y = Mul(i, k2)",
    "subtracted": "h = Gemm(x, A, b) y = Sub(b, h)",
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(onnx, name):
    constants = numbers() | {"zero": np.array([0])}
    model = graph(onnx, GRAPHS[name], constants)
    net = convert.from_onnx(model)
    X = np.random.default_rng(1).normal(size=(20, 3)).astype("float32")
    assert_close(net.predict(X), run_onnx(model, X), "float32")


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 15, 21])
def test_versions_of_operators(onnx, opset):
    nodes = """h = Gemm(x, A, b) i = BatchNormalization(h, gamma, beta, mean, var) j = LeakyRelu(i)
        k = Dropout(j) l = MatMul(k, B) m = Add(l, d) n = Flatten(m) y = Softmax(n)"""
    model = graph(onnx, nodes, numbers(), opset=opset)
    net = convert.from_onnx(model)
    assert net.activations == ("leaky_relu", "softmax")
    X = np.random.default_rng(1).normal(size=(20, 3)).astype("float32")
    assert_close(net.predict(X), run_onnx(model, X), "float32")


def test_initializers_that_are_inputs_too(onnx):
    """As they were in the first versions of the format."""
    model = graph(onnx, "y = Gemm(x, A, b)", numbers(), opset=7)
    model.ir_version = 3
    for tensor in model.graph.initializer:
        info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)
    X = np.random.default_rng(1).normal(size=(20, 3)).astype("float32")
    assert_close(convert.from_onnx(model).predict(X), run_onnx(model, X), "float32")


def test_functions_of_the_model(onnx):
    """They are put in the place of their calls."""
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[n, 3] x) => (float[n, 4] y) <float[3, 4] A> {
            h = own.layer(x, A) y = own.layer(h, C) }
        <domain: "own", opset_import: ["" : 17]>
        layer (x, W) => (y) { z = MatMul(x, W) y = Tanh(z) }"""
    rng = np.random.default_rng(0)
    A, C = (rng.normal(size=shape).astype("float32") for shape in ((3, 4), (4, 4)))
    model = onnx.parser.parse_model(text.replace("<float[3, 4] A>", ""))
    for name, values in (("A", A), ("C", C)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    net = convert.from_onnx(model)
    assert net.activations == ("tanh", "tanh")
    X = rng.normal(size=(20, 3)).astype("float32")
    assert_close(net.predict(X), run_onnx(model, X), "float32")


def test_inputs_of_more_dimensions(onnx):
    model = graph(onnx, "i = Identity(x) f = Flatten(i) y = MatMul(f, A)",
                  {"A": np.random.default_rng(0).normal(size=(12, 2)).astype("f4")},
                  shape=("n", 2, 2, 3))  # fmt: skip
    X = np.random.default_rng(1).normal(size=(5, 2, 2, 3)).astype("float32")
    net = convert.from_onnx(model)
    assert_close(net.predict(X.reshape(5, 12)), run_onnx(model, X), "float32")
    for nodes in ("y = MatMul(x, A)", "h = MatMul(x, A) y = Flatten(h)"):
        too_late = graph(onnx, nodes, numbers(), shape=("n", 2, 3))
        with pytest.raises(ValueError, match=r"'[yh]' \(MatMul\): expected shape .*rows, 2, 3\)"):
            convert.from_onnx(too_late)
    widened = graph(onnx, "h = Add(x, c) y = MatMul(h, A)", numbers(), shape=("n", 1))
    with pytest.raises(ValueError, match=r"'h' \(Add\): expected a number for each node"):
        convert.from_onnx(widened)


@pytest.mark.parametrize(
    ("shape", "to", "valid"),
    [
        (("n", 2, 3), [-1, 6], True),
        (("n", 2, 3), [0, -1], True),
        ((5, 2, 3), [5, -1], True),
        ((5, 2, 3), [5, 6], True),
        ((5, 2, 3), [-1, 6], True),
        (("n", 2, 3), [-1, 3], False),
        (("n", "m", 3), [-1, 3], False),
        (("n", 2, 3), [-1, 2, 3], False),
        ((6, 1), [1, 6], False),
    ],
)
def test_a_reshape_that_flattens(onnx, shape, to, valid):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6 if valid else to[-1], 2)).astype("f4")
    model = graph(onnx, "f = Reshape(x, to) y = MatMul(f, A)", {"A": A, "to": to}, shape=shape)
    if not valid:
        with pytest.raises(ValueError, match=r"'y' \(MatMul\): (expected shape|rows and their)"):
            convert.from_onnx(model)
        return
    X = rng.normal(size=(5, 2, 3)).astype("float32")
    got = convert.from_onnx(model).predict(X.reshape(5, 6))
    assert_close(got, run_onnx(model, X), "float32")


def test_casts(onnx):
    constants = numbers()
    harmless = graph(onnx, "h = Cast <to = 1> (x) i = Gemm(h, A, b) y = Cast <to = 11> (i)",
                     constants, dtype="float64")  # fmt: skip
    X = np.random.default_rng(1).normal(size=(20, 3))
    net = convert.from_onnx(harmless)
    assert net.dtype == "float32"
    assert_close(net.predict(X), run_onnx(harmless, X), "float32")
    doubles = numbers("float64")
    for to, name in ((1, "float32"), (10, "float16"), (7, "int64")):
        lossy = graph(
            onnx, f"h = Gemm(x, A, b) i = Cast <to = {to}> (h) y = Cast <to = 11> (i)",
            doubles, dtype="float64",
        )  # fmt: skip
        message = rf"node 'i' \(Cast\): a conversion to {name} in a network of float64"
        with pytest.raises(ValueError, match=message):
            convert.from_onnx(lossy)


def test_losses(onnx):
    logits = graph(onnx, "y = Gemm(x, A, b)", numbers())
    assert convert.from_onnx(logits).loss == "squared_error"
    net = convert.from_onnx(logits, loss="cross_entropy", dtype="float64")
    assert (net.activations, net.loss, net.dtype) == (("softmax",), "cross_entropy", "float64")
    log_softmax = graph(onnx, "h = Gemm(x, A, b) y = LogSoftmax(h)", numbers())
    net = convert.from_onnx(log_softmax, loss="cross_entropy")
    X = np.random.default_rng(1).normal(size=(20, 3)).astype("float32")
    assert_close(net.predict(X), np.exp(run_onnx(log_softmax, X)), "float32")
    with pytest.raises(ValueError, match=r'node \'y\' \(LogSoftmax\): .* loss="cross_entropy"'):
        convert.from_onnx(log_softmax)


H = "h = Gemm(x, A, b) "
REFUSED = {
    "Selu": (H + "[odd] y = Selu(h)", r"node 'odd' \(Selu\): cannot be converted"),
    "no name": (H + "y = HardSigmoid(h)", r"node 'y' \(HardSigmoid\)"),
    "Conv": ("[first] y = Conv(x, K)", r"node 'first' \(Conv\)"),
    "residual": (H + "i = Relu(h) y = Add(i, h)", r"node 'y' \(Add\): joins tensors"),
    "gate": (H + "i = Tanh(h) y = Mul(i, h)", r"node 'y' \(Mul\): joins tensors"),
    "gate of another": (
        H + "i = Gemm(x, A) j = Sigmoid(i) y = Mul(j, h)", r"node 'y' \(Mul\): joins tensors"),
    "swish with a factor": (
        H + "g = Mul(h, k2) j = Sigmoid(g) y = Mul(j, h)", r"node 'y' \(Mul\): joins tensors"),
    "erf with another factor": (
        H + "i = Mul(h, half) e = Erf(i) f = Add(e, c1) g = Mul(h, f) y = Mul(g, half)",
        r"node 'g' \(Mul\): joins"),
    "erf with another shift": (
        H + "i = Mul(h, ir2) e = Erf(i) f = Add(e, half) g = Mul(h, f) y = Mul(g, half)",
        r"node 'g' \(Mul\): joins"),
    "erf alone": (H + "y = Erf(h)", r"node 'y' \(Erf\): is no activation of its own"),
    "Where": (H + "g = Greater(h, half) y = Where(g, h, h)", r"node 'g' \(Greater\): cannot be c"),
    "another Where": (
        H + "t = Constant <value_float = 20.0> () g = Greater(h, t) r = Relu(h) y = Where(g, h, r)",
        r"node 'y' \(Where\): joins"),
    "Where of others": (
        H + "t = Constant <value_float = 20.0> () i = MatMul(x, A) g = Greater(i, t) "
        "p = Softplus(h) y = Where(g, h, p)", r"node 'y' \(Where\): joins"),
    "slope": (H + "y = LeakyRelu <alpha = -0.2> (h)", r"\(LeakyRelu\): expected alpha.*, got -0.2"),
    "slopes": (H + "y = PRelu(h, b)", r"node 'y' \(PRelu\): has a slope for each node"),
    "alpha": (H + "y = Elu <alpha = -2.0> (h)", r"\(Elu\): expected alpha from 0.*, got -2.0"),
    "axis": (H + "y = Softmax <axis = 0> (h)", r"\(Softmax\): expected axis=-1, .*got 0 of"),
    "hidden softmax": (H + "i = Softmax(h) y = MatMul(i, B)", r"'i' \(Softmax\): softmax is for"),
    "two activations": (H + "i = Relu(h) y = Tanh(i)", r"'y' \(Tanh\): an activation that d"),
    "activation first": ("i = Relu(x) y = MatMul(i, A)", r"'i' \(Relu\): an activation that d"),
    "scaled by 0": (H + "i = Relu(h) y = Mul(i, z0)", r"'y' \(Mul\): multiplies an output by 0"),
    "scaled probabilities": (
        H + "i = Softmax(h) y = Mul(i, k2)", r"'y' \(Mul\): there is no layer"),
    "transA": ("y = Gemm <transA = 1> (x, A)", r"'y' \(Gemm\): expected shape \(samples, feat"),
    "weights first": ("y = MatMul(T, x)", r"'y' \(MatMul\): expected shape \(samples, features\)"),
    "by itself": ("y = MatMul(x, x)", r"'y' \(MatMul\): joins tensors"),
    "divided": (H + "y = Div(b, h)", r"'y' \(Div\): divides by what a layer returns"),
    "a cube": (H + "y = Add(h, cube)", r"'y' \(Add\): expected a number for each node.*4, 1, 1"),
    "reshaped later": (H + "y = Reshape(h, to)", r"'y' \(Reshape\): the shape \[5, 5\] does not f"),
    "a column": (H + "y = Add(h, col)", r"'y' \(Add\): expected a number for each node.*5, 1"),
    "too many": (H + "i = Add(h, c5) y = Relu(i)", r"'i' \(Add\): .* that fit \(rows, 4\)"),
    "a vector": ("t = Transpose(x) y = MatMul(c, t)", r"'y' \(MatMul\): expected a matrix of .*3,"),
    "computed with": (
        H + "i = Shape(h) j = Cast <to = 1> (i) y = Add(h, j)",
        r"computes with the number of rows"),
    "division by 0": (H + "y = Div(h, z0)", r"'y' \(Div\): divides by 0"),
    "training": (
        H + "t = Constant <value = bool {1}> () r = Constant <value_float = 0.5> () "
        "y = Dropout(h, r, t)", r"'y' \(Dropout\): is in training mode"),
    "the mask": (H + "i, m = Dropout(h) j = Cast <to = 1> (m) y = Add(j, b)",
                 r"'j' \(Cast\): the tensor 'm' cannot be followed"),
    "training of a normalization": (
        H + "y, q, w = BatchNormalization <training_mode = 1> (h, gamma, beta, mean, var)",
        r"'y' \(BatchNormalization\): is in training mode"),
    "negative variance": (
        H + "y = BatchNormalization(h, gamma, beta, mean, neg)", r"expected variances above 0"),
    "random": ("r = RandomNormal <shape = [3, 4]> () y = MatMul(x, r)",
               r"node 'r' \(RandomNormal\): cannot be converted"),
    "wrong constant": ("r = Reshape(A, to) y = MatMul(x, r)", r"\(Reshape\): cannot be computed"),
    "another domain": (H + "[gelu] y = com.microsoft.FastGelu(h)",
                       r"'gelu' \(FastGelu\): cannot be converted"),
    "constant": ("y = Relu(A)", r"\(Relu\): cannot be converted"),
    "constant output": ("y = Neg(A)", r"output 'y' does not depend on the input"),
    "Flatten": (
        H + "i = Flatten <axis = 0> (h) y = Softmax(i)",
        r"'y' \(Softmax\): rows and their numbers"),
    "nothing": ("y = Identity(x)", "model: no layer with weights leads to its output 'y'"),
    "not a graph": (H + "y = Relu(i)", "not a sound ONNX model"),
    "unknown": (H + "y = Foo(h)", "not a sound ONNX model .*Foo"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_graphs_that_are_refused(onnx, name):
    nodes, message = REFUSED[name]
    constants = numbers() | {
        "K": np.ones((1, 3, 1), "f4"), "T": np.ones((3, 2), "f4"), "col": np.ones((5, 1), "f4"),
        "c5": np.ones(5, "f4"), "cube": np.ones((4, 1, 1), "f4"),
        "z0": np.zeros(1, "f4"), "neg": -np.ones(4, "f4"),
        "to": np.array([5, 5]),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        convert.from_onnx(graph(onnx, nodes, constants))


def test_models_that_are_refused(onnx, tmp_path):
    with pytest.raises(
        TypeError, match=r"model: expected a path, bytes or an onnx.ModelProto, got i"
    ):
        convert.from_onnx(1)
    for broken in (b"", b"not a model", graph(onnx, "y = Relu(x)").SerializeToString()[:-9]):
        with pytest.raises(ValueError, match="model: not a sound ONNX model"):
            convert.from_onnx(broken)
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ValueError, match=r"text.onnx: not a sound ONNX model"):
        convert.from_onnx(tmp_path / "text.onnx")
    with pytest.raises(FileNotFoundError):
        convert.from_onnx(tmp_path / "absent.onnx")
    two = graph(onnx, "y = MatMul(x, A)", numbers())
    two.graph.input.append(two.graph.input[0])
    two.graph.input[1].name = "mask"
    with pytest.raises(ValueError, match="model: expected one input, got 'x', 'mask'"):
        convert.from_onnx(two)
    whole = graph(onnx, "y = MatMul(x, A)", numbers("int32"), dtype="int32")
    with pytest.raises(ValueError, match=r"\(MatMul\): computes with int32"):
        convert.from_onnx(whole)
    old = graph(onnx, "y = MatMul(x, A)", numbers(), opset=6)
    with pytest.raises(ValueError, match="expected opset 7 or newer, got 6"):
        convert.from_onnx(old)


def test_to_onnx_refuses(onnx, tmp_path):
    net = fcnn.Network((2, 3))
    newest = onnx.defs.onnx_opset_version()
    for opset in (12, newest + 1):
        with pytest.raises(ValueError, match=f"opset: expected 13 to {newest}, got {opset}"):
            convert.to_onnx(net, tmp_path / "net.onnx", opset=opset)
    with pytest.raises(TypeError, match="opset: expected an integer"):
        convert.to_onnx(net, opset="17")
    with pytest.raises(TypeError, match=r"path: expected a str or os.PathLike, got int"):
        convert.to_onnx(net, 3)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module", params=["dynamo", "script"])
def exported(request, tmp_path_factory):
    """All of PyTorch's modules in one file, of both dtypes: an export by dynamo takes seconds."""
    torch, onnx = pytest.importorskip("torch"), pytest.importorskip("onnx")
    by_dynamo = request.param == "dynamo"
    if by_dynamo:
        pytest.importorskip("onnxscript")
    nn, rng = torch.nn, np.random.default_rng(0)
    torch.manual_seed(0)
    chains = {}
    for dtype in DTYPES:
        made = torch_activations(nn)
        if dtype == "float64":
            # An operator's number is a float32, 2e-8 off.
            made = {name: kind for name, kind in made.items() if name not in OF_FLOAT32}
        sequence = [nn.Flatten()]
        for i, name in enumerate(made):
            linear = nn.Linear(5 if i else 6, 5, bias=name != "silu")
            sequence += [linear, batch_norm(torch, rng, 5), made[name](), nn.Dropout()]
        chains[dtype] = nn.Sequential(*sequence).to(getattr(torch, dtype)), tuple(made)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(module for module, _ in chains.values())

        def forward(self, x):
            return self.parts[0](x), self.parts[1](x.double())

    path = str(tmp_path_factory.mktemp("exported") / "module.onnx")
    X = rng.normal(size=(7, 2, 3)).astype("float32")
    options = {} if by_dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Both().eval(), (torch.from_numpy(X),), path, dynamo=by_dynamo, input_names=["x"],
            output_names=DTYPES, **options,
        )  # fmt: skip
    return onnx.load(path), path, X, chains


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_pytorch_exports(torch, onnx, exported, dtype):
    """All of PyTorch's modules in one model; float64 also as the constants of the formulas."""
    model, path, X, chains = exported
    module, names = chains[dtype]
    net = convert.from_onnx(path, output=dtype)
    assert net.activations == names
    assert net.dtype == dtype
    got = net.predict(X.reshape(7, 6))
    assert_close(got, run_onnx(onnx.utils.Extractor(model).extract_model(["x"], [dtype]), X), dtype)
    # The file's epsilon is a float32.
    assert_close(got, outputs_of(torch, module, X.astype(dtype)), "float32")


# --- Keras ---------------------------------------------------------------------------------------


class Layer:
    """What of Keras' layers is read, so that the reader is tested where Keras is not installed."""

    def __init__(self, config=None, weights=(), layers=()):
        self.name, self.layers = "layer_1", list(layers)
        self.get_config = lambda: dict(config or {})
        self.get_weights = lambda: list(weights)


def layer(kind, config=None, weights=(), layers=()):
    return type(kind, (Layer,), {"__module__": "keras.src"})(config, weights, layers)


def test_from_keras_by_hand():
    rng = np.random.default_rng(0)
    W1, b1, W2 = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=(4, 2))
    gamma, beta, mean = rng.normal(size=(3, 2))
    variance = rng.uniform(0.5, 2, 2)
    norm = {"epsilon": 0.001, "scale": True, "center": True}
    model = layer("Sequential", layers=[
        layer("InputLayer"), layer("Flatten", {"data_format": "channels_last"}),
        layer("Dense", {"activation": "tanh", "use_bias": True}, [W1, b1]),
        layer("Sequential", layers=[
            layer("Dropout", {"rate": 0.5}),
            layer("Dense", {"activation": "linear", "use_bias": False}, [W2]),
        ]),
        layer("BatchNormalization", norm, [gamma, beta, mean, variance]),
        layer("Activation", {"activation": "sigmoid"}),
    ])  # fmt: skip
    net = convert.from_keras(model)
    assert (net.sizes, net.activations) == ((3, 4, 2), ("tanh", "sigmoid"))
    assert (net.loss, net.dtype) == ("binary_cross_entropy", "float64")
    X = rng.normal(size=(9, 3))
    z = (np.tanh(X @ W1 + b1) @ W2 - mean) / np.sqrt(variance + 0.001) * gamma + beta
    np.testing.assert_allclose(net.predict(X), 1 / (1 + np.exp(-z)), rtol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (layer("Conv2D"), "not one of the layers"),
        (layer("LeakyReLU", {"negative_slope": -0.3}), "expected negative_slope.*, got -0.3"),
        (layer("LeakyReLU", {"alpha": -0.3}), "expected alpha from 0.*, got -0.3"),
        (layer("LeakyReLU", {}), "expected negative_slope from 0.*, got None"),
        (layer("ELU", {"alpha": np.nan}), "expected alpha from 0.*, got nan"),
        (layer("ReLU", {"max_value": 6.0}), "expected max_value=None, got 6.0"),
        (layer("Softmax", {"axis": 0}), "expected axis=-1, got 0"),
        (layer("Flatten", {"data_format": "channels_first"}), "expected data_format='channels_la"),
        (layer("Activation", {"activation": "mish"}), "expected the name of an act.*'mish'"),
        (layer("Activation", {"activation": {"class_name": "ELU"}}), "expected the name of an act"),
        (layer("Dense", {"activation": "relu", "use_bias": True}, [np.ones((3, 2))]), "1 arrays"),
    ],
)
def test_keras_layers_that_are_refused(bad, message):
    good = layer("Dense", {"activation": "linear", "use_bias": False}, [np.ones((3, 3))])
    model = layer("Sequential", layers=[good, bad])
    with pytest.raises(
        ValueError, match=rf"^layer 'layer_1' \({type(bad).__name__}\): .*{message}"
    ):
        convert.from_keras(model)


def test_keras_models_that_are_refused():
    with pytest.raises(TypeError, match=r"model: expected a keras.Sequential, got Functional"):
        convert.from_keras(layer("Functional"))


def test_layers_of_ones_own_with_names_of_keras_are_refused():
    """They compute what they like: a Dropout that doubles, a Dense with a call of its own."""
    dense = layer("Dense", {"activation": "linear", "use_bias": False}, [np.ones((3, 3))])
    for kind in ("Dropout", "Dense"):
        own = type(kind, (type(dense),), {"__module__": "mine"})({}, [np.ones((3, 3))])
        with pytest.raises(ValueError, match=rf"'layer_1' \({kind}\): not one of the layers"):
            convert.from_keras(layer("Sequential", layers=[dense, own]))
    with pytest.raises(TypeError, match=r"expected a keras.Sequential, got Sequential"):
        convert.from_keras(type("Sequential", (Layer,), {})(layers=[dense]))


@pytest.mark.parametrize("is_nested", [False, True])
def test_inputs_of_several_axes_need_a_flatten(is_nested):
    """Keras multiplies the last axis alone."""
    dense = layer("Dense", {"activation": "linear", "use_bias": False}, [np.ones((3, 3))])
    flat = layer("Flatten", {"data_format": "channels_last"})
    for layers, message in (([dense], "expected a Flatten at first"), ([flat, dense], None)):
        model = layer("Sequential", layers=layers)
        model.input_shape = (None, 1, 3)
        model = layer("Sequential", layers=[layer("InputLayer"), model]) if is_nested else model
        if message is None:
            assert convert.from_keras(model).sizes == (3, 3)
        else:
            with pytest.raises(ValueError, match=rf"^model: {message} for inputs of shape \(None"):
                convert.from_keras(model)


@pytest.mark.parametrize("seed", range(8))
def test_from_keras(seed, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras")
        rng = np.random.default_rng(seed)
        keras.utils.set_random_seed(seed)
        layers = keras.layers
        names = ["linear", "sigmoid", "tanh", "relu", "elu", "gelu", "silu", "softplus",
                 "leaky_relu"]  # fmt: skip
        made = [keras.Input((2, 3)), layers.Flatten()]
        for name in rng.permutation(names)[: rng.integers(1, 9)]:
            n = int(rng.integers(1, 20))
            if rng.integers(2):
                made.append(layers.Dense(n, str(name), use_bias=bool(rng.integers(2))))
            else:
                made += [layers.Dense(n), layers.BatchNormalization(), layers.Activation(str(name))]
            made.append(layers.Dropout(0.2))
        output = [layers.Softmax(), layers.ELU(0.6), layers.ReLU(), layers.LeakyReLU(0.4)][seed % 4]
        head = keras.Sequential([layers.Dense(4, "tanh"), layers.BatchNormalization()])
        model = keras.Sequential([*made, head, layers.Dense(3), output])
        for norm in model.layers:
            if isinstance(norm, layers.BatchNormalization):
                norm.set_weights([rng.uniform(0.5, 2, w.shape) for w in norm.get_weights()])
        X = rng.normal(size=(20, 2, 3)).astype("float32")
        wanted = model.predict(X, verbose=0)
        net = convert.from_keras(model)
    # Up to a dozen layers, whose sums Keras adds up in another order: 1.2e-6 of one of these.
    error = np.abs(net.predict(X.reshape(20, 6)) - wanted).max() / np.abs(wanted).max()
    assert error <= 2e-6


# --- The documentation ---------------------------------------------------------------------------

DOCUMENT = Path(__file__).parent.parent / "docs" / "convert.md"


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch):
    for package in ("torch", "sklearn", "onnx"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    text = DOCUMENT.read_text("utf-8")
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a training that has not converged
        for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(code, "convert.md", "exec"), names)
    written = (tmp_path / "digits.c").read_text()
    (shown,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    for line in shown.splitlines()[1:]:
        assert line.partition("  ")[0] in written
    assert names["logits"][-1].out_features == 10
