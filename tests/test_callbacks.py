"""Callbacks: when a training ends, with which parameters, and what their hooks see."""

import os
import re
import types

import numpy as np
import pytest

import fcnn


def data(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4))
    return X, X @ [1.0, -1, 0.5, 0]


def network(loss="squared_error", seed=0):
    return fcnn.Network((4, 6, 1), "tanh", loss=loss, rng=seed)


class Recorder:
    """Sets the curve it is given, and keeps what it sees."""

    def __init__(self, curve="loss", values=()):
        self.curve, self.values = curve, values
        self.parameters, self.calls = [], []

    def on_begin(self, progress):
        self.calls.append(("begin", progress.epoch))

    def __call__(self, progress):
        self.calls.append(("epoch", progress.epoch))
        self.parameters.append(progress.network.parameters.copy())
        if self.values:
            getattr(progress.history, self.curve)[-1] = self.values[progress.epoch - 1]

    def on_end(self, progress):
        self.calls.append(("end", progress.epoch))


@pytest.mark.parametrize(
    ("curve", "values", "patience", "min_delta", "epochs", "best"),
    [
        ("loss", [5, 4, 3, 4, 4, 2], 2, 0, 5, 3),
        ("loss", [5, 4, 3, 4, 2, 4], 2, 0, 6, 5),
        ("loss", [5, 4, 3, 2, 1, 0], 1, 0, 6, 6),
        ("loss", [5, 5, 4], 1, 0, 2, 1),
        ("loss", [5, 4.9, 4.8, 4.7, 4, 4], 3, 0.5, 4, 1),
        ("loss", [5, 4.8, 4.4, 4.3, 4.2, 4.1], 3, 0.5, 6, 3),
        ("loss", [np.nan, np.nan, 3, np.nan, np.inf, 9], 2, 0, 2, 0),
        ("loss", [np.inf, 7, np.nan, 3, 4, 4], 2, 0, 6, 4),
        ("validation_loss", [5, 4, 3, 4, 4, 2], 2, 0, 5, 3),
        ("validation_score", [0.1, 0.3, 0.2, 0.3, 0.9, 1], 2, 0, 4, 2),
        ("validation_score", [-9, -8, -7, -6, -5, -4], 1, 0, 6, 6),
    ],
)  # fmt: skip
def test_early_stopping_ends_and_restores(curve, values, patience, min_delta, epochs, best):
    X, y = data()
    recorder = Recorder(curve, values)
    stopping = fcnn.EarlyStopping(curve, patience, min_delta)
    net = network()
    history = net.fit(X, y, epochs=6, validation=(X, y), callbacks=[recorder, stopping])
    assert len(history.loss) == epochs
    assert stopping.best_epoch == best
    assert stopping.best == (values[best - 1] if best else None)
    assert stopping.stopped_epoch == (0 if epochs == 6 and stopping._monitor.waited < patience else
                                      epochs)  # fmt: skip
    np.testing.assert_array_equal(net.parameters, recorder.parameters[(best or epochs) - 1])
    assert recorder.calls == [
        ("begin", 0), *(("epoch", e + 1) for e in range(epochs)), ("end", epochs)
    ]  # fmt: skip


def test_early_stopping_without_restoring_keeps_the_last():
    X, y = data()
    recorder = Recorder("loss", [1, 2, 3, 4])
    stopping = fcnn.EarlyStopping(patience=2, restore_best=False)
    net = network()
    net.fit(X, y, epochs=4, callbacks=[recorder, stopping])
    assert stopping.best_parameters is None
    np.testing.assert_array_equal(net.parameters, recorder.parameters[2])


@pytest.mark.parametrize(("validation", "curve"), [(None, "loss"), (data(), "validation_loss")])
def test_what_is_monitored_by_default(validation, curve):
    X, y = data()
    recorder = Recorder(curve, [1, 2, 3, 0])
    stopping = fcnn.EarlyStopping(patience=2)
    for _ in range(2):  # the second training starts anew
        network().fit(X, y, epochs=4, validation=validation, callbacks=[recorder, stopping])
        assert stopping.stopped_epoch == 3


