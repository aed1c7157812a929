"""trainable=: what is frozen keeps its bits on every way, what moves has those of a whole step."""

import copy
import itertools
import pickle
import re

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, random_problem, slow_but

import fcnn
from fcnn._validation import StepOptions, as_any_inputs, as_trainable, named_rates

DTYPES = ["float32", "float64"]
OPTIMIZERS = {
    "plain": lambda lr=0.05: fcnn.SGD(lr),
    "decay": lambda lr=0.05: fcnn.SGD(lr, weight_decay=0.01),
    "momentum": lambda lr=0.05: fcnn.SGD(lr, momentum=0.9),
    "nesterov": lambda lr=0.05: fcnn.SGD(lr, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda lr=0.01: fcnn.Adam(lr, weight_decay=0.01),
    "AdamW": lambda lr=0.01: fcnn.AdamW(lr),
}
# What does not depend on the whole gradient's length.
PENALTIES = [{}, {"l2": 1e-2}, {"l1": 1e-3, "l2": 1e-2}]


def patterns(L):
    """Rates of W^1, b^1, W^2, ...: lower and upper layers, weights and biases alone, all."""
    found = {
        (0, 0) * (L - 1) + (1, 1),
        (1, 1) + (0, 0) * (L - 1),
        (0, 1) * L,
        (1, 0) * L,
        (0, 1) + (1, 1) * (L - 1),
        (0,) * (2 * L - 1) + (1,),
        (0, 0) * (L // 2) + (1, 0) + (0, 0) * (L - L // 2 - 1),
        (1, 1) * L,
    }
    return sorted(tuple(map(float, rates)) for rates in found)


def moving(network, rates):
    """Which parameters move."""
    found, sizes = [], network.sizes
    for l in range(1, len(sizes)):
        found += [rates[2 * l - 2] > 0] * (sizes[l - 1] * sizes[l])
        found += [rates[2 * l - 1] > 0] * sizes[l]
    return np.array(found)


def ends(network, optimizer):
    return [network.parameters.copy(), *(v.copy() for v in optimizer.state(network))]


def same(one, other):
    return [v.tobytes() for v in one] == [v.tobytes() for v in other]


@pytest.fixture
def forced(core):
    """Both ways that the core may take by the size of the network, and by zeros in the inputs."""

    def force(tiny, lists):
        core.force_tiny(tiny)
        core.force_lists(lists)

    yield force
    force(-1, -1)


# Sizes, samples, (tiny, lists), threads: tiny networks, rows alone, panels, several blocks of
# samples, several items of a layer, lists of nonzero inputs.
WAYS = [
    ((4, 16, 3), 40, (1, 0), 1),
    ((5, 9, 7, 2), 300, (1, 0), 1),
    ((7, 1), 5, (1, 0), 1),
    ((4, 16, 3), 40, (0, 0), 2),
    ((130, 33, 17, 5), 1, (0, 0), 1),
    ((130, 33, 17, 5), 3, (0, 0), 3),
    ((130, 33, 17, 5), 50, (0, 0), 3),
    ((20, 40, 9), 600, (0, 0), 2),
    ((130, 33, 17, 5), 1, (0, 1), 1),
    ((130, 33, 17, 5), 40, (0, 1), 2),
    ((60, 3), 9, (0, 1), 1),
]


def sparse_problem(sizes, rows, dtype, seed=0):
    activations = (*["tanh", "relu", "silu"][: len(sizes) - 2], "identity")
    twin, (X, y, _) = random_problem(
        np.random.default_rng(seed), sizes, activations, "squared_error", dtype, rows
    )
    X[np.random.default_rng(1).random(X.shape) > 0.6] = 0
    twin.parameters[::7] = -0.0  # whose bits an update by 0 would change
    return twin, X, y


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_step_is_the_whole_one_where_something_moves(core, forced, make, dtype):
    for (sizes, rows, way, threads), penalty in zip(WAYS, itertools.cycle(PENALTIES), strict=False):
        forced(*way)
        twin, X, y = sparse_problem(sizes, rows, dtype)
        network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
        network.train_step(X, y, optimizer)  # so that there is a state to keep
        before, whole = ends(network, optimizer), None
        for rates in (None, *patterns(len(sizes) - 1)):
            other, rule = core_twin(core, twin), OPTIMIZERS[make]()
            other.parameters[...] = before[0]
            rule.load_state_dict(optimizer.state_dict())  # copies
            options = StepOptions(**penalty, trainable=rates)
            loss = other.train_step(X, y, rule, None, threads, options)
            assert rule.steps == 2
            found = [np.array(loss), *ends(other, rule)]
            if rates is None:
                whole = found
                continue
            mask = moving(network, rates)
            expected = [np.where(mask, w, b) for w, b in zip(whole[1:], before, strict=True)]
            assert same(found, [whole[0], *expected]), (sizes, rows, way, rates)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_frozen_first_layer_whose_nodes_threads_share(core, forced, dtype):
    """Where its panels of nodes go evenly into threads, each has its own of them in all samples."""
    forced(0, 0)
    twin, X, y = sparse_problem((130, 128, 9), 320, dtype)
    for momentum, rates in itertools.product(
        (0, 0.9), ((0.0, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.0))
    ):
        found = []
        for threads in (1, 2):
            network, optimizer = core_twin(core, twin), fcnn.SGD(0.01, momentum=momentum)
            network._train_epoch(
                X, y, optimizer, 40, None, None, threads, StepOptions(trainable=rates)
            )
            found.append(ends(network, optimizer))
            mask = moving(network, rates)
            assert found[-1][0][~mask].tobytes() == twin.parameters[~mask].tobytes()
            assert not any(v[~mask].any() for v in found[-1][1:])
        assert same(*found), rates


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_many_steps_in_a_call_have_the_bits_of_as_many_calls(core, forced, make, dtype):
    options = itertools.cycle(
        [{}, {"l1": 1e-3}, {"clip_norm": 0.05}, {"l2": 1e-2}, {"l2": 1e-2, "clip_norm": 0.05}]
    )
    cases = [((5, 9, 7, 2), 6), ((130, 33, 17, 5), 1), ((130, 33, 17, 5), 13), ((64, 40, 9), 40)]
    for (sizes, size), given in zip(cases, options, strict=False):
        twin, X, y = sparse_problem(sizes, 9 * size, dtype)
        for rates in patterns(len(sizes) - 1):
            some = StepOptions(**given, trainable=rates)
            forced(0, 0)
            network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
            for i in range(0, len(X), size):
                network.train_step(X[i : i + size], y[i : i + size], optimizer, None, 1, some)
            expected = ends(network, optimizer)
            mask = moving(network, rates)
            assert expected[0][~mask].tobytes() == twin.parameters[~mask].tobytes()
            assert not any(v[~mask].any() for v in expected[1:])
            assert (expected[0][mask] != twin.parameters[mask]).mean() > 0.4
            for way, threads in (((0, 0), 1), ((0, 0), 3), ((0, 1), 2), ((1, 0), 1)):
                forced(*way)
                network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
                network._train_epoch(X, y, optimizer, size, None, None, threads, some)
                assert same(ends(network, optimizer), expected), (sizes, size, given, rates, way)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, 3, 20])
