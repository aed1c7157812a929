"""What the ranks of tests/test_mpi.py do: ``mpiexec -n N python tests/mpi_ranks.py WHAT FOLDER``.

Rank 0 writes what each rank returned to FOLDER/answers.json.
"""

import hashlib
import json
import os
import signal
import sys
import time
import types
from pathlib import Path

import numpy as np
from mpi4py import MPI

import fcnn
from fcnn import _data
from fcnn.parallel import Reducer, _session, _sums

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
SIZES = (6, 20, 9, 3)


def samples(rows, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, SIZES[0])).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] * X[:, 2] > 0.3)
    return X, y, rng.uniform(0.2, 2, rows).astype(np.float32)


def digest(network, optimizer):
    state = [network.parameters, *optimizer._state]
    return hashlib.sha256(b"".join(v.tobytes() for v in state)).hexdigest()[:16]


def network(dtype="float32"):
    # Every rank begins with other weights: those of rank 0 count.
    return fcnn.Network(SIZES, ("tanh", "relu"), dtype=dtype, rng=rank)


OPTIMIZERS = {
    "sgd": lambda: fcnn.SGD(0.2),
    "momentum": lambda: fcnn.SGD(0.1, momentum=0.9),
    "adam": lambda: fcnn.Adam(0.01),
}
OPTIONS = {
    "plain": {},
    "weights": {"weighted": True},
    "more": {
        "dropout": 0.2, "l2": 0.01, "clip_norm": 0.8, "weighted": True, "dtype": "float64",
        "schedule": fcnn.schedules.Plateau(patience=1),
    },
    "few": {"samples": 45},  # batches of less than a panel, shards without a row
    # Steps enough to move weights into panels, where ranks of one machine share them.
    "panels": {"samples": 587},
    "panels more": {
        "samples": 587, "l2": 0.01, "dropout": 0.2, "weighted": True,
        "schedule": fcnn.schedules.Plateau(patience=1),
    },
    "panels clipped": {"samples": 587, "clip_norm": 0.8, "l1": 0.001, "dtype": "float64"},
    "panels frozen": {"samples": 587, "trainable": {1: False}},
    "frozen": {"trainable": {1: False}},
}  # fmt: skip


def train(deterministic, shared_memory, name, option, epochs=3):
    """Train on replicated rows in batches of 64, of which the last is ragged: 203 = 3 * 64 + 11."""
    options = dict(OPTIONS[option])
    X, y, weight = samples(options.pop("samples", 203))
    X_held, y_held, _ = samples(61, seed=1)
    net, optimizer = network(options.pop("dtype", "float32")), OPTIMIZERS[name]()
    if not options.pop("weighted", False):
        weight = None
    reducer = Reducer(comm, deterministic, replicated=True, shared_memory=shared_memory)
    history = net.fit(
        X, y, sample_weight=weight, epochs=epochs, batch_size=64 // size, optimizer=optimizer,
        rng=3 + rank, validation=(X_held, y_held), reduce=reducer,
        n_threads=2 if size == 1 else 1, **options,  # no bit depends on it
    )  # fmt: skip
    curves = [history.loss, history.validation_loss, history.validation_score]
    return net, [digest(net, optimizer), curves]


def bits():
    found = {}
    for name in OPTIMIZERS:
        for option in OPTIONS:
            if option in ("plain", "few") or name != "momentum":
                for shared in (True, False):
                    found[f"{name} {option} {shared}"] = train(True, shared, name, option)[1]
    return found


def rounding():
    """How far the default is from one process on the same batches, relative."""
    found = {}
    for option in OPTIONS:
        for shared in (True, False):
            net, (of_all, curves) = train(False, shared, "adam", option)
            options = dict(OPTIONS[option])
            X, y, weight = samples(options.pop("samples", 203))
            X_held, y_held, _ = samples(61, seed=1)
            alone = fcnn.Network(
                SIZES, ("tanh", "relu"), dtype=options.pop("dtype", "float32"), rng=0
            )
            history = alone.fit(
                X, y, sample_weight=weight if options.pop("weighted", False) else None, epochs=3,
                batch_size=64, optimizer=OPTIMIZERS["adam"](), rng=3, validation=(X_held, y_held),
                **options,
            )  # fmt: skip
            norm = np.linalg.norm(alone.parameters)
            found[f"{option} {shared}"] = [
                float(np.linalg.norm(net.parameters - alone.parameters) / norm),
                float(np.abs(np.subtract(curves[0], history.loss)).max()),
                float(np.abs(np.subtract(curves[1], history.validation_loss)).max()),
                float(np.abs(np.subtract(curves[2], history.validation_score)).max()),
                of_all,
            ]
    return found


