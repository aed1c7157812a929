"""Random networks and data: the same numbers have the same bits, however they come and go."""

import copy
import pickle

import numpy as np
import scipy.sparse

import fcnn
from fcnn._dispatch import core
from fcnn._validation import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS

from .common import goes_on

# Of quantiles several levels, that is several outputs for each target.
LOSSES = {"quantile": "quantile(0.1, 0.5, 0.9)"}
PAIRS = [
    (LOSSES.get(loss, loss), output) for loss, outputs in OUTPUT_ACTIVATIONS.items()
    for output in outputs
]  # fmt: skip
OPTIMIZERS = [
    lambda: fcnn.SGD(1e-3), lambda: fcnn.SGD(1e-3, momentum=0.9, nesterov=True),
    lambda: fcnn.Adam(1e-3), lambda: fcnn.AdamW(1e-3, weight_decay=0.1),
]  # fmt: skip
OPTIONS = [{}, {"clip_norm": 0.5}, {"l1": 1e-3, "l2": 1e-2}, {"l2": 1e-2}, {"dropout": 0.2}]


def size(rng):
    return int(rng.choice([rng.integers(1, 20), rng.integers(1, 200), rng.integers(200, 700)],
                          p=[0.5, 0.4, 0.1]))  # fmt: skip


class Case:
    """A random network with data."""

    def __init__(self, rng):
        loss, output = PAIRS[rng.integers(len(PAIRS))]
        sizes = [size(rng) for _ in range(rng.integers(2, 6))]
        each = core.outputs_per_target(loss)
        sizes[-1] = max(-(-sizes[-1] // each) * each, 2 if loss == "cross_entropy" else 1)
        hidden = [str(rng.choice([*HIDDEN_ACTIVATIONS, "leaky_relu(0.3)", "elu(0.7)"]))
                  for _ in sizes[1:-1]]  # fmt: skip
        self.dtype = str(rng.choice(["float32", "float64"]))
        self.net = fcnn.Network(
            sizes, hidden, output, loss, self.dtype, rng=int(rng.integers(2**31))
        )
        self.rows = int(rng.choice([1, 2, 3, 4, rng.integers(5, 70), rng.integers(70, 700)]))
        self.X = rng.normal(size=(self.rows, sizes[0])).astype(self.dtype)
        if rng.random() < 0.3:  # for the way by lists
            self.X *= rng.random(self.X.shape) < rng.uniform(0, 0.3)
        self.y = targets(rng, loss, self.rows, self.net.num_targets, self.dtype)
        self.weight = None
        if rng.random() < 0.3:
            self.weight = rng.uniform(0.1, 2, self.rows).astype(self.dtype)
        self.optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
        self.options = OPTIONS[rng.integers(len(OPTIONS) - (len(sizes) == 2))]  # nothing to drop
        self.batch_size = int(rng.choice([1, rng.integers(1, self.rows + 1), self.rows]))

    def __str__(self):
        return (f"{self.net!r}, {self.rows} rows, batch_size={self.batch_size}, "
                f"{self.optimizer()!r}, {self.options}")  # fmt: skip


def targets(rng, loss, rows, n, dtype):
    if loss == "cross_entropy":
        return rng.integers(n, size=rows)
    if loss == "binary_cross_entropy":
        return rng.integers(2, size=(rows, n)).astype(dtype)
    if loss == "poisson":
        return rng.poisson(1.5, size=(rows, n)).astype(dtype)
    return rng.normal(size=(rows, n)).astype(dtype)


def same(a, b, what):
    __tracebackhide__ = True
    assert a.dtype == b.dtype, what
    # -0 and 0 are one number: a way that passes zeros by may differ in their sign.
    assert np.array_equal(a, b, equal_nan=True), what


def check_predictions(case, rng):
    net, X, rows = case.net, case.X, case.rows
    all_rows = net.predict(X)
    for i in rng.permutation(rows)[:20]:
        same(net.predict(X[i]), all_rows[i], "a row alone")
        same(net.predict(X[i : i + 1])[0], all_rows[i], "a row as a batch")
    for _ in range(3):
        first, last = sorted(rng.integers(rows + 1, size=2))
        if first < last:
            same(net.predict(X[first:last]), all_rows[first:last], "a part of the rows")
    for n in (1, 2, 3, 8):
        same(net.predict(X, n_threads=n), all_rows, f"{n} threads")
    order = rng.permutation(rows)
    same(net.predict(X[order]), all_rows[order], "in another order")
    same(net(X, out=np.empty_like(all_rows)), all_rows, "out")
    same(net.predict(np.asfortranarray(X)), all_rows, "columns")
    same(net.predict(np.repeat(X, 2, axis=1)[:, ::2]), all_rows, "strides")
    same(net.predict(X.astype(X.dtype.newbyteorder())), all_rows, "the other byte order")
    same(net.predict(X.tolist()), all_rows, "lists")
    same(net.predict(X.astype("float64")), all_rows, "float64")
    sparse = scipy.sparse.csr_array(X)
    same(net.predict(sparse), all_rows, "CSR")
    same(net.predict(scipy.sparse.coo_array(X)), all_rows, "COO")
    same(net.trace(X, case.y).a[-1], all_rows, "trace")
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        same(other.predict(X), all_rows, "a copy")
    return 20


def check_gradients(case, rng):
    net, X, y, weight = case.net, case.X, case.y, case.weight
    loss, gradient = net.gradients(X, y, weight)
    for n in (1, 2, 3):
        again = net.gradients(X, y, weight, n_threads=n)
        assert again[0] == loss
        same(again[1], gradient, f"gradient, {n} threads")
    again = net.gradients(scipy.sparse.csr_array(X), y, weight)
    same(again[1], gradient, "gradient of CSR")
    core.force_tiny(0)
    try:
        again = net.gradients(X, y, weight)
    finally:
        core.force_tiny(-1)
    assert again[0] == loss
    same(again[1], gradient, "gradient by panels")
    trace = net.trace(X, y, weight)
    layers = zip(trace.dW[1:], trace.db[1:], strict=True)
    flat = [np.concatenate([dW.T.ravel(), db]) for dW, db in layers]
    same(np.concatenate(flat), gradient, "gradient of trace")


def trained(case, X, n_threads=None, tiny=True):
    net, optimizer = copy.deepcopy(case.net), case.optimizer()
    core.force_tiny(-1 if tiny else 0)
    try:
        history = net.fit(
            X, case.y, epochs=2, batch_size=case.batch_size, optimizer=optimizer,
            sample_weight=case.weight, rng=3, n_threads=n_threads, **case.options,
        )  # fmt: skip
    finally:
        core.force_tiny(-1)
    return [net.parameters, np.array(history.loss), *optimizer.state(net)]


def check_training(case):
    expected = trained(case, case.X)
    ways = {
        "two threads": {"n_threads": 2}, "three threads": {"n_threads": 3},
        "by panels": {"tiny": False}, "by panels, two threads": {"tiny": False, "n_threads": 2},
    }  # fmt: skip
    for name, way in ways.items():
        for a, b in zip(trained(case, case.X, **way), expected, strict=True):
            same(a, b, f"training, {name}")
    for a, b in zip(trained(case, scipy.sparse.csr_array(case.X)), expected, strict=True):
        same(a, b, "training of CSR")


def run(size, seed):
    for i in range(size):
        goes_on()
        rng = np.random.default_rng([seed, i])
        case = Case(rng)
        try:
            check_predictions(case, rng)
            check_gradients(case, rng)
            check_training(case)
        except fcnn.DivergenceError:
            continue
        except BaseException:
            print(f"network {i}: {case}", flush=True)
            raise
    return f"{size} networks, 49 ways each to the same numbers: the same bits"