def test_sparse_matrices(core, batch, dtype):
    sparse = pytest.importorskip("scipy.sparse")
    twin, X, y = sparse_problem((130, 20, 9, 4), 60, dtype)
    stored = as_any_inputs("X", sparse.csr_array(X), 130, np.dtype(dtype))
    for rates in patterns(3):
        options, found = StepOptions(trainable=rates), []
        for inputs in (X, stored):
            network, optimizer = core_twin(core, twin), fcnn.Adam(0.01)
            network._train_epoch(inputs, y, optimizer, batch, None, None, 2, options)
            found.append(ends(network, optimizer))
        assert same(*found)
        mask = moving(network, rates)
        assert network.parameters[~mask].tobytes() == twin.parameters[~mask].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("tiny", [0, 1])
def test_a_rate_is_a_factor_of_the_learning_rate(core, forced, tiny, make, dtype):
    forced(tiny, 0)
    twin, X, y = sparse_problem((5, 9, 7, 2), 40, dtype)
    rates = (0.5, 2.0, 0.25, 0.0, 1.0, 0.125)
    base = OPTIMIZERS[make]().lr
    network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
    network.train_step(X, y, optimizer, None, 1, StepOptions(trainable=rates))
    for rate in set(rates) - {0.0}:
        other, rule = core_twin(core, twin), OPTIMIZERS[make](base * rate)
        other.train_step(X, y, rule)
        mask = moving(other, [r == rate for r in rates])
        if make in ("Adam", "AdamW"):
            np.testing.assert_allclose(
                network.parameters[mask], other.parameters[mask], rtol=TOLERANCE[dtype]
            )
        else:
            assert network.parameters[mask].tobytes() == other.parameters[mask].tobytes()
        for v, w in zip(optimizer.state(network), rule.state(other), strict=True):
            assert v[mask].tobytes() == w[mask].tobytes()