def own_rows():
    """Rows of each rank's own, of all kinds, beside train_step on the concatenated batches."""
    counts = [37 + 29 * k for k in range(size)]
    parts = [samples(count, seed=10 + k) for k, count in enumerate(counts)]
    X, y, weight = parts[rank]
    held = [samples(11 + 5 * k, seed=20 + k)[:2] for k in range(size)]
    batches = [
        [tuple(a[i : i + 16] for a in part) for i in range(0, len(part[0]), 16)] for part in parts
    ]
    truth = fcnn.Network(SIZES, ("tanh", "relu"), rng=0)
    optimizer, losses = fcnn.Adam(0.01), []
    for _ in range(2):
        total = share = 0.0
        for i in range(max(map(len, batches))):
            some = [of_rank[i] for of_rank in batches if i < len(of_rank)]
            X_all, y_all, w_all = (np.concatenate(a) for a in zip(*some, strict=True))
            w = float(w_all.sum(dtype=np.float64))
            total += truth.train_step(X_all, y_all, optimizer, w_all) * w
            share += w
        losses.append(total / share)
    found = truth.evaluate(*(np.concatenate(a) for a in zip(*held, strict=True)))
    value, score = found["loss"], found["accuracy"]

    class Mapped:
        """A file of rows, read in blocks of 32."""

        def __enter__(self):
            path = Path(sys.argv[2], f"rows{rank}.npy")
            np.save(path, X)
            self.before, _data.BLOCK_BYTES = _data.BLOCK_BYTES, 32 * (SIZES[0] + SIZES[-1]) * 4
            return np.load(path, mmap_mode="r")

        def __exit__(self, *_):
            _data.BLOCK_BYTES = self.before

    def trained(inputs, targets, **options):
        net, optimizer = network(), fcnn.Adam(0.01)
        history = net.fit(
            inputs, targets, epochs=2, batch_size=16, optimizer=optimizer, shuffle=False,
            validation=held[rank], **options,
        )  # fmt: skip
        far = float(np.linalg.norm(net.parameters - truth.parameters))
        return [
            far / float(np.linalg.norm(truth.parameters)),
            float(np.abs(np.subtract(history.loss, losses)).max()),
            abs(history.validation_loss[-1] - value), abs(history.validation_score[-1] - score),
            digest(net, optimizer),
        ]  # fmt: skip

    found = {"arrays": trained(X, y, sample_weight=weight, comm=comm)}
    by_messages = Reducer(comm, shared_memory=False)
    found["messages"] = trained(X, y, sample_weight=weight, reduce=by_messages)
    found["iterables"] = trained(batches[rank], None, comm=comm)
    found["a function"] = trained(lambda: iter(batches[rank]), None, comm=comm)
    with Mapped() as stored:
        found["memory maps"] = trained(stored, y, sample_weight=weight, comm=comm)
        mixed = stored if rank == 0 else X
        found["a map and arrays"] = trained(mixed, y, sample_weight=weight, comm=comm)
    try:
        import scipy.sparse

        mixed = scipy.sparse.csr_array(X) if rank == 0 else X
        found["a sparse matrix and arrays"] = trained(mixed, y, sample_weight=weight, comm=comm)
    except ImportError:
        pass
    mixed = (batches[rank], None) if rank == 0 else (X, y)
    weights = {} if rank == 0 else {"sample_weight": weight}
    found["batches and arrays"] = trained(*mixed, comm=comm, **weights)
    return found


def around():
    """Callbacks, what they change, shuffling, printing: of rank 0, for all."""
    X, y, _ = samples(50 + 7 * rank, seed=rank)
    called, lrs = [], []

    class Changing:
        def on_begin(self, progress):
            called.append("begin")

        def __call__(self, progress):
            called.append(progress.epoch)
            lrs.append(progress.history.learning_rate[-1])
            progress.optimizer.lr /= 2
            progress.network.parameters[:5] = progress.epoch
            return progress.epoch == 3

        def on_end(self, progress):
            called.append("end")
            progress.network.biases[-1][0] = 7

    net, optimizer = network(), fcnn.Adam(0.01)
    net.rng = np.random.default_rng(rank)
    history = net.fit(
        X, y, epochs=9, batch_size=8, optimizer=optimizer, callbacks=[Changing()], comm=comm,
        validation=samples(20, seed=5)[:2], progress=True,
    )  # fmt: skip
    return {
        "called": called, "lr": history.learning_rate, "bias": float(net.biases[-1][0]),
        "epochs": len(history.loss), "digest": digest(net, optimizer), "lr after": optimizer.lr,
        "history": [history.loss, history.validation_loss, history.seconds],
        "next": int(net.rng.integers(1 << 30)),
    }  # fmt: skip


