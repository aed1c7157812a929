"""skl2onnx converts the estimators of fcnn.sklearn: against ONNX Runtime."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="fcnn.sklearn needs scikit-learn")
pytest.importorskip("skl2onnx")
pytest.importorskip("onnxruntime")

import onnxruntime as runtime
import skl2onnx
import sklearn.neural_network as theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fcnn.sklearn
from fcnn._validation import HIDDEN_ACTIVATIONS
from fcnn.sklearn import MLPClassifier, MLPRegressor

# ONNX Runtime has no leaky relu and no elu for doubles: they are rounded to float32.
ERROR = 1e-6


@pytest.fixture(autouse=True)
def registered():
    fcnn.sklearn.register_onnx()
    fcnn.sklearn.register_onnx()  # nothing more


def run(model, X):
    session = runtime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: X})


def samples(dtype, rows=80, columns=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, columns)).astype(dtype), rng


def fit(estimator, X, y):
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    last.set_params(max_iter=3, tol=0.0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    # Probabilities away from 1 / K.
    last.coefs_ = [3 * W for W in last.coefs_]
    return estimator


LABELS = {
    "two texts": np.array(["no", "yes"]),
    "three texts": np.array(["a", "bb", "c d"], object),
    "integers": np.array([-3, 5, 70_000_000_000]),
    "two integers": np.array([7, 3]),
    "booleans": np.array([False, True]),
    "whole numbers": np.array([1.0, 2.0, 5.0]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("scaled", [False, True])
def test_classifiers(dtype, kind, scaled):
    X, rng = samples(dtype)
    y = LABELS[kind][rng.integers(len(LABELS[kind]), size=len(X))]
    estimator = MLPClassifier((9, 6), activation=["leaky_relu(0.2)", "elu(0.5)"])
    if scaled:
        estimator = make_pipeline(StandardScaler(), estimator)
    model = fit(estimator, X, y)
    classes = list(model.classes_)
    wanted = model.predict_proba(X)
    options = {id(model if not scaled else model[-1]): {"zipmap": False}}
    label, probabilities = run(skl2onnx.to_onnx(model, X[:1], options=options), X)
    assert list(label) == list(model.predict(X))
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(probabilities, wanted, rtol=0, atol=ERROR)
    label, maps = run(skl2onnx.to_onnx(model, X[:1]), X)
    assert list(label) == list(model.predict(X))
    got = np.array([[row[c] for c in classes] for row in maps])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=ERROR)
    # A column for each class.
    options = {id(model if not scaled else model[-1]): {"zipmap": "columns"}}
    _, *columns = run(skl2onnx.to_onnx(model, X[:1], options=options), X)
    np.testing.assert_allclose(
        np.stack([c.ravel() for c in columns], 1), wanted, rtol=0, atol=ERROR
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*HIDDEN_ACTIVATIONS, "elu(0.3)", "leaky_relu(0)"])
@pytest.mark.parametrize("n_out", [1, 3])
def test_regressors(dtype, activation, n_out):
    X, rng = samples(dtype)
    name = {"sigmoid": "logistic"}.get(activation, activation)
    y = rng.normal(size=(len(X), n_out)).astype(dtype)
    model = fit(
        MLPRegressor(hidden_layer_sizes=(9, 6), activation=name), X, y if n_out > 1 else y[:, 0]
    )
    for opset in (13, 17, 20):
        (got,) = run(skl2onnx.to_onnx(model, X[:1], target_opset=opset), X)
        assert (got.shape, got.dtype) == ((len(X), n_out), dtype)
        wanted = model.predict(X).reshape(len(X), n_out)
        assert np.abs(got - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("loss", ["poisson", "huber", "absolute_error", "quantile"])
def test_losses(loss):
    X, rng = samples("float64")
    y = rng.poisson(2.0, len(X)).astype(float)
    model = fit(MLPRegressor(loss, hidden_layer_sizes=(5,)), X, y)
    (got,) = run(skl2onnx.to_onnx(model, X[:1]), X)
    np.testing.assert_allclose(got[:, 0], model.predict(X), rtol=1e-11)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_losses_of_several_outputs_for_each_target(n_targets):
    X, rng = samples("float32")
    y = rng.normal(size=(len(X), n_targets)).astype("float32")
    y = y[:, 0] if n_targets == 1 else y
    model = fit(MLPRegressor("gaussian_nll", hidden_layer_sizes=(5,)), X, y)
    (got,) = run(skl2onnx.to_onnx(model, X[:1]), X)
    assert got.shape == (len(X), n_targets)  # the means
    np.testing.assert_allclose(got.reshape(y.shape), model.predict(X), rtol=1e-5, atol=1e-6)
    model = MLPRegressor("quantile", hidden_layer_sizes=(5,), quantiles=[0.1, 0.5, 0.9])
    model = fit(model, X, y)
    if n_targets == 2:
        with pytest.raises(ValueError, match="quantiles of MLPRegressor: of 2 targets"):
            skl2onnx.to_onnx(model, X[:1])
        return
    (got,) = run(skl2onnx.to_onnx(model, X[:1]), X)
    np.testing.assert_allclose(got, model.predict(X), rtol=1e-5, atol=1e-6)


def test_several_labels_at_once():
    X, rng = samples("float64")
    y = rng.integers(2, size=(len(X), 3))
    model = fit(MLPClassifier((7,)), X, y)
    onnx_model = skl2onnx.to_onnx(model, X[:1], options={id(model): {"zipmap": False}})
    label, probabilities = run(onnx_model, X)
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-12)


def test_inputs_of_another_type_than_those_of_the_fit():
    """The network is computed in its own; what comes in and goes out is of the inputs'."""
    X, rng = samples("float64")
    model = fit(MLPClassifier((7,)), X, rng.integers(3, size=len(X)))
    X = np.round(3 * X)
    for given in (X.astype("float32"), X.astype("int64")):
        options = {id(model): {"zipmap": False}}
        label, probabilities = run(skl2onnx.to_onnx(model, given[:1], options=options), given)
        assert probabilities.dtype == np.float32
        np.testing.assert_array_equal(label, model.predict(X))
        np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-7)


def test_numbers_of_classes_instead_of_texts():
    X, rng = samples("float32")
    model = fit(MLPClassifier((7,)), X, np.array(["x", "y", "z"])[rng.integers(3, size=len(X))])
    options = {id(model): {"zipmap": False, "nocl": True}}
    label, _ = run(skl2onnx.to_onnx(model, X[:1], options=options), X)
    np.testing.assert_array_equal(np.array(["x", "y", "z"])[label], model.predict(X))


def test_operators_that_are_too_old_are_refused():
    X, _ = samples("float32")
    model = fit(MLPRegressor(hidden_layer_sizes=(7,)), X, X[:, 0])
    with pytest.raises(ValueError, match=r"^target_opset: expected at least 13, got 12"):
        skl2onnx.to_onnx(model, X[:1], target_opset=12)


def test_scikit_learns_own_are_converted_as_before():
    X, _ = samples("float32")
    model = fit(theirs.MLPRegressor(hidden_layer_sizes=(4,)), X, X[:, 0])
    (got,) = run(skl2onnx.to_onnx(model, X[:1]), X)
    np.testing.assert_allclose(got[:, 0], model.predict(X), atol=1e-5)
