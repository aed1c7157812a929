"""Trace.explain: every formula comes to its result, and the results are the core's."""

import re

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS
from learning import agrees, evaluated

import fcnn
from fcnn._dispatch import core


def batch(loss, n_out, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3))
    if loss == "cross_entropy":
        return X, rng.integers(n_out, size=rows)
    return X, rng.random((rows, n_out // core.outputs_per_target(loss)))


def network(activation="sigmoid", output=None, loss="squared_error", dtype="float64", n=4):
    each = core.outputs_per_target(loss)
    net = fcnn.Network((3, 4, 5, 2 * each), activation, output, loss, dtype, rng=2)
    rng = np.random.default_rng(5)
    net.parameters = rng.normal(size=net.num_parameters) * 0.6
    return net


def expected(trace, step, l, k, j, sample):
    return {
        "z": lambda: trace.z[l][sample, k], "a": lambda: trace.a[l][sample, k],
        "delta": lambda: trace.delta[l][sample, k], "dx": lambda: trace.delta[0][sample, k],
        "dW": lambda: trace.dW[l][k, j], "db": lambda: trace.db[l][k],
    }[step.name]()  # fmt: skip


def check(net, X, y, weight=None, digits=6, max_terms=8):
    """Check all nodes and edges; return how often each kind of step was seen."""
    trace, seen = net.trace(X, y, weight), {}
    eps = float(np.finfo(net.dtype).eps)
    costs = 0.0
    for sample in range(len(trace.a[0])):
        for l in range(len(net.sizes)):
            for k in range(net.sizes[l]):
                told = trace.explain(l, k, sample=sample, digits=digits, max_terms=max_terms)
                for step in told.steps:
                    assert agrees(step.numbers.text, step.result.text, digits, 2 * eps), (
                        step,
                        told,
                    )
                    for latex in (step.symbol.latex, step.general.latex, step.numbers.latex):
                        assert not re.search(r"_\{[^{}]*\}\^", latex), "two powers of one symbol"
                        assert latex.count("{") == latex.count("}")
                    seen[step.name] = seen.get(step.name, 0) + 1
                    if step.name == "C":
                        costs += step.value * float(trace.share[sample])
                        continue
                    j = None
                    if step.name == "dW":
                        j = int(re.search(r"_\d+,(\d+)$", step.symbol.text)[1])
                    value = float(expected(trace, step, l, k, j, sample))
                    assert step.value == value
                    assert step.result.text == f"{value or 0.0:.{digits}g}"
    # log(sum(exp(z))) - z loses the digits of z that the loss has none of.
    assert costs == pytest.approx(trace.loss, rel=1e-5, abs=4 * eps)
    return seen


@pytest.mark.parametrize("hidden", HIDDEN)
def test_activations(hidden):
    dtype = "float32" if hidden in ("sigmoid", "relu") else "float64"
    seen = check(network(hidden, dtype=dtype), *batch("squared_error", 2))
    assert seen == {
        "a": 3 * 14, "dx": 3 * 3, "z": 3 * 11, "delta": 3 * 11, "C": 3 * 2, "db": 3 * 11,
        "dW": 3 * (12 + 20 + 10),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "output"),
    [*PAIRS, ("quantile(0.2)", "identity"), ("quantile(0.1, 0.9)", "ascending")],
)  # fmt: skip
def test_losses_and_outputs(loss, output):
    net = network("tanh", output, loss)
    check(net, *batch(loss, net.sizes[-1]))


def test_targets_that_meet_and_errors_beyond_one():
    net = network("relu", "identity", "huber")
    X, _ = batch("huber", 2)
    y = net.predict(X)
    y[0] += [3, -3]
    for loss in ("huber", "absolute_error", "quantile(0.3)"):
        check(network("relu", "identity", loss), X, y)


@pytest.mark.parametrize("far", [-800, -36.25, 36.25, 800])
@pytest.mark.parametrize(
    ("hidden", "output", "loss", "targets"),
    [
        ("softplus", "sigmoid", "binary_cross_entropy", (0, 1, 0.25)),
        ("silu", "softmax", "cross_entropy", (0, 1, 0.25)),
        ("sigmoid", "softplus", "poisson", (0, 3, 7)),
        ("tanh", "exp", "poisson", (0, 3, 7)),
        ("leaky_relu", "ascending", "quantile", (0, 1, -1)),
        ("gelu", "sigmoid", "squared_error", (0, 1, -1)),
    ],
)
def test_far_from_zero(far, hidden, output, loss, targets):
    """Where e^z leaves what floats hold, or log(1 + e^z) its digits, formulas still come out."""
    if output == "exp" and far > 0:
        far /= 4  # beyond, the loss is infinite
    outputs = 2 * core.outputs_per_target(loss)
    net = fcnn.Network((2, 2, outputs), hidden, output, loss, "float64", rng=2)
    net.biases[1][:] = np.resize([far, far * 0.875], outputs)
    for target in targets:
        y = [[target, 1 - target]] if output == "softmax" else [[target, targets[1]]]
        check(net, [[0.5, -1.0]], y, digits=17)
    net.weights[0][:], net.biases[0][:] = 0, [far, -far]
    net.biases[1][:] = 0
    net.weights[1][:] *= 1e-3
    check(net, [[0.5, -1.0]], [[0.5, 0.5]], digits=17)


@pytest.mark.parametrize("weight", [[1, 2, 0.5], [0, 1, 0]])
def test_sample_weights(weight):
    check(network(), *batch("squared_error", 2), weight)


def test_integer_one_hot_rows_and_shares():
    net = network(loss="cross_entropy")
    X, y = batch("cross_entropy", 2)
    rows = np.eye(2, dtype=int)[y]
    check(net, X, rows)
    trace = net.trace(X, y)
    np.testing.assert_array_equal(trace.y, rows)
    np.testing.assert_array_equal(trace.share, [1 / 3] * 3)
    probabilities = [[0.25, 0.75], [0.5, 0.5], [1, 0]]
    check(net, X, probabilities)


def test_a_long_sum_has_its_largest_terms_and_one_number_for_the_rest():
    net = fcnn.Network((40, 30, 10), "sigmoid", dtype="float64", rng=1)
    X = np.random.default_rng(0).normal(size=40)
    check(net, X, 3, max_terms=5, digits=9)
    trace = net.trace(X, 3)
    (z, *_) = trace.explain(1, 7, max_terms=5).steps
    kept = [float(v) for v in re.findall(r"\* \(?(-?[\d.e-]+)", z.numbers.text)]
    terms = net.weights[0][7] * X
    largest = np.sort(np.argsort(-np.abs(terms))[:4])
    assert kept == [float(f"{v:.5g}") for v in X[largest]]
    assert r"\text{ more}" in z.numbers.latex


def test_the_trace_keeps_what_it_was_of():
    net, (X, y) = network(), batch("squared_error", 2)
    trace = net.trace(X, y)
    before = str(trace.explain(1, 0))
    net.parameters[:] = 0
    y[:] = 7
    X[:] = 7
    assert str(trace.explain(1, 0)) == before


def test_an_edge_and_the_digits():
    net, (X, y) = network(), batch("squared_error", 2)
    trace = net.trace(X[0], y[0])
    told = trace.explain(2, 1, 3, digits=4)
    assert [step.name for step in told.steps] == ["delta", "dW"]
    step = told.steps[1]
    assert step.symbol.text == "dC/dW^2_1,3"
    assert step.general.text == "delta^2_1 a^1_3"
    assert step.numbers.text.replace("(", "").replace(")", "") == (
        f"{trace.delta[2][0, 1]:.4g} * {trace.a[1][0, 3]:.4g}"
    )
    assert evaluated(step.numbers.text).low == pytest.approx(trace.dW[2][1, 3], rel=1e-2)
    assert told.title == "edge from node 3 to node 1 of layer 2, sigmoid"
    assert repr(told) == f"<Explanation: {told.title}>"


def test_latex_is_of_the_same_numbers():
    net, (X, y) = network(), batch("squared_error", 2)
    told = net.trace(X, y).explain(3, 0)
    assert told._repr_latex_() == f"$$\n{told.latex}\n$$"
    assert told.latex.count("{") == told.latex.count("}")
    assert told.latex.count(r"\left(") == told.latex.count(r"\right)")
    for step in told.steps:
        numbers = re.findall(r"\d+\.\d+", step.numbers.text)
        assert sorted(numbers) == sorted(re.findall(r"\d+\.\d+", step.numbers.latex))
        assert "htmlClass" not in step.numbers.latex


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((3, 0), {}, r"l: expected 0 to 2, one of the 3 layers; got 3"),
        ((1, 9), {}, r"k: expected 0 to 3, one of the 4 nodes of layer 1; got 9"),
        ((-1, 0), {}, "l: expected at least 0"),
        ((1, 0, 3), {}, "j: expected 0 to 2, one of the 3 nodes of layer 0; got 3"),
        ((0, 0, 0), {}, "j: goes with a layer that has edges into it"),
        ((1, 0), {"sample": 3}, "sample: expected 0 to 2"),
        ((1, 0), {"digits": 18}, "digits: expected at most 17"),
        ((1, 0), {"max_terms": 1}, "max_terms: expected at least 2"),
    ],
)
def test_refused(arguments, options, message):
    net = fcnn.Network((3, 4, 2), loss="squared_error")
    X, y = batch("squared_error", 2)
    with pytest.raises(ValueError, match=message):
        net.trace(X, y).explain(*arguments, **options)
    with pytest.raises(TypeError, match="k: expected an integer"):
        net.trace(X, y).explain(1, 0.5)


