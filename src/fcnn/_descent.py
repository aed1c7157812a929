"""The paths of optimizers on the loss over two parameters."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn.network import Network
from fcnn.optimizers import OPTIMIZERS, SGD, Adam, Optimizer

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Descent:
    """The loss over two parameters, all others as they are, and paths down it.

    Attributes
    ----------
    parameters : (int, int)
        Which, by their place in ``net.parameters``.
    names : (str, str)
        The same as W^1_0,1 or b^1_0.
    across, down : numpy.ndarray, (n,)
        Their values on the grid.
    loss : numpy.ndarray, (n, n)
        ``loss[i, j]`` is that at ``across[j]``, ``down[i]``.
    paths : dict of str to numpy.ndarray, (steps + 1, 3)
        For each optimizer both parameters and the loss, before the first step and after each. A
        path that leaves the finite numbers ends before.
    """

    parameters: tuple[int, int]
    names: tuple[str, str]
    across: Array
    down: Array
    loss: Array
    paths: dict[str, Array]


def default_optimizers(lr: float = 0.1) -> dict[str, Optimizer]:
    """Return the three that are drawn unless others are asked for."""
    return {"SGD": SGD(lr), "momentum": SGD(lr, momentum=0.9), "Adam": Adam(lr)}


def parameter_name(network: Network, i: int) -> str:
    """Return W^l_k,j or b^l_k of a place in the flat vector."""
    begin = 0
    for l, (n_in, n_out) in enumerate(zip(network.sizes, network.sizes[1:], strict=False), start=1):
        if i < begin + n_in * n_out:
            j, k = divmod(i - begin, n_out)
            return f"W^{l}_{k},{j}"
        begin += n_in * n_out
        if i < begin + n_out:
            return f"b^{l}_{i - begin}"
        begin += n_out
    raise IndexError(i)


def as_descent(
    network: Network,
    X: Any,
    y: Any,
    optimizers: Mapping[str, Optimizer] | None,
    parameters: Any,
    steps: int,
    resolution: int,
    span: float | None,
) -> Descent:
    """Return the paths from the network's parameters, and the loss around them.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as `fcnn.plot.plot_descent` describes.
    """
    pair = _as_parameters(parameters, network.num_parameters)
    steps = check.as_count("steps", steps)
    n = check.as_count("resolution", resolution, least=2)
    if max(steps, n * n) > 250_000:
        raise ValueError(f"steps, resolution: expected at most 250000 and 500, got {steps} and {n}")
    if span is not None:
        span = check.as_number("span", span, above=0)
    made = default_optimizers() if optimizers is None else _as_optimizers(optimizers)
    if not np.isfinite(network.evaluate(X, y)["loss"]):
        raise ValueError("network: expected a finite loss to begin with")
    paths = {
        name: _path(network.copy(), X, y, optimizer, pair, steps)
        for name, optimizer in made.items()
    }
    centre = np.array([float(network.parameters[i]) for i in pair])
    if span is None:
        # Wide enough for the paths, but for those that run away.
        all_points = np.concatenate([path[:, :2] for path in paths.values()])
        near = np.abs(all_points - centre).max(axis=1)
        half = 1.25 * max(float(np.quantile(near, 0.9)), 1.0)
    else:
        half = span / 2
    across, down = (np.linspace(c - half, c + half, n) for c in centre)
    loss = np.empty((n, n))
    moved = network.copy()
    for i, second in enumerate(down):
        moved.parameters[pair[1]] = second
        for j, first in enumerate(across):
            moved.parameters[pair[0]] = first
            loss[i, j] = moved.gradients(X, y)[0]
    if not np.isfinite(loss).any():
        raise ValueError(f"span: expected a part of the plane with finite losses, got {2 * half:g}")
    names = parameter_name(network, pair[0]), parameter_name(network, pair[1])
    return Descent(pair, names, across, down, loss, paths)


def _as_parameters(value: Any, count: int) -> tuple[int, int]:
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ValueError(f"parameters: expected two places, got {value!r}") from None
    pair = (
        check.as_count("parameters[0]", first, least=0),
        check.as_count("parameters[1]", second, least=0),
    )
    if max(pair) >= count or pair[0] == pair[1]:
        raise ValueError(f"parameters: expected two places from 0 to {count - 1}, got {value!r}")
    return pair


def _as_optimizers(value: Any) -> dict[str, Optimizer]:
    if not isinstance(value, Mapping) or not value:
        raise TypeError(f"optimizers: expected a dict of names and optimizers, got {value!r}")
    for name, one in value.items():
        if not isinstance(one, tuple(OPTIMIZERS.values())):
            raise TypeError(f"optimizers[{name!r}]: expected one of steps, as SGD; got {one!r}")
    return {str(name): copy.deepcopy(one) for name, one in value.items()}


def _path(
    network: Network, X: Any, y: Any, optimizer: Any, pair: tuple[int, int], steps: int
) -> Array:
    from fcnn.errors import DivergenceError

    places = list(pair)
    rows = []
    for _ in range(steps + 1):
        loss, gradient = network.gradients(X, y)
        point = network.parameters[places].astype(np.float64)
        if not (np.isfinite(loss) and np.isfinite(gradient).all() and np.isfinite(point).all()):
            break
        rows.append([*point, loss])
        # Only two parameters move; a gradient of 0 moves no other.
        kept = network.parameters.copy()
        alone = np.zeros_like(gradient)
        alone[places] = gradient[places]
        try:
            optimizer.update(network, alone)
        except DivergenceError:
            break
        moved = network.parameters[places]
        network.parameters[:] = kept
        network.parameters[places] = moved
    return np.array(rows)