def test_a_better_training_on_real_labels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 10))
    y = rng.integers(2, size=80)
    net = fcnn.Network((10, 32, 2))
    stopping = fcnn.EarlyStopping(patience=5)
    history = net.fit(X[:40], y[:40], epochs=200, validation=(X[40:], y[40:]),
                      optimizer=fcnn.Adam(0.01), callbacks=[stopping])  # fmt: skip
    assert len(history.loss) == stopping.best_epoch + 5 < 200
    assert net.evaluate(X[40:], y[40:])["loss"] == min(history.validation_loss) == stopping.best


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fcnn.EarlyStopping("accuracy"), "monitor: expected validation_loss, validation_"),
        (lambda: fcnn.EarlyStopping(3), "monitor: expected validation_loss, validation_score or "),
        (lambda: fcnn.EarlyStopping(patience=0), "patience: expected at least 1, got 0"),
        (lambda: fcnn.EarlyStopping(patience=1.5), "patience: expected an integer, got 1.5"),
        (lambda: fcnn.EarlyStopping(min_delta=-1), "min_delta: expected a finite number at least"),
        (lambda: fcnn.EarlyStopping(restore_best=1), "restore_best: expected True or False, got 1"),
        (lambda: fcnn.ModelCheckpoint(3), "path: expected a str or os.PathLike, got int"),
        (lambda: fcnn.ModelCheckpoint("x", every=0), "every: expected at least 1, got 0"),
        (lambda: fcnn.ModelCheckpoint("x", monitor="loss"), "monitor: it needs save_best_only"),
        (lambda: fcnn.ModelCheckpoint("x", None, True, 2), "every: expected 1 with save_best_only"),
        (lambda: fcnn.ModelCheckpoint("x", "acc", True), "monitor: expected validation_loss"),
    ],
    ids=lambda v: v[:25] if isinstance(v, str) else "",
)  # fmt: skip
def test_refused_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(words)}"):
        make()


@pytest.mark.parametrize("curve", ["validation_loss", "validation_score"])
def test_a_curve_that_will_not_be_is_refused(curve, tmp_path):
    X, y = data()
    net = network()
    before = net.parameters.copy()
    for callback in (
        fcnn.EarlyStopping(curve), fcnn.ModelCheckpoint(tmp_path / "best", curve, True)
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf"^monitor: expected loss, got '{curve}'; fit\(val"):
            net.fit(X, y, callbacks=[callback])
    with pytest.raises(ValueError, match=r"^monitor: expected loss or validation_loss, got"):
        net.fit(X, y, callbacks=[fcnn.EarlyStopping("validation_score")], validation=(X, y),
                loss=lambda a, y: (0.0, a))  # fmt: skip
    np.testing.assert_array_equal(net.parameters, before)
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_is_a_model(tmp_path):
    X, y = data()
    path = tmp_path / "net.safetensors"
    net = network()
    net.fit(X, y, epochs=3, callbacks=[fcnn.ModelCheckpoint(path)])
    assert os.listdir(tmp_path) == ["net.safetensors"]
    loaded = fcnn.load(path)
    assert loaded.predict(X).tobytes() == net.predict(X).tobytes()


def test_when_a_checkpoint_is_written(tmp_path, monkeypatch):
    X, y = data()
    saved = []
    monkeypatch.setattr(
        fcnn.training.Progress, "save", lambda progress, path: saved.append(progress.epoch)
    )

    def written(values=(), **options):
        saved.clear()
        callbacks = [fcnn.ModelCheckpoint(tmp_path / "a", **options), Recorder("loss", values)]
        network().fit(X, y, epochs=7, callbacks=callbacks)
        return list(saved)

    assert written() == [1, 2, 3, 4, 5, 6, 7]
    assert written(every=3) == [3, 6, 7]
    assert written([3, 2, 4, 1, 1, 5, 0], save_best_only=True) == [1, 2, 4, 7]
    saved.clear()
    network().fit(X, y, epochs=7, callbacks=[
        fcnn.ModelCheckpoint(tmp_path / "a", every=5), lambda progress: progress.epoch == 2,
    ])  # fmt: skip
    assert saved == [2]  # the last, though another callback ended the training


def test_the_best_only(tmp_path):
    X, y = data()
    recorder = Recorder("validation_score", [1, 3, 2, 3])
    path = tmp_path / "best.safetensors"
    net = network()
    checkpoint = fcnn.ModelCheckpoint(path, "validation_score", save_best_only=True)
    net.fit(X, y, epochs=4, validation=(X, y), callbacks=[recorder, checkpoint])
    np.testing.assert_array_equal(fcnn.load(path).parameters, recorder.parameters[1])


