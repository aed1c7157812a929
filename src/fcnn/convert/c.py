"""A file of C that computes what a network does."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from fcnn import _validation as check
from fcnn._container import as_path, write_whole
from fcnn._dispatch import core
from fcnn.convert.c_derivatives import call_of, write_jacobian
from fcnn.convert.c_table import Words, table_head, write_answers, write_columns
from fcnn.convert.steps import Layer, entry_of, layers_of, refuse_surrogates
from fcnn.model import Model
from fcnn.network import Network

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


# NAME is the network's, REAL float or double, F the f of expf or nothing, {number} a constant;
# alpha is an argument of those that have one. None would be an activation that cannot be written.
FUNCTIONS: dict[str, _Function | None] = {
    "identity": _Function(""),
    "sigmoid": _Function("""\
    /* e^-|z| does not overflow. */
    REAL e = expF(-fabsF(z));
    return (z < 0 ? e : 1) / (1 + e);
"""),
    "tanh": _Function("    return tanhF(z);\n"),
    "relu": _Function("    return z < 0 ? 0 : z;\n"),
    "leaky_relu": _Function("    return z < 0 ? alpha * z : z;\n"),
    "elu": _Function("    return z < 0 ? alpha * expm1F(z) : z;\n"),
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
    "ascending": _Function("""\
    int k;
    for (k = m; k < n; k++)
        a[k] = a[k - m] + NAME_softplus(a[k]);
""", of_layer=True, calls=("softplus",)),
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


def to_c(
    net: Network | Model,
    name: str,
    path: str | os.PathLike[str] | None = None,
    *,
    derivatives: bool = False,
) -> str:
    """Return a file of C99 with a function that computes what `net.predict` does for one sample.

    It needs nothing but math.h, and that only for activations with an exponential; it allocates
    nothing, and any number of threads may call it. With T float or double, the network's dtype::

        #define NAME_INPUTS             n_0
        #define NAME_OUTPUTS            n_L
        #define NAME_SCRATCH_BYTES      of the stack, besides a few variables
        void NAME_predict(const T *x, T *a);                x (n_0,), a (n_L,), not overlapping

    With `derivatives` also those of all outputs with respect to all inputs, as `net.jacobian` has
    them::

        #define NAME_JACOBIAN_SCRATCH_BYTES
        void NAME_jacobian(const T *x, T *jacobian);        jacobian (n_L, n_0), row after row

    Of a model it takes a row of raw numbers, one for each column, in the order of `features`: dates
    are seconds since 1970 UTC, booleans 1 and 0, missing cells NAN, and categories codes, which
    NAME_code gives for their texts. It needs math.h, and string.h for these::

        #define NAME_COLUMNS            how many numbers a row has
        #define NAME_ANSWERS            how many are written: n_L, or the number of probabilities
        #define NAME_CLASSES            how many classes there are, if there are any
        #define NAME_SCRATCH_BYTES
        double NAME_code(int column, const char *text);     if there are categories
        const char *const NAME_classes[NAME_CLASSES];       texts of the classes
        int NAME_predict(const double *row, double *probabilities);     the class's number; or
        int NAME_predict(const double *row, double *answers);           0: numbers in own units

    Where the model would refuse the row, the function returns -1 and writes NAN. What each column
    is stands in the file's first comment.

    Sums are added up in the same order as in `predict`. What differs is rounding: the instructions
    that the C compiler chooses, and the functions of its math library.

    Parameters
    ----------
    net : fcnn.Network or fcnn.Model
    name : str
        What all names in the file begin with, those of macros in capitals: an identifier of C that
        does not begin with an underscore.
    path : str or path-like, optional
        A file to write the text to; an existing one is replaced at once.
    derivatives : bool, default False
        Write NAME_jacobian, too. Not of a model, whose columns may be categories: take
        ``model.network``.

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
    model, network = (net, net.network) if isinstance(net, Model) else (None, net)
    layers = layers_of(network)
    if check.as_flag("derivatives", derivatives) and model is not None:
        raise ValueError("derivatives: a model's columns have none; write those of model.network")
    if not isinstance(name, str):
        raise TypeError(f"name: expected a str, got {type(name).__name__}")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or _KEYWORDS.fullmatch(name):
        raise ValueError(
            "name: expected an identifier of C (letters, digits and underscores, a letter first, "
            f"no keyword), got {name!r}"
        )
    file = None if path is None else as_path(path)
    check.refuse_nonfinite("parameters", network.parameters)
    words = Words(name, network.dtype)
    if model is None:
        written = _written(network, layers, words, "NAME_predict")
        head, parts = _head(network, written), written.parts
        if derivatives:
            more, scratch = write_jacobian(network, layers, words)
            head.append(
                f"#define MACRO_JACOBIAN_SCRATCH_BYTES {scratch}\n\n"
                "/* da_k / dx_j, jacobian[MACRO_OUTPUTS][MACRO_INPUTS] */\n"
                "void NAME_jacobian(const REAL *x, REAL *jacobian);\n"
            )
            parts += more
        text = words.filled("\n".join([*head, *parts]))
    else:
        refuse_surrogates(model)
        written = _written(network, layers, words, "NAME_network")
        columns = write_columns(model.preparation, words)
        top = table_head(model, words, written.scratch)
        filled = [words.filled(part) for part in written.parts]
        text = "\n".join([top, *filled, columns, write_answers(model, words)])
    if file is not None:
        write_whole(file, text.encode())
    return text


