#!/usr/bin/env python3
"""Times many small networks in one call: a network-step beside a loop over fit, and JAX.

    python benchmarks/many.py [--seconds 2.0] [--networks 64] [--threads 1 2]

All train on the same samples, shuffled for each network and epoch, with Adam; ten epochs of 1,024
samples. A lap of each after the other, until the time is up; the figures are the best laps.

fit_many        one call for all networks, on as many threads as are given
loop            for network in networks: network.fit(..., n_threads=1)
vmap            JAX: one jitted function for an epoch of all, lax.scan over vmap of a step
one by one      JAX: one jitted function for an epoch of one network, called for each

With one thread the process is bound to one CPU, JAX's threads with it. Before the times the bits of
fit_many are compared with the loop's, and JAX's parameters with fcnn's, from equal ones and in the
same order of samples.
"""

import argparse
import os

import numpy as np
from laps import measure

import fcnn

# Sizes, loss and samples of a step.
ROWS = (
    ((8, 16, 16, 1), "squared_error", 32),
    ((4, 16, 3), "cross_entropy", 16),
)
SAMPLES, EPOCHS = 1024, 10
LR, BETAS, EPS = 1e-6, (0.9, 0.999), 1e-8


def problem(sizes, loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(SAMPLES, sizes[0])).astype("float32")
    if loss == "cross_entropy":
        return X, rng.integers(0, sizes[-1], SAMPLES)
    return X, rng.normal(size=(SAMPLES, sizes[-1])).astype("float32")


def networks_of(sizes, loss, count):
    return [fcnn.Network(sizes, loss=loss, rng=i) for i in range(count)]


def in_one_call(sizes, loss, size, count, threads):
    networks, (X, y) = networks_of(sizes, loss, count), problem(sizes, loss)
    optimizers = [fcnn.Adam(LR) for _ in networks]

    def call():
        fcnn.fit_many(
            networks, X, y, optimizers=optimizers, epochs=EPOCHS, batch_size=size,
            n_threads=threads,
        )  # fmt: skip

    return call, networks


def in_a_loop(sizes, loss, size, count):
    networks, (X, y) = networks_of(sizes, loss, count), problem(sizes, loss)
    optimizers = [fcnn.Adam(LR) for _ in networks]

    def call():
        for network, optimizer in zip(networks, optimizers, strict=True):
            network.fit(X, y, optimizer=optimizer, epochs=EPOCHS, batch_size=size, n_threads=1)

    return call, networks


def with_jax(sizes, loss, size, count, *, vmapped):
    import jax
    import jax.numpy as jnp

    X, y = (jnp.asarray(part) for part in problem(sizes, loss))
    layers = len(sizes) - 1

    def cost(parameters, x, t):
        for l, (W, b) in enumerate(parameters):
            z = x @ W.T + b
            x = jax.nn.relu(z) if l < layers - 1 else z
        if loss == "cross_entropy":
            return -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], axis=1).mean()
        return 0.5 * ((x - t) ** 2).sum(axis=1).mean()

    def step(state, rows):
        parameters, first, second, t = state
        g = jax.grad(cost)(parameters, X[rows], y[rows])
        tree, t = jax.tree_util.tree_map, t + 1
        first = tree(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, g)
        second = tree(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, g)
        scale, factor = LR / (1 - BETAS[0] ** t), 1 / jnp.sqrt(1 - BETAS[1] ** t)
        parameters = tree(
            lambda p, m, v: p - scale * m / (jnp.sqrt(v) * factor + EPS), parameters, first, second
        )
        return parameters, first, second, t

    def epoch(state, orders):  # (steps, size) indices
        return jax.lax.scan(lambda s, rows: (step(s, rows), None), state, orders)[0]

    steps = SAMPLES // size
    rngs = [np.random.default_rng(i) for i in range(count)]

    def order(rng):
        return rng.permutation(SAMPLES).astype(np.int32).reshape(steps, size)

    def state_of(network):
        pairs = zip(network.weights, network.biases, strict=True)
        parameters = [(np.asarray(W), np.asarray(b)) for W, b in pairs]
        zeros = jax.tree_util.tree_map(np.zeros_like, parameters)
        return parameters, zeros, zeros, np.float32(0)

    states = [state_of(network) for network in networks_of(sizes, loss, count)]
    if vmapped:
        # One scan whose step is all networks': scan within vmap is the same program.
        run = jax.jit(jax.vmap(epoch))
        held = [jax.tree_util.tree_map(lambda *parts: jnp.stack(parts), *states)]
    else:
        run = jax.jit(epoch)
        held = [jax.tree_util.tree_map(jnp.asarray, state) for state in states]

    def call(given=None):
        for _ in range(1 if given is not None else EPOCHS):
            orders = [order(rng) for rng in rngs] if given is None else given
            if vmapped:
                held[0] = run(held[0], np.stack(orders))
            else:
                for i in range(count):
                    held[i] = run(held[i], orders[i])
        jax.block_until_ready(held)

    def parameters_of(i):
        leaves = [np.asarray(leaf[i] if vmapped else leaf)
                  for leaf in jax.tree_util.tree_leaves(held[0 if vmapped else i][0])]  # fmt: skip
        return [leaf for leaf in leaves if leaf.ndim == 2]

    return call, parameters_of


