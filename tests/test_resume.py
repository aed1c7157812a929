"""An interrupted and resumed training ends as one that was never interrupted, bit for bit."""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fcnn
from fcnn import _checkpoint
from fcnn.schedules import Cosine, Plateau, WarmUp

EPOCHS = 8


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(70, 5)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)


def validation():
    rng = np.random.default_rng(1)
    return rng.normal(size=(30, 5)), rng.integers(3, size=30)


class CrashError(Exception):
    pass


class Counting:
    """A callback of the user's with a state."""

    def __init__(self):
        self.epochs, self.sums = 0, np.zeros(3)

    def __call__(self, progress):
        self.epochs += 1
        self.sums[self.epochs % 3] += progress.history.loss[-1]

    def state_dict(self):
        columns = np.asfortranarray(np.outer(self.sums, [0, 1]))
        return {"epochs": self.epochs, "nested": [{"sums": columns}, None, True], "name": "x"}

    def load_state_dict(self, state):
        self.epochs, self.sums = state["epochs"], state["nested"][0]["sums"][:, 1].copy()


def batches():
    X, y = data()
    return [(X[i : i + 9], y[i : i + 9], np.arange(1.0, 10)[: len(y[i : i + 9])])
            for i in range(0, 70, 9)]  # fmt: skip


SETTINGS = {
    "plain SGD": lambda: {"optimizer": fcnn.SGD(0.1)},
    "momentum": lambda: {"optimizer": fcnn.SGD(0.05, momentum=0.9, nesterov=True)},
    "Adam": dict,
    "AdamW, penalties, clipping": lambda: {
        "optimizer": fcnn.AdamW(0.01), "l1": 1e-4, "l2": 1e-3, "clip_norm": 0.5,
    },
    "dropout": lambda: {"dropout": (0.1, 0.5)},
    "cosine": lambda: {"schedule": [WarmUp(2.5), Cosine()], "optimizer": fcnn.SGD(0.1, 0.9)},
    "plateau": lambda: {"schedule": Plateau(0.5, 1, 1e9), "validation": validation()},
    "patient plateau": lambda: {"schedule": [Cosine(20), Plateau(0.5, 3, 1e9)]},
    "early stopping": lambda: {
        "callbacks": [fcnn.EarlyStopping(patience=5)], "validation": validation(),
        "optimizer": fcnn.Adam(0.05),
    },
    "early stopping at its end": lambda: {"callbacks": [fcnn.EarlyStopping("loss", 1, 1e9)]},
    "two of a class": lambda: {
        "validation": validation(),
        "callbacks": [fcnn.EarlyStopping("loss", 20), fcnn.EarlyStopping("validation_loss", 2, 9)],
    },
    "own callback": lambda: {"callbacks": [Counting(), lambda progress: None]},
    "weights": lambda: {"class_weight": "balanced", "sample_weight": np.arange(1.0, 71)},
    "batches": lambda: {"dropout": 0.3},
    "MT19937": lambda: {"rng": np.random.Generator(np.random.MT19937(5)), "dropout": 0.2},
    "Philox": lambda: {"rng": np.random.Generator(np.random.Philox(5))},
    "a seed": lambda: {"rng": 7},
    "no shuffling": lambda: {"shuffle": False},
}  # fmt: skip


def train(name, callbacks=(), **more):
    """Return (network, optimizer, history, callbacks, generator) of one of the settings."""
    settings = SETTINGS[name]()
    settings.setdefault("optimizer", fcnn.Adam(0.01))
    settings["callbacks"] = [*callbacks, *settings.get("callbacks", [])]
    net = fcnn.Network((5, 9, 3), rng=3)
    settings |= more
    if isinstance(settings.get("rng"), int):
        settings["rng"] = np.random.default_rng(settings["rng"])
    inputs = (batches(),) if name == "batches" else data()
    size = "auto" if name == "batches" else 16
    history = net.fit(*inputs, epochs=EPOCHS, batch_size=size, **settings)
    generator = settings.get("rng", net.rng)
    return net, settings["optimizer"], history, settings["callbacks"], generator


