"""Penalties, clipping, smoothing, dropout, learning-rate curves and given derivatives in the core.

The truth is `reference.Network` with each of them written out in NumPy.
"""

import itertools

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, distance, random_problem

import fcnn
from fcnn import reference
from fcnn._validation import StepOptions
from fcnn.errors import DivergenceError

pytestmark = pytest.mark.usefixtures("general_way")

SIZES = (7, 33, 18, 4)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Regularized(reference.Network):
    """The reference with the options of a training call."""

    def __init__(self, network, l1=0.0, l2=0.0, per_sample=False, clip_norm=0.0, smoothing=0.0):
        super().__init__(network.sizes, network.activations, network.loss, network.dtype)
        self.parameters[:] = network.parameters
        self.l1, self.l2, self.per_sample = l1, l2, per_sample
        self.clip_norm, self.smoothing = clip_norm, smoothing
        self.masks = None
        self.penalties = []

    def _targets(self, y):
        y = super()._targets(y)
        count = y.shape[1] if self.loss == "cross_entropy" else 2
        return (1 - self.smoothing) * y + self.smoothing / count

    def _backpropagate(self, X, y, sample_weight=None):
        z, a = [None], [X if self.masks is None else X * self.masks[0]]
        for l in range(1, self.L + 1):
            z.append(a[-1] @ self.W[l].T + self.b[l])
            name = self.activations[l - 1]
            a.append(
                reference.softmax(z[l])
                if name == "softmax"
                else reference.activation_of(name).sigma(z[l])
            )
            if self.masks is not None and l < self.L:
                a[l] = a[l] * self.masks[l]
        delta, loss = self.backward(z, a, y, sample_weight)
        if self.masks is not None:
            for l in range(self.L - 1, 0, -1):
                rule = reference.activation_of(self.activations[l - 1])
                slope = rule.derivative(z[l], rule.sigma(z[l]))
                delta[l] = slope * self.masks[l] * (delta[l + 1] @ self.W[l + 1])
        gradient = np.empty_like(self.parameters)
        dW, db = self._views(gradient)
        total = len(X) if sample_weight is None else sample_weight.sum()
        share = 1 / total if self.per_sample else 1
        penalty = 0.0
        for l in range(1, self.L + 1):
            W = self.W[l]
            dW[l][:] = delta[l].T @ a[l - 1] + share * (self.l1 * np.sign(W) + self.l2 * W)
            db[l][:] = delta[l].sum(axis=0)
            penalty += share * (self.l1 * abs(W).sum() + self.l2 / 2 * (W**2).sum())
        self.penalties.append(penalty)
        length = np.linalg.norm(gradient)
        if self.clip_norm and length > self.clip_norm:
            gradient *= self.clip_norm / length
        return z, a, delta, loss, gradient


class NegativeWeights(Regularized):
    """The reference's own share of a sample is 0 where weights add up to less."""

    def _batch(self, X, y, sample_weight):
        return X, y, sample_weight  # which it refuses

    def backward(self, z, a, y, sample_weight=None):
        delta, loss = super().backward(z, a, y, -sample_weight)
        return delta, loss  # w / sum w is the same for -w


def problem(dtype, loss="cross_entropy", rows=150, weighted=True, hidden=("tanh", "gelu")):
    rng = np.random.default_rng(3)
    output = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(loss, "identity")
    return random_problem(rng, SIZES, (*hidden, output), loss, dtype, rows, weighted)


def optimizers():
    return [
        fcnn.SGD(0.3),
        fcnn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        fcnn.Adam(0.01, weight_decay=0.02),
        fcnn.AdamW(0.01),
    ]


def given(options):
    """Return options as the core's training calls take them: those of an update are one object."""
    of_update = {name: options[name] for name in options if name in StepOptions._fields}
    others = {name: options[name] for name in options if name not in of_update}
    return {"options": StepOptions(**of_update), **others}


