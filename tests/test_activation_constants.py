"""leaky_relu(0.2), elu(0.5): a number of one's own goes wherever an activation goes.

Tests of every activation have two of these among them (conftest.HIDDEN); here are the numbers'
spelling and bounds, PyTorch's gradients over random numbers, and what keeps them.
"""

import copy
import pickle

import numpy as np
import pytest
from conftest import core_twin, random_problem

import fcnn
from fcnn import initializers, reference
from fcnn._architecture import named

DTYPES = ["float32", "float64"]


# --- Spelling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        ("leaky_relu(0.2)", "leaky_relu(0.2)"),
        ("LeakyReLU( 2e-1 )", "leaky_relu(0.2)"),
        ("leaky-relu(0.20)", "leaky_relu(0.2)"),
        ("leaky_relu (1)", "leaky_relu(1)"),
        ("leaky_relu(-0.0)", "leaky_relu(0)"),
        ("leaky_relu(0.01)", "leaky_relu"),
        ("leaky_relu(1e-2)", "leaky_relu"),
        ("ELU(1.0)", "elu"),
        ("elu(0.3333333333333333)", "elu(0.3333333333333333)"),
        ("elu(1e-20)", "elu(1e-20)"),
        ("elu(1e30)", "elu(1e+30)"),
    ],
)
def test_a_number_has_one_spelling(given, spelled):
    net = fcnn.Network((2, 3, 3, 1), ["tanh", given], given, loss="squared_error")
    assert net.activations == ("tanh", spelled, spelled)
    assert spelled in repr(net)
    assert spelled in net.summary()
    again = fcnn.Network((2, 3, 1), spelled, loss="squared_error")
    assert again.activations[0] == spelled


def test_numbers_are_read_back_as_they_were():
    rng = np.random.default_rng(0)
    for number in [*rng.uniform(0, 2, 50), *10.0 ** rng.uniform(-300, 30, 50)]:
        name = named("elu", number)
        net = fcnn.Network((1, 1, 1), name, loss="squared_error")
        assert net.activations[0] == name
        assert float(name[4:-1]) == number


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("leaky_relu(-0.1)", "^activation: the slope of leaky_relu: expected a finite number at l"),
        ("leaky_relu(nan)", "^activation: the slope of leaky_relu: .*, got nan$"),
        ("elu(inf)", "^activation: the alpha of elu: .*, got inf$"),
        ("elu(1.1e30)", r"^activation: the alpha of elu: .* at most 1e\+30, got 1.1e\+30$"),
        ("elu(-1)", "^activation: the alpha of elu: "),
        (
            "leaky_relu()",
            r"^activation: expected the slope .*, like leaky_relu\(0.2\), got 'leaky_",
        ),
        ("leaky_relu(0.2", "^activation: expected the slope of leaky_relu as a number"),
        ("leaky_relu(0.2))", "^activation: expected the slope of leaky_relu as a number"),
        ("leaky_relu(a)", "^activation: expected the slope of leaky_relu as a number"),
        ("leaky_relu(0.1, 0.2)", "^activation: expected the slope of leaky_relu as a number"),
        ("relu(0.2)", "^activation: a number goes with leaky_relu or elu alone, got 'relu"),
        ("softplus(2)", "^activation: a number goes with leaky_relu or elu alone"),
        ("leaky(0.2)", "^activation: expected identity, .*; did you mean 'leaky_relu'"),
        ("softmax(1)", "^activation: expected identity, "),
    ],
)
def test_what_is_no_activation_with_a_number(given, message):
    with pytest.raises(ValueError, match=message):
        fcnn.Network((2, 3, 2), given)
    with pytest.raises(ValueError, match=message.replace("activation", r"activation\[1\]", 1)):
        fcnn.Network((2, 3, 3, 2), ["tanh", given])
    if not given.startswith("softmax"):
        with pytest.raises(ValueError, match=message.replace("activation", "output_activation", 1)):
            fcnn.Network((2, 3, 2), "tanh", given, "squared_error")