def test_nothing_is_propagated_back_below_the_lowest_layer_that_moves(core, forced):
    """A delta of the first layer would be infinite: the step would be refused."""
    for tiny, rows, threads in ((1, 40, 1), (0, 2, 1), (0, 40, 2)):
        forced(tiny, 0)
        twin, X, y = sparse_problem((4, 8, 3), rows, "float32")
        twin.W[1][...] *= 1e-30
        twin.b[1][...] *= 1e-30
        twin.W[2][...] *= 1e30
        y *= 1e12
        network, before = core_twin(core, twin), twin.parameters.copy()
        for rates in (None, (1.0, 1.0, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0)):
            with pytest.raises(fcnn.DivergenceError):
                network.train_step(
                    X, y, fcnn.SGD(1e-3), None, threads, StepOptions(trainable=rates)
                )
            assert network.parameters.tobytes() == before.tobytes()
        network.train_step(
            X, y, fcnn.SGD(1e-3), None, threads, StepOptions(trainable=(0.0, 0.0, 1.0, 1.0))
        )
        assert network.parameters.tobytes() != before.tobytes()


@pytest.mark.parametrize("tiny", [0, 1])
@pytest.mark.parametrize(
    "rates", [(1e38, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1e300), (0.0, 0.0, 1e60, 0.0)]
)
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, None], ids=["sgd", "momentum", "adam"])
def test_a_rate_that_makes_a_step_risky(core, forced, tiny, rates, options):
    forced(tiny, 0)
    twin, X, y = sparse_problem((4, 8, 3), 40, "float32")
    rule = fcnn.Adam(100.0) if options is None else fcnn.SGD(100.0, **options)
    network = core_twin(core, twin)
    with pytest.raises(fcnn.DivergenceError):
        network.train_step(X, y, rule, None, 1, StepOptions(trainable=rates))
    assert network.parameters.tobytes() == twin.parameters.tobytes()
    assert rule.steps == 0


# --- What users give ------------------------------------------------------------------------------


def problem(dtype="float64", rows=60, sizes=(5, 12, 8, 3)):
    net = fcnn.Network(sizes, "tanh", loss="squared_error", dtype=dtype, rng=1)
    rng = np.random.default_rng(2)
    return net, rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))


