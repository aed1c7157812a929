"""fit_many: each network ends as by its own fit; what could be meant two ways is refused."""

import copy
import os
import threading
import time
import warnings

import numpy as np
import pytest
from conftest import slow_but
from interrupting import interrupted

import fcnn
from fcnn import schedules


def data(rows=90, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 5)).astype(dtype)
    return X, np.tanh(X[:, :1] - X[:, 1:2] * X[:, 2:3]).astype(dtype)


def some_networks(n=10, sizes=(5, 7, 1), dtype="float32", **further):
    return [fcnn.Network(sizes, loss="squared_error", dtype=dtype, rng=i, **further)
            for i in range(n)]  # fmt: skip


def same(many, alone, curves=True):
    """Networks and histories are equal, bit for bit."""
    for i, ((network, history), (other, expected)) in enumerate(zip(many, alone, strict=True)):
        np.testing.assert_array_equal(network.parameters, other.parameters, err_msg=f"network {i}")
        for name, curve in vars(expected).items():
            if name == "seconds":
                assert len(history.seconds) == len(curve)
            elif curves:
                assert getattr(history, name) == curve, (i, name)


def both(networks, X, y, each, **options):
    """Train by fit_many and by fit, whose options of network i are each(i); compare."""
    copies = [network.copy() for network in networks]
    histories = fcnn.fit_many(networks, X, y, **options)
    alone = [network.fit(X, y, **each(i)) for i, network in enumerate(copies)]
    same(zip(networks, histories, strict=True), zip(copies, alone, strict=True))
    return histories


def test_defaults():
    X, y = data()
    both(some_networks(), X, y, lambda i: {})


@pytest.mark.parametrize("n_threads", slow_but([2], [1, 2, 3, None]))
def test_every_option_of_each(n_threads):
    X, y = data()
    n = 12
    optimizers = [fcnn.Adam(0.001 * (i + 1)) if i % 3 else fcnn.SGD(0.01, momentum=0.5)
                  for i in range(n)]  # fmt: skip
    weights = np.random.default_rng(1).multinomial(len(X), np.full(len(X), 1 / len(X)), size=n)
    lists = {
        "epochs": [2 + i % 3 for i in range(n)], "batch_size": [16, 32, None] * 4,
        "l1": [0.0, 0.01] * 6, "l2": [0.0, 0.0, 0.02] * 4, "clip_norm": [None, 0.5, None] * 4,
        "dropout": [0.0, 0.2, (0.1, 0.3)] * 4, "trainable": [None, {1: 0.5}, None] * 4,
    }  # fmt: skip
    each_schedule = [None, schedules.Cosine(), (schedules.WarmUp(1), schedules.Plateau(patience=1))]
    given = [each_schedule[i % 3] for i in range(n)]
    own = [copy.deepcopy(s) for s in given]
    own = [list(s) if isinstance(s, tuple) else s for s in own]
    given = [copy.deepcopy(s) for s in given]
    own_optimizers = copy.deepcopy(optimizers)
    both(
        some_networks(n), X, y,
        lambda i: {
            **{name: values[i] for name, values in lists.items()}, "sample_weight": weights[i],
            "schedule": own[i], "rng": i + 5, "optimizer": own_optimizers[i],
        },
        **lists, sample_weights=weights, schedules=given, rngs=[i + 5 for i in range(n)],
        optimizers=optimizers, n_threads=n_threads,
    )  # fmt: skip
    for one, other in zip(optimizers, own_optimizers, strict=True):
        assert one.steps == other.steps > 0


def test_networks_of_all_kinds_in_one_call():
    X, y = data(60, "float64")
    networks = [
        *some_networks(9), *some_networks(9, dtype="float64"), *some_networks(2, (5, 4, 4, 1)),
        fcnn.Network((5, 1), loss="huber", rng=3), fcnn.Network((5, 600, 1), loss="squared_error"),
        fcnn.Network((5, 8, 3), loss="quantile", activation="tanh"),
        fcnn.Network((5, 8, 2), loss="gaussian_nll", activation="gelu"),
    ]  # fmt: skip
    networks[-1].rng, networks[-2].rng = np.random.default_rng(8), np.random.default_rng(9)
    both(networks, X, y, lambda i: {"epochs": 4}, epochs=4)