def train_both(core, network, batch, truth, options, make, batch_size=40):
    """Train an epoch in the core and in NumPy; compare parameters and each batch's losses."""
    X, y, weight = batch
    twin = core_twin(core, network)
    batches = -(-len(X) // batch_size)
    losses = np.full((batches, 2), np.nan)
    mean = twin._train_epoch(X, y, make(), batch_size, None, weight, 1, batch_losses=losses,
                            **given(options))  # fmt: skip
    costs = []
    optimizer, expected = make(), Regularized.train_step
    for first in range(0, len(X), batch_size):
        part = slice(first, first + batch_size)
        w = None if weight is None else weight[part]
        costs.append(expected(truth, X[part], y[part], optimizer, w))
    assert distance(losses[:, 0], costs) < 10 * TOLERANCE[network.dtype.name]
    assert np.allclose(losses[:, 1], truth.penalties, rtol=1e-5, atol=1e-12)
    moved = truth.parameters.astype(np.float64) - network.parameters
    assert np.linalg.norm(moved) > 1e-3
    error = np.linalg.norm(twin.parameters - truth.parameters) / np.linalg.norm(moved)
    assert error < 20 * TOLERANCE[network.dtype.name]
    shares = [len(X[i : i + batch_size]) if weight is None else weight[i : i + batch_size].sum()
              for i in range(0, len(X), batch_size)]  # fmt: skip
    assert mean == pytest.approx(
        np.average(costs, weights=shares) + np.mean(truth.penalties), rel=1e-5
    )


@dtypes
@pytest.mark.parametrize("which", range(4), ids=["sgd", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "options",
    [
        {"l2": 0.05},
        {"l1": 0.01},
        {"l1": 0.01, "l2": 0.05, "per_sample": True},
        {"l2": 3.0, "per_sample": True},
        {"clip_norm": 0.05},
        {"clip_norm": 0.3, "l2": 0.1},
        {"smoothing": 0.1},
    ],
    ids=str,
)
def test_options_against_numpy(core, dtype, which, weighted, options):
    network, batch = problem(dtype, weighted=weighted)
    names = {"per_sample": "penalty_per_sample", "smoothing": "label_smoothing"}
    train_both(core, network, batch, Regularized(network, **options),
               {names.get(k, k): v for k, v in options.items()},
               lambda: optimizers()[which])  # fmt: skip


@dtypes
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_smoothed_targets(core, dtype, loss):
    network, (X, y, weight) = problem(dtype, loss)
    truth = Regularized(network, smoothing=0.2)
    train_both(core, network, (X, y, weight), truth, {"label_smoothing": 0.2},
               lambda: fcnn.SGD(0.5))  # fmt: skip
    if loss == "cross_entropy":
        labels = y.argmax(axis=1).astype(np.int64)
        results = []
        for targets in (y, labels):
            twin = core_twin(core, network)
            twin._train_epoch(
                X, targets, fcnn.SGD(0.5), 40, options=StepOptions(label_smoothing=0.2)
            )
            results.append(twin.parameters.tobytes())
        assert results[0] == results[1]


@dtypes
def test_batches_in_several_blocks_have_a_penalty_once(core, dtype):
    network, batch = problem(dtype, rows=700)
    truth = Regularized(network, l1=0.01, l2=0.1, clip_norm=0.2)
    train_both(core, network, batch, truth, {"l1": 0.01, "l2": 0.1, "clip_norm": 0.2},
               lambda: fcnn.SGD(0.3), batch_size=600)  # fmt: skip
    truth = Regularized(network, l2=0.1)
    train_both(core, network, batch, truth, {"l2": 0.1}, lambda: fcnn.SGD(0.3), batch_size=600)


@dtypes
@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("options", [{"l2": 0.05}, {"l1": 0.01, "clip_norm": 0.5}], ids=str)
def test_few_samples(core, dtype, options, batch_size):
    network, (X, y, _) = problem(dtype, rows=11)
    train_both(core, network, (X, y, None), Regularized(network, **options), options,
               lambda: fcnn.SGD(0.1), batch_size=batch_size)  # fmt: skip


def test_a_gradient_too_long_for_numbers_is_no_update(core):
    network, (X, y, _) = problem("float64", "squared_error", hidden=("identity", "identity"))
    twin = core_twin(core, network)
    before = twin.parameters.copy()
    with pytest.raises(DivergenceError):
        twin.train_step(X * 1e200, y, fcnn.SGD(0.1), options=StepOptions(clip_norm=1.0))
    assert (twin.parameters == before).all()


@dtypes
@pytest.mark.parametrize("options", [{"l1": 1e39}, {"l1": 1e38}, {"l2": 1e39}], ids=str)
@pytest.mark.parametrize("make", [lambda: fcnn.SGD(1e3), lambda: fcnn.Adam(0.01)])
def test_a_penalty_too_large_for_numbers_is_no_update(core, dtype, options, make):
    network, (X, y, _) = problem(dtype)
    twin, optimizer = core_twin(core, network), make()
    try:
        twin.train_step(X, y, optimizer, options=StepOptions(**options))
    except DivergenceError:
        assert (twin.parameters == network.parameters).all()
    else:
        assert dtype == "float64"
    assert np.isfinite(twin.parameters).all()
    assert all(np.isfinite(v).all() for v in optimizer._state)


@dtypes
@pytest.mark.parametrize("options", [{}, {"l2": 0.5, "per_sample": True}], ids=str)
def test_weights_may_be_negative_and_divide_by_their_sum(core, dtype, options):
    # As in scikit-learn; Network.fit refuses them.
    network, (X, y, weight) = problem(dtype)
    truth = NegativeWeights(network, **options)
    twin = core_twin(core, network)
    names = {"per_sample": "penalty_per_sample"}
    twin.train_step(X, y, fcnn.SGD(0.1), -weight,
                    **given({names.get(k, k): v for k, v in options.items()}))  # fmt: skip
    truth.train_step(X, y, fcnn.SGD(0.1), -weight)
    moved = np.linalg.norm(truth.parameters - network.parameters)
    assert np.linalg.norm(twin.parameters - truth.parameters) < 20 * TOLERANCE[dtype] * moved


@dtypes
def test_a_large_gradient_is_clipped_and_not_refused(core, dtype):
    network, (X, y, _) = problem(dtype, "squared_error")
    truth = Regularized(network, clip_norm=1.0)
    twin, y = core_twin(core, network), y * np.asarray(1e9, dtype)
    twin.train_step(X, y, fcnn.SGD(0.1), options=StepOptions(clip_norm=1.0))
    truth.train_step(X, y, fcnn.SGD(0.1))
    assert distance(twin.parameters, truth.parameters) < TOLERANCE[dtype]


@dtypes
@pytest.mark.parametrize("make", [lambda: fcnn.SGD(9.0, momentum=0.5), lambda: fcnn.Adam(9.0)],
                         ids=["momentum", "adam"])  # fmt: skip
def test_a_learning_rate_for_every_update(core, dtype, make):
    network, (X, y, weight) = problem(dtype)
    rates = np.array([0.1, 0.5, 0.0, 0.2])
    twin, steps = core_twin(core, network), core_twin(core, network)
    optimizer, other = make(), make()
    twin._train_epoch(X, y, optimizer, 40, None, weight, lr_curve=rates)
    assert optimizer.lr == 9.0
    for i, rate in enumerate(rates):
        part = slice(40 * i, 40 * i + 40)
        if rate:
            other.lr = rate
            steps.train_step(X[part], y[part], other, weight[part])
        else:
            steps._train_epoch(
                X[part], y[part], other, 40, None, weight[part], lr_curve=np.zeros(1)
            )
    assert twin.parameters.tobytes() == steps.parameters.tobytes()


# --- Dropout ---------------------------------------------------------------------------------


def masks_of(core, dtype, rows, dropout, seed):
    """Return the masks of layers 0..L-1, read off networks that pass a layer's nodes on."""
    masks = []
    for l in range(len(dropout)):
        sizes = (*SIZES[: l + 1], SIZES[l])
        net = core.Network(sizes, ["identity"] * (l + 1), "squared_error", np.dtype(dtype))
        begin = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes[:-1]))
        n = sizes[-1]
        net.parameters[begin - n : begin] = 1  # b^l: a^l = 1
        net.parameters[begin : begin + n * n] = np.eye(n).ravel()
        alone = [0.0] * l + [dropout[l]]
        masks.append(net._outputs(np.ones((rows, SIZES[0]), dtype), 1, alone, seed))
    return masks