@pytest.mark.parametrize(
    ("given", "rates"),
    [
        (None, None),
        ({}, None),
        ({1: True, 2: 1.0, (3, "W"): 1}, None),
        ({1: False}, (0, 0, 1, 1, 1, 1)),
        ({np.int64(3): np.bool_(False)}, (1, 1, 1, 1, 0, 0)),
        ({2: 0.1, (3, "b"): False}, (1, 1, 0.1, 0.1, 1, 0)),
        ({(2, "b"): 2, 2: False}, (1, 1, 0, 2, 1, 1)),
        ({2: False, (2, "b"): 2}, (1, 1, 0, 2, 1, 1)),
        ({(2, "b"): 2.0, (1, "W"): 0.5, 2: False}, (0.5, 1, 0, 2, 1, 1)),
        ({(3, "W"): False, 3: 2.0, (1, "b"): True, 1: False}, (0, 1, 1, 1, 0, 2)),
        ({(1, "W"): 0, 2: np.float32(0.5), 3: 0.0}, (0, 1, 0.5, 0.5, 0, 0)),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_users_write(given, rates, dtype):
    assert as_trainable(given, 3) == rates
    assert as_trainable(named_rates(rates), 3) == rates
    # Most of them a call of train_step reads in C.
    net, X, y = problem(dtype)
    X, y, twin = X.astype(dtype), y.astype(dtype), net.copy()
    net.train_step(X, y, fcnn.AdamW(0.1), l2=0.1, trainable=given)
    twin.fit(X, y, epochs=1, batch_size=None, shuffle=False, optimizer=fcnn.AdamW(0.1), l2=0.1,
             trainable=given)  # fmt: skip
    assert net.parameters.tobytes() == twin.parameters.tobytes()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ([False, True, True], TypeError, "trainable: expected a dict such as {1: False, 2: 0.1"),
        ("W1", TypeError, "trainable: expected a dict"),
        (False, TypeError, "trainable: expected a dict"),
        ({0: False}, ValueError, "trainable: expected layers 1 to 3, (layer, 'W') or (layer, 'b')"),
        ({4: False}, ValueError, "trainable: expected layers 1 to 3"),
        ({-1: False}, ValueError, "trainable: expected layers 1 to 3"),
        ({True: False}, ValueError, "trainable: expected layers 1 to 3"),
        ({1.0: False}, ValueError, "trainable: expected layers 1 to 3"),
        ({"W1": False}, ValueError, "trainable: expected layers 1 to 3"),
        ({(1, "w"): False}, ValueError, "trainable: expected layers 1 to 3"),
        ({(1, None): False}, ValueError, "trainable: expected layers 1 to 3"),
        ({(1,): False}, ValueError, "trainable: expected layers 1 to 3"),
        ({(1, "Wb"): False}, ValueError, "trainable: expected layers 1 to 3"),
        ({(1, "W", 0): False}, ValueError, "trainable: expected layers 1 to 3"),
        ({1: -0.1}, ValueError, "trainable[1]: expected a finite number at least 0, got -0.1"),
        ({1: np.nan}, ValueError, "trainable[1]: expected a finite number"),
        ({(2, "W"): np.inf}, ValueError, "trainable[(2, 'W')]: expected a finite number"),
        ({1: None}, TypeError, "trainable[1]: expected a number"),
        ({1: "no"}, TypeError, "trainable[1]: expected a number, got 'no'"),
        ({1: False, 2: 0, 3: 0.0}, ValueError, "trainable: nothing would be trained"),
    ],
)
def test_what_is_refused(given, error, words):
    net, X, y = problem()
    optimizer, before = fcnn.Adam(), net.parameters.copy()
    gradient = np.ones(net.num_parameters)
    for call in (
        lambda: net.train_step(X, y, optimizer, trainable=given),
        lambda: net.train_step(
            X, y, optimizer, trainable=given, loss=lambda a, y: (0.0, np.zeros_like(a))
        ),
        lambda: net.fit(X, y, optimizer=optimizer, trainable=given),
        lambda: optimizer.update(net, gradient, trainable=given),
    ):
        with pytest.raises(error, match="^" + re.escape(words)):
            call()
    assert net.parameters.tobytes() == before.tobytes()
    assert optimizer.steps == 0


@pytest.mark.parametrize("optimizer", ["lm", "lbfgs"])
def test_optimizers_of_all_samples_refuse(optimizer):
    net, X, y = problem()
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"^trainable: not with fcnn\."):
        net.fit(X, y, optimizer=optimizer, trainable={1: False})
    assert net.parameters.tobytes() == before.tobytes()
    net.fit(X, y, optimizer=optimizer, trainable={1: True}, epochs=1)


