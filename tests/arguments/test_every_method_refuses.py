"""X, y and sample_weight: what every method that takes them refuses."""

import copy
import re

import numpy as np
import pytest

import fcnn

from .helpers import ISSUED, bad_x, inputs, labels, network, one_hot, refused, unchanged


@bad_x
def test_training_refuses_inputs(X, error, words):
    # fit wants (samples, 4) alone; its message need not offer (4,).
    refused(network(), X, [1], error, "X: ", [w.replace(" or (4,)", "") for w in words[-1:]])


@pytest.mark.parametrize("big", [1e39, -1e39, 3.5e38, np.finfo(np.float64).max])
def test_overflow_of_the_conversion_is_refused(big):
    net = network()
    X = inputs()
    X[7, 1] = big
    with unchanged(net, X), pytest.raises(ValueError, match=r"^X: .*too large.*float32"):
        net.predict(X)
    refused(net, X, labels(), ValueError, "X: ", ["too large", "float32"])
    assert np.isfinite(network(dtype="float64").predict(X)).all()  # there it fits


def test_overflow_of_targets_weights_and_parameters_is_refused():
    net = network("squared_error")
    y = np.ones((10, 3))
    y[2, 1] = 1e39
    refused(net, inputs(), y, ValueError, "y: ", ["too large", "float32"])
    weight = np.ones(10)
    weight[3] = 1e39
    refused(
        net, inputs(), np.ones((10, 3)), ValueError, "sample_weight: ", ["too large"],
        sample_weight=weight,
    )  # fmt: skip
    with unchanged(net), pytest.raises(ValueError, match=r"^parameters: .*too large.*float32"):
        net.parameters = np.full(net.num_parameters, 1e39)


# --- y --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        (labels(9), ValueError, ["shape (10,)", "(10, 3)", "got (9,)"]),
        (labels(11), ValueError, ["shape (10,)", "got (11,)"]),
        (np.eye(3)[labels(9)], ValueError, ["(10, 3)", "got (9, 3)"]),
        (np.eye(4)[labels()], ValueError, ["(10, 3)", "got (10, 4)"]),
        (labels()[:, None], ValueError, ["(10,)", "got (10, 1)"]),
        (np.ones((10, 3, 1)), ValueError, ["(10,)", "got (10, 3, 1)"]),
        ([], ValueError, ["(10,)", "got (0,)"]),
        (np.empty((10, 0)), ValueError, ["(10,)", "got (10, 0)"]),
        (1, ValueError, ["(10,)", "got ()"]),
        (labels() + 1, ValueError, ["from 0 to 2", "got 3"]),
        (labels() - 1, ValueError, ["from 0 to 2", "got -1"]),
        (labels().astype("u8") + np.uint64(2**63), ValueError, ["from 0 to 2", str(2**63 + 2)]),
        (np.full(10, -(2**63)), ValueError, ["from 0 to 2", str(-(2**63))]),
        ([0, 1, 2, 0, 1, 2, 0, 1, 2, 10**30], ISSUED, []),
        (labels().astype(float), TypeError, ["integers", "float64"]),
        (labels().astype(np.float16), TypeError, ["integers", "float16"]),
        (np.full(10, np.nan), TypeError, ["integers", "float64"]),
        (labels() + 0.5, TypeError, ["integers", "float64"]),
        (labels().astype(complex), TypeError, ["complex"]),
        (labels().astype(str), TypeError, ["unique", "<U"]),
        (["yes", "no"] * 5, TypeError, ["integers from 0", "unique"]),
        (np.array(["yes", "no"] * 5, dtype=object), TypeError, ["integers from 0", "unique"]),
        (np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0.5], dtype=object), TypeError, ["integers"]),
        (np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, None], dtype=object), ISSUED, []),
        (None, ISSUED, []),
        ({}, TypeError, ["dict"]),
        ([[0], [1, 2]], ValueError, ["rectangular"]),
        (one_hot * 2, ValueError, ["sum to 1", "row 0"]),
        (one_hot * 0, ValueError, ["sum to 1", "row 0"]),
        (one_hot - 1 / 3, ValueError, ["sum to 1"]),
        (one_hot + np.eye(3)[labels()[::-1]] * [[0.001]], ValueError, ["sum to 1"]),
        (np.where(one_hot == 1, 2, -0.5), ValueError, ["probabilities", "row 0"]),
        (np.where(one_hot == 1, np.nan, 0), ValueError, ["finite", "nan", "[0, 0]"]),
        (np.where(one_hot == 1, np.inf, 0), ValueError, ["finite", "inf", "[0, 0]"]),
        (one_hot.astype(int) * 2, ValueError, ["sum to 1"]),
        (np.ones((10, 3), bool), ValueError, ["sum to 1"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:24] if not isinstance(v, type) else v.__name__,
)
def test_classes_are_refused(y, error, words):
    refused(network(), inputs(), y, error, "y: ", words)


