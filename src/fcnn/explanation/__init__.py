"""How one node's numbers come about: what `Trace.explain` returns."""

# Annotations stay text: Trace imports this module where it is used.
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcnn import _validation as check
from fcnn._dispatch import core
from fcnn.explanation import _formula as f
from fcnn.explanation._formula import Formula
from fcnn.explanation._quantities import (
    activation_formulas,
    partial,
    quantity,
    sigma_prime,
    target_symbol,
)

if TYPE_CHECKING:
    from fcnn.trace import Trace

__all__ = ["Explanation", "Step"]


def __dir__() -> list[str]:
    return __all__


class Step(NamedTuple):
    """One quantity: its formula in symbols, the same with numbers, and what it comes to.

    Attributes
    ----------
    name : str
        "z", "a", "C", "delta", "dW", "db" or "dx".
    symbol, general, numbers : Formula
        The quantity, the formula in symbols, the formula with numbers; `numbers` is, too, where a
        sum is long, arithmetic that comes to the value.
    value : float
        What the core computed.
    result : Formula
        The value with the digits asked for.
    why : str
        The line of the chain rule or the definition behind it, or what decides a case.
    """

    name: str
    symbol: Formula
    general: Formula
    numbers: Formula
    value: float
    result: Formula
    why: str


@dataclass(frozen=True)
class Explanation:
    """How the numbers of one node come about, for printing.

    Attributes
    ----------
    title : str
    steps : tuple of Step
        In the order in which they are computed: forward, then backward.
    """

    title: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [self.title]
        for step in self.steps:
            head = f"    {step.symbol.text}"
            lines += [f"  {step.why}"] * bool(step.why)
            lines.append(f"{head} = {step.general.text}")
            pad = " " * len(head)
            if step.numbers.text not in (step.result.text, step.general.text):
                lines.append(f"{pad} = {step.numbers.text}")
            lines.append(f"{pad} = {step.result.text}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation: {self.title}>"

    @property
    def latex(self) -> str:
        """All steps as LaTeX, one ``aligned`` environment."""
        lines = []
        for step in self.steps:
            line = f"{step.symbol.latex} &= {step.general.latex}"
            if step.numbers.text not in (step.result.text, step.general.text):
                line += rf" \\ &= {step.numbers.latex}"
            lines.append(rf"{line} \\ &= {step.result.latex}")
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex}\n$$"


# --- Losses ---------------------------------------------------------------------------------------

# Pairs whose delta is a - y: the reference has the derivation.
_FUSED = {
    ("identity", "squared_error"): "",
    ("sigmoid", "binary_cross_entropy"): "a (1 - a) of sigma' and of dC/da cancel",
    ("softmax", "cross_entropy"): "dC/da and the derivative of softmax together",
    ("exp", "poisson"): "a of sigma' and of dC/da cancel",
}


