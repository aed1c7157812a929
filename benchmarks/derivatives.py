#!/usr/bin/env python3
"""Times derivatives with respect to the inputs: us a call, beside NumPy by hand and JAX.

    python benchmarks/derivatives.py [--seconds 1.0] [--cpu 1]

One thread for each, the process bound to one CPU. A lap of each after the other, until the time is
up: the best lap is what the machine does undisturbed, the median what it did. Every answer must be
that of NumPy, or it is not timed. JAX, where it is installed: compiled, with its answer waited for.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before NumPy is loaded
    os.environ.setdefault(name, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import numpy as np  # noqa: E402
from laps import bind, measure, parser_of  # noqa: E402

import fcnn  # noqa: E402

try:
    import jax
except ImportError:
    jax = None

# What is computed, sizes, dtype, rows, and the us that it may take.
ROWS = (
    ("predict", (4, 32, 32, 3), "float64", 1, None),
    ("jacobian", (4, 32, 32, 3), "float64", 1, 1.5),
    ("jacobian", (4, 32, 32, 3), "float32", 1, None),
    ("jacobian", (4, 32, 32, 3), "float64", 1000, None),
    ("jacobian", (4, 32, 32, 3), "float32", 1000, None),
    ("jacobian", (12, 64, 64, 12), "float64", 1, 4.0),
    ("jacobian", (12, 64, 64, 12), "float32", 1, 4.0),
    ("predict", (64, 100, 10), "float32", 1, None),
    ("vjp", (64, 100, 10), "float32", 1, None),
    ("jvp", (64, 100, 10), "float32", 1, None),
    ("predict", (64, 100, 10), "float64", 1, None),
    ("vjp", (64, 100, 10), "float64", 1, None),
    ("predict", (64, 100, 10), "float32", 1000, None),
    ("vjp", (64, 100, 10), "float32", 1000, None),
    ("jvp", (64, 100, 10), "float32", 1000, None),
    ("hvp", (4, 32, 32, 3), "float64", 1, None),
    ("hessian", (4, 32, 32, 1), "float64", 1, None),
)


def by_hand(net):
    """What one writes in NumPy for a tanh network with identity outputs."""
    W, b = [np.array(w) for w in net.weights], [np.array(b) for b in net.biases]

    def forward(x):
        a = [x]
        for l in range(len(W)):
            z = a[-1] @ W[l].T + b[l]
            a.append(np.tanh(z) if l < len(W) - 1 else z)
        return a

    def jacobian(x):
        a, J = forward(x), W[-1]
        for l in range(len(W) - 2, -1, -1):
            J = (J * (1 - a[l + 1] ** 2)[..., None, :]) @ W[l]
        return J

    def vjp(x, v):
        a, d = forward(x), v @ W[-1]
        for l in range(len(W) - 2, -1, -1):
            d = (d * (1 - a[l + 1] ** 2)) @ W[l]
        return a[-1], d

    def jvp(x, u):
        a, t = forward(x), u
        for l in range(len(W)):
            t = t @ W[l].T
            t = t * (1 - a[l + 1] ** 2) if l < len(W) - 1 else t
        return a[-1], t

    return {"predict": lambda x: forward(x)[-1], "jacobian": jacobian, "vjp": vjp, "jvp": jvp}


def compiled(net, rows):
    """The same by JAX."""
    W = [jax.numpy.asarray(w) for w in net.weights]
    b = [jax.numpy.asarray(b) for b in net.biases]

    def forward(x):
        for l in range(len(W)):
            x = W[l] @ x + b[l]
            x = jax.numpy.tanh(x) if l < len(W) - 1 else x
        return x

    def vjp(x, v):
        a, back = jax.vjp(forward, x)
        return a, back(v)[0]

    def hvp(x, v, u):
        return jax.jvp(jax.grad(lambda x: v @ forward(x)), (x,), (u,))[1]

    few_outputs = net.sizes[-1] <= net.sizes[0]
    functions = {
        "predict": forward,
        "jacobian": (jax.jacrev if few_outputs else jax.jacfwd)(forward),
        "vjp": vjp,
        "jvp": lambda x, u: jax.jvp(forward, (x,), (u,)),
        "hvp": hvp,
        "hessian": jax.hessian(lambda x: forward(x)[0]),
    }
    return {
        name: jax.jit(jax.vmap(function) if rows > 1 else function)
        for name, function in functions.items()
    }


def contestants(what, sizes, dtype, rows):
    """Return a call of each, checked against another."""
    rng = np.random.default_rng(0)
    net = fcnn.Network(sizes, "tanh", loss="squared_error", dtype=dtype, rng=0)
    shape = (rows,) if rows > 1 else ()
    x, v, u = (rng.normal(size=(*shape, n)).astype(dtype) for n in (sizes[0], sizes[-1], sizes[0]))
    given = {"vjp": (x, v), "jvp": (x, u), "hvp": (x, v, u)}.get(what, (x,))
    calls, method = {}, getattr(net, what)
    out = method(*given)
    calls["fcnn"] = lambda: method(*given, out=out)
    if what in (hand := by_hand(net)):
        calls["NumPy"] = lambda: hand[what](*given)
    if jax is not None:
        function = compiled(net, rows)[what]
        # Arrays of JAX's own, which it would else have to make of NumPy's first.
        theirs = [jax.numpy.asarray(array) for array in given]
        calls["JAX"] = lambda: jax.block_until_ready(function(*theirs))
    answers = [call() for call in calls.values()]
    for answer in answers[1:]:
        for one, other in zip(*(a if isinstance(a, tuple) else (a,) for a in (answers[0], answer)),
                              strict=True):  # fmt: skip
            np.testing.assert_allclose(
                one, other, rtol=0, atol=1e-9 if dtype == "float64" else 1e-3
            )
    return calls


def main():
    """Print a line for each row."""
    options = parser_of(__doc__, 1.0).parse_args()
    bind(options.cpu)
    if jax is not None:
        jax.config.update("jax_enable_x64", True)
    fcnn.set_num_threads(1)
    print(f"us a call, best lap (median): fcnn {fcnn.__version__}, tanh; may: what it may take")
    for what, sizes, dtype, rows, may in ROWS:
        if not hasattr(fcnn.Network, what):
            continue
        times = measure(contestants(what, sizes, dtype, rows), options.seconds)
        shown = "  ".join(
            f"{name} {best:8.2f} ({median:8.2f})" for name, (best, median) in times.items()
        )
        limit = f"  may {may}" if may else ""
        print(f"{what:<9}{'-'.join(map(str, sizes)):<12}{dtype:<8}{rows:>5} rows  {shown}{limit}")


if __name__ == "__main__":
    main()
