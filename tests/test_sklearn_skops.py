"""Estimators and networks through skops.io, which makes objects without __init__, and files."""

import copy
import io
import json
import pickle
import warnings

import numpy as np
import pytest

import fcnn


def made_by_hand(network):
    """As skops does it: no __init__, no __reduce__, the state alone."""
    other = type(network).__new__(type(network))
    other.__setstate__(copy.deepcopy(network.__getstate__()))
    return other


def networks():
    yield fcnn.Network((3, 4, 2), "elu(0.5)")
    yield fcnn.Network((3, 5, 4, 1), ["relu", "gelu"], loss="poisson", dtype="float64", rng=5)


def test_a_network_made_without_init_is_whole_with_its_state():
    for net in networks():
        net._note = "kept"
        net.rng.random(3)
        pickled = [pickle.loads(pickle.dumps(net, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
        for twin in (made_by_hand(net), copy.copy(net), copy.deepcopy(net), *pickled):
            assert (twin.sizes, twin.activations, twin.loss, twin.dtype, twin._note) == (
                net.sizes, net.activations, net.loss, net.dtype, "kept"
            )  # fmt: skip
            assert twin.parameters.tobytes() == net.parameters.tobytes()
            assert twin.rng.bit_generator.state == net.rng.bit_generator.state
            X, y = np.ones((6, 3)), np.ones((6, net.sizes[-1]))
            if net.loss == "cross_entropy":
                y = np.zeros(6, int)
            before = net.parameters.copy()
            twin.fit(X, y, epochs=2)
            again = made_by_hand(net)
            again.fit(X, y, epochs=2)
            np.testing.assert_array_equal(twin.parameters, again.parameters)
            np.testing.assert_array_equal(net.parameters, before)
            assert np.isfinite(twin.predict(X)).all()


def test_a_subclass_keeps_its_class():
    class Own(fcnn.Network):
        pass

    net = Own((2, 3, 2))
    assert type(made_by_hand(net)) is type(copy.copy(net)) is Own


def test_a_network_without_its_state_says_so():
    empty = fcnn.Network.__new__(fcnn.Network)
    with pytest.raises(RuntimeError, match="the network has not been initialized"):
        empty.predict([1.0])


# --- skops ---------------------------------------------------------------------------------------


def through_skops(thing):
    files = pytest.importorskip("skops.io")
    data = files.dumps(thing)
    return files.loads(data, trusted=files.get_untrusted_types(data=data))


def fitted(kind, solver, **options):
    pytest.importorskip("sklearn")
    from fcnn.sklearn import MLPClassifier, MLPRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype("float32")
    if kind == "classifier":
        y = np.array(["a", "b", "c"])[rng.integers(3, size=60)]
        model = MLPClassifier((6, 5), solver=solver, **options)
    else:
        y = rng.normal(size=60)
        model = MLPRegressor(hidden_layer_sizes=(6, 5), solver=solver, **options)
    model.set_params(max_iter=4, tol=0.0, random_state=0, activation=["relu", "leaky_relu(0.2)"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y), X, y


def same(a, b, X):
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    np.testing.assert_array_equal(a.network_.parameters, b.network_.parameters)
    assert a.get_params() == b.get_params()


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_estimators(kind, solver, early_stopping):
    model, X, y = fitted(kind, solver, early_stopping=early_stopping)
    loaded = through_skops(model)
    same(loaded, model, X)
    if solver != "lbfgs" and not early_stopping:  # the optimizer's state, and what is drawn next
        for one in (model, loaded):
            one.partial_fit(X, y)
        same(loaded, model, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in (model, loaded):
            one.fit(X, y)
    same(loaded, model, X)


def test_pipelines_and_networks():
    model, X, y = fitted("classifier", "adam")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    loaded = through_skops(pipeline)
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    for net in networks():
        twin = through_skops(net)
        np.testing.assert_array_equal(twin.parameters, net.parameters)
        assert twin.activations == net.activations


def test_joblib():
    joblib = pytest.importorskip("joblib")
    model, X, _ = fitted("classifier", "adam")
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    same(joblib.load(file), model, X)


# --- Files of networks ---------------------------------------------------------------------------


def named_columns(X):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=["a", "b c", "d", "e"])


LABELS = {
    "texts": (["x", "y", "z"], ["x", "y", "z"]),
    "integers": ([4, -1, 9], [-1, 4, 9]),
    "two": (["no", "yes"], ["no", "yes"]),
    "booleans": ([True, False], [False, True]),
    "whole numbers": ([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("named", [False, True])
def test_a_network_s_file_keeps_the_names_of_features_and_classes(kind, named, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")
    from fcnn import convert
    from fcnn.sklearn import MLPClassifier

    labels, classes = LABELS[kind]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = np.array(labels)[rng.integers(len(labels), size=60)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPClassifier((5,), max_iter=2).fit(named_columns(X) if named else X, y)
    features = ["a", "b c", "d", "e"] if named else None
    path = tmp_path / "net"
    model.network_.save(path)
    for net in (
        model.network_, fcnn.load(path), model.network_.copy(), convert.from_sklearn(model),
        pickle.loads(pickle.dumps(model)).network_,
    ):  # fmt: skip
        assert (net.features, net.classes) == (features, classes)
        assert [*map(type, net.classes)] == [*map(type, classes)]
    loaded = fcnn.load(path)
    assert type(loaded) is fcnn.Network
    loaded.save(path)
    assert fcnn.load(path).classes == classes
    np.testing.assert_array_equal(loaded.parameters, model.network_.parameters)


def test_regressors_and_plain_networks_have_no_classes(tmp_path):
    pytest.importorskip("safetensors")
    model, _, _ = fitted("regressor", "adam")
    model.network_.save(tmp_path / "net")
    net = fcnn.load(tmp_path / "net")
    assert (net.features, net.classes) == (None, None)
    plain = fcnn.Network((2, 2))
    plain.save(tmp_path / "plain")
    assert b"features" not in (tmp_path / "plain").read_bytes()[:500]


@pytest.mark.parametrize(
    ("name", "given"),
    [("features", ["a"]), ("features", [1, 2]), ("classes", ["a"]), ("classes", [None, "b", "c"])],
)
def test_names_that_do_not_fit_are_refused(name, given, tmp_path):
    pytest.importorskip("safetensors")
    net = fcnn.Network((2, 3))
    setattr(net, name, ["x", "y", "z"][: 2 if name == "features" else 3])
    net.save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    old = json.dumps(getattr(net, name)).replace('"', '\\"').encode()
    new = json.dumps(given).replace('"', '\\"').encode()
    assert old in content
    grown = content.replace(old, new)
    length = int.from_bytes(grown[:8], "little") + len(new) - len(old)
    (tmp_path / "net").write_bytes(length.to_bytes(8, "little") + grown[8:])
    with pytest.raises(ValueError, match="not a sound fcnn model"):
        fcnn.load(tmp_path / "net")