def check(sizes, loss, size, count, *, jax):
    """Compare what is timed: bits with the loop's, JAX's weights with fcnn's."""
    (many, some), (loop, others) = (
        in_one_call(sizes, loss, size, count, 2), in_a_loop(sizes, loss, size, count)
    )  # fmt: skip
    many()
    loop()
    for one, other in zip(some, others, strict=True):
        if not np.array_equal(one.parameters, other.parameters):
            raise SystemExit("fit_many: other bits than those of fit")
    X, y = problem(sizes, loss)
    for vmapped in (True, False) if jax else ():
        call, parameters_of = with_jax(sizes, loss, size, 3, vmapped=vmapped)
        order = np.random.default_rng(5).permutation(SAMPLES)
        call([order.astype(np.int32).reshape(-1, size)] * 3)
        for i, network in enumerate(networks_of(sizes, loss, 3)):
            network.fit(X[order], y[order], optimizer=fcnn.Adam(LR), epochs=1, batch_size=size,
                        shuffle=False)  # fmt: skip
            for W, theirs in zip(network.weights, parameters_of(i), strict=True):
                np.testing.assert_allclose(theirs, W, rtol=0, atol=3e-6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each contestant of a row")
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--no-jax", action="store_true")
    options = parser.parse_args()
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    print(f"{options.networks} networks, Adam, float32, {SAMPLES} samples; us of a network-step, "
          "best (median)")  # fmt: skip
    for row in ROWS:
        sizes, _, size = row
        check(*row, options.networks, jax=not options.no_jax)
        steps = options.networks * EPOCHS * (SAMPLES // size)
        alone = None
        for threads in options.threads:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, set(usable[-threads:]))
            calls = {
                f"fit_many, {threads}": in_one_call(*row, options.networks, threads)[0],
                "loop over fit": in_a_loop(*row, options.networks)[0],
            }
            if not options.no_jax:
                for name, vmapped in (("JAX vmap", True), ("JAX one by one", False)):
                    calls[name], _ = with_jax(*row, options.networks, vmapped=vmapped)
            times = {
                name: (lap / steps, median / steps)
                for name, (lap, median) in measure(calls, options.seconds * len(calls)).items()
            }
            best = {name: lap for name, (lap, _) in times.items()}
            # A loop over fit has one thread wherever it runs.
            alone = min(alone or np.inf, best["loop over fit"])
            for name, (lap, median) in times.items():
                gain = f"{(alone if 'loop' in name else lap) / best[f'fit_many, {threads}']:.2f}"
                print(f"{'-'.join(map(str, sizes)):12} batch {size:3}  {threads} CPU  {name:16} "
                      f"{lap:7.2f} ({median:.2f})  {gain}", flush=True)  # fmt: skip
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(usable))


if __name__ == "__main__":
    main()