def splitmix64(x):
    """The finalizer of G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def murmur3(x):
    """A. Appleby's finalizer of 32 bits."""
    x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
    x = (x ^ x >> 13) * 0xC2B2AE35 % 2**32
    return x ^ x >> 16


@dtypes
def test_the_masks_are_of_published_hashes(core, dtype):
    """So a seed has the same ones in every version, and each bit depends on every bit."""
    golden = 0x9E3779B97F4A7C15
    # The first number of SplitMix64 with the seed 0, and of murmur3_32's mixer the image of 1.
    assert (splitmix64(golden), murmur3(1)) == (0xE220A8397B1DCDAF, 0x514E28B7)
    dropout, seed, rows = (0.2, 0.5, 0.3), 2**63 + 5, 40
    for l, mask in enumerate(masks_of(core, dtype, rows, dropout, seed)):
        key = splitmix64((splitmix64((seed + golden) % 2**64) + l) % 2**64)
        keys = [splitmix64((key + s) % 2**64) >> 32 for s in range(rows)]
        bits = np.array([[murmur3((own + k * 0x9E3779B9) % 2**32) for k in range(mask.shape[1])]
                         for own in keys])  # fmt: skip
        np.testing.assert_array_equal(mask != 0, bits >= int(dropout[l] * 2**32))


