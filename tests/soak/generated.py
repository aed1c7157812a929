"""Any argument to any public method: a result, or a refusal that names it and changes nothing."""

import contextlib
import tempfile
import warnings

import numpy as np
import scipy.sparse

import fcnn

from .common import goes_on

ISSUED = (ValueError, TypeError, fcnn.DivergenceError, OverflowError)


def anything(rng):
    """Return a value of any kind."""
    shape = tuple(int(n) for n in rng.integers(0, 6, size=rng.integers(0, 4)))
    dtype = rng.choice(["f4", "f8", "f2", "i4", "i8", "u8", "?", ">f8", "c8", "U2", "O", "g"])
    values = [
        lambda: None, lambda: True, lambda: int(rng.integers(-3, 9)), lambda: 10**30,
        lambda: float(rng.normal()), lambda: np.nan, lambda: np.inf, lambda: -0.0, lambda: 1e-320,
        lambda: "relu", lambda: "", lambda: "x" * 40, lambda: b"ab", lambda: (), list,
        dict, lambda: {"a": 1}, lambda: object(), lambda: [[1, 2], [3]], lambda: {1, 2},
        lambda: np.float32(2), lambda: lambda *_: None, lambda: range(4), lambda: iter([1.0]),
        lambda: fcnn.Adam(), lambda: fcnn.SGD(0.1), lambda: np.random.default_rng(0),
        lambda: slice(None), lambda: Ellipsis, lambda: NotImplemented, lambda: 1j, lambda: "adam",
        lambda: np.ma.masked_array([1.0, 2.0], [True, False]), lambda: np.datetime64("now"),
        lambda: [rng.normal(size=4).tolist() for _ in range(3)], lambda: [0, 1, 2, 0, 1],
        lambda: _array(rng, shape, dtype), lambda: _array(rng, (5, 4), dtype),
        lambda: _array(rng, (5, 3), dtype), lambda: _array(rng, (5,), dtype),
        lambda: _array(rng, (5, 4), "f8") * 1e300, lambda: _array(rng, (5, 4), "f4").T,
        lambda: scipy.sparse.csr_array(_array(rng, (5, 4), "f4")),
        lambda: scipy.sparse.coo_array(_array(rng, (4, 4), "f8")),
        lambda: np.broadcast_to(np.float32(1), (5, 4)), lambda: np.array([[{}] * 4] * 5),
    ]  # fmt: skip
    return values[rng.integers(len(values))]()


