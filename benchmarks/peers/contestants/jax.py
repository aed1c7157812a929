"""JAX: a whole epoch is one compiled call, a scan over the batches, its state donated."""

import importlib
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import fcnn
from peers.workloads import Task, flat


class Jax:
    name = "JAX"

    def __init__(self, threads: int) -> None:
        self.jax = importlib.import_module("jax")
        self.version = self.jax.__version__
        self.limited = f"JAX: XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r}"

    def layers(self, network: fcnn.Network) -> list[Any]:
        pairs = zip(network.weights, network.biases, strict=True)
        return [(self.jax.numpy.array(W.T), self.jax.numpy.array(b)) for W, b in pairs]

    def trainer(self, task: Task, lr: float) -> Any:
        return JaxTrainer(self, task, lr)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        jax = self.jax

        @jax.jit
        def forward(parameters: Any, inputs: Any) -> Any:
            return jax.nn.softmax(_jax_outputs(jax.nn.relu, parameters, inputs))

        parameters, inputs = self.layers(network), jax.numpy.array(x)
        return lambda: forward(parameters, inputs).block_until_ready()


def _jax_outputs(sigma: Callable[[Any], Any], parameters: Any, a: Any) -> Any:
    for W, b in parameters[:-1]:
        a = sigma(a @ W + b)
    W, b = parameters[-1]
    return a @ W + b


@cache
def _jax_epoch(activation: str, loss: str, optimizer: str) -> Any:
    """Return a compiled epoch, of state, lr and data by steps, to a new state and the loss."""
    jax = importlib.import_module("jax")
    jnp = jax.numpy
    sigma = jnp.tanh if activation == "tanh" else jax.nn.relu

    def cost(parameters: Any, x: Any, y: Any) -> Any:
        outputs = _jax_outputs(sigma, parameters, x)
        if loss == "squared_error":
            return 0.5 * jnp.sum((outputs - y) ** 2) / len(x)
        y = jax.nn.one_hot(y, outputs.shape[1], dtype=outputs.dtype)
        return -jnp.sum(y * jax.nn.log_softmax(outputs)) / len(x)

    def sgd(state: Any, g: Any, lr: Any) -> Any:
        (p,) = state
        return (jax.tree.map(lambda p, g: p - lr * g, p, g),)

    def adam(state: Any, g: Any, lr: Any) -> Any:
        p, m, v, t = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        size = lr / (1 - 0.9**t)
        root = jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - size * m / (jnp.sqrt(v) / root + 1e-8), p, m, v)
        return p, m, v, t

    update = sgd if optimizer == "sgd" else adam

    def epoch(state: Any, lr: Any, X: Any, y: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            value, g = jax.value_and_grad(cost)(state[0], *batch)
            return update(state, g, lr), value

        state, losses = jax.lax.scan(step, state, (X, y))
        return state, losses.mean()

    return jax.jit(epoch, donate_argnums=0)


class JaxTrainer:
    def __init__(self, peer: Jax, task: Task, lr: float) -> None:
        jnp, tree = peer.jax.numpy, peer.jax.tree
        workload = task.workload
        self.run = _jax_epoch(workload.activation, workload.loss, workload.optimizer)
        self.state = (peer.layers(task.network),)
        if workload.optimizer == "adam":
            zeros = [tree.map(jnp.zeros_like, self.state[0]) for _ in range(2)]
            self.state = (*self.state, *zeros, jnp.zeros((), task.X.dtype))
        self.lr = jnp.array(lr, task.X.dtype)
        by_step = (workload.steps, workload.batch)
        self.X = jnp.array(task.X.reshape(*by_step, -1))
        self.y = jnp.array(task.y.reshape(*by_step, *task.y.shape[1:]))

    def epoch(self) -> float:
        self.state, loss = self.run(self.state, self.lr, self.X, self.y)
        self.state[0][0][0].block_until_ready()
        return float(loss)

    def parameters(self) -> np.ndarray:
        return flat([W.T for W, _ in self.state[0]], [b for _, b in self.state[0]])
