"""Ensembles: their answers against NumPy, one file, and what is refused."""

import copy
import importlib.util
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import targets

import fcnn
from fcnn._format.container import opened, write
from fcnn.cli.main import main


def some(loss="squared_error", n=5, n_out=2, dtype="float32", **further):
    hidden = [(7,), (5, 6), (9,)]
    networks = [
        fcnn.Network((4, *hidden[i % 3], n_out), loss=loss, dtype=dtype, rng=i, **further)
        for i in range(n)
    ]
    for i, network in enumerate(networks):
        network.parameters += np.random.default_rng(i).normal(0, 0.3, network.num_parameters)
    return networks


X = np.random.default_rng(9).normal(size=(40, 4)).astype("float32")


def test_networks_that_are_assigned_must_be_alike():
    ensemble = fcnn.Ensemble(some())
    networks = ensemble.networks
    for value, error, said in (
        ([*networks, some(n_out=3)[0]], ValueError, r"^networks\[5\]: expected the number of out"),
        ([networks[0]] * 2, ValueError, r"^networks\[1\]: it is in the list twice"),
        ([], ValueError, "^networks: expected at least one"),
    ):
        with pytest.raises(error, match=said):
            ensemble.networks = value
    with pytest.raises(AttributeError, match=r"^Ensemble has no attribute 'network' to set; expec"):
        ensemble.network = networks[0]
    assert ensemble.networks is networks
    ensemble.networks = list(networks[:2])
    assert ensemble.networks == networks[:2]


def test_mean_spread_and_quantiles():
    networks = some()
    ensemble = fcnn.Ensemble(networks)
    each = np.array([network.predict(X) for network in networks], np.float64)
    np.testing.assert_array_equal(ensemble.outputs(X), each.astype("float32"))
    np.testing.assert_allclose(ensemble.predict(X), each.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(ensemble(X), ensemble.predict(X))
    np.testing.assert_allclose(ensemble.std(X), each.std(axis=0), rtol=1e-5)
    ranked = np.sort(each, axis=0)
    found = ensemble.quantiles(X, [0, 0.5, 0.625, 1])
    np.testing.assert_allclose(found[0], ranked[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], ranked[2], rtol=1e-6)
    np.testing.assert_allclose(found[2], (ranked[2] + ranked[3]) / 2, rtol=1e-5, atol=1e-6)
    assert ensemble.quantiles(X, 0.5).shape == (40, 2)
    assert ensemble.predict(X[0]).shape == ensemble.std(X[0]).shape == (2,)
    assert ensemble.outputs(X[0]).shape == (5, 2)
    assert (len(ensemble), [*ensemble], ensemble[1]) == (5, networks, networks[1])
    assert repr(ensemble).startswith("<Ensemble of 5: 4-7-2, 4-5-6-2, 4-9-2, loss squared_error")


@pytest.mark.parametrize(
    ("loss", "n_out"),
    [("cross_entropy", 3), ("binary_cross_entropy", 1), ("binary_cross_entropy", 2)],
)
def test_votes_and_log_loss(loss, n_out):
    networks = some(loss, n_out=n_out)
    ensemble = fcnn.Ensemble(networks)
    each = np.array([network.predict(X) for network in networks], np.float64)
    chosen = each > 0.5
    if loss == "cross_entropy":
        chosen = np.eye(n_out)[each.argmax(axis=-1)]
    np.testing.assert_allclose(ensemble.votes(X), chosen.mean(axis=0), rtol=1e-6)
    assert ensemble.votes(X[0]).shape == (n_out,)
    y = targets(np.random.default_rng(0), loss, 40, n_out, "float32")
    weight = np.random.default_rng(1).uniform(0.5, 2, 40)
    a = each.mean(axis=0)
    costs = -np.log(np.where(y == 1, a, 1 - a if loss != "cross_entropy" else 1)).sum(axis=1)
    found = ensemble.evaluate(X, y, weight)
    assert found["loss"] == pytest.approx(np.average(costs, weights=weight), rel=1e-5)
    assert set(found) == {"loss", "accuracy"}
    if loss == "cross_entropy":
        labels = ensemble.evaluate(X, y.argmax(axis=1), weight)
        assert labels == pytest.approx(found)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "squared_error"])