def test_an_output_with_a_number_needs_its_loss():
    with pytest.raises(ValueError, match=r"^output_activation: 'elu\(2\)' does not go with loss"):
        fcnn.Network((2, 2), output_activation="elu(2)", loss="poisson")


# --- Initial weights -----------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("scheme", ["he_normal", "he_uniform", "auto"])
def test_he_takes_the_slope(scheme, slope):
    """As torch.nn.init.calculate_gain: gain^2 = 2 / (1 + slope^2)."""
    name = named("leaky_relu", slope)
    got = initializers.initial_weights(scheme, name, 30, 20, np.random.default_rng(0))
    plain = initializers.initial_weights(scheme, "relu", 30, 20, np.random.default_rng(0))
    np.testing.assert_allclose(got, plain / np.sqrt(1 + slope**2), rtol=1e-10)
    torch = pytest.importorskip("torch")
    gain = torch.nn.init.calculate_gain("leaky_relu", slope)
    np.testing.assert_allclose(got / plain, gain / np.sqrt(2), rtol=1e-10)


def test_other_schemes_do_not_take_it():
    for scheme in ("glorot_normal", "lecun_uniform"):
        nets = [fcnn.Network((5, 6, 2), name, init=scheme) for name in ("leaky_relu(0.9)", "tanh")]
        np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


# --- Values and gradients ------------------------------------------------------------------------