def _array(rng, shape, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (rng.normal(size=shape) * rng.choice([1, 3, 1e5])).astype(dtype)


def right(rng, what):
    """Return a value that is right, so that what is wrong beside it is reached."""
    return {
        "X": lambda: rng.normal(size=(5, 4)).astype("f4"), "y": lambda: rng.integers(3, size=5),
        "sample_weight": lambda: None, "optimizer": lambda: fcnn.Adam(), "n_threads": lambda: 1,
        "epochs": lambda: 1, "batch_size": lambda: 2, "v": lambda: np.ones((5, 3)),
        "u": lambda: np.ones((5, 4)), "gradient": lambda: np.ones(47, "f4"), "out": lambda: None,
        "sizes": lambda: (4, 5, 3), "activation": lambda: "tanh", "loss": lambda: None,
    }[what]()  # fmt: skip


METHODS = {
    "predict": ("X", "out", "n_threads"), "__call__": ("X", "out", "n_threads"),
    "trace": ("X", "y", "sample_weight"), "gradients": ("X", "y", "sample_weight", "n_threads"),
    "check_gradients": ("X", "y", "sample_weight"), "evaluate": ("X", "y", "sample_weight"),
    "train_step": ("X", "y", "optimizer", "sample_weight"), "jacobian": ("X",), "vjp": ("X", "v"),
    "jvp": ("X", "u"), "hvp": ("X", "v", "u"), "sample_gradients": ("X", "y"),
    "fit": ("X", "y"), "save": (), "update": ("gradient",),
}  # fmt: skip
KEYWORDS = {
    "fit": ("epochs", "batch_size", "optimizer", "sample_weight", "validation", "callbacks",
            "shuffle", "rng", "progress", "n_threads", "l1", "l2", "clip_norm", "dropout",
            "label_smoothing", "class_weight", "schedule", "loss", "resume", "reduce"),
    "train_step": ("n_threads", "loss", "of"), "gradients": ("loss", "of", "delta", "out"),
    "save": ("path",), "update": ("l1", "l2", "clip_norm"),
}  # fmt: skip
ATTRIBUTES = ("parameters", "weights", "biases", "rng", "features", "classes")
RATES = ("lr", "momentum", "weight_decay", "beta1", "nesterov")


def attempt(rng, net, optimizer):
    """Call something with arguments of which some are wrong; return what it is called."""
    kind = rng.integers(20)
    if kind == 0:
        name = ATTRIBUTES[rng.integers(len(ATTRIBUTES))]
        return f"net.{name} = ...", lambda: setattr(net, name, anything(rng))
    if kind == 1:
        words = {k: anything(rng) for k in ("activation", "loss", "dtype", "init", "rng")
                 if rng.random() < 0.3}  # fmt: skip
        sizes = anything(rng) if rng.random() < 0.3 else (4, 3, 2)
        return f"Network({sizes!r:.60}, {words!r:.200})", lambda: fcnn.Network(sizes, **words)
    if kind == 2:
        make = [fcnn.SGD, fcnn.Adam, fcnn.AdamW][rng.integers(3)]
        words = {RATES[rng.integers(len(RATES))]: anything(rng)}
        return f"{make.__name__}({words!r:.200})", lambda: make(**words)
    if kind == 3:
        return "fcnn.load", lambda: fcnn.load(anything(rng))
    name = list(METHODS)[rng.integers(len(METHODS))]
    arguments = [anything(rng) if rng.random() < 0.35 else right(rng, a) for a in METHODS[name]]
    keywords = {k: anything(rng) for k in KEYWORDS.get(name, ())
                if rng.random() < (0.12 if name == "fit" else 0.4)}  # fmt: skip
    if name == "fit":
        keywords.setdefault("epochs", 1)
    call = getattr(net, name, None)
    if name == "update":
        call, arguments = optimizer.update, [net, *arguments]
    shown = ", ".join(f"{a!r:.80}" for a in arguments)
    return f"{name}({shown}, {keywords!r:.300})", lambda: call(*arguments, **keywords)


def state_of(net, optimizer):
    state = [s.tobytes() for s in optimizer.state(net)]
    return net.parameters.tobytes(), optimizer.steps, state


def run(size, seed):
    # "adam" is a file to `save`.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return run_here(size, seed)


def run_here(size, seed):
    warnings.simplefilter("ignore")
    refused = 0
    for i in range(size):
        goes_on()
        rng = np.random.default_rng([seed, i])
        net = fcnn.Network((4, 5, 3), ["tanh", "relu"][i % 2], rng=1,
                           dtype=["float32", "float64"][i // 2 % 2])  # fmt: skip
        optimizer = fcnn.Adam()
        optimizer.update(net, np.ones(net.num_parameters, net.dtype))
        before, message = state_of(net, optimizer), "made"
        what, call = attempt(rng, net, optimizer)
        try:
            call()
        except ISSUED as error:
            refused += 1
            message = str(error)
        except (OSError, ImportError):
            refused += 1
        except BaseException:
            print(f"call {i}: {what}", flush=True)
            raise
        assert message, f"call {i}: {what}: no message"
        # A training may have made some steps before a callback or a batch was wrong.
        if message != "made" and not what.startswith("fit("):
            assert state_of(net, optimizer) == before, f"call {i}: {what}: changed"
        assert np.isfinite(net.parameters).all() or "parameters" in what or "=" in what, what
    return f"{size} calls of any kind: {refused} refused by a message, {size - refused} made"