def test_sparse_samples_are_what_they_stand_for(loss):
    sparse = pytest.importorskip("scipy.sparse")
    ensemble = fcnn.Ensemble(some(loss))
    dense = np.where(X > 0, X, 0)
    y = targets(np.random.default_rng(0), loss, 40, 2, "float32")
    given = sparse.csr_array(dense)
    np.testing.assert_allclose(ensemble.predict(given), ensemble.predict(dense), rtol=1e-5)
    assert ensemble.evaluate(given, y) == pytest.approx(ensemble.evaluate(dense, y), rel=1e-5)
    if loss != "squared_error":
        np.testing.assert_array_equal(ensemble.votes(given), ensemble.votes(dense))


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson", "quantile(0.1, 0.9)",
             "gaussian_nll", "cross_entropy", "binary_cross_entropy"],
)  # fmt: skip
def test_an_ensemble_of_equals_is_as_one(loss):
    one = some(loss, n=1)[0]
    ensemble = fcnn.Ensemble([one.copy() for _ in range(4)])
    y = targets(np.random.default_rng(0), loss, 40, 2, "float32")
    for name, value in one.evaluate(X, y).items():
        assert ensemble.evaluate(X, y)[name] == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(ensemble.predict(X), one.predict(X), rtol=1e-5, atol=1e-6)
    if loss != "gaussian_nll":
        np.testing.assert_allclose(ensemble.std(X), 0, atol=1e-6)


def test_normal_distributions_are_mixed():
    """Against draws from the mixture."""
    networks = some("gaussian_nll", n=3, n_out=2, dtype="float64")
    ensemble = fcnn.Ensemble(networks)
    each = np.array([network.predict(X[:5]) for network in networks])
    rng = np.random.default_rng(0)
    draws = each[:, :, :1] + np.exp(each[:, :, 1:] / 2) * rng.normal(size=(3, 5, 200_000))
    mean, variance = draws.mean(axis=(0, 2)), draws.transpose(1, 0, 2).reshape(5, -1).var(axis=1)
    found = ensemble.predict(X[:5])
    np.testing.assert_allclose(found[:, 0], mean, atol=0.01 * np.sqrt(variance).max())
    np.testing.assert_allclose(np.exp(found[:, 1]), variance, rtol=0.02)
    np.testing.assert_allclose(ensemble.std(X[:5])[:, 0] ** 2, variance, rtol=0.02)


def _of_one_input(loss, parameters, n_out=1, dtype="float32", output=None):
    network = fcnn.Network((1, n_out), loss=loss, dtype=dtype, output_activation=output)
    network.parameters = parameters
    return network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "parameters", "n_out", "y", "expected"),
    [
        # By hand: e^-60, which is 0 beside 1 in float32, is the probability of the class.
        ("cross_entropy", [60, -60, 0, 0], 2, [1], 120.0),
        ("cross_entropy", [2000, -2000, 0, 0], 2, [1], 4000.0),
        ("binary_cross_entropy", [30, 0], 1, [[0.0]], 30.0),
        ("binary_cross_entropy", [-2000, 0], 1, [[1.0]], 2000.0),
        ("poisson", [-110, 0], 1, [[1.0]], 110.0),
        ("poisson", [-2000, 0], 1, [[2.0]], 4000.0),
    ],
)  # fmt: skip
def test_what_is_sure_and_wrong_has_a_finite_loss(loss, parameters, n_out, y, expected, dtype):
    network = _of_one_input(loss, parameters, n_out, dtype)
    assert network.evaluate([[1.0]], y)["loss"] == pytest.approx(expected)
    for n in (1, 3):
        ensemble = fcnn.Ensemble([network.copy() for _ in range(n)])
        assert ensemble.evaluate([[1.0]], y)["loss"] == pytest.approx(expected)


def test_the_loss_of_a_mean_is_that_of_the_mean_by_hand():
    """One network is wrong, and sure of it, the other says even: a half of a half."""
    for loss, sure, y in (
        ("cross_entropy", [300, -300, 0, 0], [1]), ("binary_cross_entropy", [300, 0], [[0.0]]),
    ):  # fmt: skip
        n_out = len(sure) // 2
        networks = [_of_one_input(loss, p, n_out) for p in (sure, [0] * len(sure))]
        found = fcnn.Ensemble(networks).evaluate([[1.0]], y)["loss"]
        assert found == pytest.approx(np.log(4))
    both = [_of_one_input("poisson", p) for p in ([-300, 0], [np.log(4), 0])]
    # The mean of 0 and 4 is 2.
    found = fcnn.Ensemble(both).evaluate([[1.0]], [[3.0]])["loss"]
    assert found == pytest.approx(2 - 3 * np.log(2))
    normal = _of_one_input("gaussian_nll", [0, 0, 0, -800], 2)  # e^-800 is 0 as a number
    np.testing.assert_allclose(fcnn.Ensemble([normal]).predict([[1.0]]), [[0, -800]])
    for z in (-300, -41, -39, 2):
        one = _of_one_input("poisson", [z, 0], dtype="float64", output="softplus")
        found = fcnn.Ensemble([one]).evaluate([[1.0]], [[3.0]])["loss"]
        assert found == pytest.approx(one.evaluate([[1.0]], [[3.0]])["loss"])