def problems(seed, count, dtype):
    """Yield random networks whose layers have random numbers, a batch, and PyTorch's functions."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        numbers = rng.choice([0.0, 1e-3, 0.2, 1.0, 1.7, float(rng.uniform(0, 2))], 3)
        kinds = rng.choice(["leaky_relu", "elu"], 3)
        names = [named(str(kind), number) for kind, number in zip(kinds, numbers, strict=True)]
        sizes = (int(rng.integers(1, 40)), int(rng.integers(1, 40)), int(rng.integers(1, 20)), 3)
        rows = int(rng.choice([1, 2, 5, 16, 33, 300]))
        network, batch = random_problem(rng, sizes, names, "squared_error", dtype, rows, i % 2)
        yield network, batch, list(zip(kinds, numbers, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("way", ["as chosen", "general"])
def test_random_numbers_against_pytorch(core, dtype, seed, way):
    torch = pytest.importorskip("torch")
    functions = {"leaky_relu": torch.nn.LeakyReLU, "elu": torch.nn.ELU}
    for network, (X, y, weight), numbers in problems(seed, 10, dtype):
        twin = core_twin(core, network)
        parameters = torch.tensor(network.parameters.astype("float64"), requires_grad=True)
        a, at = torch.tensor(X.astype("float64")), 0
        for (n_in, n_out), (kind, number) in zip(
            zip(network.sizes, network.sizes[1:], strict=False), numbers, strict=True
        ):
            W = parameters[at : at + n_in * n_out].reshape(n_in, n_out)
            b = parameters[at + n_in * n_out : at + (n_in + 1) * n_out]
            at += (n_in + 1) * n_out
            a = functions[str(kind)](float(np.dtype(dtype).type(number)))(a @ W + b)
        costs = ((a - torch.tensor(y.astype("float64"))) ** 2 / 2).sum(1)
        w = torch.ones(len(X)) if weight is None else torch.tensor(weight.astype("float64"))
        ((costs * w).sum() / w.sum()).backward()
        wanted = parameters.grad.numpy()
        core.force_tiny(0 if way == "general" else -1)
        try:
            _, gradient = twin.gradients(X, y, weight)
        finally:
            core.force_tiny(-1)
        outputs = a.detach().numpy()
        tolerance = {"float32": 3e-6, "float64": 1e-13}[dtype]
        scale = max(np.abs(outputs).max(), 1e-30)
        assert np.abs(twin.predict(X) - outputs).max() <= tolerance * max(scale, 1)
        assert np.abs(gradient - wanted).max() <= 10 * tolerance * max(np.abs(wanted).max(), 1)


@pytest.mark.parametrize("number", [0.0, 0.2, 1.0, 2.5])
@pytest.mark.parametrize("kind", ["leaky_relu", "elu"])
def test_central_differences(kind, number):
    rng = np.random.default_rng(3)
    name = named(kind, number)
    net = fcnn.Network((4, 7, 5, 2), name, name, "squared_error", "float64", rng=rng)
    for b in net.biases:
        b[:] = rng.normal(0, 0.5, b.shape)
    X, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 2))
    checked = net.check_gradients(X, y)
    assert checked.passed, checked


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["leaky_relu(0.3)", "elu(0.7)", "elu(3)"])
def test_all_ways_have_the_same_bits(core, name, dtype):
    """Panels, a row alone, rows in place, lists of nonzero inputs, tiny networks, threads."""
    rng = np.random.default_rng(5)
    for sizes in ((300, 40, 9, 2), (12, 30, 17, 2)):
        network, (X, y, _) = random_problem(
            rng, sizes, (name, name, "identity"), "squared_error", dtype, 200
        )
        X[rng.random(X.shape) < 0.9] = 0
        wanted = network.predict(X)
        steps = []
        for lists in (0, 1):
            for tiny in (0, 1):
                for threads in (1, 2):
                    core.force_lists(lists)
                    core.force_tiny(tiny)
                    try:
                        twin = core_twin(core, network)
                        out = twin.predict(X, None, threads)
                        rows = np.stack([twin.predict(x) for x in X])
                        loss = twin._train_epoch(X, y, fcnn.Adam(0.01), 32, None, None, threads)
                    finally:
                        core.force_lists(-1)
                        core.force_tiny(-1)
                    np.testing.assert_array_equal(out, rows)
                    np.testing.assert_allclose(out, wanted, rtol=2e-4, atol=2e-5)
                    steps.append((loss, out, twin.parameters.copy()))
        for loss, out, parameters in steps[1:]:
            assert loss == steps[0][0]
            np.testing.assert_array_equal(out, steps[0][1])
            np.testing.assert_array_equal(parameters, steps[0][2])
        with_reference = reference.Network.like(network)
        with_reference.train_epoch(X, y, fcnn.Adam(0.01), 32)
        np.testing.assert_allclose(steps[0][2], with_reference.parameters, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_default_written_out_is_the_default(core, dtype):
    rng = np.random.default_rng(6)
    network, (X, y, _) = random_problem(
        rng, (5, 9, 8, 2), ("leaky_relu", "elu", "identity"), "squared_error", dtype, 40
    )
    plain = core_twin(core, network)
    network.activations = ("leaky_relu(0.01)", "elu(1)", "identity")
    written = core_twin(core, network)
    for twin in (plain, written):
        twin._train_epoch(X, y, fcnn.SGD(0.1), 8)
    np.testing.assert_array_equal(plain.parameters, written.parameters)


def test_dropout_leaves_the_derivative_to_a_before_it():
    """Dropped and scaled, a has another sign or size; sigma' is that of z."""
    rng = np.random.default_rng(8)
    net = fcnn.Network((6, 20, 1), "elu(2)", loss="squared_error", dtype="float64", rng=rng)
    X, y = rng.normal(size=(30, 6)), rng.normal(size=30)
    before = net.evaluate(X, y)["loss"]
    net.fit(X, y, epochs=200, dropout=0.2, optimizer=fcnn.SGD(0.05))
    assert net.evaluate(X, y)["loss"] < 0.5 * before


# --- What keeps them -----------------------------------------------------------------------------


def network(dtype="float32"):
    return fcnn.Network(
        (3, 5, 4, 2), ["leaky_relu(0.2)", "elu(0.5)"], "leaky_relu(0.7)", "squared_error", dtype
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_and_copies(protocol):
    net = network()
    X = np.random.default_rng(0).normal(size=(9, 3))
    for twin in (pickle.loads(pickle.dumps(net, protocol)), copy.copy(net), copy.deepcopy(net)):
        assert twin.activations == net.activations
        np.testing.assert_array_equal(twin.predict(X), net.predict(X))


def test_files(tmp_path):
    pytest.importorskip("safetensors")
    net = network()
    net.save(tmp_path / "net")
    loaded = fcnn.load(tmp_path / "net")
    assert loaded.activations == net.activations
    X = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))