def refusals():
    """What is refused: each rank's error, and how long it took."""
    X, y, _ = samples(40, seed=rank)
    odd = rank == size - 1
    found = {}

    def attempt(name, sizes=SIZES, data=None, reducer=None, **options):
        net = fcnn.Network(sizes, rng=0)
        before = net.parameters.copy()
        began = time.perf_counter()
        try:
            inputs, targets = (X, y) if data is None else data
            given = {"comm": comm} if reducer is None else {"reduce": reducer}
            net.fit(inputs, targets, **{**given, "epochs": 2, "batch_size": 8, **options})
            found[name] = ["nothing", "", 0.0, True]
        except BaseException as error:
            same = bool(np.array_equal(net.parameters, before))
            text = f"{error} {' '.join(getattr(error, '__notes__', ()))}"
            found[name] = [type(error).__name__, text, time.perf_counter() - began, same]

    def raising(what, when):
        def callback(progress):
            if progress.epoch == when:
                raise what("by the callback")

        return callback

    def source():
        for i in range(5):
            if odd and i == 2:
                raise OSError("the disk is gone")
            yield X[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]

    attempt("sizes", sizes=(*SIZES[:2], 10 if odd else 9, 3))
    attempt("batch_size", batch_size=9 if odd else 8)
    attempt("optimizer", optimizer=fcnn.Adam(0.02 if odd else 0.01))
    attempt("epochs", epochs=3 if odd else 2)
    attempt("l2", l2=0.1 if odd else 0.0)
    attempt("validation", validation=(X, y) if odd else None)
    attempt("X", data=(np.full_like(X, np.nan) if odd else X, y))
    attempt("no rows", data=(X[:0] if odd else X, y[:0] if odd else y))
    attempt("callback", callbacks=[raising(ValueError, 1)])
    attempt("interrupt", callbacks=[raising(KeyboardInterrupt, 2)])
    attempt("iterable", data=(source, None))
    attempt("resume", resume="nowhere.safetensors")
    attempt("lbfgs", optimizer=fcnn.LBFGS())
    attempt("loss", loss=lambda a, y: (0.0, a))
    attempt("balanced", class_weight="balanced")
    attempt("diverges", optimizer=fcnn.SGD(1e30), data=(1e6 * X, y))
    attempt("infinite on one", optimizer=fcnn.SGD(1e-3), data=(
        np.where(odd, np.float32(3e38), np.float32(1)) * np.ones_like(X), y))  # fmt: skip
    # What is equal is the same, in whatever order and of whatever kind it is said.
    attempt("equal dicts", class_weight={0: 2, 1: 1} if odd else {1: 1.0, np.int64(0): 2})
    attempt("other dicts", class_weight={0: 2, 1: 3 if odd else 1})
    attempt("shuffle", reducer=Reducer(comm, True))
    uneven = 40 if odd else 33
    attempt("uneven", reducer=Reducer(comm, True), shuffle=False, data=(X[:uneven], y[:uneven]))
    attempt("other rows", reducer=Reducer(comm, replicated=True))
    freed = Reducer(comm)
    for _ in range(2):
        freed.free()
    attempt("freed", reducer=freed)
    attempt("still works")
    return found


def leaks():
    """What is left of trainings that are refused, raise on one rank, or end well."""
    X, y, _ = samples(40, seed=rank)
    odd, made, windows, ended = rank == size - 1, [], [], []

    class Kept(Reducer):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            made.append(self)

    class KeptSum(_sums.SharedSum):
        def __init__(self, *given):
            super().__init__(*given)
            windows.append(self)

    def stop(progress):
        raise OSError("the disk is full")

    fcnn.parallel.Reducer, _sums.SharedSum = Kept, KeptSum
    for options in ({"batch_size": 9 if odd else 8}, {"callbacks": [stop]}, {}):
        try:
            network().fit(X, y, epochs=1, comm=comm, **options)
            ended.append("well")
        except (ValueError, OSError, fcnn.parallel.RankError) as error:
            ended.append(type(error).__name__)
    return {
        "ended": ended, "communicators": [one._comm is None for one in made],
        "windows": [one._window == one._head == MPI.WIN_NULL for one in windows],
    }  # fmt: skip


