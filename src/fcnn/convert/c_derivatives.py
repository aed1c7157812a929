"""The function of a file of C that computes a network's Jacobian."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fcnn._dispatch import core
from fcnn.convert.c_table import Words
from fcnn.convert.steps import Layer, entry_of
from fcnn.network import Network

# sigma'(z) as an expression of z and a = sigma(z), in the words of convert.c's FUNCTIONS, whose
# functions it may call; "" is 1. That of a softmax is a matrix, and that of ascending outputs one
# times what each z moves: see `write_jacobian`.
DERIVATIVES: dict[str, str | None] = {
    "identity": "",
    "sigmoid": "a * (1 - a)",
    "tanh": "1 - a * a",
    "relu": "a <= 0 ? 0 : 1",
    "leaky_relu": "a <= 0 ? alpha : 1",
    "elu": "a <= 0 ? a + alpha : 1",
    "gelu": (
        "{0.5} * (1 + erfF(z * {0.7071067811865476}))\n"
        "        + z * {0.3989422804014327} * expF({-0.5} * z * z)"
    ),
    "silu": "NAME_sigmoid(z) * (1 + z * (1 - NAME_sigmoid(z)))",
    "softplus": "a > 20 ? 1 : -expm1F(-a)",
    "softmax": "",
    "exp": "a",
    "ascending": "-expm1F(-NAME_softplus(z))",
}

# The sums are those of fcnn, in its order.
_BACK = """\
/* c_j = sum over k of W_kj d_k; row j of W has the weights from node j to all nodes k */
static void NAME_back(const REAL *W, const REAL *d, REAL *c, int n_in, int n_out)
{
    int j, k;
    for (j = 0; j < n_in; j++, W += n_out) {
        REAL total = 0;
        for (k = 0; k < n_out; k++)
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


def call_of(activation: str, z: str, words: Words) -> str:
    """Return a call of an activation's function of one z."""
    name, alpha = core.split_activation(activation)
    return f"NAME_{name}({z})" if alpha is None else f"NAME_{name}({z}, {words.rounded(alpha)})"


def write_jacobian(net: Network, layers: Sequence[Layer], words: Words) -> tuple[list[str], int]:
    """Return the templates of NAME_jacobian, and the bytes of the stack that it takes."""
    sizes, m = net.sizes, net.num_targets
    L, n_0, n_L = len(layers), sizes[0], sizes[-1]
    slopes = {layer.activation: _slope(layer.activation, words) for layer in layers}
    parts = [_BACK] if L > 1 else []
    for number, (name, expression) in enumerate(slopes.items(), start=1):
        if expression:
            parts.append(
                f"static REAL NAME_slope{number}(REAL z, REAL a)\n{{\n"
                f"    (void) z;\n    (void) a;\n    return {expression};\n}}\n"
            )
            slopes[name] = f"NAME_slope{number}"
    widest, deltas = max(sizes[1:]), max(sizes[1:-1], default=0)
    is_softmax, is_ascending = (layers[-1].activation == name for name in ("softmax", "ascending"))
    kept = [f"s{l}[{sizes[l]}]" for l in range(1, L if is_softmax else L + 1)]
    arrays = [f"z[{widest}]", f"a[{widest}]", *kept]
    arrays += [f"{array}[{deltas}]" for array in ("d", "e")[: L - 1]]
    lines = [f"    REAL {', '.join(arrays)};", "    int i, j, k;", ""]
    for l, (_, _, name) in enumerate(layers, start=1):
        n = sizes[l]
        source = "x" if l == 1 else "a"
        lines.append(f"    NAME_layer(NAME_W{l}, NAME_b{l}, {source}, z, {sizes[l - 1]}, {n});")
        lines.append(f"    for (k = 0; k < {n}; k++) {{")
        is_z = name in ("identity", "softmax", "ascending")
        lines.append(f"        a[k] = {'z[k]' if is_z else call_of(name, 'z[k]', words)};")
        slope = f"{slopes[name]}(z[k], a[k])" if slopes[name] else "1"
        if l == L:  # some derivatives of a NaN are numbers; those of an output that is one are not
            slope = f"a[k] != a[k] ? a[k] : {slope}"
        if l < L or not (is_softmax or is_ascending):
            lines.append(f"        s{l}[k] = {slope};")
        lines.append("    }")
    if is_softmax:
        lines.append(f"    NAME_softmax(a, {n_L});")
    if is_ascending:
        lines.append(f"    NAME_ascending(a, {n_L}, {m});")
        lines.append(f"    for (k = 0; k < {n_L}; k++)")
        slope = f"a[k] != a[k] ? a[k] : k < {m} ? 1 : {slopes['ascending']}(z[k], a[k])"
        lines.append(f"        s{L}[k] = {slope};")
    lines.append(f"    for (i = 0; i < {n_L}; i++) {{")
    if L == 1:
        lines.append(f"        for (j = 0; j < {n_0}; j++)")
        lines.append(f"            jacobian[i * {n_0} + j] = NAME_W1[j * {n_L} + i];")
    else:
        lines.append(f"        for (j = 0; j < {sizes[L - 1]}; j++)")
        lines.append(f"            d[j] = NAME_W{L}[j * {n_L} + i] * s{L - 1}[j];")
    source, target = "d", "e"
    for l in range(L - 1, 0, -1):
        to = f"jacobian + i * {n_0}" if l == 1 else target
        lines.append(f"        NAME_back(NAME_W{l}, {source}, {to}, {sizes[l - 1]}, {sizes[l]});")
        if l > 1:
            lines.append(f"        for (j = 0; j < {sizes[l - 1]}; j++)")
            lines.append(f"            {target}[j] *= s{l - 1}[j];")
        source, target = target, source
    if not is_softmax:
        lines.append(f"        for (j = 0; j < {n_0}; j++)")
        lines.append(f"            jacobian[i * {n_0} + j] *= s{L}[i];")
    lines.append("    }")
    body = "\n".join(lines) + "\n"
    if is_softmax:
        body += _SOFTMAX.format(n_0=n_0, n_L=n_L)
    if is_ascending:
        body += _ASCENDING.format(n_0=n_0, n_L=n_L, m=m)
    parts.append(f"void NAME_jacobian(const REAL *x, REAL *jacobian)\n{{\n{body}}}\n")
    entries = 2 * widest + min(L - 1, 2) * deltas + sum(sizes[1 : L if is_softmax else L + 1])
    return parts, entries * words.itemsize


def _slope(activation: str, words: Words) -> str:
    expression, alpha = entry_of(DERIVATIVES, activation, "C has no derivative")
    if alpha is not None:
        expression = re.sub(r"\balpha\b", words.rounded(alpha), expression)
    return re.sub(r"\{([-\d.]+)\}", lambda m: words.rounded(m[1]), expression)
