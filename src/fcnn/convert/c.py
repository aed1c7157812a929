"""A file of C that computes what a network does."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._format import as_path, write_whole
from fcnn.convert.steps import Layer, entry_of, layers_of
from fcnn.network import Network

Array = NDArray[Any]

_KEYWORDS = re.compile(
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    "inline|int|long|register|restrict|return|short|signed|sizeof|static|struct|switch|typedef|"
    "union|unsigned|void|volatile|while"
)


class _Function(NamedTuple):
    """The body of a function of z, or of all nodes a[n] of a layer; "" has nothing to compute."""

    body: str
    of_layer: bool = False
    calls: tuple[str, ...] = ()  # other activations' functions, which stand above


# NAME is the network's, REAL float or double, F the f of expf or nothing, {number} a constant. None
# would be an activation that cannot be written.
FUNCTIONS: dict[str, _Function | None] = {
    "identity": _Function(""),
    "sigmoid": _Function("""\
    /* e^-|z| does not overflow. */
    REAL e = expF(-fabsF(z));
    return (z < 0 ? e : 1) / (1 + e);
"""),
    "tanh": _Function("    return tanhF(z);\n"),
    "relu": _Function("    return z < 0 ? 0 : z;\n"),
    "leaky_relu": _Function("    return z < 0 ? {0.01} * z : z;\n"),
    "elu": _Function("    return z < 0 ? expm1F(z) : z;\n"),
    "gelu": _Function("    return {0.5} * z * (1 + erfF(z * {0.7071067811865476}));\n"),
    "silu": _Function("    return z * NAME_sigmoid(z);\n", calls=("sigmoid",)),
    "softplus": _Function("    return z > 20 ? z : log1pF(expF(z));\n"),
    "softmax": _Function("""\
    REAL largest = a[0], total = 0;
    int k;
    for (k = 1; k < n; k++)
        if (a[k] > largest)
            largest = a[k];
    for (k = 0; k < n; k++)
        total += a[k] = expF(a[k] - largest);
    total = 1 / total;
    for (k = 0; k < n; k++)
        a[k] *= total;
