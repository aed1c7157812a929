"""fcnn.search: what it finds, and that a killed search comes to what it would have found."""

import copy
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import fcnn
from fcnn import halving
from fcnn._checkpoint import checksum
from fcnn._looked import Looked


def data(seed=0, rows=120):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3)).astype("float32")
    return X, (X[:, 0] * X[:, 1] > 0).astype(np.int64)


SPACE = {
    "layers": [(4,), (16,), (8, 8)], "activation": ["relu", "tanh"], "lr": (1e-4, 0.3),
    "weight_decay": [0.0, 0.1], "dropout": [0.0, 0.2], "batch_size": [16, 32],
}  # fmt: skip


def make(c, seed):
    return fcnn.Network((3, *c["layers"], 2), c["activation"], rng=seed)


def search(path=None, make=make, space=SPACE, **options):
    X, y = data()
    options = {"epochs": 9, "groups": 2, **options}
    return fcnn.search(make, space, X, y, validation=data(1), path=path, **options)


def same(found, expected):
    assert [t.configuration for t in found.trials] == [t.configuration for t in expected.trials]
    assert found.groups == expected.groups
    for one, other in zip(found.trials, expected.trials, strict=True):
        np.testing.assert_array_equal(one.network.parameters, other.network.parameters)
        assert (one.loss, one.best_epoch, one.epochs) == (
            other.loss,
            other.best_epoch,
            other.epochs,
        )
        assert one.history.loss == other.history.loss
        assert one.history.validation_loss == other.history.validation_loss


@pytest.mark.slow(reason="three searches")
def test_what_is_found():
    found = search()
    assert len(found.trials) == 18
    losses = [trial.loss for trial in found.trials]
    assert losses == sorted(losses)
    epochs = [trial.epochs for trial in found.trials]
    assert sorted(epochs) == [3] * 12 + [9] * 6
    # Each network has the parameters of its best epoch, and it is the best of its curve.
    X, y = data(1)
    for trial in found.trials:
        curve = trial.history.validation_loss
        assert len(curve) == len(trial.history.loss) == trial.epochs
        assert np.argmin(curve) + 1 == trial.best_epoch
        assert trial.network.evaluate(X, y)["loss"] == trial.loss == min(curve)
    assert found.best is found.trials[0].network
    assert found.configuration == found.trials[0].configuration
    # The better third goes on: of each nine, none that stayed behind was better after three epochs.
    by_number = {repr(trial.configuration): trial for trial in found.trials}
    for first in (0, 9):
        group = [by_number[repr(_drawn(number))] for number in range(first, first + 9)]
        best = {trial: min(trial.history.validation_loss[:3]) for trial in group}
        assert {t for t in group if t.epochs == 9} == {*sorted(group, key=best.get)[:3]}
    same(search(), found)
    assert search(seed=1).configuration != found.configuration


def test_a_trial_is_trained_as_by_fit():
    found = search(groups=1)
    trial = next(t for t in found.trials if t.epochs == 9)
    c = trial.configuration
    number = next(n for n in range(9) if _drawn(n) == c)
    network = make(c, number)
    optimizer = fcnn.AdamW(c["lr"], weight_decay=c["weight_decay"])
    X, y = data()
    losses = []
    for epochs in (3, 6):
        history = network.fit(
            X, y, epochs=epochs, optimizer=optimizer, batch_size=c["batch_size"],
            dropout=c["dropout"], validation=data(1),
        )  # fmt: skip
        losses += history.validation_loss
    assert losses == trial.history.validation_loss


def _drawn(number):
    draws = halving._as_space(SPACE)
    rng = np.random.default_rng((0, number))
    return {name: draw(rng) for name, draw in draws.items()}


class Killed(BaseException):
    pass


@pytest.mark.slow(reason="six searches")
@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
def test_a_search_that_was_killed_comes_to_the_same(tmp_path, monkeypatch, rounds):
    """At the end of each round, and amid the next: what that did is made anew."""
    expected = search()
    path, made = tmp_path / "s", []
    train = halving.train_trials

    def watched(trials, epochs, *arguments, **further):
        made.append(epochs)
        if len(made) > rounds:
            train(trials, trials[0].epochs + 1, *arguments, **further)
            raise Killed
        train(trials, epochs, *arguments, **further)

    monkeypatch.setattr(halving, "train_trials", watched)
    with pytest.raises(Killed) if rounds < 4 else _nothing():
        search(path)
    monkeypatch.setattr(halving, "train_trials", train)
    same(search(path), expected)
    # What is done is done.
    began = time.perf_counter()
    again = search(path)
    same(again, expected)
    assert time.perf_counter() - began < 5
    more = search(path, groups=3)
    assert len(more.trials) == 27
    same(search(groups=3), more)