def test_tables_for_notebooks():
    net, (X, y) = network(), batch("squared_error", 2)
    trace = net.trace(X, y)
    page = trace._repr_html_()
    for l in (1, 2, 3):
        for values in (trace.z, trace.a, trace.delta):
            for value in values[l][0]:
                assert f">{value:.6g}<" in page
    assert "1/3 of the average" in page
    assert ">4 nodes<" not in page
    wide = fcnn.Network((20, 2))
    assert "... 20 nodes" in wide.trace(np.zeros(20), 0)._repr_html_()
    assert all(f">{n}<" in net._repr_html_() for n in (*net.sizes, net.num_parameters))

    history = net.fit(X, y, epochs=4, validation=(X, y))
    page = history._repr_html_()
    assert page.count("<polyline") == 2
    points = re.search(r'points="([^"]+)"', page)[1].split()
    assert len(points) == 4
    heights = [float(point.partition(",")[2]) for point in points]
    assert (np.argsort(heights) == np.argsort(-np.array(history.loss))).all()
    assert "<svg" not in fcnn.history.History()._repr_html_()
    assert "<svg" not in fcnn.history.History([float("nan")] * 3)._repr_html_()
    assert "&lt;b&gt;" in fcnn.history.History([1.0, 2.0], [], [1.0], "<b>")._repr_html_()