def bits(net, optimizer, history, callbacks, generator):
    curves = history.to_dict()
    curves.pop("seconds")
    states = [
        {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in c.state_dict().items()}
        for c in callbacks
        if isinstance(c, fcnn.EarlyStopping)
    ]
    counts = [(c.epochs, c.sums.tobytes()) for c in callbacks if isinstance(c, Counting)]
    return (
        net.parameters.tobytes(), [v.tobytes() for v in optimizer.state(net)], optimizer.steps,
        repr(optimizer), curves, states, counts, repr(generator.bit_generator.state),
    )  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("end", [1, 3, EPOCHS])
def test_a_resumed_training_ends_with_the_same_bits(name, end, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    whole = train(name)
    expected = bits(*whole)

    def crash(progress):
        if progress.epoch == end + 1:
            raise CrashError

    checkpoint = fcnn.ModelCheckpoint(path)
    try:
        train(name, [checkpoint, crash])
    except CrashError:
        assert len(whole[2].loss) > end
    resumed = train(name, [fcnn.ModelCheckpoint(path)], resume=path)
    assert bits(*resumed) == expected
    assert len(resumed[2].seconds) == len(whole[2].seconds)
    # The last checkpoint is of the end: there is nothing left to do.
    again = train(name, resume=path)
    assert bits(*again) == expected


def test_the_settings_do_something(tmp_path):
    ends = {name: train(name)[0].parameters.tobytes() for name in SETTINGS}
    # A callback that only counts, and two ways to return to the first epoch.
    assert ends.pop("own callback") == ends["Adam"]
    assert ends.pop("two of a class") == ends["early stopping at its end"]
    assert len(set(ends.values())) == len(ends)
    stopping = train("early stopping")[3][0]
    assert EPOCHS > stopping.best_epoch >= 1
    assert train("early stopping at its end")[3][0].stopped_epoch == 2


def test_resuming_twice_and_with_more_epochs(tmp_path):
    X, y = data()
    path = tmp_path / "a"

    def run(epochs, **options):
        net = fcnn.Network((5, 9, 3), rng=3)
        net.fit(X, y, epochs=epochs, callbacks=[fcnn.ModelCheckpoint(path, every=2)], **options)
        return net.parameters.tobytes()

    whole = run(9)
    run(2)
    run(5, resume=path)
    assert run(9, resume=path) == whole


def test_the_best_checkpoint_goes_on_from_its_epoch(tmp_path):
    path = tmp_path / "best"
    name = "early stopping"
    whole = train(name)
    best = whole[3][0].best_epoch
    train(name, [fcnn.ModelCheckpoint(path, save_best_only=True)])
    np.testing.assert_array_equal(fcnn.load(path).parameters, whole[0].parameters)
    resumed = train(name, [fcnn.ModelCheckpoint(path, save_best_only=True)], resume=path)
    assert bits(*resumed)[:5] == bits(*whole)[:5]
    assert resumed[3][1].best_epoch == best


def test_the_optimizer_comes_from_the_file(tmp_path):
    X, y = data()
    path = tmp_path / "a"
    net = fcnn.Network((5, 9, 3))
    net.fit(X, y, epochs=2, optimizer=fcnn.SGD(0.05, 0.9, True, 1e-3),
            callbacks=[fcnn.ModelCheckpoint(path)])  # fmt: skip
    seen = []
    other = fcnn.Network((5, 9, 3))
    other.fit(X, y, epochs=3, resume=path, callbacks=[lambda p: seen.append(repr(p.optimizer))])
    assert seen == ["SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.001)"]
    given = fcnn.SGD(9.0)
    fcnn.Network((5, 9, 3)).fit(X, y, epochs=3, resume=path, optimizer=given)
    assert repr(given) == seen[0]
    adam = fcnn.Adam()
    adam._epsilon_hat = True
    net = fcnn.Network((5, 9, 3))
    net.fit(X, y, epochs=1, optimizer=adam, callbacks=[fcnn.ModelCheckpoint(path)])
    twin = fcnn.Adam()
    fcnn.Network((5, 9, 3)).fit(X, y, epochs=1, optimizer=twin, resume=path)
    assert twin._epsilon_hat is True


def test_what_is_in_the_file(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "a"
    train("early stopping", [fcnn.ModelCheckpoint(path)])
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
        names = list(file.keys())
    assert set(metadata) == {"checksum", "fcnn", "fcnn_training"}
    state = json.loads(metadata["fcnn_training"])
    assert state["epoch"] == len(state["history"]["loss"])
    assert state["optimizer"]["rule"] == "adam"
    # m and v of Adam, and the best parameters.
    assert len([n for n in names if n.startswith("training.")]) == 3


# --- A process that is killed ---------------------------------------------------------------------

SCRIPT = """
    import sys
    import numpy as np
    import fcnn

    def run(path, resume=None, epochs=60):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(2000, 10))
        y = rng.integers(4, size=2000)
        net = fcnn.Network((10, 32, 4))
        history = net.fit(
            X, y, epochs=epochs, batch_size=20, dropout=0.2, validation=(X[:50], y[:50]),
            schedule=[fcnn.schedules.WarmUp(3), fcnn.schedules.Plateau(0.7, 2)],
            callbacks=[
                fcnn.ModelCheckpoint(path), fcnn.EarlyStopping(patience=50),
                lambda progress: print(progress.epoch, flush=True),
            ],
            resume=resume,
        )
        return net.parameters.tobytes(), history.loss, history.learning_rate
"""


@pytest.mark.slow(reason="a process that trains")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_killed_process_is_resumed(tmp_path, capsys):
    path = tmp_path / "checkpoint.safetensors"
    code = textwrap.dedent(SCRIPT)
    space = {}
    exec(code, space)
    whole = space["run"](tmp_path / "other")
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nrun({str(path)!r}, epochs=10**6)"],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        for line in process.stdout:
            if line == "7\n":
                time.sleep(0.005)  # into the middle of whatever it does
                process.send_signal(signal.SIGKILL)
                break
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    capsys.readouterr()
    assert space["run"](path, resume=path) == whole
    epochs = capsys.readouterr().out.split()
    assert 7 <= int(epochs[0]) < 60  # it did not start again
    # What a killed write leaves behind is beside the file, never in it.
    left = {p.name for p in pathlib.Path(tmp_path).iterdir()} - {path.name, "other"}
    assert all(name.startswith(".fcnn-") for name in left)


# --- Refusals -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """Return the path of a checkpoint of a training with early stopping and a plateau."""
    X, y = data()
    path = tmp_path / "checkpoint"
    fcnn.Network((5, 9, 3)).fit(
        X, y, epochs=2, schedule=Plateau(),
        callbacks=[fcnn.EarlyStopping(), fcnn.ModelCheckpoint(path)],
    )  # fmt: skip
    return path


def options():
    return {"schedule": Plateau(), "callbacks": [fcnn.EarlyStopping()], "optimizer": fcnn.Adam()}


@pytest.mark.parametrize(
    ("network", "changes", "words"),
    [
        ({"sizes": (5, 8, 3)}, {}, "resume: expected a checkpoint of a network with sizes (5, 8, "),
        ({"activation": "tanh"}, {}, "resume: expected a checkpoint of a network with activations"),
        ({"dtype": "float64"}, {}, "resume: expected a checkpoint of a network with dtype float64"),
        ({}, {"rows": 60}, "resume: the checkpoint is of a training on 70 samples, X has 60 "),
        ({}, {"batches": True}, "resume: the checkpoint is of a training on 70 samples, X has b"),
        ({}, {"optimizer": fcnn.SGD(0.1)}, "resume: the checkpoint is of a training with adam, o"),
        ({}, {"rng": np.random.Generator(np.random.Philox(1))}, "rng: expected a generator with "),
        ({}, {"schedule": None}, "schedule: expected the Plateau whose state is in the checkpoint"),
        ({}, {"schedule": Cosine()}, "schedule: expected the Plateau whose state is in the checkp"),
        ({}, {"callbacks": []}, "callbacks: expected the EarlyStopping whose state is in the chec"),
        ({}, {"validation": validation()}, "monitor: expected 'loss' as in the checkpoint, got "),
        ({}, {"resume": 5}, "resume: expected a str or os.PathLike, got int"),
    ],
    ids=lambda v: v[:24] if isinstance(v, str) else "",
)  # fmt: skip
def test_another_training_is_refused(saved, network, changes, words):
    X, y = data()
    net = fcnn.Network(**{"sizes": (5, 9, 3), **network})
    settings = {**options(), "resume": saved, **changes}
    rows = settings.pop("rows", 70)
    inputs = (batches(),) if settings.pop("batches", False) else (X[:rows], y[:rows])
    before, state = net.parameters.tobytes(), repr(net.rng.bit_generator.state)
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(words)}"):
        net.fit(*inputs, epochs=3, **settings)
    assert net.parameters.tobytes() == before
    assert repr(net.rng.bit_generator.state) == state
    assert settings["optimizer"].steps == 0


def test_another_loss_is_refused(saved):
    net = fcnn.Network((5, 9, 3), output_activation="softmax", loss="squared_error")
    with pytest.raises(ValueError, match=r"^resume: .* network with loss squared_error"):
        net.fit(data()[0], np.zeros((70, 3)), resume=saved, **options())


def changed(array, at=(0,)):
    other = np.array(array)
    other[at] = 1 - other[at]
    return other


def one_off(array):
    return changed(array, np.unravel_index(np.size(array) // 2, np.shape(array)))


def weights():
    return np.arange(1.0, 71)


CHANGES = {
    "X": lambda given: {**given, "X": one_off(given["X"])},
    "order": lambda given: {**given, "X": given["X"][::-1].copy()},
    "y": lambda given: {**given, "y": changed(given["y"], -1)},
    "sample_weight": lambda given: {**given, "sample_weight": weights() + 1},
    "no sample_weight": lambda given: {**given, "sample_weight": None},
    "class_weight": lambda given: {**given, "class_weight": {0: 3.0}},
    "validation X": lambda given: {**given, "validation": (one_off(VALIDATION[0]), VALIDATION[1])},
    "validation y": lambda given: {**given, "validation": (VALIDATION[0], one_off(VALIDATION[1]))},
    "validation sample_weight": lambda given: {
        **given, "validation": (*VALIDATION, np.arange(1.0, 31)),
    },
}  # fmt: skip
NAMES = {
    "order": "X", "no sample_weight": "sample_weight", "class_weight": "sample_weight",
}  # fmt: skip
VALIDATION = validation()


def given():
    X, y = data()
    return {"X": X, "y": y, "sample_weight": weights(), "validation": VALIDATION}


def fit(path, arguments, epochs=4, **options):
    net = fcnn.Network((5, 9, 3), rng=3)
    net.fit(**arguments, epochs=epochs, callbacks=[fcnn.ModelCheckpoint(path)], **options)
    return net.parameters.tobytes()


@pytest.mark.parametrize("name", CHANGES)
def test_other_data_are_refused_by_name(name, tmp_path):
    path = tmp_path / "a"
    fit(path, given(), 2)
    before = path.read_bytes()
    words = rf"^resume: .*a is of a training with other data: {NAMES.get(name, name)};"
    with pytest.raises(ValueError, match=words):
        fit(path, CHANGES[name](given()), resume=path)
    assert path.read_bytes() == before


def test_a_validation_may_join_and_leave(tmp_path):
    path = tmp_path / "a"
    fit(path, {**given(), "validation": None}, 2)
    fit(path, given(), 3, resume=path)
    with pytest.raises(ValueError, match="other data: validation X;"):
        fit(path, CHANGES["validation X"](given()), resume=path)
    fit(path, {**given(), "validation": None}, 4, resume=path)


AS = {
    "float64": lambda X: X.astype(np.float64), "a list": lambda X: X.tolist(),
    "columns": np.asfortranarray, "a view": lambda X: np.repeat(X, 2, axis=0)[::2],
}  # fmt: skip


@pytest.mark.parametrize("name", AS)
def test_the_same_data_as_another_array(name, tmp_path):
    path, arguments = tmp_path / "a", given()
    whole = fit(tmp_path / "b", arguments)
    fit(path, arguments, 2)
    other = {**arguments, "X": AS[name](arguments["X"]), "y": arguments["y"].astype(np.int8)}
    assert fit(path, other, resume=path) == whole


def test_sparse_data_are_compared_with_sparse_and_with_dense_ones(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    path, arguments = tmp_path / "a", given()
    X = arguments["X"] * (arguments["X"] > 0)
    fit(path, {**arguments, "X": sparse.csr_array(X)}, 2)
    for as_given in (sparse.csr_array, np.asarray):
        fit(path, {**arguments, "X": as_given(X)}, 2, resume=path)
        with pytest.raises(ValueError, match="other data: X;"):
            fit(path, {**arguments, "X": as_given(one_off(X))}, resume=path)


def test_of_a_map_some_rows_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr("fcnn._data.BLOCK_BYTES", 400)
    path, arguments = tmp_path / "a", given()
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (70, 5))
    X[:] = arguments["X"]
    whole = fit(tmp_path / "b", arguments)
    for first, then in ((arguments["X"], X), (X, arguments["X"]), (X, X)):
        fit(path, {**arguments, "X": first}, 2)
        assert fit(path, {**arguments, "X": then}, resume=path) == whole
    X[69, 4] += 1
    with pytest.raises(ValueError, match="other data: X;"):
        fit(path, {**arguments, "X": X}, resume=path)
    # Beyond the rows that are compared nothing is known.
    monkeypatch.setattr("fcnn._data.MOST_COMPARED", 3)
    X[:] = arguments["X"]
    fit(path, {**arguments, "X": X}, 2)
    X[1, 0] += 1
    fit(path, {**arguments, "X": X}, 2, resume=path)
    X[69, 4] += 1
    with pytest.raises(ValueError, match="other data: X;"):
        fit(path, {**arguments, "X": X}, resume=path)


def test_mapped_targets_and_those_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("fcnn._data.BLOCK_BYTES", 400)
    path = tmp_path / "a"
    X, labels = data()
    y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (70, 3))
    y[:] = np.eye(3)[labels]
    fit(path, {"X": X, "y": y}, 2)
    fit(path, {"X": X, "y": np.array(y)}, 2, resume=path)
    y[69] = np.roll(y[69], 1)
    for one in (y, np.array(y)):
        with pytest.raises(ValueError, match="other data: y;"):
            fit(path, {"X": X, "y": one}, resume=path)


class Stream:
    """Batches that nobody has before they are asked for."""

    def __init__(self, given):
        self.given = given

    def __iter__(self):
        return iter(self.given)


class Loader(Stream):
    def __len__(self):
        return len(self.given)


def test_of_batches_what_is_known_is_compared(tmp_path):
    path, other = tmp_path / "a", batches()
    other[-1] = (other[-1][0] + 1, *other[-1][1:])

    def run(source, epochs=4, **options):
        net = fcnn.Network((5, 9, 3), rng=3)
        net.fit(source, epochs=epochs, callbacks=[fcnn.ModelCheckpoint(path)], **options)
        return net.parameters.tobytes()

    whole = run(batches())
    for kind in (list, tuple, Loader, Stream):
        run(kind(batches()), 2)
        assert run(kind(batches()), resume=path) == whole
        # A list is compared with a list, all else by its length, which a stream has not.
        run(batches(), 2)
        for one, is_refused in (
            (other, True), (Loader(other), False), (Loader(other[1:]), True), (Stream(other), False)
        ):  # fmt: skip
            if is_refused:
                with pytest.raises(ValueError, match="other data: batches;"):
                    run(one, 2, resume=path)
            else:
                run(one, 2, resume=path)
                run(batches(), 2)
    with pytest.raises(ValueError, match="other data: batches, class_weight;"):
        run(batches(), resume=path, class_weight={0: 2.0})


def test_targets_of_the_jacobian_are_compared(tmp_path):
    path = tmp_path / "a"
    X = data()[0].astype(np.float64)

    def run(dY, weight=0.5, **options):
        net = fcnn.Network((5, 4, 1), "tanh", loss="squared_error", dtype="float64", rng=0)
        net.fit(X, X[:, :1], epochs=2, jacobian_targets=dY, jacobian_weight=weight,
                callbacks=[fcnn.ModelCheckpoint(path)], **options)  # fmt: skip

    run(np.zeros((70, 5)))
    run(np.zeros((70, 5)), resume=path)
    for dY, weight in ((one_off(np.zeros((70, 5))), 0.5), (np.zeros((70, 5)), 0.25), (None, None)):
        with pytest.raises(ValueError, match="other data: jacobian_targets;"):
            run(dY, weight, resume=path)


def test_a_file_of_an_earlier_fcnn_says_nothing_of_its_data(saved, tmp_path):
    path = tmp_path / "earlier"
    path.write_bytes(
        forged(saved.read_bytes(), lambda state: {k: v for k, v in state.items() if k != "data"})
    )
    X, y = data()
    with pytest.warns(UserWarning, match=r"^resume: .*earlier does not say which data it is of"):
        fcnn.Network((5, 9, 3)).fit(X + 1, y, epochs=3, resume=path, **options())


def test_checksums_of_large_arrays_come_in_pieces(monkeypatch):
    a = np.random.default_rng(0).normal(size=(50, 3))
    whole = _checkpoint.checksum(a, None, a[:2])
    monkeypatch.setattr(_checkpoint, "_PIECE", 100)
    assert _checkpoint.checksum(a, None, a[:2]) == whole


def test_new_callbacks_may_join(saved):
    X, y = data()
    settings = options()
    settings["callbacks"] += [Counting(), fcnn.EarlyStopping(patience=1)]
    settings["schedule"] = [WarmUp(1), settings["schedule"]]
    history = fcnn.Network((5, 9, 3)).fit(X, y, epochs=4, resume=saved, **settings)
    assert len(history.loss) == 4
    assert settings["callbacks"][1].epochs == 2


def without_checksum(metadata):
    """Leave a file's texts as those of before fcnn had a checksum, so that they can be changed."""
    del metadata["checksum"]
    metadata["fcnn"] = json.dumps({**json.loads(metadata["fcnn"]), "format": 1})


def forged(content, change):
    """Return a checkpoint whose state has been changed by a function."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    metadata["fcnn_training"] = json.dumps(change(json.loads(metadata["fcnn_training"])))
    without_checksum(metadata)
    data = content[8 + length :]
    header["training.short"] = {
        "dtype": "F32", "shape": [3], "data_offsets": [len(data), len(data) + 12]
    }  # fmt: skip
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data + bytes(12)


NOT_SOUND = "forged(:| is) not a sound checkpoint"


def with_optimizer(**changes):
    return lambda state: {**state, "optimizer": {**state["optimizer"], **changes}}


FORGERIES = [
    (lambda state: [], NOT_SOUND),
    (lambda state: {**state, "epoch": []}, NOT_SOUND),
    (lambda state: {**state, "stopped": "no"}, NOT_SOUND),
    (lambda state: {k: v for k, v in state.items() if k != "samples"}, NOT_SOUND),
    (lambda state: {**state, "history": {"minutes": [1.0]}}, NOT_SOUND),
    (lambda state: {**state, "generator": {}}, NOT_SOUND),
    (lambda state: {**state, "callbacks": [{}]}, NOT_SOUND),
    (lambda state: {**state, "trainable": 3}, NOT_SOUND),
    (lambda state: {**state, "data": 3}, NOT_SOUND),
    (lambda state: {**state, "data": {"X": "crc32:0"}}, NOT_SOUND),
    (lambda state: {**state, "trainable": [0.0, 1.0]}, NOT_SOUND),
    (lambda state: {**state, "trainable": [0.0, 0.0, 1.0, 1.0]}, r"={1: False}, got None"),
    (lambda state: {**state, "schedules": [{"tensor": "W9"}]}, "it has no tensor 'W9'"),
    (lambda state: {**state, "optimizer": {"rule": "adam"}}, NOT_SOUND),
    (with_optimizer(hyperparameters={"state": 1}), "optimizer: adam has no 'state'"),
    (with_optimizer(hyperparameters={"lr": -1}), "lr: expected a finite number greater than 0, "),
    (with_optimizer(vectors=[{"tensor": "b1"}]), "it has no tensor 'b1'"),
    (with_optimizer(vectors=[]), "optimizer: adam keeps 2 vectors, got 0"),
    (with_optimizer(vectors=[{"tensor": "training.short"}] * 2), "resume: .* of another size"),
]  # fmt: skip


def test_files_that_are_no_checkpoints(tmp_path, saved):
    X, y = data()
    net = fcnn.Network((5, 9, 3))
    before = net.parameters.tobytes()
    fit = functools.partial(net.fit, X, y, epochs=3, **options())
    with pytest.raises(FileNotFoundError, match="absent: no such file"):
        fit(resume=tmp_path / "absent")
    net.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"^resume: .*model is a model without the state of its"):
        fit(resume=tmp_path / "model")
    content = saved.read_bytes()
    (tmp_path / "part").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="part: not a model file, or a truncated one"):
        fit(resume=tmp_path / "part")
    for change, words in FORGERIES:
        (tmp_path / "forged").write_bytes(forged(content, change))
        with pytest.raises(ValueError, match=words):
            fit(resume=tmp_path / "forged")
    assert net.parameters.tobytes() == before


def test_fcnn_load_refuses_a_checkpoint_with_other_tensors(saved, tmp_path):
    path = tmp_path / "forged"
    path.write_bytes(
        forged(saved.read_bytes(), lambda state: state).replace(b'"training.', b'"trainink.')
    )
    with pytest.raises(ValueError, match=r"tensor trainink\.\d: expected none, found float32 of"):
        fcnn.load(path)


def paths_of(value, path=()):
    """Return where everything in a nest of dicts and lists is."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, v in inner:
        yield (*path, key)
        if isinstance(v, (dict, list)):
            yield from paths_of(v, (*path, key))


@pytest.mark.slow
def test_a_damaged_state_is_refused_and_nothing_is_changed(tmp_path):
    path, damaged = tmp_path / "sound.st", tmp_path / "damaged.st"

    def arguments():
        return {
            "batch_size": 16,
            "schedule": fcnn.schedules.Plateau(patience=2, monitor="loss"),
            "callbacks": [fcnn.EarlyStopping("loss"), fcnn.ModelCheckpoint(path)],
        }

    net = fcnn.Network((5, 9, 3), rng=3)
    net.fit(*data(), epochs=2, optimizer=fcnn.Adam(0.01), **arguments())
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    without_checksum(metadata)
    key = next(name for name, text in metadata.items() if "history" in text)
    refused = 0
    for place in list(paths_of(json.loads(metadata[key]))):
        for what in ("missing", "a text"):
            state = json.loads(metadata[key])
            inner = state
            for step in place[:-1]:
                inner = inner[step]
            if what == "missing":
                del inner[place[-1]]
            elif isinstance(inner[place[-1]], str):
                inner[place[-1]] = 1.5
            else:
                inner[place[-1]] = "nonsense"
            changed = {**metadata, key: json.dumps(state)}
            safetensors.numpy.save_file(tensors, damaged, metadata=changed)
            if (place, what) == (("data",), "missing"):
                continue  # which files of an earlier fcnn have not
            net, optimizer = fcnn.Network((5, 9, 3), rng=4), fcnn.Adam(0.01)
            before = net.parameters.tobytes(), repr(net.rng.bit_generator.state)
            try:
                net.fit(*data(), epochs=2, optimizer=optimizer, resume=damaged, **arguments())
            except ValueError:
                refused += 1
                assert (net.parameters.tobytes(), repr(net.rng.bit_generator.state)) == before
                assert optimizer.steps == 0
    assert refused > 40