class _Explainer:
    """Builds the steps of one node for one sample."""

    def __init__(self, trace: Trace, sample: int, digits: int, most: int, marked: bool) -> None:
        self.t, self.i, self.digits, self.most, self.marked = trace, sample, digits, most, marked
        self.L = len(trace.a) - 1
        self.loss, levels = core.split_loss(trace.loss_name)
        self.levels = [float(level) for level in levels]
        self.m = trace.y.shape[1]  # targets: of some losses each has several outputs

    def rounded(self, value: Any, mark: str = "", digits: int = 0) -> Formula:
        return f.number(float(value), digits or self.digits, mark if self.marked else "")

    def num(self, value: Any, mark: str = "", beside: Any = None) -> Formula:
        """Return a number as a formula has it, with more digits where all would cancel.

        Of what differs from `beside`, which it is subtracted from, two digits stay; and of 0.99996,
        in three digits 1, what 1 - a needs.
        """
        value, digits = float(value), self.digits
        text = f"{value:.{digits}g}".lstrip("-")
        is_whole = text.isdigit() and len(text) < digits
        others = [round(value)] if is_whole else []
        others += [] if beside is None else [float(beside)]
        for gap in (abs(value - other) for other in others):
            if value and gap and math.isfinite(gap):
                lost = math.floor(math.log10(abs(value))) - math.floor(math.log10(gap))
                digits = min(max(digits, lost + 2), 17)
        return self.rounded(value, mark, digits)

    def output(self, k: int) -> tuple[Formula, Formula]:
        """Return a and y of output k, which losses subtract."""
        a, y = self.t.a[self.L][self.i, k], self.t.y[self.i, k % self.m]
        return self.num(a, "a", y), self.num(y, "y", a)

    def a(self, l: int, k: int) -> Formula:
        return self.num(self.t.a[l][self.i, k], "a")

    def z(self, l: int, k: int) -> Formula:
        return self.num(self.t.z[l][self.i, k], "z")

    def delta(self, l: int, k: int) -> Formula:
        return self.num(self.t.delta[l][self.i, k], "delta")

    def W(self, l: int, k: int, j: int) -> Formula:
        return self.num(self.t.W[l][k, j], "W")

    def y(self, k: int) -> Formula:
        return self.num(self.t.y[self.i, k % self.m], "y")

    def step(
        self, name: str, symbol: Formula, general: Formula, numbers: Formula, value: Any, why: str
    ) -> Step:
        mark = {"dW": "dW", "db": "dW", "dx": "delta"}.get(name, name)
        return Step(name, symbol, general, numbers, float(value), self.rounded(value, mark), why)

    def total(self, terms: Sequence[Formula], values: Any) -> Formula:
        """Return a sum; of a long one the largest terms and one number for the rest."""
        if len(terms) <= self.most:
            return f.plus(*terms)
        values = np.asarray(values, np.float64)
        order = np.argsort(-np.abs(values), kind="stable")
        kept = np.sort(order[: self.most - 1])
        rest = values[order[self.most - 1 :]]
        # A sum by itself: as many digits as the largest number of the sum deserves.
        left = self.num(rest.sum())
        latex = rf"\underbrace{{{left.latex}}}_{{{len(rest)}\text{{ more}}}}"
        return f.plus(
            *(terms[j] for j in kept), Formula(left.text, latex, left.rank, left.is_negative)
        )

    def general_sum(self, term: Callable[[int], Formula], count: int, index: str,
                    any_term: Formula) -> Formula:  # fmt: skip
        """Return the terms written out, or with a sum sign where there are more than three."""
        if count <= 3:
            return f.plus(*(term(j) for j in range(count)))
        return Formula(
            f"sum_{index} {any_term.text}", rf"\sum_{{{index}}} {any_term.latex}", f._PRODUCT
        )

    # --- Forward ---------------------------------------------------------------------------------

    def forward(self, l: int, k: int) -> Iterator[Step]:
        n = self.t.W[l].shape[1]
        W, a = self.t.W[l][k], self.t.a[l - 1][self.i]
        general = f.plus(
            self.general_sum(
                lambda j: _pair(quantity("W", l, k, j), quantity("a", l - 1, j)),
                n,
                "j",
                _pair(quantity("W", l, k, "j"), quantity("a", l - 1, "j")),
            ),
            quantity("b", l, k),
        )
        terms = [f.times(self.W(l, k, j), self.a(l - 1, j)) for j in range(n)]
        numbers = f.plus(self.total(terms, W.astype(np.float64) * a), self.num(self.t.b[l][k], "b"))
        yield self.step(
            "z", quantity("z", l, k), general, numbers, self.t.z[l][self.i, k],
            "the input sum: each emitting node times its weight, and the bias",
        )  # fmt: skip
        yield self.activation(l, k)
        if l == self.L and (cost := self.cost(k)) is not None:
            yield cost

    def activation(self, l: int, k: int) -> Step:
        name, z = self.t.activations[l - 1], self.t.z[l][self.i]
        base = name.partition("(")[0]
        z_k, why = quantity("z", l, k), ""
        if base == "softmax":
            n, top = len(z), int(z.argmax())
            why = "softmax: a share of the sum over the layer"
            # e^z may be more than floats hold, or less; the share is the same.
            is_far = abs(z[top]) > 700
            if is_far:
                why += f", each power divided by the largest, that of node {top}"

            def power(j: int | str, z_j: Formula, z_top: Formula) -> Formula:
                return f.exp(f.minus(z_j, z_top) if is_far else z_j)

            def symbol(j: int | str) -> Formula:
                return power(j, quantity("z", l, j), quantity("z", l, top))

            powers = [power(j, self.z(l, j), self.z(l, top)) for j in range(n)]
            general = f.over(symbol(k), self.general_sum(symbol, n, "j", symbol("j")))
            values = np.exp(z.astype(np.float64) - (z[top] if is_far else 0))
            numbers = f.over(powers[k], self.total(powers, values))
        elif base == "ascending":
            below = k - self.m
            rise = f.log_of_1_plus(f.exp(z_k))
            general = z_k if below < 0 else f.plus(quantity("a", l, below), rise)
            shown = self.z(l, k)
            if below >= 0:
                rise, _, _ = self.sigma("softplus", l, k)
                shown = f.plus(self.a(l, below), rise)
            numbers, why = shown, "never below the output before"
        else:
            sigma, constant, case = activation_formulas(name, z[k])
            general = sigma.sigma(z_k, quantity("a", l, k), constant)
            numbers = sigma.sigma(self.z(l, k), self.a(l, k), constant)
            why = f"{name} {case}".strip()
        return self.step("a", quantity("a", l, k), general, numbers, self.t.a[l][self.i, k], why)

    def slope_of(self, name: str, l: int, k: int) -> Formula:
        """Return sigma' in symbols."""
        sigma, constant, _ = activation_formulas(name, self.t.z[l][self.i, k])
        z = quantity("z", l, k)
        return sigma_prime(sigma.slope(z, quantity("a", l, k), constant), z)

    def sigma(self, name: str, l: int, k: int) -> tuple[Formula, Formula, str]:
        """Return sigma and sigma' with numbers, and the case."""
        sigma, constant, case = activation_formulas(name, self.t.z[l][self.i, k])
        z, a = self.z(l, k), self.a(l, k)
        return sigma.sigma(z, a, constant), sigma.slope(z, a, constant), case

    # --- Loss ------------------------------------------------------------------------------------

    def cost(self, k: int) -> Step | None:
        """Return what output k adds to the sample's loss."""
        a_L, y = self.t.a[self.L][self.i].astype(np.float64), self.t.y[self.i].astype(np.float64)
        general, value = self._cost(
            k, quantity("a", self.L, k), target_symbol(k % self.m), a_L, y, True
        )
        numbers, _ = self._cost(k, *self.output(k), a_L, y, False)
        if general is None or numbers is None:
            return None
        symbol = f.symbol(f"C_{k}", f"C_{{{k}}}")
        return self.step("C", symbol, general, numbers, value, f"{self.t.loss_name}, this output")

    def _cost(self, k: int, a: Formula, y: Formula, a_L: Any, y_L: Any,
              general: bool) -> tuple[Formula | None, float]:  # fmt: skip
        """Return the formula, given symbols or numbers, and its value."""
        value, target = a_L[k], y_L[k % self.m]
        error, gap = value - target, f.minus(a, y)
        half = f.over(f.ONE, f.TWO)
        z = float(self.t.z[self.L][self.i, k])
        if self.loss == "squared_error":
            return f.times(half, f.square(gap)), error**2 / 2
        if self.loss == "absolute_error" or (self.loss == "huber" and abs(error) > 1):
            size = gap if error >= 0 else f.minus(y, a)
            if self.loss == "huber":
                return f.minus(size, half), abs(error) - 0.5
            return size, abs(error)
        if self.loss == "huber":
            return f.times(half, f.square(gap)), error**2 / 2
        if self.loss == "quantile":
            q = self.levels[k // self.m]
            level = f.symbol(f"{q:g}")
            if error < 0:
                return f.times(level, f.minus(y, a)), -q * error
            return f.times(f.minus(f.ONE, level), gap), (1 - q) * error
        if self.loss == "poisson":
            if target == 0:
                return a, value
            # Of an a that has underflowed the logarithm is z, for exp and softplus alike.
            log_a = np.log(value) if value > 0 else z
            shown = f.call("log", a) if value > 0 or general else self.num(z, "z")
            return f.minus(a, f.times(y, shown)), value - target * log_a
        if self.loss == "cross_entropy":
            if target == 0:
                return None, 0.0
            logits = self.t.z[self.L][self.i].astype(np.float64)
            log_a = z - logits.max() - np.log(np.exp(logits - logits.max()).sum())
            # Of an a that has become 0 or 1 the logarithm has no digit.
            term = f.call("log", a) if 0 < value < 1 or general else self.num(log_a)
            return f.times(f.symbol("(-1)", "-1") if target == 1 else _negative(y), term), (
                -target * log_a
            )
        if self.loss == "binary_cross_entropy":
            # From z, as the core: log a of a saturated node has no digits left, and of a large z
            # log(1 + e^z) - z has none.
            z_k = quantity("z", self.L, k) if general else self.z(self.L, k)
            rise = f.log_of_1_plus(f.exp(z_k, "-" if z > 0 else ""))
            if z > 0:
                whole = f.plus(f.times(f.minus(f.ONE, y), z_k), rise)
            else:
                whole = f.minus(rise, f.times(y, z_k))
            return whole, max(z, 0) - target * z + np.log1p(np.exp(-abs(z)))
        mean, spread = k % self.m, k % self.m + self.m
        if k != mean:  # the cost of both stands at the mean
            return None, 0.0
        s = quantity("a", self.L, spread) if general else self.a(self.L, spread)
        return (
            f.times(half, f.plus(s, f.times(f.square(gap), f.exp(s, "-")))),
            (a_L[spread] + error**2 * np.exp(-a_L[spread])) / 2,
        )

    def dC_da(self, k: int, general: bool = False) -> tuple[Formula, str]:
        """Return dC/da of output k, with numbers or in symbols, and the case."""
        L = self.L
        value, target = float(self.t.a[L][self.i, k]), float(self.t.y[self.i, k % self.m])
        a, y = (quantity("a", L, k), target_symbol(k % self.m)) if general else self.output(k)
        error = value - target
        sign = f.symbol("1") if error > 0 else Formula("-1", "-1", f._PRODUCT, True)
        if self.loss == "squared_error" or (self.loss == "huber" and abs(error) <= 1):
            return f.minus(a, y), ""
        if self.loss in ("absolute_error", "huber"):
            return (f.ZERO, "as a = y") if error == 0 else (
                sign, f"as a {'>' if error > 0 else '<'} y"
            )  # fmt: skip
        if self.loss == "poisson":
            return f.ONE if target == 0 else f.minus(f.ONE, f.over(y, a)), ""
        if self.loss == "quantile":
            q = self.levels[k // self.m]
            level = f.symbol(f"{q:g}")
            if error == 0:
                return f.over(f.minus(f.ONE, f.times(f.TWO, level)), f.TWO), "as a = y"
            if error < 0:
                return Formula(f"-{q:g}", f"-{q:g}", f._PRODUCT, True), "as a < y"
            return f.minus(f.ONE, level), "as a > y"
        assert self.loss == "gaussian_nll", self.loss
        mean, spread = k % self.m, k % self.m + self.m
        both = [quantity("a", L, j) if general else self.a(L, j) for j in (mean, spread)]
        gap, precision = f.minus(both[0], y), f.exp(both[1], "-")
        if k == mean:
            return f.times(gap, precision), ""
        whole = f.minus(f.ONE, f.times(f.square(gap), precision))
        return f.times(f.over(f.ONE, f.TWO), whole), ""

    # --- Backward --------------------------------------------------------------------------------

    def share(self) -> list[Formula]:
        """Return the factor of the average, where it is not 1."""
        share = float(self.t.share[self.i])
        s = len(self.t.share)
        if share == 1:
            return []
        if np.allclose(self.t.share, 1 / s, rtol=1e-6):
            return [f.over(f.ONE, f.symbol(str(s)))]
        return [self.num(share)]

    def output_delta(self, k: int) -> Step:
        L, name = self.L, self.t.activations[-1]
        base = name.partition("(")[0]
        share = self.share()
        is_mean = bool(share) and share[0].text.startswith("1 / ")
        average = (
            share if is_mean else [f.symbol("w_i / sum(w)", r"\tfrac{w_i}{\sum w}")] * len(share)
        )
        if (base, self.loss) in _FUSED:
            general = f.minus(quantity("a", L, k), target_symbol(k))
            numbers = f.minus(*self.output(k))
            why = _FUSED[base, self.loss]
            why = f"dC/da sigma'(z) = a - y: {why}" if why else "dC/da sigma'(z) = (a - y) 1"
        elif base == "softmax":
            n = self.t.a[L].shape[1]
            slopes = [self.dC_da(j)[0] for j in range(n)]
            values = [_evaluated_slope(self, j) * self.t.a[L][self.i, j] for j in range(n)]
            inner = self.total(
                [f.times(slope, self.a(L, j)) for j, slope in enumerate(slopes)], values
            )
            numbers = f.times(self.a(L, k), f.minus(slopes[k], f.in_parentheses(inner)))
            g = [partial(quantity("a", L, j)) for j in (k, "j")]
            rest = Formula(
                f"sum_j {g[1].text} a^{L}_j", rf"\sum_j {g[1].latex} a^{{{L}}}_j", f._PRODUCT
            )
            general = f.times(quantity("a", L, k), f.minus(g[0], rest))
            why = "every a of softmax depends on every z"
        elif base == "ascending":
            at = range(k, self.t.a[L].shape[1], self.m)
            rise, case = (f.ONE, "")
            if k >= self.m:
                _, rise, case = self.sigma("softplus", L, k)
            slopes = [self.dC_da(j)[0] for j in at]
            numbers = f.times(rise, f.plus(*(_summand(one) for one in slopes)))
            general = f.times(
                f.symbol("softplus'(z)", r"\operatorname{softplus}'(z)") if k >= self.m else f.ONE,
                f.plus(*(partial(quantity("a", L, j)) for j in at)),
            )
            why = f"each output moves those above it {case}".strip()
        elif self.loss == "poisson" and self.t.a[L][self.i, k] == 0:
            _, slope, case = self.sigma(name, L, k)
            general = f.minus(self.slope_of(name, L, k), target_symbol(k))
            numbers = f.minus(slope, self.y(k))
            why = f"(1 - y / a) sigma'(z), where sigma'(z) / a is 1 as a vanishes; {case}"
        else:
            slope, first = self.dC_da(k)
            _, second, case = self.sigma(name, L, k)
            numbers = f.times(slope, second)
            dC_da, _ = self.dC_da(k, general=True)
            brace = rf"\partial C/\partial {quantity('a', L, k).latex}"
            below = Formula(
                _summand(dC_da).text, rf"\underbrace{{{dC_da.latex}}}_{{{brace}}}", f._PRODUCT
            )
            general = f.times(below, self.slope_of(name, L, k))
            cases = ", ".join(filter(None, (first, case)))
            why = "the chain rule from C to a and from a to z" + (f"; {cases}" if cases else "")
        return self.step(
            "delta", quantity("delta", L, k), f.times(*average, general), f.times(*share, numbers),
            self.t.delta[L][self.i, k], why,
        )  # fmt: skip

    def hidden_delta(self, l: int, j: int) -> Step:
        """Return delta^l_j, or for the input dC/dx_j."""
        n = self.t.W[l + 1].shape[0]
        W, delta = self.t.W[l + 1][:, j].astype(np.float64), self.t.delta[l + 1][self.i]
        general = self.general_sum(
            lambda k: _pair(quantity("delta", l + 1, k), quantity("W", l + 1, k, j)),
            n,
            "k",
            _pair(quantity("delta", l + 1, "k"), quantity("W", l + 1, "k", j)),
        )
        numbers = self.total(
            [f.times(self.delta(l + 1, k), self.W(l + 1, k, j)) for k in range(n)], W * delta
        )
        value = self.t.delta[l][self.i, j]
        if l == 0:
            return self.step(
                "dx", partial(quantity("a", 0, j)), general, numbers, value,
                "the recursion down to the input, which has no sigma",
            )  # fmt: skip
        _, slope, case = self.sigma(self.t.activations[l - 1], l, j)
        symbol = self.slope_of(self.t.activations[l - 1], l, j)
        return self.step(
            "delta", quantity("delta", l, j), f.times(symbol, _in_parentheses(general)),
            f.times(slope, _in_parentheses(numbers)), value,
            "back along every outgoing edge, summed over the receiving nodes"
            + (f"; {case}" if case else ""),
        )  # fmt: skip

    def gradients(self, l: int, k: int, columns: Sequence[int]) -> Iterator[Step]:
        s = len(self.t.share)
        samples = range(s)
        every = r"over samples" if s > 1 else ""
        for j in columns:
            symbol = partial(quantity("W", l, k, j))
            pair = _pair(quantity("delta", l, k), quantity("a", l - 1, j))
            general = pair if s == 1 else Formula(
                f"sum_i {pair.text}", rf"\sum_i {pair.latex}", f._PRODUCT
            )  # fmt: skip
            terms = [
                f.times(self.num(self.t.delta[l][i, k], "delta"),
                        self.num(self.t.a[l - 1][i, j], "a"))
                for i in samples
            ]  # fmt: skip
            products = self.t.delta[l][:, k].astype(np.float64) * self.t.a[l - 1][:, j]
            yield self.step(
                "dW", symbol, general, self.total(terms, products), self.t.dW[l][k, j],
                f"what the edge carries forward times what comes back {every}".strip(),
            )  # fmt: skip
        delta = quantity("delta", l, k)
        general = delta if s == 1 else f.symbol(f"sum_i {delta.text}", rf"\sum_i {delta.latex}")
        terms = [self.num(self.t.delta[l][i, k], "delta") for i in samples]
        yield self.step(
            "db", partial(quantity("b", l, k)), general, self.total(terms, self.t.delta[l][:, k]),
            self.t.db[l][k], f"the bias's own input is 1 {every}".strip(),
        )  # fmt: skip


def _pair(a: Formula, b: Formula) -> Formula:
    """Return a product of two symbols, without a dot."""
    return Formula(f"{a.text} {b.text}", rf"{a.latex}\, {b.latex}", f._PRODUCT)


def _in_parentheses(a: Formula) -> Formula:
    return a if a.rank == f._ATOM and not a.is_negative else f.in_parentheses(a)


def _summand(a: Formula) -> Formula:
    return a if a.rank > f._SUM else _in_parentheses(a)


def _negative(y: Formula) -> Formula:
    return Formula(f"(-{y.text})", f"(-{y.latex})")


def _evaluated_slope(e: _Explainer, k: int) -> float:
    """Return dC/da of output k of a softmax, whose losses are these three."""
    error = float(e.t.a[e.L][e.i, k]) - float(e.t.y[e.i, k])
    if e.loss == "squared_error":
        return error
    return float(np.sign(error) if e.loss == "absolute_error" else np.clip(error, -1, 1))


def explain(
    trace: Trace, l: int, k: int, j: int | None, sample: int, digits: int, max_terms: int,
    marked: bool = False,
) -> Explanation:  # fmt: skip
    """Return the explanation of `Trace.explain`, after a check of its arguments."""
    L = len(trace.a) - 1
    l = _as_index("l", l, L + 1, "layers")
    sizes = [a.shape[1] for a in trace.a]
    k = _as_index("k", k, sizes[l], f"nodes of layer {l}")
    sample = _as_index("sample", sample, len(trace.a[0]), "samples")
    digits = check.as_count("digits", digits)
    if digits > 17:
        raise ValueError(f"digits: expected at most 17, got {digits}")
    most = check.as_count("max_terms", max_terms, least=2)
    e = _Explainer(trace, sample, digits, most, marked)
    of = f", sample {sample} of {len(trace.a[0])}" if len(trace.a[0]) > 1 else ""
    if l == 0:
        if j is not None:
            raise ValueError("j: goes with a layer that has edges into it, l from 1")
        x = quantity("a", 0, k)
        value = e.a(0, k)
        own = Step("a", x, f.symbol(f"x_{k}"), value, float(trace.a[0][sample, k]), value, "")
        return Explanation(f"input {k}{of}", (own, e.hidden_delta(0, k)))
    columns: Sequence[int]
    if j is None:
        n = sizes[l - 1]
        strength = np.abs(trace.dW[l][k])
        columns = (
            range(n) if n <= most
            else sorted(np.argsort(-strength, kind="stable")[:most].tolist())
        )  # fmt: skip
    else:
        columns = [_as_index("j", j, sizes[l - 1], f"nodes of layer {l - 1}")]
    back = e.output_delta(k) if l == L else e.hidden_delta(l, k)
    steps = (*e.forward(l, k), back, *e.gradients(l, k, columns))
    title = f"node {k} of layer {l}, {trace.activations[l - 1]}{of}"
    if j is None:
        return Explanation(title, steps)
    return Explanation(f"edge from node {j} to {title}",
                       tuple(s for s in steps if s.name in ("delta", "dW")))  # fmt: skip


def _as_index(name: str, value: Any, count: int, what: str) -> int:
    index = check.as_count(name, value, least=0)
    if index >= count:
        raise ValueError(
            f"{name}: expected 0 to {count - 1}, one of the {count} {what}; got {index}"
        )
    return index