def _function(activation: str) -> _Function:
    entry, _ = entry_of(FUNCTIONS, activation, "C has no function")
    return entry


class _Written(NamedTuple):
    """The templates of a network's arrays and functions."""

    parts: list[str]
    needs_math: bool
    scratch: int  # bytes


def _head(net: Network, written: _Written) -> list[str]:
    """Return the templates that stand above a network's arrays."""
    shape = "-".join(map(str, net.sizes))
    parts = [
        f"/* NAME: a fully connected network, {shape}, computed in REAL\n"
        "\n"
        "   NAME_predict reads x[MACRO_INPUTS] and writes a[MACRO_OUTPUTS]; the two must not\n"
        "   overlap. Any number of threads may call it: besides a it writes to its stack only, of\n"
        "   which it takes MACRO_SCRATCH_BYTES and a few variables. */\n"
    ]
    if written.needs_math:
        parts.append("#include <math.h>\n")
    parts.append(
        f"#define MACRO_INPUTS {net.sizes[0]}\n"
        f"#define MACRO_OUTPUTS {net.sizes[-1]}\n"
        f"#define MACRO_SCRATCH_BYTES {written.scratch}\n"
    )
    return [*parts, "void NAME_predict(const REAL *x, REAL *a);\n"]


def _written(net: Network, layers: Sequence[Layer], words: Words, function_name: str) -> _Written:
    sizes, L = net.sizes, len(layers)
    constants = {layer.activation: core.split_activation(layer.activation) for layer in layers}
    used = {name: _function(name) for name, _ in constants.values()}
    needed = {*used, *(name for function in used.values() for name in function.calls)}
    written = {name: _function(name) for name in FUNCTIONS if name in needed}
    functions = {name: function for name, function in written.items() if function.body}
    # Hidden layers take turns with two arrays, each as wide as the widest of its layers.
    widths = [max(sizes[first:L:2], default=0) for first in (1, 2)]
    scratch = [f"{array}[{n}]" for array, n in zip(("odd", "even"), widths, strict=True) if n]
    parts = []
    for l, (W, b, _) in enumerate(layers, start=1):
        parts += [words.array(f"W{l}", W.T), words.array(f"b{l}", b)]
    parts.append(_LAYER)
    for activation, function in functions.items():
        body = re.sub(r"\{([\d.]+)\}", lambda m: words.rounded(m[1]), function.body)
        kind, given = ("void", "REAL *a, int n") if function.of_layer else ("REAL", "REAL z")
        given += ", REAL alpha" if activation in core.ACTIVATION_CONSTANTS else ""
        given += ", int m" if activation == "ascending" else ""
        parts.append(f"static {kind} NAME_{activation}({given})\n{{\n{body}}}\n")
    lines = [f"    REAL {', '.join(scratch)};"] if scratch else []
    if any(function.body and not function.of_layer for function in used.values()):
        lines.append("    int k;")
    lines += [""] if lines else []
    source = "x"
    for l, (_, b, name) in enumerate(layers, start=1):
        activation, _ = constants[name]
        target = "a" if l == L else ("odd" if l % 2 else "even")
        lines.append(
            f"    NAME_layer(NAME_W{l}, NAME_b{l}, {source}, {target}, {sizes[l - 1]}, {b.size});"
        )
        if used[activation].of_layer:
            m = f", {net.num_targets}" if activation == "ascending" else ""
            lines.append(f"    NAME_{activation}({target}, {b.size}{m});")
        elif used[activation].body:
            value = call_of(name, f"{target}[k]", words)
            lines.append(f"    for (k = 0; k < {b.size}; k++)")
            lines.append(f"        {target}[k] = {value};")
        source = target
    body = "\n".join(lines)
    static = "static " if function_name != "NAME_predict" else ""
    parts.append(f"{static}void {function_name}(const REAL *x, REAL *a)\n{{\n{body}\n}}\n")
    needs_math = any("F(" in function.body for function in functions.values())
    return _Written(parts, needs_math, sum(widths) * net.dtype.itemsize)