def test_labels_classes_and_smoothing():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 5)), rng.integers(3, size=80)
    networks = [fcnn.Network((5, 6, 3), rng=i) for i in range(9)]
    options = {"class_weight": "balanced", "label_smoothing": 0.1, "epochs": 3}
    both(networks, X, y, lambda i: options, **options)
    weights = [rng.uniform(0.5, 2, 80) for _ in networks]
    weights[4] = None
    both(
        networks, X, y, lambda i: {"class_weight": {1: 3.0}, "sample_weight": weights[i]},
        class_weight={1: 3.0}, sample_weights=weights,
    )  # fmt: skip


@pytest.mark.slow(reason="two times nine trainings of forty epochs")
def test_validation_and_early_stopping_of_each():
    X, y = data(200)
    X_held, y_held = data(60, seed=1)
    n = 9
    stops = [fcnn.EarlyStopping(patience=2 + i % 3) for i in range(n)]
    own = copy.deepcopy(stops)
    lrs = [0.05 * (i + 1) / n for i in range(n)]
    histories = both(
        some_networks(n), X, y,
        lambda i: {"epochs": 40, "validation": (X_held, y_held), "callbacks": [own[i]],
                   "optimizer": fcnn.Adam(lrs[i])},
        epochs=40, validation=(X_held, y_held), callbacks=[[stop] for stop in stops],
        optimizers=[fcnn.Adam(lr) for lr in lrs],
    )  # fmt: skip
    assert len({len(history.loss) for history in histories}) > 2
    assert all(
        a.best_epoch == b.best_epoch and a.stopped_epoch == b.stopped_epoch > 0
        for a, b in zip(stops, own, strict=True)
        if len(histories) and b.stopped_epoch
    )
    # For all: each network has a copy of its own.
    stop = fcnn.EarlyStopping(patience=3)
    both(
        some_networks(n), X, y,
        lambda i: {"epochs": 40, "validation": (X_held, y_held),
                   "callbacks": [fcnn.EarlyStopping(patience=3)]},
        epochs=40, validation=(X_held, y_held), callbacks=[stop],
    )  # fmt: skip
    assert stop.best is None