@dtypes
@pytest.mark.parametrize("hidden", [("tanh", "gelu"), ("relu", "sigmoid"), ("silu", "identity")])
@pytest.mark.parametrize("rows", [1, 2, 50, 300])
def test_dropout_against_numpy(core, dtype, hidden, rows):
    network, (X, y, weight) = problem(dtype, rows=rows, hidden=hidden)
    dropout = (0.2, 0.5, 0.3)
    truth = Regularized(network, l2=0.01)
    truth.masks = masks_of(core, dtype, rows, dropout, 7)
    train_both(core, network, (X, y, weight), truth, {"dropout": dropout, "seed": 7, "l2": 0.01},
               lambda: fcnn.SGD(0.2), batch_size=rows)  # fmt: skip
    # and without dropout of the input or of a layer
    truth = Regularized(network)
    some = (0.0, 0.5, 0.0)
    truth.masks = masks_of(core, dtype, rows, some, 7)
    train_both(core, network, (X, y, weight), truth, {"dropout": some, "seed": 7},
               lambda: fcnn.SGD(0.2), batch_size=rows)  # fmt: skip


def test_masks_are_fair_and_independent(core):
    rows, p = 4000, 0.3
    masks = masks_of(core, "float32", rows, (p, p, p), 1)
    again = masks_of(core, "float32", rows, (p, p, p), 2)
    for mask, other in zip(masks, again, strict=True):
        kept = mask != 0
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / (1 - p))}
        spread = np.sqrt(p * (1 - p) / kept.size)
        assert abs(kept.mean() - (1 - p)) < 5 * spread
        for axis in (0, 1):  # every node, every sample
            means = kept.mean(axis=axis)
            assert abs(means - (1 - p)).max() < 6 * np.sqrt(p * (1 - p) / kept.shape[axis])
        # Two nodes, two samples, two seeds: no correlation.
        for a, b in (
            (kept[:, :-1], kept[:, 1:]),
            (kept[:-1], kept[1:]),
            (kept[:-16], kept[16:]),
            (kept, other != 0),
        ):
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)
    n = min(mask.shape[1] for mask in masks)
    for a, b in itertools.combinations(masks, 2):
        assert abs(np.corrcoef(a[:, :n].ravel(), b[:, :n].ravel())[0, 1]) < 5 / np.sqrt(n * rows)


