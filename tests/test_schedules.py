"""Schedules against PyTorch's, against hand-made values, and in a training."""

import re
import warnings

import numpy as np
import pytest

import fcnn
from fcnn.schedules import Cosine, Plateau, Schedule, Step, WarmUp, as_schedules, learning_rates

EPOCHS, UPDATES = 12, 5  # and updates in an epoch


def curve(schedule, epochs=EPOCHS, updates=UPDATES, lr=0.5):
    """Return the learning rate of every update."""
    times = np.concatenate([e + np.arange(updates) / updates for e in range(epochs)])
    return learning_rates(as_schedules(schedule), lr, times, epochs)


def pytorch(make, count, lr=0.5):
    """Return the learning rates of one of PyTorch's schedulers."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of schedulers without updates
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        for _ in range(count):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (Step(3), lambda s, o: s.StepLR(o, 3 * UPDATES)),
        (Step(2, factor=0.5), lambda s, o: s.StepLR(o, 2 * UPDATES, 0.5)),
        (Step([7, 2, 9], 0.3), lambda s, o: s.MultiStepLR(o, [10, 35, 45], 0.3)),
        (Cosine(), lambda s, o: s.CosineAnnealingLR(o, EPOCHS * UPDATES)),
        (Cosine(final=0.1), lambda s, o: s.CosineAnnealingLR(o, EPOCHS * UPDATES, 0.05)),
        (WarmUp(4), lambda s, o: s.LinearLR(o, 0.1, 1, 4 * UPDATES)),
        (WarmUp(2, start=1 / 3), lambda s, o: s.LinearLR(o, total_iters=2 * UPDATES)),
        (
            [WarmUp(4), Step(3)],
            lambda s, o: s.ChainedScheduler([s.LinearLR(o, 0.1, 1, 20), s.StepLR(o, 15)]),
        ),
        (lambda t: 0.9**t, lambda s, o: s.LambdaLR(o, lambda k: 0.9 ** (k / UPDATES))),
    ],
    ids=lambda v: repr(v) if not callable(v) else "",
)  # fmt: skip
def test_the_rates_are_pytorchs(schedule, make):
    np.testing.assert_allclose(
        curve(schedule), pytorch(make, EPOCHS * UPDATES), rtol=1e-12, atol=1e-15
    )


def test_hand_made_rates():
    np.testing.assert_allclose(curve(Step(1, 0.5), 3, 1, 8), [8, 4, 2])
    np.testing.assert_allclose(curve(Step([0.5, 2], 0.1), 3, 2, 1), [1, 0.1, 0.1, 0.1, 0.01, 0.01])
    np.testing.assert_allclose(curve(Cosine(2), 4, 1, 1), [1, 0.5, 0, 0], atol=1e-16)
    np.testing.assert_allclose(curve(Cosine(2, 0.5), 3, 2, 2)[::2], [2, 1.5, 1])
    np.testing.assert_allclose(curve(WarmUp(2, 0), 3, 2, 4), [0, 1, 2, 3, 4, 4])
    np.testing.assert_allclose(
        curve([WarmUp(1, 0.5), lambda t: 2.0], 1, 4, 1), [1, 1.25, 1.5, 1.75]
    )


@pytest.mark.parametrize("patience", [1, 2, 4])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
def test_plateau_is_pytorchs(patience, min_delta):
    torch = pytest.importorskip("torch")
    losses = np.random.default_rng(patience).random(60).cumsum() % 1
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience - 1, threshold=min_delta, threshold_mode="abs",
        min_lr=1e-3, eps=0,
    )  # fmt: skip
    ours = Plateau(0.5, patience, min_delta, lowest=1e-3)
    history = fcnn.training.History()
    net, optimizer_of_ours = fcnn.Network((1, 1), loss="squared_error"), fcnn.SGD(1.0)

    def progress():
        return fcnn.training.Progress(net, optimizer_of_ours, history, len(history.loss), 60)

    ours.on_begin(progress())
    for loss in losses:
        history.loss.append(float(loss))
        ours.on_epoch(progress())
        theirs.step(float(loss))
        assert ours.factors(np.zeros(3), 60) == optimizer.param_groups[0]["lr"]
    assert ours.current < 0.1


def fitted(schedule, optimizer=None, epochs=4, **options):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    net = fcnn.Network((3, 5, 1), "tanh", loss="squared_error", dtype="float64")
    optimizer = optimizer or fcnn.SGD(0.1, momentum=0.9)
    history = net.fit(
        X, y, epochs=epochs, batch_size=6, optimizer=optimizer, schedule=schedule, **options
    )
    return net, history, optimizer


@pytest.mark.parametrize("make", [lambda: fcnn.SGD(0.1, momentum=0.9), lambda: fcnn.Adam(0.01)])
def test_every_update_has_its_rate(make):
    """The same as steps between which `lr` is set by hand."""
    schedule = [WarmUp(2.5), Cosine()]
    net, history, optimizer = fitted(schedule, make(), shuffle=False)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    twin, its = fcnn.Network((3, 5, 1), "tanh", loss="squared_error", dtype="float64"), make()
    lr, rates = its.lr, []
    for epoch in range(4):
        for i in range(4):
            t = epoch + i / 4
            its.lr = lr * min(0.1 + 0.9 * t / 2.5, 1) * (1 + np.cos(np.pi * t / 4)) / 2
            twin.train_step(X[6 * i : 6 * i + 6], y[6 * i : 6 * i + 6], its)
        rates.append(its.lr)
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=1e-12)
    np.testing.assert_allclose(history.learning_rate, rates, rtol=1e-12)
    assert optimizer.lr == lr


def test_without_a_schedule_the_curve_is_lr():
    _, history, optimizer = fitted(None)
    assert history.learning_rate == [0.1] * 4

    def halve(progress):
        progress.optimizer.lr /= 2

    _, history, optimizer = fitted(Step(2, 0.5), callbacks=[halve])
    assert history.learning_rate == [0.1, 0.05, 0.0125, 0.00625]
    assert optimizer.lr == 0.1 / 16


def test_plateau_in_a_training():
    plateau = Plateau(0.5, patience=1, min_delta=1e9)
    for _ in range(2):  # it starts anew in each training
        _, history, optimizer = fitted(plateau, epochs=5)
        # The first epoch is the best; after each later one the rate is halved.
        assert history.learning_rate == [0.1, 0.1, 0.05, 0.025, 0.0125]
        assert optimizer.lr == 0.1
    _, history, _ = fitted(Plateau(0.5, 2, 1e9, lowest=0.2), epochs=9)
    assert history.learning_rate == [0.1] * 3 + [0.05] * 2 + [0.025] * 2 + [0.1 * 0.2] * 2
    X = np.random.default_rng(1).normal(size=(9, 3))
    validation = X, X[:, 0]
    _, history, _ = fitted(Plateau(0.5, 1, monitor="validation_score"), validation=validation)
    rates, best = [0.1], 0
    for epoch in range(1, 4):
        better = history.validation_score[epoch - 1] > best or epoch == 1
        best = max(history.validation_score[:epoch])
        rates.append(rates[-1] * (1 if better else 0.5))
    assert history.learning_rate == rates


def test_a_function_sees_every_update():
    times = []

    def schedule(t):
        times.append(t)
        return 1

    fitted(schedule, epochs=2)
    assert times == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]


def test_batches_without_a_length_have_one_rate_an_epoch():
    X, y = np.ones((4, 3)), np.ones(4)

    class Batches(list):
        pass

    for batches, last in ((Batches([(X, y)] * 4), 0.75), (lambda: iter([(X, y)] * 4), 0.0)):
        seen = []
        net = fcnn.Network((3, 1), loss="squared_error")
        net.fit(batches, epochs=2, schedule=lambda t, seen=seen: seen.append(t) or 1)
        assert len(seen) == 8
        assert seen[3] == last
        assert seen[4] == 1


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf])
def test_a_function_that_gives_nonsense_is_refused(bad):
    with pytest.raises(ValueError, match=r"^schedule: factor at 1 epochs: expected .*at least 0"):
        fitted(lambda t: 1 if t < 1 else bad)
    with pytest.raises(TypeError, match=r"^schedule: factor at 0 epochs: expected a number"):
        fitted(lambda t: "0.1")

    class Own(fcnn.schedules.Schedule):
        def factors(self, times, epochs):
            return np.where(times < 1, 1, bad)

    with pytest.raises(ValueError, match=r"^schedule: expected factors of at least 0.* 1 epochs"):
        fitted(Own())


def test_a_factor_of_zero_changes_nothing():
    net, _, _ = fitted(lambda t: 0.0, fcnn.SGD(0.1))
    start = fcnn.Network((3, 5, 1), "tanh", loss="squared_error", dtype="float64")
    np.testing.assert_array_equal(net.parameters, start.parameters)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Step(0), "epochs: expected a finite number greater than 0, got 0"),
        (lambda: Step("3"), "epochs: expected a number, got '3'"),
        (lambda: Step([1, -2]), "epochs[1]: expected a finite number greater than 0, got -2"),
        (lambda: Step(1, 0), "factor: expected a finite number greater than 0, got 0"),
        (lambda: Cosine(-1), "epochs: expected a finite number greater than 0, got -1"),
        (lambda: Cosine(final=-1), "final: expected a finite number at least 0, got -1"),
        (lambda: WarmUp(0), "epochs: expected a finite number greater than 0, got 0"),
        (lambda: WarmUp(1, 1.5), "start: expected a finite number at least 0 and at most 1"),
        (lambda: Plateau(1), "factor: expected a finite number greater than 0 and less than 1"),
        (lambda: Plateau(patience=0), "patience: expected at least 1, got 0"),
        (lambda: Plateau(min_delta=-1), "min_delta: expected a finite number at least 0, got -1"),
        (lambda: Plateau(lowest=2), "lowest: expected a finite number at least 0 and at most 1"),
        (lambda: Plateau(monitor="acc"), "monitor: expected validation_loss, validation_score or"),
        (lambda: fitted(0.1), "schedule: expected one of fcnn.schedules, a function"),
        (lambda: fitted("cosine"), "schedule: expected one of fcnn.schedules"),
        (lambda: fitted([Cosine(), None]), "schedule: expected one of fcnn.schedules"),
        (lambda: fitted(Cosine), "schedule: expected one of fcnn.schedules"),
        (lambda: fitted(Plateau(monitor="validation_loss")), "monitor: expected loss, got 'valid"),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else "",
)  # fmt: skip
def test_refusals(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(words)}"):
        make()


def test_repr_shows_the_arguments():
    assert repr(Step(30)) == "Step(30.0, factor=0.1)"
    assert repr(Cosine()) == "Cosine(None, final=0)"
    assert repr(WarmUp(3)) == "WarmUp(3, start=0.1)"
    assert repr(Plateau()) == (
        "Plateau(factor=0.1, patience=10, min_delta=0, lowest=0, monitor=None)"
    )


def test_a_schedule_without_factors_is_refused():
    class Unfinished(Schedule):
        pass

    with pytest.raises(TypeError, match="factors"):
        Unfinished()