def parameter_groups(torch, net, trainable, lr):
    """PyTorch's tensors of a network, and its groups: frozen ones have no gradient."""
    rates = as_trainable(trainable, len(net.sizes) - 1)
    layers = zip(net.weights, net.biases, strict=True)
    tensors = [torch.tensor(v.copy()) for pair in layers for v in pair]
    groups = []
    for tensor, rate in zip(tensors, rates, strict=True):
        tensor.requires_grad_(rate > 0)
        if rate > 0:
            groups.append({"params": [tensor], "lr": lr * rate})
    return tensors, groups


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainable", "clip_norm"),
    [
        ({1: False}, 0.2),
        ({3: False, (2, "b"): 0.3}, 0.2),
        ({1: 0.1, 2: 3.0}, None),
        ({(1, "W"): False, 2: 0, 3: 0.5}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", slow_but(["momentum"], OPTIMIZERS))
def test_groups_of_pytorch(make, trainable, clip_norm):
    torch = pytest.importorskip("torch")
    net, X, y = problem()
    optimizer = OPTIMIZERS[make]()
    tensors, groups = parameter_groups(torch, net, trainable, optimizer.lr)
    names = {"weight_decay": optimizer.weight_decay}
    if make in ("Adam", "AdamW"):
        theirs = getattr(torch.optim, make)(groups, **names)
    else:
        names |= {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov}
        theirs = torch.optim.SGD(groups, lr=1.0, **names)
    inputs, targets = torch.tensor(X), torch.tensor(y)
    for _ in range(10):
        net.train_step(X, y, optimizer, l1=1e-3, l2=1e-2, clip_norm=clip_norm, trainable=trainable)
        a = inputs
        for l in range(3):
            a = a @ tensors[2 * l].T + tensors[2 * l + 1]
            a = torch.tanh(a) if l < 2 else a
        theirs.zero_grad()
        loss = 0.5 * ((a - targets) ** 2).sum(dim=1).mean()
        for W in tensors[::2]:
            loss = loss + 1e-3 * W.abs().sum() + 0.5e-2 * (W**2).sum()
        loss.backward()
        if clip_norm is not None:
            # Not by clip_grad_norm_, which adds 1e-6 to the norm.
            gradients = [tensor.grad for tensor in tensors if tensor.requires_grad]
            length = torch.nn.utils.get_total_norm(gradients)
            assert length > clip_norm
            for gradient in gradients:
                gradient *= clip_norm / length
        theirs.step()
    for mine, its in zip(net.weights, tensors[::2], strict=True):
        np.testing.assert_allclose(mine, its.detach().numpy(), rtol=1e-10, atol=1e-12)
    for mine, its in zip(net.biases, tensors[1::2], strict=True):
        np.testing.assert_allclose(mine, its.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"l2": 0.01}, {"l1": 1e-3, "clip_norm": 0.1}], ids=str)
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_fit_steps_and_given_gradients_are_the_same(make, options):
    trainable = {1: False, (2, "b"): 0.5, (3, "W"): False}
    net, X, y = problem("float32")
    steps, by_gradient, reduced = net.copy(), net.copy(), net.copy()
    one, two, three, four = (OPTIMIZERS[make]() for _ in range(4))
    given = {**options, "trainable": trainable}
    net.fit(X, y, epochs=3, batch_size=60, shuffle=False, optimizer=one, **given)
    frozen = ~moving(net, as_trainable(trainable, 3))
    seen = []

    def look(gradient):
        seen.append(gradient[frozen].any())
        gradient[frozen] = np.nan  # which nobody looks at

    reduced.fit(X, y, epochs=3, batch_size=60, shuffle=False, optimizer=four, reduce=look, **given)
    assert seen == [False] * 3
    for _ in range(3):
        steps.train_step(X, y, two, **given)
        _, gradient = by_gradient.gradients(X, y)
        gradient[frozen] = np.inf
        kept = gradient.copy()
        three.update(by_gradient, gradient, **given)
        assert gradient.tobytes() == kept.tobytes()
    for other, rule in ((steps, two), (by_gradient, three), (reduced, four)):
        assert same(ends(net, one), ends(other, rule))


def mean_squared(a, y):
    return 0.5 * float(((a - y) ** 2).sum()) / len(a), (a - y) / len(a)


@pytest.mark.parametrize("rows", [60, 1200])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_losses_of_ones_own_and_dropout(rows, dropout):
    net, X, y = problem("float32", rows)
    twin, start = net.copy(), net.copy()
    trainable = {1: False, (3, "b"): False}
    mask = moving(net, as_trainable(trainable, 3))
    own = {"loss": mean_squared, "dropout": dropout}
    for _ in range(2):
        net.train_step(X, y, fcnn.SGD(0.1), trainable=trainable, **own)
        twin.train_step(X, y, fcnn.SGD(0.1), **own)
        assert net.parameters[~mask].tobytes() == start.parameters[~mask].tobytes()
        assert net.parameters[mask].tobytes() == twin.parameters[mask].tobytes()
        twin.parameters = net.parameters


def test_the_penalty_in_the_loss_is_of_all_weights():
    net, X, y = problem()
    twin = net.copy()
    loss = net.train_step(X, y, fcnn.SGD(0.1), l2=0.1, trainable={1: False})
    assert loss == twin.train_step(X, y, fcnn.SGD(0.1), l2=0.1)