def test_refused():
    a, b = some(n=2)

    def refused(text, networks, kind=ValueError):
        with pytest.raises(kind, match=text):
            fcnn.Ensemble(networks)

    refused("networks: expected at least one", [])
    refused("networks: expected a list", 3, TypeError)
    refused(r"networks\[1\]: expected an fcnn.Network, got str", [a, "x"], TypeError)
    refused(r"networks\[2\]: it is in the list twice", [a, b, a])
    refused(r"networks\[1\]: expected the number of inputs of networks\[0\], 4, got 3",
            [a, fcnn.Network((3, 2), loss="squared_error")])  # fmt: skip
    refused("number of outputs", [a, fcnn.Network((4, 3), loss="squared_error")])
    refused("loss", [a, fcnn.Network((4, 2), loss="huber")])
    refused("output activation", [a, fcnn.Network((4, 2), output_activation="tanh",
                                                  loss="squared_error")])  # fmt: skip
    refused("dtype", [a, fcnn.Network((4, 2), loss="squared_error", dtype="float64")])
    b.features = list("abcd")
    refused("features", [a, b])
    ensemble = fcnn.Ensemble([a])
    with pytest.raises(ValueError, match="votes: of the losses"):
        ensemble.votes(X)
    for q in (-0.1, [0.5, 1.1], [], [[0.5]], np.nan):
        with pytest.raises(ValueError, match="q: expected numbers from 0 to 1"):
            ensemble.quantiles(X, q)
    with pytest.raises(ValueError, match="X: "):
        ensemble.predict(X[:, :3])
    for convert in (fcnn.convert.to_torch, fcnn.convert.to_sklearn):
        with pytest.raises((TypeError, ImportError)):
            convert(ensemble)


# --- Files ---------------------------------------------------------------------------------------


def test_one_file(tmp_path):
    networks = some("cross_entropy", n_out=3)
    for network in networks:
        network.features, network.classes = list("wxyz"), ["a", "b", "c"]
    ensemble, path = fcnn.Ensemble(networks), tmp_path / "e"
    ensemble.save(path)
    again = fcnn.load(path, verified=True)
    assert isinstance(again, fcnn.Ensemble)
    assert len(again) == len(networks)
    for one, other in zip(again, networks, strict=True):
        np.testing.assert_array_equal(one.parameters, other.parameters)
        assert (one.sizes, one.activations, one.loss) == (
            other.sizes, other.activations, other.loss
        )  # fmt: skip
    assert (again.features, again.classes) == (list("wxyz"), ["a", "b", "c"])
    np.testing.assert_array_equal(again.predict(X), ensemble.predict(X))
    safetensors = pytest.importorskip("safetensors.numpy")
    tensors = safetensors.load_file(path)
    np.testing.assert_array_equal(tensors["1.W2"], networks[1].weights[1])


def test_pickle_and_copies():
    ensemble = fcnn.Ensemble(some())
    for again in (pickle.loads(pickle.dumps(ensemble)), copy.deepcopy(ensemble)):
        np.testing.assert_array_equal(again.predict(X), ensemble.predict(X))
        assert again[0] is not ensemble[0]


def test_who_expects_one_network_says_so(tmp_path, capsys):
    networks = some(n=3)
    path = str(tmp_path / "e")
    fcnn.Ensemble(networks).save(path)
    with pytest.raises(ValueError, match="an ensemble of networks, where one network is expected"):
        networks[0].fit(X, X[:, :2], resume=path)
    from fcnn.files import load_network

    with pytest.raises(ValueError, match="expected a network, got an ensemble of 3"):
        load_network(path)
    assert main(["predict", path, "digits"]) == 2
    assert f"{path}: expected a model or a network, got an ensemble of 3" in capsys.readouterr().err
    assert main(["inspect", path]) == 0
    out = capsys.readouterr().out
    assert "an ensemble of 3 networks" in out
    assert out.count("Network: float32") == 3
    assert "is right" in out


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.999])
def test_damaged(tmp_path, place):
    path = tmp_path / "e"
    fcnn.Ensemble(some()).save(path)
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        fcnn.load(path)
    path.write_bytes(content[:-7])
    with pytest.raises(ValueError, match=str(path)):
        fcnn.load(path)


