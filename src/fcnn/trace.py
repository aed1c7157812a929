"""What `Network.trace` returns: every z, a and delta of one pass."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, repr=False)
class Trace:
    """Every quantity of one forward pass and one delta recursion.

    Lists are indexed by the layer, l = 1..L, as in the formulas; ``a[0]`` is the input,
    ``delta[0]`` is dC/dx, and index 0 of the others is None. For s samples:

    Attributes
    ----------
    z : list of numpy.ndarray, (s, n_l)
        Input sums z^l = W^l a^(l-1) + b^l.
    a : list of numpy.ndarray, (s, n_l)
        Activations a^l = sigma(z^l).
    delta : list of numpy.ndarray, (s, n_l)
        dC/dz^l, with the 1/s of the average over samples in it; delta^0 = dC/da^0.
    dW : list of numpy.ndarray, (n_l, n_(l-1))
        dC/dW^l, the shape of ``net.weights[l - 1]``.
    db : list of numpy.ndarray, (n_l,)
        dC/db^l.
    loss : float
        C, the weighted mean over the samples.
    activations : tuple of str
        sigma of each layer 1..L.
    """

    z: list[Any]
    a: list[Any]
    delta: list[Any]
    dW: list[Any]
    db: list[Any]
    loss: float
    activations: tuple[str, ...]

    def __repr__(self) -> str:
        sizes = "-".join(str(a.shape[1]) for a in self.a)
        s = len(self.a[0])
        many = "s" if s > 1 else ""
        return f"<Trace of {s} sample{many} through {sizes}, loss {self.loss:.6g}>"

    def __str__(self) -> str:
        """Return the z, a and delta of the first sample as a table, at most 12 nodes a layer."""
        s = len(self.a[0])
        first = f"; the first sample (every delta has the 1/{s} of the average):" if s > 1 else ":"
        lines = [
            repr(self).strip("<>") + first,
            f"{'layer':<22}{'node':>5}{'z':>14}{'a':>14}{'delta':>14}",
        ]
        for l, a in enumerate(self.a):
            label = "input" if l == 0 else f"{l} {self.activations[l - 1]}"
            for k in range(min(a.shape[1], 12)):
                z = " " * 14 if l == 0 else f"{self.z[l][0, k]:>14.6g}"
                cells = f"{z}{a[0, k]:>14.6g}{self.delta[l][0, k]:>14.6g}"
                lines.append(f"{label if k == 0 else '':<22}{k + 1:>5}{cells}")
            if a.shape[1] > 12:
                lines.append(f"{'':<22}{'...':>5} {a.shape[1]} nodes")
        return "\n".join(lines)
