"""The function of a file of C that computes a network's Jacobian."""

from __future__ import annotations

from collections.abc import Sequence

from fcnn.convert.c_layers import Place, activate, expression, layer_name, places
from fcnn.convert.c_weights import Weights
from fcnn.convert.c_words import Words
from fcnn.convert.steps import Layer
from fcnn.network import Network

# sigma'(z) as an expression of z and a = sigma(z), in the words of c_layers.FUNCTIONS; "" is 1.
# That of a softmax is a matrix, and that of ascending outputs one times what each z moves: see
# `write_jacobian`.
DERIVATIVES: dict[str, str | None] = {
    "identity": "",
    "sigmoid": "a * (1 - a)",
    "tanh": "1 - a * a",
    "relu": "NAME_choose(a <= 0, 0, 1)",
    "leaky_relu": "NAME_choose(a <= 0, alpha, 1)",
    "elu": "NAME_choose(a <= 0, a + alpha, 1)",
    "gelu": (
        "{0.5} * (1 + NAME_erf(z * {0.7071067811865476}))\n"
        "            + z * {0.3989422804014327} * NAME_exp({-0.5} * z * z)"
    ),
    "silu": "NAME_sigmoid(z) * (1 + z * (1 - NAME_sigmoid(z)))",
    "softplus": "NAME_choose(a > 20, 1, -NAME_expm1(-a))",
    "softmax": "",
    "exp": "a",
    "ascending": "NAME_choose(z > 20, 1, NAME_sigmoid(z))",
}

# Sums of eight lanes, which compilers make vectors of: a single one would wait for each term.
BACK = """\
/* c_j = sum over k of W_kj d_k; row j of W has the weights from node j to all nodes k */
static void NAME_back(const REAL *W, const REAL *d, REAL *c, int n_in, int n_out)
{
    int i, j, k;
    for (j = 0; j < n_in; j++, W += n_out) {
        REAL s[8] = {0}, total;
        for (k = 0; k + 8 <= n_out; k += 8)
            for (i = 0; i < 8; i++)
                s[i] += W[k + i] * d[k + i];
        total = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
        for (; k < n_out; k++)
            total += W[k] * d[k];
        c[j] = total;
    }
}
"""

_SOFTMAX = """\
    for (j = 0; j < {n_0}; j++) {{
        REAL mean = 0;
        for (k = 0; k < {n_L}; k++)
            mean += jacobian[k * {n_0} + j] * a[k];
        for (k = 0; k < {n_L}; k++)
            jacobian[k * {n_0} + j] = a[k] * (jacobian[k * {n_0} + j] - mean);
    }}
"""


_ASCENDING = """\
    for (k = {m}; k < {n_L}; k++)
        for (j = 0; j < {n_0}; j++)
            jacobian[k * {n_0} + j] += jacobian[(k - {m}) * {n_0} + j];
"""


def slopes(
    activation: str, place: Place, arrays: tuple[str, str, str], words: Words, net: Network
) -> list[str]:
    """Return the lines that make slopes s = sigma'(z) of arrays z, a and s.

    That of ascending outputs is what z moves; a softmax has none.
    """
    z, a, s = (f"{array}[k]" for array in arrays)
    value = expression(DERIVATIVES, activation, {"z": z, "a": a}, words, "derivative") or "1"
    if activation == "softmax":
        return []
    begin, lines = 0, []
    if activation == "ascending":
        begin = net.num_targets
        lines = [f"    for (k = 0; k < {begin}; k++)", f"        {s} = 1;"]
        if begin == place.n_out:
            return lines
    return [
        *lines,
        f"    for (k = {begin}; k < {place.width}; k++)",
        f"        {s} = {value};",
    ]  # fmt: skip


def copied(array: str, source: str, n: int, indent: str = "    ") -> list[str]:
    """Return the lines that copy an array."""
    return [f"{indent}for (k = 0; k < {n}; k++)", f"{indent}    {array}[k] = {source}[k];"]


def write_jacobian(
    net: Network, layers: Sequence[Layer], words: Words, weights: Weights
) -> tuple[str, int]:
    """Return the template of NAME_jacobian, and the bytes of the stack that it takes."""
    source = weights.source
    found = places(net)
    sizes, m = net.sizes, net.num_targets
    L, n_0, n_L = len(layers), sizes[0], sizes[-1]
    widest, deltas = max(p.width for p in found), max(sizes[1:-1], default=0)
    is_softmax, is_ascending = (layers[-1].activation == name for name in ("softmax", "ascending"))
    kept = [f"s{p.l}[{p.width}]" for p in found if p.l < L or not is_softmax]
    arrays = [f"z[{widest}]", f"a[{widest}]", *kept]
    arrays += [f"{array}[{deltas}]" for array in ("d", "e")[: L - 1]]
    lines = [f"    REAL {', '.join(arrays)};", "    int i, j, k;", ""]
    lines += weights.guard("jacobian", n_0 * n_L).splitlines()
    for place, (_, _, name) in zip(found, layers, strict=True):
        l, emitting = place.l, "x" if place.l == 1 else "a"
        at = f"{source} + {place.at}" if place.at else source
        lines.append(f"    {layer_name(place, l == L)}({at}, {emitting}, z);")
        lines += copied("a", "z", place.width)
        lines += activate(name, place, "a", words, net)
        lines += slopes(name, place, ("z", "a", f"s{l}"), words, net)
        if l == L and not is_softmax:
            # Some derivatives of a NaN are numbers; those of an output that is one are not.
            lines.append(f"    for (k = 0; k < {n_L}; k++)")
            lines.append("        if (a[k] != a[k])")
            lines.append(f"            s{l}[k] = a[k];")
    lines.append(f"    for (i = 0; i < {n_L}; i++) {{")
    W = f"{source} + {found[-1].at}"
    if L == 1:
        lines.append(f"        for (j = 0; j < {n_0}; j++)")
        lines.append(f"            jacobian[i * {n_0} + j] = ({W})[j * {n_L} + i];")
    else:
        lines.append(f"        for (j = 0; j < {sizes[L - 1]}; j++)")
        lines.append(f"            d[j] = ({W})[j * {n_L} + i] * s{L - 1}[j];")
    emitting, receiving = "d", "e"
    for place in reversed(found[:-1]):
        l = place.l
        to = f"jacobian + i * {n_0}" if l == 1 else receiving
        at = f"{source} + {place.at}" if place.at else source
        lines.append(f"        NAME_back({at}, {emitting}, {to}, {sizes[l - 1]}, {sizes[l]});")
        if l > 1:
            lines.append(f"        for (j = 0; j < {sizes[l - 1]}; j++)")
            lines.append(f"            {receiving}[j] *= s{l - 1}[j];")
        emitting, receiving = receiving, emitting
    if not is_softmax:
        lines.append(f"        for (j = 0; j < {n_0}; j++)")
        lines.append(f"            jacobian[i * {n_0} + j] *= s{L}[i];")
    lines.append("    }")
    body = "\n".join(lines) + "\n"
    if is_softmax:
        body += _SOFTMAX.format(n_0=n_0, n_L=n_L)
    if is_ascending:
        body += _ASCENDING.format(n_0=n_0, n_L=n_L, m=m)
    head = f"void NAME_jacobian({weights.given}const REAL *x, REAL *jacobian)"
    entries = 2 * widest + min(L - 1, 2) * deltas
    entries += sum(p.width for p in found if p.l < L or not is_softmax)
    return f"{head}\n{{\n{body}}}\n", entries * words.itemsize
