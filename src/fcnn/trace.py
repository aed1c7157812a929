"""What `Network.trace` returns: every z, a and delta of one pass."""

# Annotations stay text: `fcnn` is for them alone, and finds the explanation when it is asked for.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fcnn.explanation import Explanation

__all__ = ["Trace"]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]


def rows_and_shares(
    targets: Array, weight: Array | None, s: int, n_out: int
) -> tuple[Array, Array]:
    """Return the targets as rows, and what each sample counts in the mean."""
    # Copies: the arrays may be the caller's own.
    rows = np.eye(n_out)[targets] if targets.ndim == 1 else targets.copy()
    if weight is None:
        return rows, np.full(s, 1 / s)
    return rows, weight / weight.sum(dtype=np.float64)


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
    W : list of numpy.ndarray, (n_l, n_(l-1))
        W^l of the pass, copied.
    b : list of numpy.ndarray, (n_l,)
        b^l of the pass, copied.
    y : numpy.ndarray, (s, num_targets)
        The targets; of labels the rows with a 1 at the label.
    share : numpy.ndarray, (s,)
        What each sample's cost counts in the mean: 1/s, or its weight over the sum of the weights.
    loss_name : str
        C, as the network has it.
    """

    z: list[Any]
    a: list[Any]
    delta: list[Any]
    dW: list[Any]
    db: list[Any]
    loss: float
    activations: tuple[str, ...]
    W: list[Any]
    b: list[Any]
    y: Array
    share: Array
    loss_name: str

    def explain(
        self,
        l: int,
        k: int,
        j: int | None = None,
        *,
        sample: int = 0,
        digits: int = 5,
        max_terms: int = 8,
    ) -> Explanation:
        """Return how the numbers of node k of layer l come about, formulas with numbers in them.

        Forward z = sum of W a, plus b, and a = sigma(z); of an output its cost; backward delta, the
        sum over the receiving nodes, and the gradients of the weights into it and of its bias.

        Parameters
        ----------
        l : int
            Layer, 0..L; of the input, 0, there are x and dC/dx.
        k : int
            Node, from 0.
        j : int, optional
            The edge from node j of layer l - 1 alone.
        sample : int, default 0
            Which of the samples. Gradients are sums over all.
        digits : int, default 5
            Significant digits of every number, at most 17.
        max_terms : int, default 8
            Of a longer sum the terms with the largest magnitudes are shown and one number for the
            rest; of more weights the gradients with the largest magnitudes.

        Returns
        -------
        fcnn.explanation.Explanation
            Printable; ``.latex`` has it for a document, ``.steps`` one by one, and a notebook shows
            it set. Each formula with numbers is arithmetic that comes to its result, up to the
            digits shown.

        Raises
        ------
        ValueError, TypeError
            If there is no such layer, node, edge or sample.

        Examples
        --------
        >>> import fcnn
        >>> net = fcnn.Network((1, 1), "relu", "sigmoid", "squared_error", dtype="float64")
        >>> net.weights[0][:], net.biases[0][:] = 2, -1
        >>> for step in net.trace([0.5], [1.0]).explain(1, 0, digits=3).steps[:3]:
        ...     print(step.symbol.text, "=", step.numbers.text, "=", step.result.text)
        z^1_0 = 2 * 0.5 - 1 = 0
        a^1_0 = 1 / (1 + exp(-0)) = 0.5
        C_0 = 1 / 2 * (0.5 - 1)**2 = 0.125
        """
        from fcnn.explanation import explain

        return explain(self, l, k, j, sample, digits, max_terms)

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
                lines.append(f"{label if k == 0 else '':<22}{k:>5}{cells}")
            if a.shape[1] > 12:
                lines.append(f"{'':<22}{'...':>5} {a.shape[1]} nodes")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from fcnn._html import of_trace

        return of_trace(self)
