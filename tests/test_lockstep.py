"""The core's call of many networks: the bits of a call for each, together in lanes or not."""

import contextlib
import copy
import itertools
import random

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, TOLERANCE, core_twin, fitting, random_problem, slow_but
from test_tiny import BATCHES, OPTIMIZERS, deal

import fcnn
from fcnn._validation import StepOptions


@contextlib.contextmanager
def together(core, force):
    """Force networks together, or apart; what is given says how many went together."""
    core.force_together(force)
    core.count_ways(True)
    found = []
    try:
        yield found
    finally:
        found.append(core.count_ways(False)["together"])
        core.force_together(-1)


def scaled(optimizer, i):
    """One of each network: they differ in numbers."""
    optimizer.lr *= 1 + i / 10
    if hasattr(optimizer, "betas"):
        optimizer.betas = (0.9 - i / 100, 0.99)
    return optimizer


def configurations(seed, count):
    rng = random.Random(seed)
    pair, hidden, optimizer, batch = (deal(v, rng) for v in (PAIRS, HIDDEN, OPTIMIZERS, BATCHES))
    nodes, outputs, networks = (deal(range(a, b), rng) for a, b in ((1, 20), (1, 6), (2, 20)))
    inputs, layers = deal((1, 2, 3, 4, 7, 8, 12), rng), deal((0, 1, 1, 2, 2, 3), rng)
    for number in range(count):
        loss, output = next(pair)
        sizes = [next(inputs), *(next(nodes) for _ in range(next(layers))), next(outputs)]
        sizes[-1] = fitting(sizes[-1] + (output == "softmax"), loss)
        size = next(batch)
        yield {
            "sizes": tuple(sizes), "activations": (*(next(hidden) for _ in sizes[2:]), output),
            "loss": loss, "optimizer": next(optimizer), "batch": size, "number": number,
            "samples": max(4, rng.choice((size, 2 * size, 3 * size + 1, 2 * size + size // 2))),
            "networks": next(networks), "epochs": rng.choice((1, 1, 2, 3)),
            "labels": loss == "cross_entropy" and rng.random() < 0.6,
            "weighted": rng.choice(("none", "all", "some")), "curve": rng.random() < 0.3,
            "shuffled": rng.random() < 0.7, "threads": rng.choice((1, 1, 2, 3)),
            "l2": rng.random() < 0.1,
        }  # fmt: skip


def problem(core, c, dtype, large=None):
    """Networks, their optimizers, and the arguments of each."""
    rng = np.random.default_rng(c["number"])
    batches = c["epochs"] * -(-c["samples"] // c["batch"])
    made = []
    X = y = None
    for i in range(c["networks"]):
        twin, (X_i, y_i, weight) = random_problem(
            rng, c["sizes"], c["activations"], c["loss"], dtype, c["samples"], True
        )
        if c["labels"]:
            y_i = y_i.argmax(axis=1)
        if X is None:
            X, y = X_i, y_i
            X[c.get("huge", slice(0))] *= 1e9
            if "targets" in c:
                c["targets"](y)
        if c.get("one") == i:
            c["becomes"](twin)
        if c["weighted"] == "none" or (c["weighted"] == "some" and i % 3 == 0):
            weight = None
        curve = rng.uniform(0.001, 0.02, batches) if c["curve"] else None
        source = np.random.default_rng((7, i)) if c["shuffled"] else None
        optimizer = scaled(c["optimizer"](), i)
        if large is not None and i == large[0]:
            optimizer.lr = large[1]
        options = StepOptions(l2=0.01) if c["l2"] and i % 2 else None
        network = core_twin(core, twin)
        if "makes" in c:
            optimizer = c["makes"][i % 2]()
            for _ in range(i % 2 * c["steps"]):
                network.train_step(X, y, optimizer)
        made.append((network, optimizer, weight, options, curve, source))
    return X, y, made


def state_of(network, optimizer):
    return [network.parameters.copy(), *(v.copy() for v in optimizer.state(network)),
            np.array(optimizer.steps)]  # fmt: skip


def one_by_one(core, c, dtype, large=None):
    X, y, made = problem(core, c, dtype, large)
    found = []
    batches = -(-c["samples"] // c["batch"])
    for network, optimizer, weight, options, curve, source in made:
        losses, message, completed = [], None, 0
        for epoch in range(c["epochs"]):
            order = None if source is None else core.shuffled(source, len(X))
            rates = None if curve is None else curve[epoch * batches : (epoch + 1) * batches]
            totals = np.zeros(4)
            before = optimizer.steps
            try:
                loss = network._train_epoch(
                    X, y, optimizer, c["batch"], order, weight, 1, options, lr_curve=rates,
                    totals=totals,
                )  # fmt: skip
                losses.append((loss, totals[3]))
            except fcnn.DivergenceError as error:
                step = optimizer.steps - before + 1
                message = str(error).partition(" in step")[0], step
                break
            completed += 1
        found.append((state_of(network, optimizer), losses, message, completed))
    return found


def in_one_call(core, c, dtype, large=None):
    X, y, made = problem(core, c, dtype, large)
    totals = [np.zeros((c["epochs"], 4)) for _ in made]
    before = [optimizer.steps for _, optimizer, *_ in made]
    outcomes = core.train_many([
        (network, X, y, optimizer, c["batch"],
         None if source is None else source.bit_generator, weight, options, curve, total, 0,
         None)
        for (network, optimizer, weight, options, curve, source), total
        in zip(made, totals, strict=True)
    ], c["epochs"], c["threads"])  # fmt: skip
    found = []
    for (network, optimizer, *_), total, (completed, failure), first in zip(
        made, totals, outcomes, before, strict=True
    ):
        sums = total[:completed]
        losses = [((a / b if b else 0) + (p / n if n else 0), n) for a, b, p, n in sums.tolist()]
        message = None
        if failure is not None:
            assert isinstance(failure, fcnn.DivergenceError)
            # Steps are counted from the beginning of the call here.
            batches = -(-c["samples"] // c["batch"])
            step = optimizer.steps - first + 1 - completed * batches
            message = str(failure).partition(" in step")[0], step
        found.append((state_of(network, optimizer), losses, message, completed))
    return found


def compare(found, expected, c):
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one[1:] == other[1:], (i, c)
        for a, b in zip(one[0], other[0], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"network {i} of {c}")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("part", slow_but([0], range(8)))
def test_the_bits_are_those_of_each_alone(core, dtype, part):
    some = 0
    for c in configurations(f"lanes of {dtype}, {part}", 12):
        expected = one_by_one(core, c, dtype)
        for force in (0, 1):
            with together(core, force) as made:
                compare(in_one_call(core, c, dtype), expected, c)
            assert force or made == [0]
            some += made[0] > 0
    assert some > 6


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("batch", [7, 15, 31])
def test_the_losses_of_batches_that_are_one_sample_short_of_panels(core, dtype, batch):
    """Whose last sample is there twice."""
    c = {
        "sizes": (3, 9, 2), "activations": ("tanh", "identity"), "loss": "squared_error",
        "optimizer": fcnn.Adam, "batch": batch, "samples": 2 * batch, "networks": 9, "epochs": 2,
        "labels": False, "weighted": "none", "curve": False, "shuffled": False, "threads": 1,
        "l2": False, "number": batch,
    }  # fmt: skip
    expected = one_by_one(core, c, dtype)
    with together(core, 1) as made:
        compare(in_one_call(core, c, dtype), expected, c)
    assert made[0] > 0


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_network_that_diverges_ends_and_the_others_go_on(core, dtype, optimizer):
    """Those in its register, too: with the bits that they have alone."""
    large = 1e30 if dtype == "float32" else 1e290
    lanes = core.micro_tile_shape()[0] // np.dtype(dtype).itemsize
    c = {
        "sizes": (3, 9, 2), "activations": ("relu", "identity"), "loss": "squared_error",
        "optimizer": optimizer, "batch": 4, "samples": 42, "networks": lanes + 1, "epochs": 3,
        "labels": False, "weighted": "none", "curve": False, "shuffled": True, "threads": 1,
        "l2": False, "number": 3,
    }  # fmt: skip
    for one in (0, lanes // 2):
        expected = one_by_one(core, c, dtype, (one, large))
        with together(core, 1) as made:
            compare(in_one_call(core, c, dtype, (one, large)), expected, c)
        assert made[0] >= lanes
    assert any(message is not None for _, _, message, _ in expected) or "SGD" not in repr(
        optimizer()
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_step_that_needs_care_is_made_by_each_alone_and_so_is_the_rest(core, dtype):
    """In the midst of an epoch: what was made together stays, no sample is left out."""
    lanes = core.micro_tile_shape()[0] // np.dtype(dtype).itemsize
    c = {
        "sizes": (3, 9, 2), "activations": ("relu", "identity"), "loss": "squared_error",
        "optimizer": fcnn.Adam, "batch": 4, "samples": 42, "networks": lanes, "epochs": 2,
        "labels": False, "weighted": "all", "curve": True, "shuffled": False, "threads": 1,
        "l2": False, "number": 3, "huge": slice(17, 18),
    }  # fmt: skip
    expected = one_by_one(core, c, dtype)
    assert [(message, completed) for _, _, message, completed in expected] == lanes * [(None, 2)]
    with together(core, 1) as made:
        compare(in_one_call(core, c, dtype), expected, c)
    assert made[0] >= lanes


PACES = {
    "steps": (fcnn.Adam, fcnn.Adam),
    "rule": (lambda: fcnn.Adam(weight_decay=0.1), lambda: fcnn.AdamW(weight_decay=0.1)),
    "lr": (fcnn.Adam, lambda: fcnn.Adam(0.002)),
    "beta1": (fcnn.Adam, lambda: fcnn.Adam(betas=(0.8, 0.999))),
    "beta2": (fcnn.Adam, lambda: fcnn.Adam(betas=(0.9, 0.99))),
    "eps": (fcnn.Adam, lambda: fcnn.Adam(eps=1e-3)),
    "decay": (fcnn.AdamW, lambda: fcnn.AdamW(weight_decay=0.3)),
    "momentum": (lambda: fcnn.SGD(0.01, momentum=0.9), lambda: fcnn.SGD(0.01, momentum=0.8)),
}


@pytest.mark.parametrize("pace", PACES)
def test_networks_whose_updates_differ_in_one_number(core, pace):
    c = {
        "sizes": (3, 9, 2), "activations": ("tanh", "identity"), "loss": "squared_error",
        "optimizer": fcnn.Adam, "batch": 4, "samples": 21, "networks": 9, "epochs": 2,
        "labels": False, "weighted": "none", "curve": False, "shuffled": False, "threads": 1,
        "l2": False, "number": 3, "makes": PACES[pace], "steps": int(pace == "steps"),
    }  # fmt: skip
    expected = one_by_one(core, c, "float32")
    with together(core, 1) as made:
        compare(in_one_call(core, c, "float32"), expected, c)
    assert made[0] >= core.micro_tile_shape()[0] // 4


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_one_large_number_is_seen_in_every_layer_of_every_lane(core, activation, dtype):
    """An activation or a delta whose product with another one overflows; it is large alone."""
    large, squared = (1e32, 1e18) if dtype == "float32" else (1e302, 1e150)
    lanes = core.micro_tile_shape()[0] // np.dtype(dtype).itemsize
    L = 3

    def becomes(l, is_delta):
        def change(twin):
            # a^l is nearly 0 and delta^l as large as what multiplies delta^(l+1); no other is.
            a, delta, twin.W[l][...] = (1e8, large, 0) if is_delta else (large, 1e8, 0)
            if l > 1:
                twin.W[l - 1][...], twin.b[l - 1][...] = 0, a
            if l < L:
                twin.W[l + 1][...], twin.b[l][...] = delta, 1 / delta
            else:  # the square of an error must be a number, so its update is what is too large
                twin.b[L][...] = squared if is_delta else delta

        return change

    for l in range(1, L + 1):
        for is_delta in (False, True):
            if l == 1 and not is_delta:  # inputs, which all networks share
                continue
            for one in (0, lanes - 1):
                c = {
                    "sizes": (3, 4, 5, 2), "activations": (activation, activation, "identity"),
                    "loss": "squared_error", "optimizer": lambda: fcnn.SGD(1e-3), "batch": 8,
                    "samples": 16, "networks": lanes, "epochs": 1, "labels": False,
                    "weighted": "none", "curve": False, "shuffled": False, "threads": 1,
                    "l2": False, "number": 3, "one": one, "becomes": becomes(l, is_delta),
                }  # fmt: skip
                lr = 9e14 if l == L and is_delta else 1e8 if l == 1 else 1.0
                expected = one_by_one(core, c, dtype, (one, lr))
                failed = [i for i, (_, _, message, _) in enumerate(expected) if message]
                assert failed == [one], (l, is_delta)
                with together(core, 1) as made:
                    compare(in_one_call(core, c, dtype, (one, lr)), expected, c)
                assert made[0] >= lanes


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("at", list(itertools.combinations(range(4), 2)), ids=str)
def test_two_samples_that_are_large_alike_are_both_seen(core, at, dtype):
    """Their squares are added up, whichever two samples of a tile they are of.

    Those of delta^2, which are numbers: the error is small, and W^3 makes it large.
    """
    error, W_3, a_1, lr = (
        (4e-10, 2.0**93, 1e18, 1e3) if dtype == "float32" else (4e-146, 2.0**983, 1e150, 1e9)
    )

    def change(twin):
        twin.W[1][...], twin.b[1][...] = 0, a_1
        twin.W[2][...], twin.b[2][...] = 0, 1 / W_3
        twin.W[3][...], twin.b[3][...] = W_3, -5  # so a^3 is 0 of five nodes of layer 2

    def targets(y):
        y[...] = 0
        y[list(at)] = error

    c = {
        "sizes": (3, 4, 5, 2), "activations": ("relu", "relu", "identity"),
        "loss": "squared_error", "optimizer": lambda: fcnn.SGD(1e-3), "batch": 8, "samples": 16,
        "networks": 4, "epochs": 1, "labels": False, "weighted": "none", "curve": False,
        "shuffled": False, "threads": 1, "l2": False, "number": 3, "one": 1, "becomes": change,
        "targets": targets,
    }  # fmt: skip
    expected = one_by_one(core, c, dtype, (1, lr))
    assert [bool(message) for _, _, message, _ in expected] == [False, True, False, False]
    with together(core, 1) as made:
        compare(in_one_call(core, c, dtype, (1, lr)), expected, c)
    assert made[0] >= 4


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("hidden", ("leaky_relu(0.1)", "leaky_relu(0.4)")),
        ("hidden", ("relu", "tanh")),
        ("output", ("identity", "tanh")),
        ("loss", ("squared_error", "absolute_error")),
        ("loss", ("quantile(0.1, 0.9)", "quantile(0.2, 0.9)")),
        ("loss", ("quantile(0.1, 0.9)", "quantile(0.1, 0.8)")),
        ("X", (0, 1)),
        ("y", (0, 1)),
        ("labels", (0, 1)),
        ("rows", (24, 32)),
        ("batch", (8, 12)),
        ("rule", (lambda: fcnn.SGD(0.01), lambda: fcnn.SGD(0.01, momentum=0.5))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_networks_that_differ_in_more_than_numbers_keep_their_own(core, name, values):
    """They do not share a register."""
    lanes = core.micro_tile_shape()[0] // 4
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2, 32, 3)).astype("f4")
    labels, targets = rng.integers(2, size=(2, 32)), rng.normal(size=(2, 32, 2)).astype("f4")
    single = targets[:, :, :1].copy()
    kinds = [{"hidden": "relu", "output": "identity", "loss": "squared_error", "X": 0, "y": 0,
              "rows": 24, "batch": 8, "rule": lambda: fcnn.SGD(0.01), name: value}
             for value in values] * lanes  # fmt: skip

    def made():
        for i, kind in enumerate(kinds):
            y = (single if kind["loss"].startswith("quantile") else targets)[kind["y"]]
            if name == "labels":
                kind = {**kind, "output": "softmax", "loss": "cross_entropy"}
                y = labels[kind["labels"]]
            net = core.Network((3, 5, 2), (kind["hidden"], kind["output"]), kind["loss"], "float32")
            net.parameters[:] = np.random.default_rng(i).normal(size=net.parameters.size)
            yield net, inputs[kind["X"]][: kind["rows"]], y[: kind["rows"]], kind

    alone, all_of_them = list(made()), list(made())
    for net, X, y, kind in alone:
        net._train_epoch(X, y, kind["rule"](), kind["batch"])
    with together(core, 1) as found:
        core.train_many([
            (net, X, y, kind["rule"](), kind["batch"], None, None, None, None, np.zeros((1, 4)), 0,
             None) for net, X, y, kind in all_of_them
        ], 1, 1)  # fmt: skip
    assert found == [2 * lanes]
    for (net, *_), (other, *_) in zip(alone, all_of_them, strict=True):
        np.testing.assert_array_equal(net.parameters, other.parameters)


def test_which_networks_go_together(core):
    """And which do not: a gate that has closed would leave nothing to compare."""
    lanes = core.micro_tile_shape()[0] // 4

    def count(kinds, n=2 * lanes, epochs=1, **options):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(64, 5)).astype("float32")
        y = rng.normal(size=(64, 1)).astype("float32")
        trainings = []
        for i in range(n):
            hidden, rule, batch = kinds[i % len(kinds)]
            network = core.Network((5, hidden, 1), ["relu", "identity"], "squared_error",
                                   np.dtype("float32"))  # fmt: skip
            trainings.append((network, X, y, rule(), batch, None, None, StepOptions(**options),
                              None, np.zeros((epochs, 4)), 0, None))  # fmt: skip
        core.count_ways(True)
        core.train_many(trainings, epochs, 1)
        return core.count_ways(False)["together"]

    sgd, adam = (lambda: fcnn.SGD(0.01)), fcnn.Adam
    assert count([(8, sgd, 16)]) == 2 * lanes
    assert count([(8, sgd, 16)], epochs=3) == 6 * lanes
    assert count([(8, sgd, 16), (9, sgd, 16)]) == 2 * lanes
    assert count([(8, sgd, 16), (8, adam, 16)]) == 2 * lanes
    assert count([(8, sgd, 16), (8, sgd, 8)]) == 2 * lanes
    assert count([(8, sgd, 16)], n=lanes + 1) == lanes
    assert count([(8, sgd, 16)], n=2) == (0 if lanes > 2 else 2)
    assert count([(8, sgd, 16)], l2=0.1) == count([(8, sgd, 16)], clip_norm=1.0) == 0
    assert count([(8, sgd, 16)], dropout=(0.0, 0.5)) == 0
    assert count([(128, lambda: fcnn.SGD(0.1), 16)]) == 2 * lanes
    assert count([(129, sgd, 16)]) == 0


def test_the_core_guards_its_own(core):
    network = core.Network((2, 1), ["identity"], "squared_error", np.dtype("float32"))
    X, y = np.zeros((4, 2), "float32"), np.zeros((4, 1), "float32")
    good = (network, X, y, fcnn.SGD(0.1), 2, None, None, None, None, np.zeros((1, 4)), 0, None)

    def refused(place, value, text):
        bad = list(copy.copy(good))
        bad[place] = value
        before = network.parameters.copy()
        with pytest.raises((TypeError, ValueError), match=text):
            core.train_many([good, tuple(bad)], 1, 1)
        np.testing.assert_array_equal(network.parameters, before)
        assert good[3].steps == 0

    refused(1, X[:, :1], "X")
    refused(11, np.zeros((1, 2)), "batch_losses")
    refused(2, y[:2], "y")
    refused(4, 0, "batch_size")
    refused(5, np.array([0, 1, 2, 4]), "order")
    refused(6, np.ones(3, "float32"), "sample_weight")
    refused(8, np.ones(3), "lr_curve")
    refused(9, np.zeros((2, 4)), "totals")
    refused(3, fcnn.LBFGS(), "for fit")
    assert core.train_many([], 1, None) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_of_batches_are_those_of_an_epoch_alone(core, dtype):
    rng = np.random.default_rng(0)
    X, y = (rng.normal(size=(70, n)).astype(dtype) for n in (5, 1))
    options = StepOptions(l2=0.1, penalty_per_sample=True)
    found = []
    for together in (True, False):
        networks = [
            core.Network((5, 7, 1), ["relu", "identity"], "squared_error", np.dtype(dtype))
            for _ in range(9)
        ]
        losses = [np.zeros((5, 2)) for _ in networks]
        for i, network in enumerate(networks):
            network.parameters[:] = np.random.default_rng(i).normal(size=len(network.parameters))
        optimizers = [fcnn.Adam(0.01) for _ in networks]
        some = zip(networks, optimizers, losses, strict=True)
        if together:
            core.train_many([
                (network, X, y, optimizer, 16, None, None, options, None, np.zeros((1, 4)), 0, loss)
                for network, optimizer, loss in some
            ], 1, 2)  # fmt: skip
        else:
            for network, optimizer, loss in some:
                network._train_epoch(X, y, optimizer, 16, options=options, batch_losses=loss)
        found.append((np.array(losses), [network.parameters.tobytes() for network in networks]))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert (found[0][0] > 0).all()
    assert found[0][1] == found[1][1]
    with pytest.raises(ValueError, match="batch_losses: of one epoch"):
        core.train_many([(networks[0], X, y, optimizers[0], 16, None, None, options, None,
                          np.zeros((2, 4)), 0, losses[0])], 2, 1)  # fmt: skip
