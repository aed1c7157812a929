"""The gradient check: gradients against central differences of the loss."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcnn._views import layer_views

if TYPE_CHECKING:
    from fcnn._core import Network

__all__ = ["GradientCheck"]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]

# The sum of truncation h^2 and rounding 1e-16 / h is least near the cube root of 1e-16.
STEP = 6e-6
TOLERANCES = {"float64": 1e-7, "float32": 1e-4}


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """How well a gradient agrees with central differences.

    Attributes
    ----------
    error : float
        Norm of the difference, relative to the norm of the central differences.
    tolerance : float
        1e-7 for a float64 network, 1e-4 for a float32 one, and what rounding of the loss itself
        makes of the central differences, which matters if the loss is huge.
    passed : bool
        Whether the error is within the tolerance.
    layers : list of (str, float)
        Each W and b, and the inputs, x, and its share of the error.
    compared, kinks, num_parameters : int
        How many parameters were compared, how many were left out because the loss has a kink there
        and no derivative (relu at z = 0), and how many there are.
    inputs_compared, inputs : int
        How many inputs x_j were compared, likewise, and how many there are.
    """

    error: float
    tolerance: float
    layers: list[tuple[str, float]]
    compared: int
    kinks: int
    num_parameters: int
    inputs_compared: int
    inputs: int

    @property
    def passed(self) -> bool:
        """Whether something was compared, and the error is within the tolerance."""
        return bool(self.compared and self.error <= self.tolerance)

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        lines = [
            f"gradient check {verdict}: relative error {self.error:.2g}, tolerance "
            f"{self.tolerance:.1e}, {self.compared:,} of {self.num_parameters:,} parameters, "
            f"{self.inputs_compared:,} of {self.inputs:,} inputs"
        ]
        if self.kinks:
            lines.append(f"  {self.kinks:,} parameters at a kink of the loss were left out")
        lines += [f"  {name:<6}{error:.2g}" for name, error in self.layers]
        return "\n".join(lines)


def _rounding(loss: float, h: float) -> float:
    """Return a bound on what rounding of the loss does to a difference over a step of h."""
    return 4 * np.finfo(np.float64).eps * (1 + abs(loss)) / h


def compare_gradients(
    network: "Network",
    gradient: Array,
    X: Array,
    y: Array,
    sample_weight: Array | None,
    max_parameters: int | None,
    delta: Array | None = None,
) -> GradientCheck:
    """Compare a gradient with (C(p + h) - C(p - h)) / 2h, parameter by parameter.

    `network` computes C in float64; its parameters are moved and put back. With delta^0 = dC/dx,
    shape (s, n_0), each input x_j is compared, too: it is moved in all samples at once.
    """
    p, X = network.parameters, X.copy()
    n_0 = 0 if delta is None else X.shape[1]
    generator = np.random.default_rng(0)

    def some(n: int) -> Array:
        if max_parameters is None or n <= max_parameters:
            return np.arange(n)
        return np.sort(generator.choice(n, max_parameters, replace=False))

    chosen = np.concatenate((some(p.size), p.size + some(n_0)))
    here = network._loss_and_outputs(X, y, sample_weight)[0]

    def differences(i: int, h: float) -> tuple[float, float, float]:
        """Return the central difference and the two one-sided ones."""
        at, place = (p, i) if i < p.size else (X, np.s_[:, i - p.size])
        kept = at[place].copy()
        at[place] = kept + h
        above, upper = at[place].copy(), network._loss_and_outputs(X, y, sample_weight)[0]
        at[place] = kept - h
        below, lower = at[place].copy(), network._loss_and_outputs(X, y, sample_weight)[0]
        at[place] = kept
        up, down = float(np.mean(above - kept)), float(np.mean(kept - below))
        return (upper - lower) / (up + down), (upper - here) / up, (here - lower) / down

    size = p.size + n_0
    numerical, rounding = np.zeros(size), np.zeros(size)
    kinks = []
    for i in chosen.tolist():
        largest = abs(p[i]) if i < p.size else np.abs(X[:, i - p.size]).max()
        h = STEP * max(1.0, float(largest))
        value, right, left = differences(i, h)
        for _ in range(3):
            # A ten times smaller step leaves the central difference of a smooth loss as it is, and
            # brings the one-sided ones together. A kink (relu at z = 0) within the step changes the
            # first, and a smaller step may not reach it; one at this very point spoils the second.
            near, near_right, near_left = differences(i, h / 10)
            noise = _rounding(here, h / 10)
            is_stable = abs(near - value) <= 1e-8 * (abs(right) + abs(left)) + noise
            if is_stable and abs(near_right - near_left) <= 0.5 * abs(right - left) + noise:
                break
            h, value, right, left = h / 10, near, near_right, near_left
        else:
            kinks.append(i)  # no derivative to compare with
        numerical[i], rounding[i] = value, _rounding(here, h)
    chosen = np.setdiff1d(chosen, kinks)
    numerical[kinks] = 0
    # Its dtype is the network's; the inputs' is a sum over samples, as those of parameters are.
    given = gradient if delta is None else np.append(gradient, delta.sum(axis=0))
    difference = np.zeros(size)
    difference[chosen] = given[chosen] - numerical[chosen]
    # A gradient of 0 everywhere has no scale of its own: then the difference counts as it is.
    norm = float(np.linalg.norm(numerical)) or 1.0
    layers = []
    views = layer_views(difference[: p.size], network.sizes)
    for l, (dW, db) in enumerate(zip(*views, strict=True), 1):
        layers.append((f"W{l}", float(np.linalg.norm(dW)) / norm))
        layers.append((f"b{l}", float(np.linalg.norm(db)) / norm))
    if delta is not None:
        layers.append(("x", float(np.linalg.norm(difference[p.size :])) / norm))
    compared = int((chosen < p.size).sum())
    return GradientCheck(
        error=float(np.linalg.norm(difference)) / norm,
        tolerance=TOLERANCES[gradient.dtype.name] + float(np.linalg.norm(rounding[chosen])) / norm,
        layers=layers,
        compared=compared,
        kinks=sum(i < p.size for i in kinks),
        num_parameters=p.size,
        inputs_compared=len(chosen) - compared,
        inputs=n_0,
    )
