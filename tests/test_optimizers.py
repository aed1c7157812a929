"""The optimizers of the core against the reference and PyTorch; their state, and their refusals."""

import copy
import inspect
import pickle
import re
import weakref

import numpy as np
import pytest

import fcnn
from fcnn import reference

pytestmark = pytest.mark.usefixtures("general_way")

# Of the norm of what 50 updates moved: a wrong bias correction or a dropped decay misses it by far.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

RULES = {
    "sgd": lambda: fcnn.SGD(0.05),
    "sgd, decay": lambda: fcnn.SGD(0.05, weight_decay=0.1),
    "momentum": lambda: fcnn.SGD(0.02, momentum=0.9),
    "momentum, decay": lambda: fcnn.SGD(0.02, momentum=0.8, weight_decay=0.1),
    "nesterov": lambda: fcnn.SGD(0.02, momentum=0.9, nesterov=True),
    "nesterov, decay": lambda: fcnn.SGD(0.02, momentum=0.7, nesterov=True, weight_decay=0.1),
    "adam": lambda: fcnn.Adam(0.01),
    "adam, betas": lambda: fcnn.Adam(0.01, betas=(0.5, 0.9), eps=1e-3),
    "adam, no first mean": lambda: fcnn.Adam(0.01, betas=(0.0, 0.99)),
    "adam, decay": lambda: fcnn.Adam(0.01, weight_decay=0.1),
    "adamw": lambda: fcnn.AdamW(0.01),
    "adamw, decay": lambda: fcnn.AdamW(0.01, betas=(0.8, 0.99), weight_decay=0.5),
}
rules = pytest.mark.parametrize("make", RULES.values(), ids=RULES)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(dtype="float64", seed=0):
    """Return a network whose output is smooth: no kink that rounding could push it over."""
    return fcnn.Network((5, 7, 3), "tanh", loss="squared_error", dtype=dtype, rng=seed)