def test_forged(tmp_path):
    """Files of another program, with right checksums."""
    path = tmp_path / "e"
    networks = some(n=2)
    fcnn.Ensemble(networks).save(path)
    with opened(path) as file:
        description = json.loads(file.metadata["fcnn_ensemble"])
        tensors = {name: np.empty(shape, dtype) for name, (dtype, shape) in file.tensors.items()}
        file.read(tensors)

    def refused(text, described=description, given=tensors):
        write(path, given, {"fcnn_ensemble": json.dumps(described)})
        with pytest.raises(ValueError, match=text) as caught:
            fcnn.load(path)
        assert str(path) in str(caught.value)

    one, two = description["networks"]
    refused("an ensemble of format 2", {**description, "format": 2})
    refused("an ensemble without networks", {**description, "networks": []})
    refused("an ensemble without networks", {**description, "networks": {}})
    refused("networks", {"format": 1})
    refused("tensor 1.W1: of none of the 1 networks", {**description, "networks": [one]})
    refused("network 1 of 2: tensor W1: expected", description,
            {k: v for k, v in tensors.items() if k != "1.W1"})  # fmt: skip
    refused("tensor 2.W1: of none", description, {**tensors, "2.W1": tensors["1.W1"]})
    refused(r"network 1 of 2: tensor W1: expected float32 of shape \(1000000000, 4\), found",
            {**description, "networks": [one, {**one, "sizes": [4, 10**9, 2]}]})  # fmt: skip
    refused("network 0 of 2: ", {**description, "networks": [{**one, "dtype": "int8"}, two]})
    refused("other features or classes",
            {**description, "networks": [{**one, "features": list("abcd")}, two]})  # fmt: skip
    refused("not a sound ensemble", {**description, "networks": [one, {**two, "loss": "huber"}]})
    # One network under the other's name is a wrong file, not half of one.
    write(path, tensors, {"fcnn": json.dumps(one)})
    with pytest.raises(ValueError, match="tensor W1"):
        fcnn.load(path)


# --- ONNX ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "loss", ["squared_error", "cross_entropy", "gaussian_nll", "quantile(0.1, 0.9)", "poisson"]
)
def test_onnx(loss, dtype):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    if loss.startswith("quantile") and dtype == "float64":
        pytest.skip("ONNX Runtime has no Softplus of doubles")
    ensemble = fcnn.Ensemble(some(loss, dtype=dtype, activation="tanh"))
    proto = fcnn.convert.to_onnx(ensemble)
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": X.astype(dtype)})
    np.testing.assert_allclose(found, ensemble.predict(X), rtol=2e-5, atol=2e-6)


# --- What is said of them ------------------------------------------------------------------------

PAGE = (Path(__file__).parent.parent / "docs" / "ensembles.md").read_text("utf-8")
EXAMPLES = re.findall(r"<!-- example -->\n```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow(reason="three trainings, one of five seconds")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_example_of_the_page_runs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(EXAMPLES[number], "ensembles.md", "exec"), names)
    printed = capsys.readouterr().out
    if number == 0:
        assert len({len(history.loss) for history in names["histories"]}) >= 1
        assert max(map(float, re.findall(r"0\.\d+", printed))) < 1
    elif number == 1:
        one, all_of_them = (float(loss) for loss in re.findall(r"'loss': ([\d.]+)", printed))
        assert all_of_them < one
        assert "Ensemble of 8" in printed
    else:
        assert names["found"].seconds < 20
        assert float(re.search(r"'accuracy': ([\d.]+)", printed)[1]) > 0.9


@pytest.mark.slow(reason="trainings of eight networks on four splits")
def test_an_ensemble_of_eight_is_better_than_one():
    """On digits and on a regression set: score and log loss, in the mean of the splits."""
    pytest.importorskip("sklearn")
    path = Path(__file__).parent.parent / "scripts" / "draw_ensembles.py"
    spec = importlib.util.spec_from_file_location("draw_ensembles", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for make, options in script.SETS.values():
        found = script.results(make, options, 2)
        one, eight = found[:, 0].mean(axis=0), found[:, 8].mean(axis=0)
        assert eight[0] < one[0]
        assert eight[1] > one[1]