class AdamByHand:
    """Kingma and Ba's algorithm 1 for each W and b by itself, as PyTorch has it."""

    def __init__(self, net, optimizer):
        self.optimizer, self.net = optimizer, net.copy()
        parts = [v for pair in zip(self.net.weights, self.net.biases, strict=True) for v in pair]
        self.parts = [[v, np.zeros_like(v), np.zeros_like(v), 0] for v in parts]

    def step(self, X, y, trainable):
        o, L = self.optimizer, len(self.net.biases)
        rates = as_trainable(trainable, L) or (1.0,) * 2 * L
        trace = self.net.trace(X, y)
        gradients = [g for pair in zip(trace.dW[1:], trace.db[1:], strict=True) for g in pair]
        for part, g, rate in zip(self.parts, gradients, rates, strict=True):
            if rate == 0:
                continue
            v, m, u, t = part
            t += 1
            decay = o.weight_decay
            if isinstance(o, fcnn.AdamW):
                v *= 1 - o.lr * rate * decay
                decay = 0
            g = g + decay * v
            m[...] = o.betas[0] * m + (1 - o.betas[0]) * g
            u[...] = o.betas[1] * u + (1 - o.betas[1]) * g * g
            corrected = m / (1 - o.betas[0] ** t), u / (1 - o.betas[1] ** t)
            v -= o.lr * rate * corrected[0] / (np.sqrt(corrected[1]) + o.eps)
            part[3] = t


LATER = [
    *[{1: False, (2, "b"): False}] * 7, *[None] * 3, *[{1: 0.5, (2, "W"): False, 3: False}] * 4,
    *[{}] * 2, *[{3: 2.0}] * 3,
]  # fmt: skip


@pytest.mark.parametrize(
    "way", ["train_step", "update", "fit", "many", "panels", "threads", "reduce"]
)
@pytest.mark.parametrize("make", ["Adam", "AdamW"])
def test_layers_freed_later_have_a_count_of_their_own(make, way, core, forced):
    forced(0 if way in ("panels", "threads") else -1, -1)
    net, X, y = problem(rows=600 if way == "threads" else 60)
    optimizer = OPTIMIZERS[make]()
    by_hand = AdamByHand(net, optimizer)
    for trainable in LATER:
        by_hand.step(X, y, trainable)
        if way == "update":
            optimizer.update(net, net.gradients(X, y)[1], trainable=trainable)
        elif way == "many":
            fcnn.fit_many([net], X, y, epochs=1, batch_size=None, shuffle=False,
                          optimizers=[optimizer], trainable=trainable)  # fmt: skip
        elif way in ("fit", "reduce"):
            more = {"reduce": lambda gradient: None} if way == "reduce" else {}
            net.fit(X, y, epochs=1, batch_size=None, shuffle=False, optimizer=optimizer,
                    trainable=trainable, **more)  # fmt: skip
        else:
            threads = 3 if way == "threads" else 1
            net.train_step(X, y, optimizer, n_threads=threads, trainable=trainable)
        np.testing.assert_allclose(net.parameters, by_hand.net.parameters, rtol=1e-11, atol=1e-13)
    assert optimizer.steps == len(LATER)


def test_a_first_step_of_a_layer_has_the_length_of_a_first_step():
    """Beside a count shared by all it would be 3.2 times as long, and the tenth 6.5 times."""
    net, X, y = problem()
    optimizer, frozen = fcnn.Adam(1e-3), {1: False}
    for _ in range(1000):
        net.train_step(X, y, optimizer, trainable=frozen)
    before = net.weights[0].copy()
    net.train_step(X, y, optimizer)
    np.testing.assert_allclose(np.abs(net.weights[0] - before), 1e-3, rtol=1e-3)


@pytest.mark.parametrize("kept", ["state_dict", "pickle", "copy", "checkpoint"])
def test_the_counts_are_part_of_the_state(kept, tmp_path):
    net, X, y = problem()
    optimizer = fcnn.AdamW(0.01)
    given = {"batch_size": 20, "rng": 1}
    net.fit(X, y, epochs=2, optimizer=optimizer, trainable={1: False}, **given)
    twin, other = net.copy(), fcnn.AdamW(0.01)
    if kept == "state_dict":
        other.load_state_dict(optimizer.state_dict())
    elif kept == "pickle":
        other = pickle.loads(pickle.dumps(optimizer))
    elif kept == "copy":
        other = copy.copy(optimizer)
    else:
        path = tmp_path / "later.safetensors"
        half, rule = net.copy(), copy.copy(optimizer)
        half.fit(X, y, epochs=1, optimizer=rule, callbacks=[fcnn.ModelCheckpoint(path)], **given)
        twin.fit(X, y, epochs=3, resume=path, **given)
    if kept != "checkpoint":
        twin.fit(X, y, epochs=3, optimizer=other, **given)
    net.fit(X, y, epochs=3, optimizer=optimizer, **given)
    assert net.parameters.tobytes() == twin.parameters.tobytes()