def interrupted():
    """SIGINT for one rank within its steps, and between them: all stop, with the same parameters.

    Of few rows nearly all of the time is that of Python between the steps.
    """
    answers = []
    begin = _session.SharedRunner.begin

    def begin_and_wait(self):
        begin(self)  # from here on all have the same parameters
        if rank == size - 1:
            signal.setitimer(signal.ITIMER_REAL, later)

    _session.SharedRunner.begin = begin_and_wait
    later = 0.0
    for after, rows in ((1.0, 4000), *((0.1 + 0.013 * i, 8) for i in range(8))):
        later, (X, y, _) = after, samples(rows, seed=rank)
        net, optimizer = network(), fcnn.Adam(0.001)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        began = time.perf_counter()
        try:
            net.fit(X, y, epochs=100_000, batch_size=4, optimizer=optimizer, comm=comm, n_threads=1)
            answers.append(["nothing"])
        except BaseException as error:
            answers.append([type(error).__name__, str(error), time.perf_counter() - began,
                            digest(net, optimizer), optimizer.steps])  # fmt: skip
    return answers


def interrupted_at_the_beginning():
    """SIGINT for one rank while the communicator is made, which takes Open MPI long."""

    class Interrupted(Reducer):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            if rank == size - 1:
                os.kill(os.getpid(), signal.SIGINT)

    fcnn.parallel.Reducer, answers = Interrupted, []
    for _ in range(2):  # the second shows that the ranks are still in step
        try:
            network().fit(*samples(40)[:2], epochs=1, comm=comm)
            answers.append("nothing")
        except BaseException as error:
            answers.append(f"{type(error).__name__}: {error}")
    return answers


def dies():
    """One rank is gone, without a word."""
    X, y, _ = samples(40, seed=rank)

    def source():
        for i in range(5):
            if rank == size - 1 and i == 2:
                how = sys.argv[3]
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif how == "exit":
                    os._exit(3)
                elif how == "memory":  # before the first sum, in which the others wait

                    def exchange_steps(*given, **options):
                        raise MemoryError("by the test")

                    _session.core = types.SimpleNamespace(
                        **{**vars(_session.core), "exchange_steps": exchange_steps}
                    )
                    yield X[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]
                raise SystemExit(5)
            yield X[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]

    if sys.argv[3] == "outside" and rank == size - 1:
        raise ValueError("before the training")
    network().fit(source, epochs=2, comm=comm)


def checkpointed():
    """A training that is killed in its fifth epoch, while the file is written, or is resumed."""
    path = Path(sys.argv[2], "training.safetensors")
    X, y, _ = samples(203)
    net, optimizer = network(), fcnn.Adam(0.01)

    class Kill:
        def __call__(self, progress):
            if sys.argv[3] == "killed" and progress.epoch == 5:
                half = path.read_bytes()[: path.stat().st_size // 2]
                Path(f"{path}.half").write_bytes(half)
                os.kill(os.getpid(), signal.SIGKILL)

    callbacks = [Kill(), fcnn.ModelCheckpoint(path), fcnn.EarlyStopping("loss", patience=50)]
    if sys.argv[3] == "whole":
        callbacks = callbacks[2:]
    resume = {"resumed": path, "half": f"{path}.half"}.get(sys.argv[3])
    deterministic = sys.argv[4] == "deterministic"
    # Of its own rows each rank has a part; with two ranks those are the same in both runs.
    rows = slice(None) if deterministic else slice(rank, None, size)
    net.fit(
        X[rows], y[rows], epochs=8, batch_size=64 // size, optimizer=optimizer, rng=3,
        callbacks=callbacks, resume=resume, schedule=fcnn.schedules.Cosine(),
        reduce=Reducer(comm, deterministic, replicated=deterministic), dropout=0.1,
    )  # fmt: skip
    return [digest(net, optimizer), optimizer.steps]


def accuracy():
    """The bundled digits: accuracy of all ranks together, and of one process."""
    X, y = fcnn.datasets.load_digits()
    X = (X.reshape(len(X), -1) / X.max()).astype(np.float32)
    held = np.arange(len(X)) % 5 == 0
    found = []
    for reducer in (None, Reducer(comm, replicated=True)):
        net = fcnn.Network((X.shape[1], 64, 10), rng=0)
        net.fit(
            X[~held], y[~held], epochs=15, batch_size=64 // (size if reducer else 1), rng=0,
            reduce=reducer,
        )  # fmt: skip
        found.append(net.evaluate(X[held], y[held])["accuracy"])
    return found


if __name__ == "__main__":
    answers = comm.gather(globals()[sys.argv[1]]())
    if rank == 0:
        Path(sys.argv[2], "answers.json").write_text(json.dumps(answers))