def test_a_failure_to_write_is_an_error(tmp_path):
    X, y = data()
    path = tmp_path / "absent" / "net.safetensors"
    with pytest.raises(FileNotFoundError, match="absent"):
        network().fit(X, y, epochs=2, callbacks=[fcnn.ModelCheckpoint(path)])


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    X, y = data()
    path = tmp_path / "net.safetensors"
    network().fit(X, y, epochs=1, callbacks=[fcnn.ModelCheckpoint(path)])
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        network().fit(X, y, epochs=1, callbacks=[fcnn.ModelCheckpoint(path)])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_the_end_is_not_called_after_an_exception():
    X, y = data()
    recorder, stopping = Recorder(), fcnn.EarlyStopping()

    def interrupt(progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    net = network()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=9, callbacks=[stopping, recorder, interrupt])
    assert recorder.calls[-1] == ("epoch", 3)
    # The network has its last parameters, the callback the best.
    np.testing.assert_array_equal(net.parameters, recorder.parameters[-1])
    np.testing.assert_array_equal(
        stopping.best_parameters, recorder.parameters[stopping.best_epoch - 1]
    )


def test_a_function_and_a_class_are_told_apart():
    X, y = data()
    with pytest.raises(TypeError, match=r"^callbacks: expected functions, got <class"):
        network().fit(X, y, callbacks=[fcnn.EarlyStopping])


def test_progress_and_history_print_and_convert():
    X, y = data()
    seen = []
    history = network().fit(
        X, y, epochs=2, validation=(X, y), l2=0.1, callbacks=[lambda p: seen.append((repr(p), p))]
    )
    assert re.fullmatch(
        r"<Progress: epoch 2 of 2, loss [\d.]+, validation loss [\d.]+, r2 -?[\d.]+>", seen[1][0]
    )
    assert seen[1][1].curves == ("loss", "validation_loss", "validation_score")
    assert seen[1][1].is_last
    assert re.fullmatch(
        r"<History: 2 epochs in [\de.-]+ s, loss [\d.]+, validation loss [\d.]+, r2 -?[\d.]+>",
        repr(history),
    )
    curves = history.to_dict()
    assert list(curves) == [
        "loss", "validation_loss", "validation_score", "seconds", "learning_rate", "penalty",
    ]  # fmt: skip
    assert {len(v) for v in curves.values()} == {2}
    assert fcnn.training.History(**curves, score_name=history.score_name) == history
    curves["loss"].append(0.0)
    assert len(history.loss) == 2


def test_curves_of_some_epochs_stand_at_these(tmp_path):
    X, y = data()
    net, nan = network(), float("nan")
    parts = [net.fit(X, y, epochs=2), net.fit(X, y, epochs=3, validation=(X, y)),
             net.fit(X, y, epochs=1, l2=0.1)]  # fmt: skip
    whole = parts[0] + parts[1] + parts[2]
    assert {len(curve) for curve in whole.to_dict().values()} == {6}
    expected = [nan, nan, *parts[1].validation_loss, nan]
    np.testing.assert_array_equal(whole.validation_loss, expected)
    np.testing.assert_array_equal(whole.penalty, [nan] * 5 + parts[2].penalty)
    assert "validation" not in repr(whole)

    net, save = network(), fcnn.ModelCheckpoint(tmp_path / "state")
    net.fit(X, y, epochs=2, callbacks=[save])
    found = net.fit(X, y, epochs=4, validation=(X, y), callbacks=[save], resume=save.path)
    assert np.isnan(found.validation_score).tolist() == [True, True, False, False]
    found = net.fit(X, y, epochs=5, resume=save.path)
    assert np.isnan(found.validation_loss).tolist() == [True, True, False, False, True]
    assert {len(curve) for curve in found.to_dict().values()} == {5}


def test_scores_of_another_name_are_not_joined():
    accuracy = fcnn.training.History([1.0], [1.0], [0.5], "accuracy")
    joined = accuracy + fcnn.training.History([2.0], [2.0], [0.25], "r2")
    assert joined.score_name == "r2"
    assert np.isnan(joined.validation_score[0])
    assert joined.validation_score[1:] == [0.25]