@pytest.mark.parametrize("spelled", ["leaky_relu(0.20)", "leaky_relu(-1)", "leaky_relu(1e999)"])
def test_files_with_another_spelling_are_refused(tmp_path, spelled):
    """As one that was tampered with; what a reader without numbers sees is no name it knows."""
    pytest.importorskip("safetensors")
    net = network()
    net.save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    text = spelled.encode().ljust(len(b"leaky_relu(0.2)"))
    grown = content.replace(b"leaky_relu(0.2)", text)
    length = int.from_bytes(grown[:8], "little") + len(text) - len(b"leaky_relu(0.2)")
    (tmp_path / "net").write_bytes(length.to_bytes(8, "little") + grown[8:])
    with pytest.raises(ValueError, match="not a sound fcnn model"):
        fcnn.load(tmp_path / "net")


def test_a_training_goes_on_from_a_checkpoint_of_the_same_numbers(tmp_path):
    pytest.importorskip("safetensors")
    X, y = np.ones((8, 3)), np.ones((8, 2))
    path = tmp_path / "checkpoint"
    network().fit(X, y, epochs=2, callbacks=[fcnn.ModelCheckpoint(path)], validation=(X, y))
    network().fit(X, y, epochs=3, resume=path, validation=(X, y))
    other = fcnn.Network(
        (3, 5, 4, 2), ["leaky_relu(0.3)", "elu(0.5)"], "leaky_relu(0.7)", "squared_error"
    )
    with pytest.raises(ValueError, match=r"activations .*leaky_relu\(0.3\).* has .*relu\(0.2\)"):
        other.fit(X, y, epochs=3, resume=path, validation=(X, y))


def test_a_trace_says_them():
    net = network()
    trace = net.trace(np.ones((2, 3)), np.ones((2, 2)))
    assert trace.activations == ("leaky_relu(0.2)", "elu(0.5)", "leaky_relu(0.7)")
    assert "leaky_relu(0.2)" in str(trace)


# --- Estimators, command line --------------------------------------------------------------------


def test_estimators():
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.datasets import load_iris

    from fcnn.sklearn import MLPClassifier

    X, y = load_iris(return_X_y=True)
    estimator = clone(MLPClassifier((8, 6), activation=["leaky_relu(0.2)", "elu(0.5)"], tol=0.1))
    estimator.fit(X, y)
    assert estimator.network_.activations == ("leaky_relu(0.2)", "elu(0.5)", "softmax")
    for wrong in ("leaky_relu(-1)", "elu(a)", "relu(1)", "leaky_relu(nan)", "wobble(1)"):
        for given in (wrong, ["relu", wrong]):
            with pytest.raises(ValueError, match="'activation' parameter of MLPClassifier must be"):
                MLPClassifier((8, 6), activation=given).fit(X, y)


@pytest.mark.slow
def test_the_command_line(tmp_path, monkeypatch, capsys):
    pytest.importorskip("polars")
    from fcnn.cli.main import main

    monkeypatch.chdir(tmp_path)
    rows = [f"{x},{x % 3},{'ab'[x % 2]}" for x in range(60)]
    (tmp_path / "points.csv").write_text("\n".join(["x,y,kind", *rows]))
    words = [
        "train",
        "points.csv",
        "--target",
        "kind",
        "--epochs",
        "1",
        "--layers",
        "5,4",
        "--output",
        "model",
    ]
    code = main([*words, "--activation", "LeakyReLU(0.2),elu(0.5)"])
    assert code == 0, capsys.readouterr()
    assert fcnn.load("model").network.activations[:2] == ("leaky_relu(0.2)", "elu(0.5)")
    capsys.readouterr()
    code = main([*words, "--activation", "leaky_relu(-2)"])
    assert code == 2
    assert "--activation: the slope of leaky_relu: expected a" in capsys.readouterr().err