@pytest.mark.parametrize("digits", [3, 4, 6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("hidden", "output", "loss"),
    [
        ("sigmoid", "sigmoid", "squared_error"), ("tanh", "tanh", "huber"),
        ("sigmoid", "sigmoid", "binary_cross_entropy"), ("tanh", "softmax", "cross_entropy"),
        ("softplus", "identity", "absolute_error"), ("silu", "softmax", "squared_error"),
    ],
)  # fmt: skip
def test_nearly_saturated(hidden, output, loss, dtype, digits):
    """Of 1 - a with an a that few digits make 1, and of a - y, digits are left to come out with."""
    net = fcnn.Network((1, 2, 2), hidden, output, loss, dtype)
    for z in (5.5, 9, 11.5, -7.5):
        net.parameters = np.zeros(10)
        net.biases[0][:], net.weights[1][:] = [z, -z], [[0.5, 0.25], [-0.5, 1]]
        check(net, [[1.0]], [[0, 1]], digits=digits)
        net.parameters = np.zeros(10)
        net.biases[1][:] = [z, -z]
        check(net, [[1.0]], [[1, 0]], digits=digits)
        check(net, [[1.0]], [[0, 1]], digits=digits)
    (step,) = (one for one in net.trace([[1.0]], [[1, 0]]).explain(2, 0, digits=digits).steps
               if one.name == "delta")  # fmt: skip
    assert step.value != 0