def test_progress_and_history_print():
    assert repr(fcnn.training.History()) == "<History: no epochs>"


def test_a_progress_of_ones_own_cannot_be_saved(tmp_path):
    net = network()
    progress = fcnn.training.Progress(net, fcnn.Adam(), fcnn.training.History(), 1, 2)
    assert not progress.is_last
    assert repr(progress) == "<Progress: epoch 1 of 2>"
    with pytest.raises(ValueError, match="no training to save"):
        progress.save(tmp_path / "x")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"seen": {1, 2}}, r"\['seen'\]: a checkpoint holds .*got {1, 2}"),
        ({"seen": [1, np.array(["x"])]}, r"\['seen'\]\[1\]: a checkpoint holds"),
        ({1: 2}, r"\['state'\]: a checkpoint holds .*got {1: 2}"),
        ([1], r"^callbacks\[0\]: expected a dict from state_dict\(\), got \[1\]"),
    ],
    ids=str,
)
def test_a_state_that_no_file_can_hold_is_refused(state, words, tmp_path):
    X, y = data()

    class Odd:
        def __call__(self, progress):
            pass

        def state_dict(self):
            return state

    with pytest.raises(TypeError, match=words):
        network().fit(X, y, epochs=1, callbacks=[Odd(), fcnn.ModelCheckpoint(tmp_path / "a")])
    assert os.listdir(tmp_path) == []


def test_repr():
    assert repr(fcnn.EarlyStopping()) == (
        "EarlyStopping(monitor=None, patience=10, min_delta=0, restore_best=True)"
    )
    assert repr(fcnn.ModelCheckpoint("a.safetensors")) == (
        "ModelCheckpoint('a.safetensors', monitor=None, save_best_only=False, every=1)"
    )


def test_the_progress_bar(capsys):
    pytest.importorskip("tqdm")
    X, y = data()
    network().fit(X, y, epochs=3, progress=True, validation=(X, y))
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err
    for words in ("loss=", "validation=", "r2=", "<"):  # elapsed<left
        assert words in err
    # The bar is closed when a training ends in another way.
    with pytest.raises(ZeroDivisionError):
        network().fit(X, y, epochs=3, progress=True, callbacks=[lambda progress: 1 / 0])
    assert capsys.readouterr().err.endswith("\n")


def test_the_bar_of_a_notebook(monkeypatch):
    """tqdm.auto chooses it; what it is given is the same."""
    calls = []

    class Bar:
        n = 0

        def __init__(self, **options):
            calls.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            calls.append("closed")

        def set_postfix(self, shown, refresh):
            calls.append(shown)

        def update(self, epochs):
            self.n += epochs
            calls.append(self.n)

    module = types.SimpleNamespace(tqdm=Bar)
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", module)
    X, y = data()
    network().fit(X, y, epochs=2, progress=True)
    assert calls[0]["total"] == 2
    assert [list(call) if isinstance(call, dict) else call for call in calls[1:]] == [
        ["loss"], 1, ["loss"], 2, "closed"
    ]  # fmt: skip
    # Of batches and of large memory maps it shows parts of an epoch.
    calls.clear()
    network().fit([(X, y)] * 4, epochs=2, progress=True)
    assert [n for n in calls if not isinstance(n, (dict, str))] == [
        0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2
    ]  # fmt: skip


def test_a_bar_that_is_not_there_is_refused_before_anything_changes(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    X, y = data()
    net, recorder = network(), Recorder()
    state = repr(net.rng.bit_generator.state)
    with pytest.raises(ImportError, match=r"progress=True needs tqdm: pip install fcnn\[cli\]"):
        net.fit(X, y, progress=True, callbacks=[recorder])
    assert recorder.calls == []
    assert repr(net.rng.bit_generator.state) == state


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_epoch(tmp_path):
    X, y = np.zeros((8, 4)), np.zeros(8, int)
    for path, error in ((tmp_path / "none" / "a.st", FileNotFoundError),
                        (tmp_path, IsADirectoryError)):  # fmt: skip
        net = fcnn.Network((4, 5, 3))
        before = net.parameters.copy()
        with pytest.raises(error, match="path: "):
            net.fit(X, y, epochs=1, callbacks=[fcnn.ModelCheckpoint(path)])
        assert (net.parameters == before).all()