def test_other_optimizers_sparse_and_mapped_samples(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    X, y = data(120)
    both(some_networks(3), X, y, lambda i: {"optimizer": ["lm", "lbfgs", "adam"][i], "epochs": 3},
         optimizers=["lm", "lbfgs", "adam"], epochs=3)  # fmt: skip
    X[np.abs(X) < 1] = 0
    both(some_networks(9), sparse.csr_array(X), y, lambda i: {"epochs": 2}, epochs=2)
    path = tmp_path / "X.npy"
    np.save(path, np.random.default_rng(0).normal(size=(3000, 5)).astype("float32"))
    mapped = np.load(path, mmap_mode="r")
    y = np.asarray(mapped[:, :1]) ** 2
    both(some_networks(2), mapped, y, lambda i: {"epochs": 2}, epochs=2)


def test_memory_maps_larger_than_a_block(tmp_path, monkeypatch):
    import fcnn._data

    monkeypatch.setattr(fcnn._data, "BLOCK_BYTES", 24 * 500)
    path = tmp_path / "X.npy"
    np.save(path, np.random.default_rng(0).normal(size=(3000, 5)).astype("float32"))
    mapped = np.load(path, mmap_mode="r")
    y = np.asarray(mapped[:, :1]) ** 2
    both(some_networks(9), mapped, y, lambda i: {"epochs": 2}, epochs=2)
    both(some_networks(9), np.asarray(mapped), y, lambda i: {"epochs": 2, "dropout": 0.3},
         epochs=2, dropout=0.3)  # fmt: skip


def test_one_optimizer_is_copied_and_a_list_goes_on():
    X, y = data()
    template = fcnn.Adam(0.01)
    both(some_networks(), X, y, lambda i: {"optimizer": fcnn.Adam(0.01)}, optimizers=template)
    assert template.steps == 0
    networks, kept = some_networks(), [fcnn.Adam(0.01) for _ in range(10)]
    copies = [network.copy() for network in networks]
    for _ in range(2):
        fcnn.fit_many(networks, X, y, optimizers=kept, epochs=2)
    for network in copies:
        own = fcnn.Adam(0.01)
        for _ in range(2):
            network.fit(X, y, optimizer=own, epochs=2)
    for one, other in zip(networks, copies, strict=True):
        np.testing.assert_array_equal(one.parameters, other.parameters)


def test_rules_of_one_form_in_one_register():
    X, y = data()

    def rules():
        return [
            fcnn.Adam(0.01 * (i + 1), weight_decay=0.1) if i % 2
            else fcnn.AdamW(0.02, betas=(0.8, 0.9), weight_decay=0.1 * i)
            for i in range(10)
        ]  # fmt: skip

    own = rules()
    both(some_networks(), X, y, lambda i: {"optimizer": own[i]}, optimizers=rules())


def test_more_epochs_than_a_call_makes():
    X, y = data(20)
    both(some_networks(8), X, y, lambda i: {"epochs": 230}, epochs=230)


def test_a_seed_for_all():
    X, y = data()
    both(some_networks(), X, y, lambda i: {"rng": np.random.default_rng((4, i))}, rngs=4)


class Kept(list):
    """A callback that keeps what it is told."""

    def __call__(self, progress):
        self.append((progress.epoch, len(progress.history.loss), progress.network))
        return progress.epoch == 3

    def on_begin(self, progress):
        self.append("begin")

    def on_end(self, progress):
        self.append("end")


def test_callbacks_are_told_and_end_their_own_network():
    X, y = data()
    networks, kept = some_networks(3), [Kept() for _ in range(3)]
    histories = fcnn.fit_many(networks, X, y, epochs=[2, 3, 5], callbacks=[[one] for one in kept])
    assert [len(history.loss) for history in histories] == [2, 3, 3]
    for network, one, epochs in zip(networks, kept, (2, 3, 3), strict=True):
        assert one == ["begin", *((e, e, network) for e in range(1, epochs + 1)), "end"]


def test_a_network_that_diverges():
    X, y = data()
    lrs = [0.01] * 10
    lrs[3] = 1e30

    def train(**options):
        networks = some_networks()
        optimizers = [fcnn.SGD(lr) for lr in lrs]
        return networks, lambda: fcnn.fit_many(
            networks, X, y, optimizers=optimizers, epochs=3, **options
        )

    networks, call = train()
    with pytest.raises(fcnn.DivergenceError) as caught:
        call()
    assert any("networks[3], in epoch 1 of 3" in note for note in caught.value.__notes__)
    assert all(np.isfinite(network.parameters).all() for network in networks)
    networks, call = train(diverged="stop")
    with pytest.warns(RuntimeWarning, match=r"networks\[3\], in epoch 1 of 3"):
        histories = call()
    assert [len(history.loss) for history in histories] == [3] * 3 + [0] + [3] * 6
    others = [network for i, network in enumerate(some_networks()) if i != 3]
    for network, history in zip(others, [*histories[:3], *histories[4:]], strict=True):
        assert network.fit(X, y, optimizer=fcnn.SGD(0.01), epochs=3).loss == history.loss


def test_the_step_that_diverged_is_counted_from_the_call_on():
    X, y = data()
    networks = some_networks(3)
    optimizers = [fcnn.SGD(0.01) for _ in networks]
    fcnn.fit_many(networks, X, y, optimizers=optimizers, epochs=2, batch_size=30)
    assert [optimizer.steps for optimizer in optimizers] == [6] * 3
    networks[1].parameters[...] = 1e30
    alone, own = networks[1].copy(), fcnn.SGD(0.01)
    with pytest.raises(fcnn.DivergenceError, match=r"in step 1;") as expected:
        alone.fit(X, y, optimizer=own, epochs=1, batch_size=30)
    with pytest.raises(fcnn.DivergenceError) as caught:
        fcnn.fit_many(networks, X, y, optimizers=optimizers, epochs=1, batch_size=30)
    assert str(caught.value) == str(expected.value)


def refused(text, networks=None, X=None, y=None, kind=ValueError, **options):
    """Expect a refusal; nothing is changed."""
    networks = some_networks(3) if networks is None else networks
    right = data()
    X, y = right[0] if X is None else X, right[1] if y is None else y
    before = [n.parameters.copy() for n in networks if isinstance(n, fcnn.Network)]
    with pytest.raises(kind, match=text):
        fcnn.fit_many(networks, X, y, **options)
    for network, parameters in zip(
        (n for n in networks if isinstance(n, fcnn.Network)), before, strict=True
    ):
        np.testing.assert_array_equal(network.parameters, parameters)


def test_what_is_refused():
    one = some_networks(1)[0]
    refused("networks: expected at least one", [])
    refused(r"networks\[1\]: expected an fcnn.Network, got int", [one, 3], kind=TypeError)
    refused("networks: entries 0 and 2 are the same network", [one, some_networks(2)[1], one])
    refused(r"networks\[1\]: expected 5 inputs, as networks\[0\] has, got 4",
            [one, fcnn.Network((4, 1), loss="squared_error")])  # fmt: skip
    refused(r"networks\[1\]: expected 1 targets", [one, fcnn.Network((5, 2), loss="huber")])
    optimizer = fcnn.Adam()
    refused("optimizers: entries 0 and 2 are the same optimizer",
            optimizers=[optimizer, None, optimizer])  # fmt: skip
    used = fcnn.Adam()
    some_networks(1)[0].fit(*data(), optimizer=used, epochs=1)
    refused("optimizers: .*has made 3 steps", optimizers=used)
    new = fcnn.Adam()
    refused("state of another network.*networks.1.", optimizers=[new, used, None])
    assert not new._state
    for name in ("epochs", "batch_size", "l1", "l2", "clip_norm", "dropout", "label_smoothing",
                 "trainable", "optimizers", "schedules", "sample_weights", "rngs"):  # fmt: skip
        refused(rf"{name}: expected one for all, or a list with one for each of 3 networks, got a "
                "list of 2", **{name: [None, None]})  # fmt: skip
    refused("callbacks: .* list of 2", callbacks=[[], []])
    refused("l2: .*got -1.*networks.2.", l2=[0.0, 0.0, -1.0])
    refused("epochs: .*", epochs=0)
    refused("dropout: .*", dropout=(0.1, 0.2, 0.3))
    refused("label_smoothing: it goes with", label_smoothing=0.1)
    refused("rngs: expected a number", rngs=np.random.default_rng(0))
    generator = np.random.default_rng(0)
    refused("rngs: entries 0 and 1 are the same generator", rngs=[generator, generator, 3])
    shared = [fcnn.Network((5, 3, 1), loss="squared_error", rng=generator) for _ in range(3)]
    refused("rngs: entries 0 and 1 are the same generator", shared)
    bits = np.random.PCG64(0)
    refused("rngs: entries 0 and 2 are the same generator",
            rngs=[np.random.Generator(bits), 3, np.random.Generator(bits)])  # fmt: skip
    plateau = schedules.Plateau()
    refused("schedules: entries 0 and 1 are the same schedule",
            schedules=[plateau, (plateau, schedules.Cosine()), None])  # fmt: skip
    stop = fcnn.EarlyStopping()
    refused("callbacks: entries 0 and 2 are the same callback", callbacks=[[stop], [], [stop]])
    refused("ModelCheckpoint for all", callbacks=[fcnn.ModelCheckpoint("x")])
    refused("ModelCheckpoints of networks.0. and networks.2. write to one file, .*x",
            callbacks=[[fcnn.ModelCheckpoint("x")], [fcnn.ModelCheckpoint("y")],
                       [fcnn.ModelCheckpoint("./x")]])  # fmt: skip
    for wrong in (fcnn.Adam, 0.01, [None, fcnn.Adam, fcnn.Adam], [3, 3, 3], {"lr": 0.1}):
        refused("optimizer: expected fcnn.SGD", optimizers=wrong, kind=TypeError)
    refused("callbacks: expected functions", callbacks=[fcnn.EarlyStopping], kind=TypeError)
    refused("callbacks: expected functions.*callbacks.0.",
            callbacks=[[fcnn.EarlyStopping], [fcnn.EarlyStopping], []], kind=TypeError)  # fmt: skip
    refused("schedule: expected one of", schedules=schedules.Cosine, kind=TypeError)
    refused("schedule: expected one of.*schedules.0.",
            schedules=[schedules.Plateau, schedules.Plateau, None], kind=TypeError)  # fmt: skip
    refused(r"callbacks\[1\]: expected a list", callbacks=[[], stop, []], kind=TypeError)
    refused("sample_weights.1.: .*", sample_weights=[None, np.ones(3), None])
    refused("sample_weights: expected shape", sample_weights=np.ones((1, 3, 90)))
    refused("diverged: ", diverged="ignore")
    refused("n_threads: ", n_threads=0)
    refused("X: ", X=np.full((90, 5), np.nan))
    refused("y: ", y=np.zeros((90, 2)))
    refused("validation X: ", validation=(np.zeros((3, 4)), np.zeros((3, 1))))
    with pytest.raises(TypeError, match="y: expected targets, got None"):
        fcnn.fit_many([one], [(np.zeros((3, 5)), np.zeros((3, 1)))], None)


def test_features_of_each_are_compared_with_a_frames_columns():
    pandas = pytest.importorskip("pandas")
    X, y = data()
    frame = pandas.DataFrame(X, columns=[*"abcde"])
    networks = some_networks(3)
    for network, names in zip(networks, ("abcde", "abced", None), strict=True):
        network.features = None if names is None else [*names]
    refused("X: expected the network's features as columns, in this order: 'a', 'b', 'c', 'e'",
            networks, frame, y)  # fmt: skip
    networks[1].features = [*"abcde"]
    fcnn.fit_many(networks, frame, y, epochs=1)
    networks[1].features = [*"abced"]
    refused("validation X: expected the network's features", networks, X, y,
            validation=(frame, y))  # fmt: skip


def test_masked_weights_of_each_are_refused():
    weights = np.ma.array(np.ones((3, 90)), mask=np.eye(3, 90))
    refused("sample_weights.0.: expected an array without masked", sample_weights=weights)


def test_what_may_be_shared():
    X, y = data()
    generator = np.random.default_rng(0)
    shared = [fcnn.Network((5, 3, 1), loss="squared_error", rng=generator) for _ in range(3)]
    both(shared, X, y, lambda i: {"shuffle": False}, shuffle=False)
    cosine = schedules.Cosine()
    both(some_networks(3), X, y, lambda i: {"schedule": cosine}, schedules=[cosine] * 3)
    seen = []
    both(some_networks(3), X, y, lambda i: {}, callbacks=[[lambda p: seen.append(p)]] * 3)
    assert len(seen) == 30


def test_progress(capsys):
    pytest.importorskip("tqdm")
    X, y = data()
    networks = some_networks(3)
    fcnn.fit_many(networks, X, y, epochs=[1, 2, 3], progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "networks=0" in shown
    assert "mean loss=" in shown


@pytest.mark.slow(reason="waits, and trains again what was trained")
@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("sizes", "rows", "count"),
    # Of the last an epoch is two steps: a thread may see the end of all between two of them.
    [((5, 7, 1), 20_000, 16), ((5, 300, 300, 1), 20_000, 2), ((5, 7, 1), 64, 32)],
)
def test_ctrl_c_ends_all_soon_behind_whole_updates(sizes, rows, count, n_threads):
    """As many as threads, so that the calling one may have nothing left to do but to listen."""
    X, y = data(rows)
    networks = some_networks(count, sizes)
    optimizers = [fcnn.Adam(1e-4) for _ in networks]
    copies = [network.copy() for network in networks]
    begin = time.process_time()  # of a machine that has other work, too
    with (
        interrupted(begun=lambda: time.process_time() > begin + 0.3) as sent,
        pytest.raises(KeyboardInterrupt),
    ):
        fcnn.fit_many(networks, X, y, optimizers=optimizers, epochs=10**6, shuffle=False,
                      n_threads=n_threads)  # fmt: skip
    assert time.perf_counter() - sent[0] < 5.0
    batches = -(-len(X) // 32)
    assert sum(optimizer.steps for optimizer in optimizers) > 0
    each = list(zip(networks, optimizers, copies, strict=True))
    for network, optimizer, other in each[:2] + each[2:][-1:]:
        own = fcnn.Adam(1e-4)
        epochs, steps = divmod(optimizer.steps, batches)
        if epochs:
            other.fit(X, y, optimizer=own, epochs=epochs, shuffle=False)
        if steps:
            other.fit(X[: steps * 32], y[: steps * 32], optimizer=own, epochs=1, shuffle=False)
        assert own.steps == optimizer.steps
        np.testing.assert_array_equal(network.parameters, other.parameters)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_is_heard_between_short_epochs(n_threads):
    """A call of the core makes 100 epochs of each; none of them is long enough to look within."""
    X, y = data(20_000)
    networks = [
        fcnn.Network((5, width, 1), activation, loss="squared_error", rng=0)
        for width in range(2, 10) for activation in ("identity", "relu", "sigmoid", "tanh")
    ]  # fmt: skip
    optimizers = [fcnn.Adam(1e-4) for _ in networks]
    live, before = networks[0].parameters, networks[0].parameters.copy()
    with (
        interrupted(begun=lambda: not np.array_equal(live, before)),
        pytest.raises(KeyboardInterrupt),
    ):
        fcnn.fit_many(
            networks, X, y, epochs=10**6, batch_size=32, optimizers=optimizers, n_threads=n_threads
        )
    of_the_call = 100 * 625 * len(networks)
    assert 0 < sum(optimizer.steps for optimizer in optimizers) < of_the_call // 2


@pytest.mark.slow(reason="waits until the calling thread has nothing left to do but to listen")
@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
def test_ctrl_c_is_heard_by_a_thread_without_work():
    X, y = data(3_200)
    networks = [*some_networks(1, (5, 2, 1)), *some_networks(1, (5, 300, 300, 1))]
    optimizers = [fcnn.Adam(1e-4) for _ in networks]
    begin = time.process_time()
    with (
        interrupted(begun=lambda: time.process_time() > begin + 0.4),
        pytest.raises(KeyboardInterrupt),
    ):
        fcnn.fit_many(networks, X, y, optimizers=optimizers, epochs=[100, 10**6], n_threads=2)
    assert 0 < optimizers[1].steps < 100 * 100 // 2  # what a call of the core makes


@pytest.mark.slow(reason="five times twenty epochs of nine networks")
def test_many_networks_in_threads_of_python():
    """Calls at the same time do not meet: each network is in one of them."""
    X, y = data()
    groups = [some_networks(9) for _ in range(4)]
    expected = some_networks(9)
    fcnn.fit_many(expected, X, y, epochs=20)
    threads = [
        threading.Thread(target=fcnn.fit_many, args=(networks, X, y), kwargs={"epochs": 20})
        for networks in groups
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for networks in groups:
        for one, other in zip(networks, expected, strict=True):
            np.testing.assert_array_equal(one.parameters, other.parameters)


def test_nothing_is_warned_of():
    X, y = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fcnn.fit_many(some_networks(), X, y)


def test_a_range_or_a_tuple_has_one_entry_for_each():
    """The seeds of many networks are a range; of dropout alone a tuple has one for each layer."""
    X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    y = X.sum(axis=1, keepdims=True)

    def trained(**options):
        networks = [fcnn.Network((3, 4, 1), loss="squared_error", rng=i) for i in range(3)]
        histories = fcnn.fit_many(networks, X, y, **options)
        return [network.parameters for network in networks], [len(h.loss) for h in histories]

    want = trained(rngs=[5, 6, 7], epochs=[1, 2, 3], batch_size=[8, 16, None], l2=[0, 0.1, 0.2])
    for some in (
        {"rngs": range(5, 8), "epochs": range(1, 4)},
        {"rngs": (5, 6, 7), "epochs": (1, 2, 3)},
        {"rngs": np.arange(5, 8), "epochs": np.arange(1, 4)},
    ):
        found = trained(batch_size=(8, 16, None), l2=(0, 0.1, 0.2), **some)
        np.testing.assert_array_equal(found[0], want[0])
        assert found[1] == want[1] == [1, 2, 3]
    with pytest.raises(ValueError, match="rngs: expected one for all, or a list with one for each"):
        trained(rngs=range(2))