@pytest.mark.parametrize(
    ("loss", "n_out", "y", "error", "words"),
    [
        ("squared_error", 2, np.ones((9, 2)), ValueError, ["(10, 2)", "got (9, 2)"]),
        ("squared_error", 2, np.ones((2, 10)), ValueError, ["(10, 2)", "got (2, 10)"]),
        ("squared_error", 2, np.ones(10), ValueError, ["(10, 2)", "got (10,)"]),
        ("squared_error", 2, np.ones(20), ValueError, ["(10, 2)", "got (20,)"]),
        ("squared_error", 1, np.ones(9), ValueError, ["(10, 1) or (10,)", "got (9,)"]),
        ("squared_error", 1, np.ones((1, 10)), ValueError, ["(10, 1)", "got (1, 10)"]),
        ("squared_error", 1, np.ones((10, 2)), ValueError, ["(10, 1)", "got (10, 2)"]),
        ("squared_error", 1, 1.0, ValueError, ["(10, 1)", "got ()"]),
        ("squared_error", 1, [], ValueError, ["(10, 1)", "got (0,)"]),
        ("squared_error", 3, labels(), ValueError, ["(10, 3)", "got (10,)", "numpy.eye(3)[y]"]),
        ("squared_error", 1, np.full(10, np.nan), ValueError, ["finite", "nan", "[0, 0]"]),
        ("absolute_error", 1, np.full(10, -np.inf), ValueError, ["finite", "-inf"]),
        ("huber", 1, np.ones(10, complex), TypeError, ["real", "complex128"]),
        ("huber", 1, ["a"] * 10, TypeError, ["numbers"]),
        ("huber", 1, [None] * 10, ISSUED, []),
        ("squared_error", 1, np.full(10, 2**24 + 1), ValueError, ["float32", "integers"]),
        ("squared_error", 1, np.full(10, 2**53 + 1), ValueError, ["float32", "integers"]),
        ("squared_error", 1, np.full(10, 2**64 - 1, np.uint64), ValueError, ["float32"]),
        ("binary_cross_entropy", 1, np.full(10, 1.5), ValueError, ["0 to 1", "got 1.5"]),
        ("binary_cross_entropy", 1, np.full(10, -0.5), ValueError, ["0 to 1", "got -0.5"]),
        ("binary_cross_entropy", 1, labels(), ValueError, ["0 to 1", "got 2"]),
        ("binary_cross_entropy", 1, np.full(10, np.nan), ValueError, ["finite"]),
        ("poisson", 1, np.full(10, -1), ValueError, ["at least 0", "got -1"]),
        ("poisson", 1, np.full(10, -1e-30), ValueError, ["at least 0", "got -1"]),
        ("poisson", 1, np.full(10, np.inf), ValueError, ["finite", "inf"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:20] if not isinstance(v, type) else v.__name__,
)
def test_targets_are_refused(loss, n_out, y, error, words):
    refused(network(loss, n_out), inputs(), y, error, "y: ", words)


# --- sample_weight --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [
        (np.ones(9), ValueError, ["(10,)", "got (9,)"]),
        (np.ones((10, 1)), ValueError, ["(10,)", "got (10, 1)"]),
        (1.0, ValueError, ["(10,)", "got ()"]),
        ([], ValueError, ["(10,)", "got (0,)"]),
        (np.zeros(10), ValueError, ["at least 0", "not all 0"]),
        (np.full(10, 1e-60), ValueError, ["not all 0"]),
        (np.r_[np.ones(9), -1], ValueError, ["at least 0", "-1"]),
        (np.r_[np.ones(9), np.nan], ValueError, ["finite", "nan", "[9]"]),
        (np.r_[np.ones(9), np.inf], ValueError, ["finite", "inf", "[9]"]),
        (["1"] * 10, TypeError, ["numbers"]),
        (np.ones(10, complex), TypeError, ["complex128"]),
        ("balanced", TypeError, ["numbers"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:20] if not isinstance(v, type) else v.__name__,
)
def test_sample_weights_are_refused(weight, error, words):
    refused(
        network(), inputs(), labels(), error, "sample_weight: ", words, sample_weight=weight
    )  # fmt: skip


SCORED = {
    "evaluate": lambda net, X, y: net.evaluate(X, y),
    "check_gradients": lambda net, X, y: net.check_gradients(X, y),
    "Ensemble.evaluate": lambda net, X, y: fcnn.Ensemble([net, copy.copy(net)]).evaluate(X, y),
    "Ensemble.votes": lambda net, X, y: fcnn.Ensemble([net, copy.copy(net)]).votes(X),
}


@pytest.mark.parametrize("call", SCORED)
def test_rows_with_nan_are_not_scored(call):
    """Their most probable class would be the first."""
    net, X, y = fcnn.Network((4, 5, 3), rng=0), np.ones((6, 4)), np.zeros(6, int)
    SCORED[call](net, X, y)
    X[2, 1] = np.nan
    for rows in (X, X.astype("f4"), X.tolist()):
        with pytest.raises(ValueError, match=r"^X: expected finite numbers, got nan at \[2, 1\]"):
            SCORED[call](net, rows, y)