@pytest.mark.slow
@dtypes
def test_masks_do_not_depend_on_threads_or_on_batches_before(core, dtype):
    network, (X, y, weight) = problem(dtype, rows=700)
    options = StepOptions(l1=0.001, dropout=(0.1, 0.5, 0.5))
    results = []
    for threads in (1, 2, 3):
        twin = core_twin(core, network)
        for rows, batch_size in ((700, 64), (700, 700), (40, 1)):
            twin._train_epoch(X[:rows], y[:rows], fcnn.Adam(0.01), batch_size, None, weight[:rows],
                             threads, options, seed=5)  # fmt: skip
        results.append(twin.parameters.tobytes())
    assert results[0] == results[1] == results[2]
    # Batches of one call have masks of their own.
    one = core_twin(core, network)
    one._train_epoch(np.vstack([X[:64]] * 2), np.vstack([y[:64]] * 2), fcnn.SGD(1e-12), 64,
                    options=StepOptions(dropout=(0.5, 0.5, 0.5)), seed=5,
                    batch_losses=(losses := np.empty((2, 2))))  # fmt: skip
    assert losses[0, 0] != losses[1, 0]


def test_a_step_is_bounded_by_the_inputs_that_are_multiplied(core):
    """What is left of them, a million times as large here: its square is no float32."""
    rows, n_in, dropout, seed = 16, 200_000, (1 - 1e-6,), 4
    net = core.Network((n_in, 1), ("identity",), "squared_error", "float32")
    net.parameters[:n_in] = 1 + np.arange(n_in)
    kept = net._outputs(np.ones((rows, n_in), np.float32), 1, dropout, seed)[:, 0] * 1e-6
    row = kept.argmax()
    assert 1 <= kept[row] < n_in  # a single one of the row
    net.parameters[:] = 0
    X, y = np.zeros((rows, n_in), np.float32), np.zeros((rows, 1), np.float32)
    X[row, round(kept[row]) - 1], y[row] = 8e14, 1
    adam = fcnn.Adam(betas=(0.9, 0.0))
    with np.errstate(all="ignore"), pytest.raises(DivergenceError):
        net.train_step(X, y, adam, None, 1, StepOptions(dropout=dropout), seed=seed)
    assert not any(v.any() for v in (net.parameters, *adam.state(net)))
    assert net.train_step(X, y, adam, None, 1, StepOptions(dropout=dropout), seed=seed + 1) > 0
    assert np.isfinite([net.parameters, *adam.state(net)]).all()


def test_no_dropout_is_no_dropout(core):
    network, (X, y, weight) = problem("float32")
    results = []
    for options in ({}, {"dropout": (0.0, 0.0, 0.0), "seed": 3}, {"dropout": None}):
        twin = core_twin(core, network)
        twin._train_epoch(X, y, fcnn.Adam(0.01), 32, None, weight, **given(options))
        results.append(twin.parameters.tobytes())
    assert results[0] == results[1] == results[2]


# --- A loss of the caller's own --------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("rows", [1, 40, 300])
@pytest.mark.parametrize("output", ["identity", "tanh", "softmax", "exp"])
def test_a_given_derivative_is_the_squared_error_s(core, dtype, rows, output):
    rng = np.random.default_rng(8)
    loss = "poisson" if output == "exp" else "squared_error"
    network, (X, y, _) = random_problem(rng, SIZES, ("tanh", "relu", output), loss, dtype, rows)
    truth, own = core_twin(core, network), core_twin(core, network)
    a = own.predict(X)
    dC_da = (a - y) / len(X) if loss == "squared_error" else (1 - y / a) / len(X)
    truth.train_step(X, y, fcnn.SGD(0.1), options=StepOptions(l2=0.1))
    given = dC_da.astype(dtype)
    core.own_step(
        own, X, None, None, lambda *_: (0.0, given), False, fcnn.SGD(0.1),
        options=StepOptions(l2=0.1),
    )  # fmt: skip
    moved = np.linalg.norm(truth.parameters - network.parameters)
    assert np.linalg.norm(truth.parameters - own.parameters) < 20 * TOLERANCE[dtype] * moved