def data(dtype="float64", samples=40, seed=1):
    """Return inputs and targets."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, 5)).astype(dtype), rng.normal(size=(samples, 3)).astype(dtype)


def assert_close(actual, expected, start, tolerance):
    """Hold two parameter vectors against each other, relative to the way from the start."""
    moved = np.linalg.norm(expected.astype(np.float64) - start)
    assert moved > 0.01
    error = np.linalg.norm(actual.astype(np.float64) - expected)
    assert error <= tolerance * moved, f"relative error {error / moved:.2g}"


def train(net, optimizer, steps, seed=2):
    """Make updates with batches that differ; return the losses."""
    X, y = data(net.dtype)
    rng = np.random.default_rng(seed)
    losses = []
    for _ in range(steps):
        batch = rng.integers(len(X), size=11)
        losses.append(net.train_step(X[batch], y[batch], optimizer))
    return losses


def snapshot(net, optimizer):
    """Return everything that an update may change, as comparable values."""
    state = tuple((v.dtype.str, v.tobytes()) for v in optimizer._state)
    return net.parameters.tobytes(), optimizer.steps, state


# --- Arithmetic -----------------------------------------------------------------------------------


@dtypes
@rules
def test_fifty_steps_are_those_of_the_reference(make, dtype):
    net = network(dtype)
    start = net.parameters.copy()
    twin = reference.Network.like(net)
    mine, its = make(), make()
    X, y = data(dtype)
    rng = np.random.default_rng(3)
    for step in range(1, 51):
        batch = rng.integers(len(X), size=9)
        loss = net.train_step(X[batch], y[batch], mine)
        assert loss == pytest.approx(twin.train_step(X[batch], y[batch], its), rel=1e-4)
        assert mine.steps == step
    assert_close(net.parameters, twin.parameters, start, TOLERANCE[dtype])
    for v, expected in zip(mine.state(net), its.state(twin), strict=True):
        assert np.linalg.norm(v - expected) <= TOLERANCE[dtype] * np.linalg.norm(expected)


@dtypes
@rules
def test_an_epoch_is_its_steps(make, dtype):
    net, other = network(dtype), network(dtype)
    mine, its = make(), make()
    X, y = data(dtype)
    history = net.fit(X, y, epochs=2, batch_size=16, optimizer=mine, shuffle=False)
    for _ in range(2):
        losses = [
            len(X[i : i + 16]) * other.train_step(X[i : i + 16], y[i : i + 16], its)
            for i in range(0, len(X), 16)
        ]
    assert snapshot(net, mine) == snapshot(other, its)
    assert mine.steps == 6
    assert history.loss[-1] == pytest.approx(sum(losses) / len(X), rel=1e-12)


@pytest.mark.slow
@dtypes
@rules
def test_fifty_steps_are_those_of_pytorch(make, dtype):
    torch = pytest.importorskip("torch")
    net = network(dtype)
    optimizer = make()
    start = net.parameters.copy()
    kind = getattr(torch, dtype)
    tensors = [torch.tensor(np.array(v), requires_grad=True)
               for pair in zip(net.weights, net.biases, strict=True) for v in pair]  # fmt: skip
    options = {
        name: getattr(optimizer, name)
        for name in ("lr", "momentum", "nesterov", "betas", "eps", "weight_decay")
        if hasattr(optimizer, name)
    }
    theirs = getattr(torch.optim, type(optimizer).__name__)(tensors, **options)
    X, y = data(dtype)
    rng = np.random.default_rng(4)
    for _ in range(50):
        batch = rng.integers(len(X), size=9)
        theirs.zero_grad()
        W1, b1, W2, b2 = tensors
        a = torch.tanh(torch.tensor(X[batch], dtype=kind) @ W1.T + b1) @ W2.T + b2
        loss = 0.5 * ((a - torch.tensor(y[batch], dtype=kind)) ** 2).sum(dim=1).mean()
        loss.backward()
        theirs.step()
        assert net.train_step(X[batch], y[batch], optimizer) == pytest.approx(loss.item(), rel=1e-4)
    W1, b1, W2, b2 = (t.detach().numpy() for t in tensors)
    expected = np.concatenate([W1.T.ravel(), b1, W2.T.ravel(), b2])
    assert_close(net.parameters, expected, start, TOLERANCE[dtype])


@rules
def test_every_hyperparameter_counts(make):
    # Without this, a rule that ignores an option in core and reference alike would go unnoticed.
    net = network()
    train(net, make(), 5)
    optimizer = make()
    for name in ("lr", "momentum", "weight_decay", "eps"):
        if getattr(optimizer, name, 0):
            other, changed = network(), make()
            setattr(changed, name, getattr(changed, name) * 0.5)
            train(other, changed, 5)
            assert other.parameters.tobytes() != net.parameters.tobytes(), name


@dtypes
@rules
def test_hyperparameters_changed_between_calls_take_effect(make, dtype):
    net = network(dtype)
    start = net.parameters.copy()
    twin = reference.Network.like(net)
    mine, its = make(), make()
    X, y = data(dtype)
    for step in range(30):
        for optimizer in (mine, its):
            optimizer.lr = 0.03 / (1 + step)
            optimizer.weight_decay = 0.01 * step
            if isinstance(optimizer, fcnn.Adam):
                optimizer.betas = (0.8 - 0.01 * step, 0.95)
                optimizer.eps = 1e-6
            elif optimizer.momentum:
                optimizer.momentum = 0.5 + 0.01 * step
                optimizer.nesterov = step % 2 == 0
        net.train_step(X, y, mine)
        twin.train_step(X, y, its)
    assert_close(net.parameters, twin.parameters, start, TOLERANCE[dtype])


@dtypes
def test_momentum_switched_on_and_off(dtype):
    net = network(dtype)
    start = net.parameters.copy()
    twin = reference.Network.like(net)
    mine, its = fcnn.SGD(0.05), fcnn.SGD(0.05)
    X, y = data(dtype)
    for step in range(30):
        for optimizer in (mine, its):
            optimizer.momentum = 0.9 if 5 <= step < 20 else 0.0
        net.train_step(X, y, mine)
        twin.train_step(X, y, its)
    assert_close(net.parameters, twin.parameters, start, TOLERANCE[dtype])


def test_a_learning_rate_schedule_reaches_fit():
    net = network()
    optimizer = fcnn.SGD(0.1)
    X, y = data()
    before = net.parameters.copy()
    optimizer.lr = 1e-12
    net.fit(X, y, epochs=1, optimizer=optimizer)
    assert 0 < np.abs(net.parameters - before).max() < 1e-10


@pytest.mark.parametrize("eps", [1e-8, 1e-3])
def test_first_step_of_adam_by_hand(eps):
    # t = 1: both bias corrections cancel, so every parameter moves by lr g / (|g| + eps).
    net = network()
    X, y = data()
    _, g = net.gradients(X, y)
    before = net.parameters.copy()
    net.train_step(X, y, fcnn.Adam(0.01, eps=eps))
    np.testing.assert_allclose(
        before - net.parameters, 0.01 * g / (np.abs(g) + eps), rtol=1e-9, atol=1e-15
    )


def test_two_nesterov_steps_by_hand():
    net = network()
    X, y = data()
    optimizer = fcnn.SGD(0.1, momentum=0.5, nesterov=True, weight_decay=0.2)
    p, v = net.parameters.copy(), 0.0
    for _ in range(2):
        g = net.gradients(X, y)[1] + 0.2 * p
        v = 0.5 * v + g
        p = p - 0.1 * (g + 0.5 * v)
        net.train_step(X, y, optimizer)
        np.testing.assert_allclose(net.parameters, p, rtol=1e-12, atol=1e-14)


def test_adamw_decays_by_lr_times_weight_decay():
    # A gradient of exactly 0 leaves the decay alone: identity network, y = a.
    net = fcnn.Network((2, 2), loss="squared_error", dtype="float64", init="zeros")
    net.parameters[:] = [1, 2, 3, 4, 5, 6]
    net.train_step([[0.0, 0.0]], [[5.0, 6.0]], fcnn.AdamW(0.1, weight_decay=0.5))
    np.testing.assert_allclose(net.parameters, 0.95 * np.arange(1, 7), rtol=1e-15)


# --- State ----------------------------------------------------------------------------------------

copies = pytest.mark.parametrize(
    "duplicate",
    [
        *(lambda o, p=p: pickle.loads(pickle.dumps(o, protocol=p)) for p in range(2, 6)),
        copy.deepcopy,
        copy.copy,
    ],
    ids=["pickle 2", "pickle 3", "pickle 4", "pickle 5", "deepcopy", "copy"],
)


@dtypes
@copies
@rules
def test_training_goes_on_bit_for_bit_after_a_copy(make, duplicate, dtype):
    net, optimizer = network(dtype), make()
    train(net, optimizer, 7)
    other, twin = duplicate(net), duplicate(optimizer)
    assert type(twin) is type(optimizer)
    assert repr(twin) == repr(optimizer)
    assert snapshot(other, twin) == snapshot(net, optimizer)
    assert train(other, twin, 7, seed=9) == train(net, optimizer, 7, seed=9)
    assert snapshot(other, twin) == snapshot(net, optimizer)
    assert twin.steps == 14


@pytest.mark.slow
@copies
@rules
def test_a_copy_is_independent(make, duplicate):
    net, optimizer = network(), make()
    train(net, optimizer, 3)
    before = snapshot(net, optimizer)
    other, twin = duplicate(net), duplicate(optimizer)
    twin.lr = 0.5
    train(other, twin, 3)
    assert snapshot(net, optimizer) == before
    assert optimizer.lr != 0.5


def test_network_and_optimizer_copied_together():
    net, optimizer = network(), fcnn.Adam()
    train(net, optimizer, 3)
    for pair in (copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))):
        train(*pair, 3)
        assert pair[1].steps == 6
    assert optimizer.steps == 3


@pytest.mark.parametrize("make", [lambda: fcnn.SGD(0.01, momentum=0.9), fcnn.Adam, fcnn.AdamW])
def test_state_over_read_only_memory_is_not_written(make):
    # joblib hands large arrays to its workers as read-only memory maps, where a write is a crash;
    # pickle's out-of-band buffers are the same without the crash.
    net, optimizer = network(), make()
    train(net, optimizer, 3)
    views = []
    stream = pickle.dumps(optimizer, protocol=5, buffer_callback=views.append)
    buffers = [bytes(view.raw()) for view in views]
    kept = [bytes(bytearray(b)) for b in buffers]
    twin = pickle.loads(stream, buffers=buffers)
    other = net.copy()
    train(other, twin, 3, seed=5)
    train(net, optimizer, 3, seed=5)
    assert buffers == kept
    assert snapshot(other, twin) == snapshot(net, optimizer)


@rules
def test_reset_starts_anew(make):
    net, optimizer = network(), make()
    train(net, optimizer, 5)
    optimizer.reset()
    assert optimizer.steps == 0
    other = network(seed=3)
    fresh, twin = make(), network(seed=3)
    assert train(other, optimizer, 5) == train(twin, fresh, 5)
    assert snapshot(other, optimizer) == snapshot(twin, fresh)


def test_without_state_an_optimizer_serves_any_network():
    optimizer = fcnn.SGD(0.1)
    train(network(), optimizer, 1)
    train(network("float32", 1), optimizer, 1)
    assert optimizer.steps == 2


STATEFUL = [lambda: fcnn.SGD(0.01, momentum=0.9), fcnn.Adam, fcnn.AdamW]
stateful = pytest.mark.parametrize("make", STATEFUL, ids=["momentum", "Adam", "AdamW"])


def refused(net, optimizer, match, error=ValueError):
    """Check that step and fit refuse an optimizer, and change nothing."""
    X, y = data(net.dtype)
    before, generator = snapshot(net, optimizer), net.rng.bit_generator.state
    with pytest.raises(error, match=match):
        net.train_step(X, y, optimizer)
    assert snapshot(net, optimizer) == before
    with pytest.raises(error, match=match):
        net.fit(X, y, epochs=1, optimizer=optimizer)
    assert snapshot(net, optimizer) == before
    assert net.rng.bit_generator.state == generator


@stateful
def test_state_of_another_network_is_refused(make):
    net, optimizer = network(), make()
    train(net, optimizer, 2)
    refused(network(), optimizer, r"^optimizer: .*another network.*reset\(\)")
    refused(net.copy(), optimizer, "^optimizer: .*another network")
    train(net, optimizer, 1)  # still good for its own


@stateful
def test_state_of_a_network_that_is_gone_is_refused(make):
    net, optimizer = network(), make()
    train(net, optimizer, 2)
    gone = weakref.ref(net)
    del net
    assert gone() is None  # at once: no circle of references holds a network
    refused(network(), optimizer, "^optimizer: .*another network")


@stateful
def test_state_of_the_wrong_size_or_dtype_is_refused(make):
    net, optimizer = network(), make()
    train(net, optimizer, 2)
    larger = fcnn.Network((5, 8, 3), "tanh", loss="squared_error", dtype="float64")
    refused(larger, copy.copy(optimizer), rf"^optimizer: .*float64.*{larger.num_parameters}.*reset")
    refused(network("float32"), copy.copy(optimizer), r"^optimizer: .*float64.*float32.*reset")


def test_state_of_another_rule_is_refused():
    net, optimizer = network(), fcnn.Adam()
    train(net, optimizer, 1)
    velocity = fcnn.SGD(0.1, momentum=0.9)
    velocity._state = copy.copy(optimizer)._state
    refused(net, velocity, "^optimizer: .*2 state vectors.*needs 1")


def test_a_refused_call_does_not_bind_the_optimizer():
    optimizer = fcnn.Adam()
    net = network()
    X, y = data()
    for bad in (X[:, :4], X[:7]):
        with pytest.raises(ValueError, match=r"^[Xy]: "):
            net.train_step(bad, y, optimizer)
        with pytest.raises(ValueError, match=r"^[Xy]: "):
            net.fit(bad, y, optimizer=optimizer)
    train(network(seed=4), optimizer, 1)  # it is still free


@pytest.mark.parametrize(
    "wrong", [None, "adam", fcnn.Adam, 0.1, object(), []], ids=lambda v: str(v)[:12]
)
def test_what_is_no_optimizer_is_refused(wrong):
    net = network()
    X, y = data()
    before = net.parameters.tobytes()
    with pytest.raises(TypeError, match=r"^optimizer: expected fcnn\.SGD"):
        net.train_step(X, y, wrong)
    if wrong not in (None, "adam"):  # the default of fit, and a name, of which it makes one
        with pytest.raises(TypeError, match=r"^optimizer: expected fcnn\.SGD"):
            net.fit(X, y, optimizer=wrong)
    assert net.parameters.tobytes() == before


# --- Divergence -----------------------------------------------------------------------------------


@dtypes
@rules
def test_divergence_leaves_parameters_and_state(make, dtype):
    net, optimizer = network(dtype), make()
    train(net, optimizer, 3)
    before = snapshot(net, optimizer)
    X, _ = data(dtype)
    huge = np.full((len(X), 3), np.finfo(dtype).max, dtype)
    with pytest.raises(fcnn.DivergenceError, match=r"loss|gradient"):
        net.train_step(X, huge, optimizer)
    assert snapshot(net, optimizer) == before
    with pytest.raises(fcnn.DivergenceError) as caught:
        net.fit(X, huge, epochs=3, optimizer=optimizer, shuffle=False)
    assert snapshot(net, optimizer) == before
    assert "epoch 1 of 3" in " ".join(caught.value.__notes__)
    train(net, optimizer, 2)
    assert np.isfinite(net.parameters).all()


@dtypes
def test_divergence_in_a_later_batch_keeps_the_updates_before_it(dtype):
    X, y = data(dtype)
    y[32:] = np.finfo(dtype).max
    net, optimizer = network(dtype), fcnn.Adam()
    with pytest.raises(fcnn.DivergenceError, match="step 3"):
        net.fit(X, y, epochs=1, batch_size=16, optimizer=optimizer, shuffle=False)
    twin, its = network(dtype), fcnn.Adam()
    for i in (0, 16):
        twin.train_step(X[i : i + 16], y[i : i + 16], its)
    assert snapshot(net, optimizer) == snapshot(twin, its)


@dtypes
@pytest.mark.parametrize(
    "make",
    [lambda lr: fcnn.SGD(lr), lambda lr: fcnn.SGD(lr, momentum=0.9), fcnn.Adam, fcnn.AdamW],
    ids=["sgd", "momentum", "adam", "adamw"],
)
def test_weights_that_overflow_in_fit_are_taken_back_with_the_state(make, dtype):
    # The loss is finite, the update is not; parameters and state must be of the same moment.
    X, y = data(dtype)
    net, optimizer = network(dtype), make(0.01)
    net.fit(X, y, epochs=1, optimizer=optimizer)
    before = snapshot(net, optimizer)
    optimizer.lr = float(np.finfo(dtype).max)
    with pytest.raises(fcnn.DivergenceError):
        net.fit(1e3 * X, 1e3 * y, epochs=2, batch_size=None, optimizer=optimizer)
    assert np.isfinite(net.parameters).all()
    assert snapshot(net, optimizer) == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_in_the_inputs_of_a_step_is_refused(value):
    net, optimizer = network(), fcnn.Adam()
    train(net, optimizer, 2)
    before = snapshot(net, optimizer)
    X, y = data()
    X[3, 2] = value
    with pytest.raises(ValueError, match=r"^X: expected finite numbers, got .*\[3, 2\]"):
        net.train_step(X, y, optimizer)
    assert snapshot(net, optimizer) == before


# --- Hyperparameters ------------------------------------------------------------------------------

POSITIVE = [0, -1, -1e-300]
NOT_NEGATIVE = [-1e-300, -1]
FRACTION = [-0.1, 1, 1.5]
NOT_FINITE = [float("nan"), float("inf"), -float("inf")]
NO_NUMBER = ["0.1", b"1", None, [0.1], 1j, object(), (), {}]


def cases():
    """Yield (class, name of the argument, wrong value, error) for every hyperparameter."""
    required = {fcnn.SGD: {"lr": 0.1}}
    for kind, name, out_of_range in [
        (fcnn.SGD, "lr", POSITIVE),
        (fcnn.SGD, "momentum", FRACTION),
        (fcnn.SGD, "weight_decay", NOT_NEGATIVE),
        (fcnn.Adam, "lr", POSITIVE),
        (fcnn.Adam, "eps", POSITIVE),
        (fcnn.Adam, "weight_decay", NOT_NEGATIVE),
        (fcnn.AdamW, "lr", POSITIVE),
        (fcnn.AdamW, "eps", POSITIVE),
        (fcnn.AdamW, "weight_decay", NOT_NEGATIVE),
    ]:
        for value in [*out_of_range, *NOT_FINITE, 10**400]:
            yield kind, required.get(kind, {}), name, value, ValueError
        for value in NO_NUMBER:
            yield kind, required.get(kind, {}), name, value, TypeError


@pytest.mark.parametrize(
    ("kind", "given", "name", "value", "error"),
    [
        pytest.param(*case, id=f"{case[0].__name__}-{case[2]}-{str(case[3])[:12]}")
        for case in cases()
    ],
)
def test_a_wrong_hyperparameter_is_refused(kind, given, name, value, error):
    with pytest.raises(error, match=rf"^{name}: expected .*, got ") as caught:
        kind(**{**given, name: value})
    assert type(caught.value) is error


@pytest.mark.parametrize("value", NOT_FINITE[:2])
def test_the_refusal_of_infinity_says_finite(value):
    # "expected greater than 0, got inf" would contradict itself.
    with pytest.raises(ValueError, match=r"lr: expected .*finite.*got (inf|nan)"):
        fcnn.SGD(value)


@pytest.mark.parametrize("kind", [fcnn.Adam, fcnn.AdamW])
@pytest.mark.parametrize(
    "betas", [0.9, None, (), (0.9,), (0.9, 0.99, 0.999), (0.9, 1), (1, 0.9), (-0.1, 0.9), "ab",
              (0.9, "0.99"), (None, 0.9), (float("nan"), 0.9), (0.9, float("inf"))]
)  # fmt: skip
def test_wrong_betas_are_refused(kind, betas):
    with pytest.raises((ValueError, TypeError), match=r"^betas(\[[01]\])?: expected .*, got "):
        kind(betas=betas)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match=r"^nesterov: needs momentum"):
        fcnn.SGD(0.1, nesterov=True)


def test_sgd_needs_a_learning_rate():
    with pytest.raises(TypeError, match="lr"):
        fcnn.SGD()


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.float64(0.5), np.array(0.5), np.float16(0.5)], ids=repr
)
def test_numbers_of_numpy_are_numbers(value):
    optimizer = fcnn.SGD(value, momentum=value, weight_decay=value)
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.5, 0.5, 0.5)
    assert fcnn.Adam(betas=np.array([0.5, 0.75])).betas == (0.5, 0.75)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: fcnn.SGD(0.1), "lr", float("nan")),
        (lambda: fcnn.SGD(0.1), "lr", float("inf")),
        (lambda: fcnn.SGD(0.1), "lr", -1.0),
        (lambda: fcnn.SGD(0.1), "lr", "0.1"),
        (lambda: fcnn.SGD(0.1), "weight_decay", None),
        (lambda: fcnn.SGD(0.1, momentum=0.9), "momentum", 1.5),
        (fcnn.Adam, "lr", None),
        (fcnn.Adam, "eps", float("nan")),
        (fcnn.Adam, "betas", (0.9,)),
        (fcnn.Adam, "betas", (0.9, 2.0)),
        (fcnn.AdamW, "weight_decay", -1.0),
    ],
)
def test_a_hyperparameter_set_to_nonsense_is_refused_before_it_is_used(make, name, value):
    # At the assignment, or at the latest at the call: never NaN weights without a word.
    net, optimizer = network(), make()
    train(net, optimizer, 2)
    before = snapshot(net, optimizer)
    X, y = data()

    def assign_and_step():
        setattr(optimizer, name, value)
        net.train_step(X, y, optimizer)

    with pytest.raises((ValueError, TypeError), match=rf"^{name}"):
        assign_and_step()
    assert snapshot(net, optimizer) == before


def test_repr_shows_the_hyperparameters():
    assert repr(fcnn.SGD(0.1, momentum=0.5)) == (
        "SGD(lr=0.1, momentum=0.5, nesterov=False, weight_decay=0)"
    )
    assert repr(fcnn.AdamW()) == "AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)"


# --- Attributes -----------------------------------------------------------------------------------

OPTIONS = [
    lambda: fcnn.SGD(0.1, momentum=0.9), fcnn.Adam, fcnn.AdamW, fcnn.LBFGS, fcnn.LevenbergMarquardt,
    fcnn.EarlyStopping, lambda: fcnn.ModelCheckpoint("x"), lambda: fcnn.schedules.Step(3),
    fcnn.schedules.Cosine, lambda: fcnn.schedules.WarmUp(2), fcnn.schedules.Plateau,
]  # fmt: skip


REQUIRED = {
    "SGD": {"lr": 0.1}, "Step": {"epochs": 3}, "WarmUp": {"epochs": 2},
    "ModelCheckpoint": {"path": "x"},
}  # fmt: skip


@pytest.mark.parametrize("make", OPTIONS)
def test_an_attribute_that_there_is_not_is_refused(make):
    one = make()
    before = dict(vars(one))
    for name in ("learning_rate", "Lr", "rule_", "patiense", "momentun"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}' to set; expected "):
            setattr(one, name, 1)
    assert vars(one) == before
    parameters = inspect.signature(type(one)).parameters
    for name, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            setattr(one, name, getattr(one, name))  # what it has it takes
    assert repr(one) == repr(make())
    # A copy, and a class that somebody derives, are free.
    assert repr(copy.deepcopy(pickle.loads(pickle.dumps(one)))) == repr(one)
    own = copy.copy(one)
    object.__setattr__(own, "__class__", type("Own", (type(one),), {"__module__": "elsewhere"}))
    own.anything = 1


@pytest.mark.parametrize("make", OPTIONS)
def test_an_attribute_is_checked_as_the_argument_is(make):
    one = make()
    for name in inspect.signature(type(one)).parameters:
        before = repr(one)
        for wrong in ("no", -1, float("nan"), [0.5, "x"], b"x"):
            if (name, wrong) == ("path", "no"):
                continue
            arguments = {**REQUIRED.get(type(one).__name__, {}), name: wrong}
            with pytest.raises((TypeError, ValueError)) as refused:
                type(one)(**arguments)
            with pytest.raises(refused.type, match=f"^{re.escape(str(refused.value))}$"):
                setattr(one, name, wrong)
            assert repr(one) == before


def test_attributes_that_contradict_each_other():
    sgd = fcnn.SGD(0.1, momentum=0.9, nesterov=True)
    with pytest.raises(ValueError, match="nesterov: needs momentum > 0"):
        sgd.momentum = 0
    with pytest.raises(TypeError, match="nesterov: expected True or False"):
        sgd.nesterov = "no"
    sgd.nesterov, sgd.momentum = False, 0
    with pytest.raises(ValueError, match="nesterov: needs momentum > 0"):
        sgd.nesterov = True
    checkpoint = fcnn.ModelCheckpoint("x", every=2)
    with pytest.raises(ValueError, match="every: expected 1 with save_best_only, got 2"):
        checkpoint.save_best_only = True
    with pytest.raises(ValueError, match="monitor: it needs save_best_only=True"):
        checkpoint.monitor = "loss"
    assert repr(checkpoint) == repr(fcnn.ModelCheckpoint("x", every=2))
    with pytest.raises(ValueError, match="steps: expected at least 0, got -1"):
        fcnn.Adam().steps = -1


def test_a_changed_monitor_and_delta_count():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(2, size=60)
    stopping = fcnn.EarlyStopping(patience=3)
    stopping.monitor, stopping.min_delta, stopping.patience = "loss", 1e9, 2
    assert repr(stopping) == repr(fcnn.EarlyStopping("loss", 2, 1e9))
    net = fcnn.Network((3, 4, 2))
    history = net.fit(X, y, epochs=9, validation=(X, y), callbacks=[stopping])
    assert (len(history.loss), stopping.best) == (3, history.loss[0])