def _nothing():
    import contextlib

    return contextlib.nullcontext()


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import test_halving
found = test_halving.search({path!r}, epochs=27, groups=3)
"""


@pytest.mark.slow(reason="a process, and searches of 27 epochs")
@pytest.mark.skipif(os.name == "nt", reason="kills by a POSIX signal")
def test_a_killed_process(tmp_path):
    path = tmp_path / "s"
    program = PROGRAM.format(tests=os.path.dirname(__file__), path=str(path))
    process = subprocess.Popen([sys.executable, "-c", program])
    until = time.perf_counter() + 60
    while not path.exists() and time.perf_counter() < until and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert path.exists()
    same(search(path, epochs=27, groups=3), search(epochs=27, groups=3))


@pytest.mark.slow(reason="a second, and again")
def test_a_box_of_time(tmp_path):
    began = time.perf_counter()
    found = search(tmp_path / "s", groups=None, seconds=1.0, epochs=27)
    assert time.perf_counter() - began < 10
    assert found.trials
    assert found.seconds >= 1.0
    # The time is that of all calls: nothing is left of it, but for a round that did not count.
    again = search(tmp_path / "s", groups=None, seconds=1.0, epochs=27)
    assert len(again.trials) >= 9


@pytest.mark.slow(reason="four groups")
def test_configurations_that_diverge_are_left_behind():
    space = {**SPACE, "lr": [1e-3, 1e38], "layers": [(8,)], "activation": ["relu"]}
    del space["weight_decay"]
    found = search(space=space, optimizer=lambda c: fcnn.SGD(c["lr"]), groups=3)
    assert all(trial.configuration["lr"] == 1e-3 for trial in found.trials if trial.epochs > 3)
    with pytest.raises(ValueError, match="no configuration completed an epoch"):
        search(space={**space, "lr": [1e38]}, optimizer=lambda c: fcnn.SGD(c["lr"]), groups=1)


def test_schedules_and_data_are_told_apart(tmp_path):
    def told(*given):
        return fcnn.schedules.told(fcnn.schedules.as_schedules(given), 5)

    class Own(fcnn.schedules.Schedule):
        def factors(self, times, epochs):
            return 1.0

    some = [
        (), (lambda t: 1.0,), (lambda t: 0.9**t,), (fcnn.schedules.Cosine(),), (Own(),),
        (fcnn.schedules.Cosine(4),), (fcnn.schedules.Cosine(final=0.1),), (Own(), Own()),
        (fcnn.schedules.Cosine(), fcnn.schedules.WarmUp(2)), (fcnn.schedules.Plateau(),),
    ]  # fmt: skip
    texts = [told(*one) for one in some]
    assert len({*texts}) == len(texts)
    assert not any("0x" in text for text in texts)
    a = np.arange(4.0)
    sums = [checksum(*arrays) for arrays in ((a,), (a, None), (None, a), (a, a), (a[:2],))]
    assert len({*sums}) == len(sums)
    path = tmp_path / "s"
    search(path, groups=1, epochs=3, schedule=lambda t: 0.5)
    found = search(path, groups=1, epochs=3, schedule=lambda t: 0.5)
    assert len(found.trials) == 9
    with pytest.raises(ValueError, match=r"path: .*another schedule"):
        search(path, groups=1, epochs=3, schedule=lambda t: 0.25)


@pytest.mark.parametrize("several", [9, 2])
def test_a_list_of_schedules_is_multiplied_as_by_fit(several):
    """For nine networks a list of nine could be one for each, one of two for none."""
    factors = [lambda t: 0.5**t, *[lambda t: 0.8] * (several - 1)]
    found = search(groups=1, epochs=3, schedule=factors)
    same(found, search(groups=1, epochs=3, schedule=lambda t: 0.5**t * 0.8 ** (several - 1)))


def test_refused(tmp_path):
    X, y = data()

    def refused(text, kind=ValueError, make=make, space=SPACE, **options):
        given = {"validation": (X, y), "groups": 1, "epochs": 3, **options}
        with pytest.raises(kind, match=text):
            fcnn.search(make, space, X, y, **given)

    refused("make: ", TypeError, make=3)
    refused("make: expected an fcnn.Network, it returned None", TypeError, make=lambda c, s: None)
    refused("space: ", TypeError, space={})
    refused("space: ", TypeError, space=[1])
    refused(r"space\['lr'\]: ", space={**SPACE, "lr": (1e-3, 1e-4)})
    refused(r"space\['lr'\]: ", space={**SPACE, "lr": (0, 1)})
    refused(r"space\['lr'\]: ", space={**SPACE, "lr": (1, 2, 3)})
    refused(r"space\['lr'\]: ", space={**SPACE, "lr": []})
    refused(r"space\['lr'\]: ", space={**SPACE, "lr": 0.1})
    refused("seconds: expected when to end", groups=None)
    refused("seconds: ", seconds=-1)
    refused("groups: ", groups=0)
    refused("epochs: ", epochs=0)
    refused("optimizer: expected a function", TypeError, optimizer=fcnn.Adam())
    for wrong in (None, 0.2, {"X": X, "y": y}, X):
        refused("validation: expected", TypeError, validation=wrong)
    refused("dropout: ", space={**SPACE, "dropout": [1.5]})
    trained = []
    spy = lambda c, seed: trained.append(c)  # noqa: E731
    refused(
        "path: .* cannot be written: No such",
        FileNotFoundError,
        make=spy,
        path=tmp_path / "no" / "s",
    )
    refused("path: .* is a folder", IsADirectoryError, make=spy, path=tmp_path)
    assert not trained
    path = tmp_path / "s"
    search(path, groups=1)
    for name, options in {
        "seed": {"seed": 3}, "epochs": {"epochs": 27}, "data": {"sample_weight": np.ones(120)},
        "class_weight": {"class_weight": "balanced"},
        "space": {"space": {**SPACE, "dropout": [0.0]}},
        "schedule": {"schedule": fcnn.schedules.Cosine()},
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"path: .*of a search with another {name}"):
            search(path, **{"groups": 1, **options})
    for name, options in {
        "network": {"make": lambda c, s: c.copy() and make({**c, "activation": "gelu"}, s)},
        "optimizer adamw with .*lr=0.5": {"optimizer": lambda c: dict(c) and fcnn.AdamW(0.5)},
        "optimizer sgd": {"optimizer": lambda c: dict(**c) and fcnn.SGD(c["lr"])},
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"path: .*no search to go on with .*{name}.*found"):
            search(path, **{"groups": 1, **options})
    with pytest.raises(ValueError, match=r"the state of a search, which fcnn\.search goes on with"):
        fcnn.load(path)
    content = bytearray(path.read_bytes())
    damaged = copy.copy(content)
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=str(path)):
        search(path, groups=1)
    make({"layers": (3,), "activation": "relu"}, 0).save(path)
    with pytest.raises(ValueError, match="a file of something else"):
        search(path, groups=1)


def of(space, make=None, optimizer=None, **options):
    def plain(c, seed):
        return fcnn.Network((3, 4, 2), rng=seed)

    return search(None, make or plain, space, optimizer=optimizer, epochs=3, groups=1, **options)


@pytest.mark.parametrize(
    ("space", "optimizer", "name"),
    [
        ({"learning_rate": (1e-3, 1e-1)}, None, "learning_rate"),
        ({"momentum": [0.5, 0.9]}, None, "momentum"),
        ({"lr": (1e-3, 1e-1), "schedule": [fcnn.schedules.Cosine()]}, None, "schedule"),
        ({"class_weight": ["balanced"], "epochs": [5]}, None, "class_weight"),
        ({"dropouts": [0.1]}, None, "dropouts"),
        ({"lr": (1e-3, 1e-1), "weight_decay": [0.1]}, lambda c: fcnn.Adam(), "lr"),
        ({"lr": (1e-3, 1e-1), "weight_decay": [0.1]}, lambda c: fcnn.Adam(c["lr"]), "weight_decay"),
    ],
)  # fmt: skip
def test_names_that_nothing_looks_at_are_refused_before_an_epoch(
    space, optimizer, name, monkeypatch
):
    monkeypatch.setattr("fcnn.halving.fit_many", None)
    with pytest.raises(ValueError, match=f"^space: '{name}' would change nothing: make ") as caught:
        of(space, optimizer=optimizer)
    assert ("and optimizer do not" in str(caught.value)) is (optimizer is not None)
    assert ("did you mean 'dropout'?" in str(caught.value)) is (name == "dropouts")


LOOKS = {
    "item": lambda c: c["width"], "get": lambda c: c.get("width"), "in": lambda c: "width" in c,
    "**": lambda c: dict(**c), "dict": dict, "items": lambda c: [*c.items()],
    "values": lambda c: [*c.values()], "copy": lambda c: c.copy(), "deepcopy": copy.deepcopy,
    "|": lambda c: c | {}, "pop": lambda c: c.pop("width"), "get with": lambda c: c.get("width", 3),
    "comprehension": lambda c: [c[name] for name in c],
}  # fmt: skip


@pytest.mark.parametrize("way", LOOKS)
def test_every_way_of_looking_counts(way):
    names = set()
    one = Looked({"width": 4}, names)
    assert not names
    LOOKS[way](one)
    assert names == {"width"}


def test_one_configuration_that_looks_is_enough_and_the_optimizer_may_look():
    def make(c, seed):
        return fcnn.Network((3, c["wide"] if c["deep"] else 4, 2), rng=seed)

    space = {"deep": [True, False], "wide": [3, 5], "rate": [0.01, 0.02]}
    found = of(space, make, lambda c: fcnn.Adam(c["rate"]))
    assert {trial.optimizer.lr for trial in found.trials} == {0.01, 0.02}


def test_dropout_of_a_network_without_hidden_layers_is_none():
    space = {"layers": [(), (4,)], "dropout": [0.5]}
    found = of(space, lambda c, seed: fcnn.Network((3, *c["layers"], 2), rng=seed))
    assert {(len(t.configuration["layers"]), t.configuration["dropout"]) for t in found.trials} == {
        (0, 0.0), (1, 0.5),
    }  # fmt: skip