@dtypes
def test_outputs_are_those_of_the_update_with_the_same_seed(core, dtype):
    network, (X, y, _) = problem(dtype, "squared_error")
    dropout = (0.1, 0.4, 0.4)
    twin = core_twin(core, network)
    a = twin._outputs(X, None, dropout, 11)
    assert distance(a, twin.predict(X)) > 0.01
    assert (twin._outputs(X) == twin.predict(X)).all()
    losses = np.empty((1, 2))
    twin.train_step(X, y, fcnn.SGD(1e-12), options=StepOptions(dropout=dropout), seed=11,
                    batch_losses=losses)  # fmt: skip
    assert losses[0, 0] == pytest.approx(((a - y) ** 2 / 2).sum(axis=1).mean(), rel=1e-5)


@dtypes
@pytest.mark.parametrize("weighted", [False, True])
def test_parts_of_an_epoch_have_the_loss_of_the_whole(core, dtype, weighted):
    """Bit for bit, since what a large file's history says must not depend on its blocks."""
    network, (X, y, weight) = problem(dtype, "cross_entropy")
    weight = weight if weighted else None
    options = StepOptions(l1=0.01, l2=0.02)
    losses, ends = [], []
    for parts in ([slice(None)], [slice(14), slice(14, 42), slice(42, None)]):
        twin, optimizer, totals = core_twin(core, network), fcnn.Adam(0.01), np.zeros(4)
        for part in parts:
            loss = twin._train_epoch(
                X[part], y[part], optimizer, 7, None, None if weight is None else weight[part],
                options=options, totals=totals,
            )  # fmt: skip
        losses.append(loss)
        ends.append([*totals, *twin.parameters])
    assert losses[0] == losses[1] == totals[0] / totals[1] + totals[2] / totals[3]
    assert ends[0] == ends[1]
    assert totals[1] == pytest.approx(len(X) if weight is None else weight.sum(), rel=1e-6)
    assert totals[3] == -(-len(X) // 7)
    alone = core_twin(core, network)
    assert alone._train_epoch(X, y, fcnn.Adam(0.01), 7, None, weight, options=options) == losses[0]


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"l1": -1.0}, ValueError),
        ({"l2": float("nan")}, ValueError),
        ({"clip_norm": -1.0}, ValueError),
        ({"label_smoothing": 1.5}, ValueError),
        ({"dropout": (0.1, 1.0, 0.1)}, ValueError),
        ({"dropout": (0.1, 0.5)}, ValueError),
        ({"lr_curve": np.array([0.1, np.nan, 0.1, 0.1])}, ValueError),
        ({"lr_curve": np.full(3, 0.1)}, ValueError),
        ({"lr_curve": np.full(4, 0.1, np.float32)}, ValueError),
        ({"batch_losses": np.zeros((3, 2))}, ValueError),
        ({"totals": np.zeros(3)}, ValueError),
        ({"totals": np.zeros(4, np.float32)}, ValueError),
        ({"seed": -1}, OverflowError),
        ({"dropuot": (0.1, 0.5, 0.1)}, TypeError),
    ],
    ids=str,
)
def test_options_out_of_range(core, options, error):
    network, (X, y, weight) = problem("float32")
    twin, optimizer = core_twin(core, network), fcnn.Adam(0.01)
    with pytest.raises(error):
        twin._train_epoch(X, y, optimizer, 40, None, weight, **given(options))
    assert optimizer.steps == 0
    assert (twin.parameters == network.parameters).all()


def test_epsilon_before_the_bias_is_corrected(core):
    # The form at the end of section 2 of Kingma and Ba, which scikit-learn has.
    network, (X, y, _) = problem("float64")
    twin, truth = core_twin(core, network), Regularized(network)
    optimizer = fcnn.Adam(0.01, eps=1e-3)
    optimizer._epsilon_hat = True
    m = v = np.zeros_like(truth.parameters)
    for t in range(1, 6):
        twin.train_step(X, y, optimizer)
        _, g = truth.gradients(X, y)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        lr = 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        truth.parameters -= lr * m / (np.sqrt(v) + 1e-3)
    moved = np.linalg.norm(truth.parameters - network.parameters)
    assert np.linalg.norm(twin.parameters - truth.parameters) < 1e-10 * moved