def test_counts_that_cannot_be_are_refused():
    net, X, y = problem()
    optimizer = fcnn.Adam()
    net.train_step(X, y, optimizer, trainable={1: False})
    state = optimizer.state_dict()
    for missed in ([2, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0], [0.5] * 6):
        with pytest.raises((ValueError, TypeError), match="missed"):
            fcnn.Adam().load_state_dict({**state, "missed": missed})
    other = fcnn.Adam()
    other.load_state_dict({**state, "missed": [1, 1]})
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"^optimizer: it has trained 1 layers"):
        net.train_step(X, y, other)
    assert net.parameters.tobytes() == before.tobytes()
    other.reset()
    net.train_step(X, y, other)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_schedule_is_in_the_decay_of_a_rate(core, forced, dtype):
    """Tiny networks work on a copy of the rule, whose learning rate is that of the first step."""
    X, y = problem(dtype)[1:]
    found = []
    for tiny in (1, 0):
        forced(tiny, -1)
        net, optimizer = problem(dtype)[0], fcnn.AdamW(0.1, weight_decay=0.5)
        net.fit(X, y, epochs=2, batch_size=10, shuffle=False, optimizer=optimizer,
                trainable={1: 0.5}, schedule=lambda t: 1 / (1 + 5 * t))  # fmt: skip
        found.append(net.parameters.tobytes())
    assert found[0] == found[1]


# --- Checkpoints ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_resume_has_the_bits_and_refuses_other_layers(tmp_path):
    trainable = {1: False, (2, "b"): 0.1}
    net, X, y = problem("float32")
    twin, other = net.copy(), net.copy()
    net.fit(X, y, epochs=6, optimizer=fcnn.AdamW(0.01), trainable=trainable, rng=0)
    path = tmp_path / "half.fcnn"
    saved = fcnn.ModelCheckpoint(path)
    given = {"optimizer": fcnn.AdamW(0.01), "rng": 0, "callbacks": [saved]}
    twin.fit(X, y, epochs=3, trainable=trainable, **given)
    for another in ({1: False}, None, {1: False, (2, "b"): 0.2}):
        before = other.parameters.copy()
        with pytest.raises(ValueError, match=re.escape(
            "resume: the checkpoint is of a training with trainable={1: False, (2, 'b'): 0.1}, got "
            f"{another}"
        )):  # fmt: skip
            other.fit(X, y, epochs=6, resume=path, trainable=another, rng=0)
        assert other.parameters.tobytes() == before.tobytes()
    other.fit(X, y, epochs=6, resume=path, trainable=trainable, rng=0)
    assert other.parameters.tobytes() == net.parameters.tobytes()
    twin.fit(X, y, epochs=3, **{**given, "optimizer": fcnn.AdamW(0.01)})
    with pytest.raises(ValueError, match="with trainable=None, got"):
        other.fit(X, y, epochs=6, resume=path, trainable=trainable, rng=0)


# --- Estimators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_fine_tune(kind, solver):
    pytest.importorskip("sklearn")
    import fcnn.sklearn

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 6)), rng.integers(0, 3, 80)
    model = getattr(fcnn.sklearn, kind)(
        hidden_layer_sizes=(9, 7), solver=solver, max_iter=3, random_state=0
    )
    model.fit(X, y)
    before = [v.copy() for v in (*model.coefs_, *model.intercepts_)]
    model.set_params(warm_start=True, trainable={1: False, (2, "W"): False})
    model.fit(X, y)
    model.partial_fit(X, y)
    stayed = [(v == w).all() for v, w in zip((*model.coefs_, *model.intercepts_), before,
                                             strict=True)]  # fmt: skip
    assert stayed == [True, True, False, True, False, False]
    for wrong, words in (([False], "trainable"), ({4: False}, "expected layers 1 to 3")):
        with pytest.raises(ValueError, match=words):
            model.set_params(trainable=wrong).fit(X, y)
    model.set_params(trainable={1: False}, solver="lbfgs")
    with pytest.raises(ValueError, match=r"'trainable' parameter of .* must be None with"):
        model.fit(X, y)