""", of_layer=True),
    "exp": _Function("    return expF(z);\n"),
}  # fmt: skip

# The sums are those of fcnn, in its order, and the loop over k is one that compilers vectorize.
_LAYER = """\
/* z = W x + b; row j of W has the weights from node j to all nodes k of the layer */
static void NAME_layer(const REAL *W, const REAL *b, const REAL *x, REAL *restrict z,
    int n_in, int n_out)
{
    int j, k;
    for (k = 0; k < n_out; k++)
        z[k] = b[k];
    for (j = 0; j < n_in; j++, W += n_out)
        for (k = 0; k < n_out; k++)
            z[k] += W[k] * x[j];
}
"""


def to_c(net: Network, name: str, path: str | os.PathLike[str] | None = None) -> str:
    """Return a file of C99 with a function that computes what `net.predict` does for one sample.

    It needs nothing but math.h, and that only for activations with an exponential; it allocates
    nothing, and any number of threads may call it. With T float or double, the network's dtype::

        #define NAME_INPUTS             n_0
        #define NAME_OUTPUTS            n_L
        #define NAME_SCRATCH_BYTES      of the stack, besides a few variables
        void NAME_predict(const T *x, T *a);                x (n_0,), a (n_L,), not overlapping

    Sums are added up in the same order as in `predict`. What differs is rounding: the instructions
    that the C compiler chooses, and the functions of its math library.

    Parameters
    ----------
    net : fcnn.Network
    name : str
        What all names in the file begin with, those of macros in capitals: an identifier of C that
        does not begin with an underscore.
    path : str or path-like, optional
        A file to write the text to; an existing one is replaced at once.

    Returns
    -------
    str
        The text.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the network has parameters that are not finite.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import fcnn, fcnn.convert
    >>> net = fcnn.Network((4, 16, 3), rng=0)
    >>> print(fcnn.convert.to_c(net, "iris")[:61])
    /* iris: a fully connected network, 4-16-3, computed in float
    """
    layers = layers_of(net)
    if not isinstance(name, str):
        raise TypeError(f"name: expected a str, got {type(name).__name__}")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or _KEYWORDS.fullmatch(name):
        raise ValueError(
            "name: expected an identifier of C (letters, digits and underscores, a letter first, "
            f"no keyword), got {name!r}"
        )
    file = None if path is None else as_path(path)
    check.refuse_nonfinite("parameters", net.parameters)
    text = _c_text(net, layers, name)
    if file is not None:
        write_whole(file, text.encode())
    return text


def _function(activation: str) -> _Function:
    return entry_of(FUNCTIONS, activation, "C has no function")


def _c_text(net: Network, layers: Sequence[Layer], name: str) -> str:
    real, suffix = ("float", "f") if net.dtype == np.float32 else ("double", "")
    sizes, L = net.sizes, len(layers)

    def literal(value: Any, suffix: str = suffix) -> str:
        digits, exponent = float(value).hex().split("p")
        return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{exponent}{suffix}"

    def array(what: str, values: Array, real: str = real, suffix: str = suffix) -> str:
        numbers = [literal(value, suffix) for value in values.ravel().tolist()]
        lines = [", ".join(numbers[i : i + 4]) for i in range(0, len(numbers), 4)]
        body = ",\n    ".join(lines)
        return f"static const {real} NAME_{what}[{values.size}] = {{\n    {body}\n}};\n"

    used = {layer.activation: _function(layer.activation) for layer in layers}
    needed = {*used, *(name for function in used.values() for name in function.calls)}
    written = {name: _function(name) for name in FUNCTIONS if name in needed}
    functions = {name: function for name, function in written.items() if function.body}
    # Hidden layers take turns with two arrays, each as wide as the widest of its layers.
    widths = [max(sizes[first:L:2], default=0) for first in (1, 2)]
    scratch = [f"{array}[{n}]" for array, n in zip(("odd", "even"), widths, strict=True) if n]
    shape = "-".join(map(str, sizes))
    parts = [
        f"/* NAME: a fully connected network, {shape}, computed in {real}\n"
        "\n"
        "   NAME_predict reads x[MACRO_INPUTS] and writes a[MACRO_OUTPUTS]; the two must not\n"
        "   overlap. Any number of threads may call it: besides a it writes to its stack only, of\n"
        "   which it takes MACRO_SCRATCH_BYTES and a few variables. */\n"
    ]
    if any("F(" in function.body for function in functions.values()):
        parts.append("#include <math.h>\n")
    parts.append(
        f"#define MACRO_INPUTS {sizes[0]}\n"
        f"#define MACRO_OUTPUTS {sizes[-1]}\n"
        f"#define MACRO_SCRATCH_BYTES {sum(widths) * net.dtype.itemsize}\n"
    )
    parts.append("void NAME_predict(const REAL *x, REAL *a);\n")
    for l, (W, b, _) in enumerate(layers, start=1):
        parts += [array(f"W{l}", W.T), array(f"b{l}", b)]
    parts.append(_LAYER)
    for activation, function in functions.items():
        body = re.sub(r"\{([\d.]+)\}", lambda m: literal(net.dtype.type(m[1])), function.body)
        kind, given = ("void", "REAL *a, int n") if function.of_layer else ("REAL", "REAL z")
        parts.append(f"static {kind} NAME_{activation}({given})\n{{\n{body}}}\n")
    lines = [f"    REAL {', '.join(scratch)};"] if scratch else []
    if not all(function.of_layer for function in functions.values()):
        lines.append("    int k;")
    lines += [""] if lines else []
    source = "x"
    for l, (_, b, activation) in enumerate(layers, start=1):
        target = "a" if l == L else ("odd" if l % 2 else "even")
        lines.append(
            f"    NAME_layer(NAME_W{l}, NAME_b{l}, {source}, {target}, {sizes[l - 1]}, {b.size});"
        )
        if used[activation].of_layer:
            lines.append(f"    NAME_{activation}({target}, {b.size});")
        elif used[activation].body:
            lines.append(f"    for (k = 0; k < {b.size}; k++)")
            lines.append(f"        {target}[k] = NAME_{activation}({target}[k]);")
        source = target
    body = "\n".join(lines)
    parts.append(f"void NAME_predict(const REAL *x, REAL *a)\n{{\n{body}\n}}\n")
    words = {"NAME": name, "MACRO": name.upper(), "REAL": real, "F": suffix}
    return re.sub(
        r"\b(NAME|MACRO)(?=_|: )|\bREAL\b|(?<=[a-z0-9])F(?=\()",
        lambda m: words[m[1] or m[0]],
        "\n".join(parts),
    )
