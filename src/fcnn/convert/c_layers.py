"""The layers of a network in C: z = W a + b, and a = sigma(z).

The parameters are one array, in the order of `net.parameters`. A layer is computed in whole blocks
of nodes, as wide as a register: what lies behind a row of W is read as if it were weights of
further nodes. It is the next row or the biases, always numbers of the same array; what becomes of
them is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fcnn.convert.c_words import Words
from fcnn.convert.steps import Layer, entry_of
from fcnn.network import Network


class Whole(str):
    """Statements for all n nodes of a layer at once; those from n to `width` may be anything."""


# The end of the softmax. A loop over n outputs of its own, not over whole blocks and then a copy:
# Clang took the first number out of that loop and masked the others, and 4-16-3 33 ns for 25.
_IN_PLACE = """\
    MACRO_LOOP
    for (k = 0; k < width; k++)
        a[k] *= total;
"""
_APART = """\
    for (k = 0; k < n; k++)
        outputs[k] = a[k] * total;
"""

# sigma(z) as an expression, or statements; "" is z itself, None cannot be written. alpha is the
# number of those that have one, m that of the targets.
FUNCTIONS: dict[str, str | None] = {
    "identity": "",
    "sigmoid": "NAME_sigmoid(z)",
    "tanh": "NAME_tanh(z)",
    "relu": "NAME_choose(z < 0, 0, z)",
    "leaky_relu": "NAME_choose(z < 0, alpha * z, z)",
    "elu": "NAME_choose(z < 0, alpha * NAME_expm1(z), z)",
    "gelu": "{0.5} * z * (1 + NAME_erf(z * {0.7071067811865476}))",
    "silu": "z * NAME_sigmoid(z)",
    "softplus": "NAME_softplus(z)",
    "softmax": Whole(f"""\
{{
    const REAL largest = NAME_largest(a, n);
    REAL total = 0;
    MACRO_LOOP
    for (k = 0; k < width; k++)
        a[k] = NAME_exp_to_1(a[k] - largest);
    for (k = 0; k < n; k++)
        total += a[k];
    total = 1 / total;
{_IN_PLACE}}}
"""),
    "exp": "NAME_exp(z)",
    "ascending": Whole("""\
MACRO_LOOP
for (k = m; k < n; k++)
    a[k] = NAME_softplus(a[k]);
for (k = m; k < n; k++)
    a[k] += a[k - m];
"""),
}

# A function of its own: what Clang knows of the outputs keeps it from making vectors of the
# exponentials.
_LARGEST = """\
static MACRO_APART REAL NAME_largest(const REAL *a, int n)
{
    REAL largest = a[0];
    int k;
    for (k = 1; k < n; k++)
        if (a[k] > largest)
            largest = a[k];
    return largest;
}
"""

# So many terms of a sum stand in one expression: a sum in memory is read and written once for them.
_WIDE_TERMS = 4
_NARROW_TERMS = 16
_HALF_TERMS = 24
_FEW_VECTORS = 4
_LONG = 32  # nodes, of a loop that Clang does not unroll at once
_LANES_OF_ONE = 8  # of a layer with one node, whose terms are added up in so many sums


class Place(NamedTuple):
    """Where a layer's parameters begin, how wide it is, and how wide in whole blocks."""

    l: int
    at: int
    n_in: int
    n_out: int
    width: int


def places(net: Network) -> list[Place]:
    """Return the place of each layer 1..L in the array of parameters."""
    found, at = [], 0
    for l, (n_in, n_out) in enumerate(zip(net.sizes, net.sizes[1:], strict=False), start=1):
        found.append(Place(l, at, n_in, n_out, _width(n_out, net.dtype.itemsize)))
        at += (n_in + 1) * n_out
    return found


def _width(n: int, itemsize: int) -> int:
    """Return the nodes of whole blocks: at most n more, so many biases are behind the weights."""
    whole = 32 // itemsize
    if n == 1:
        return 1
    return whole // 2 if n <= whole // 2 else -(-n // whole) * whole


def slack(net: Network) -> int:
    """Return how many numbers behind the parameters are read, if they may be."""
    last = places(net)[-1]
    return last.width - last.n_out


def expression(
    table: Mapping[str, str | None],
    activation: str,
    values: Mapping[str, str],
    words: Words,
    what: str = "function",
) -> str:
    """Return an expression of a table with its z, a and alpha."""
    entry, alpha = entry_of(table, activation, f"C has no {what}")
    values = {**values, "alpha": "" if alpha is None else words.rounded(alpha)}
    return re.sub(rf"\b({'|'.join(values)})\b(?!\()", lambda m: values[m[1]], entry)


def activate(
    activation: str, place: Place, array: str, words: Words, net: Network, outputs: str = ""
) -> list[str]:
    """Return the lines that make a = sigma(z) of an array, in place, and copy it to outputs."""
    copy = [f"    for (k = 0; k < {place.n_out}; k++)", f"        {outputs}[k] = {array}[k];"]
    entry, _ = entry_of(FUNCTIONS, activation, "C has no function")
    if isinstance(entry, Whole):
        values = {
            "a": array, "n": str(place.n_out), "m": str(net.num_targets),
            "width": str(place.width), "outputs": outputs,
        }  # fmt: skip
        is_apart = bool(outputs) and _IN_PLACE in entry
        text = entry.replace(_IN_PLACE, _APART) if is_apart else entry
        text = re.sub(rf"\b({'|'.join(values)})\b", lambda m: values[m[1]], text)
        lines = ["    " + line for line in text.splitlines()]
        return [*lines, *copy] if outputs and not is_apart else lines
    if not entry:
        return copy if outputs else []
    value = expression(FUNCTIONS, activation, {"z": f"{array}[k]"}, words)
    return [
        *_short("    ", place.width),
        f"    for (k = 0; k < {place.width}; k++)",
        f"        {array}[k] = {value};",
        *(copy if outputs else []),
    ]  # fmt: skip


def _short(indent: str, width: int) -> list[str]:
    """Return what keeps Clang from unrolling a short loop, which then would be no vector."""
    # A long one is unrolled after it has become vectors: 32-64-64-8 in 0.7 of the time.
    return [f"{indent}MACRO_LOOP"] if width < _LONG else []


def layer_name(place: Place, is_last: bool) -> str:
    """Return the name of the function that computes a layer's input sums."""
    last = "_last" if is_last and place.width > place.n_out else ""
    return f"NAME_layer_{place.n_in}_{place.n_out}{last}"


def write_layers(net: Network, words: Words, has_slack: bool) -> list[str]:
    """Return the templates of the functions for the input sums of all layers."""
    parts = {}
    found = places(net)
    for place in found:
        is_last = place is found[-1]
        name = layer_name(place, is_last)
        if name not in parts:
            body = _one_node(place) if place.n_out == 1 else _nodes(
                place, words, copies_bias=is_last and not has_slack
            )  # fmt: skip
            # Inlined, Clang may make single numbers of the outputs, and of their activation.
            kind = "static MACRO_APART" if _is_half(place, words) else "static"
            parts[name] = (
                f"{kind} void {name}(const REAL *p, const REAL *x, REAL *MACRO_RESTRICT z)\n"
                f"{{\n{body}}}\n"
            )
    return [*([_LARGEST] if net.activations[-1] == "softmax" else []), *parts.values()]


def _one_node(place: Place) -> str:
    """Return the body of a layer with one node: its terms in several sums, like a vector's."""
    n, lanes = place.n_in, _LANES_OF_ONE
    full = n // lanes * lanes if n >= 2 * lanes else 0
    rest = "".join(f" + p[{j}] * x[{j}]" for j in range(full, n))
    if not full:
        return f"    z[0] = p[{n}]{rest};\n"
    total = [f"s[{i}]" for i in range(lanes)]
    while len(total) > 1:
        total = [f"({a} + {b})" for a, b in zip(total[::2], total[1::2], strict=True)]
    return (
        f"    REAL s[{lanes}];\n"
        "    int i, j;\n"
        f"    for (i = 0; i < {lanes}; i++)\n"
        "        s[i] = p[i] * x[i];\n"
        f"    for (j = {lanes}; j < {full}; j += {lanes})\n"
        f"        for (i = 0; i < {lanes}; i++)\n"
        "            s[i] += p[j + i] * x[j + i];\n"
        f"    z[0] = p[{n}] + {total[0]}{rest};\n"
    )


def _nodes(place: Place, words: Words, copies_bias: bool) -> str:
    """Return the body for several nodes, the loops over which compilers vectorize."""
    n_in, n_out, width = place.n_in, place.n_out, place.width
    vectors = width * words.itemsize // 32
    is_narrow = vectors <= 2
    # Of a narrow layer each sum would wait for the one before: four or two at once, and then their
    # sum. With more vectors the processor has others to go on with.
    chains = 4 if is_narrow else 2 if vectors <= _FEW_VECTORS else 1
    terms = _NARROW_TERMS if is_narrow else _WIDE_TERMS
    lines, bias = [], f"p[{n_in * n_out} + k]"
    if copies_bias and width > n_out:
        lines += [
            f"    REAL b[{width}];",
            "    int @k;",
            f"    for (k = 0; k < {n_out}; k++)",
            f"        b[k] = {bias};",
            f"    for (k = {n_out}; k < {width}; k++)",
            "        b[k] = 0;",
        ]
        bias = "b[k]"
    else:
        lines.append("    int @k;")
    if _is_half(place, words):
        return _few_nodes(place, lines, bias)

    def block(start: str, first: str, count: int, indent: str) -> list[str]:
        lines = []
        for i in range(0, count, 4):
            some = ", ".join(f"x{j} = x[{j}]" for j in range(i, min(i + 4, count)))
            lines.append(f"{indent}const REAL {some};")
        # With n_out = width a multiple of a register's entries, every read is of a whole one.
        products = [f"p[{f'{j * n_out} + ' if j else ''}k] * x{j}" for j in range(count)]
        size = -(-count // chains) if count >= 2 * chains else count
        sums = [" + ".join(products[i : i + size]) for i in range(0, count, size)]
        sums = [f"{first} + {sums[0]}", *sums[1:]] if len(sums) == 1 else [first, *sums]
        sums = [f"({one})" if " + " in one else one for one in sums]
        text = sums[0] if len(sums) == 1 else f"{sums[0]} + ({_tree(sums[1:])})"
        text = text.removeprefix("(").removesuffix(")") if len(sums) == 1 else text
        lines += _short(indent, width)
        lines.append(f"{indent}for (k = 0; k < {width}; k++)")
        lines.append(f"{indent}    z[k] = {text};")
        return lines

    begin = min(n_in, terms)
    lines += ["    {", *block("", bias, begin, "        "), "    }"]
    done, full = begin, n_in // terms * terms
    if full > begin:
        lines += [
            f"    for (j = {begin}; j < {full}; j += {terms}) {{",
            f"        p += {terms * n_out};",
            f"        x += {terms};",
            *block("", "z[k]", terms, "        "),
            "    }",
        ]
        done = full
    if done < n_in:
        lines += [
            f"    p += {terms * n_out};",
            f"    x += {terms};",
            "    {",
            *block("", "z[k]", n_in - done, "        "),
            "    }",
        ]
    text = "\n".join(lines) + "\n"
    return text.replace("@k", "j, k" if "(j =" in text else "k")


def _is_half(place: Place, words: Words) -> bool:
    return 1 < place.n_out and place.width * words.itemsize <= 16 and place.n_in > _WIDE_TERMS


def _few_nodes(place: Place, lines: list[str], bias: str) -> str:
    """Return the body for half a register of nodes: two sums or four, which stay in registers.

    Each term has a loop of its own, which compilers unroll. As one expression of 16 terms Clang
    reads all of x before the loop, for which there are not registers enough: 4-16-3 took 18 ns
    instead of 8. For wider layers it is the other way round: 24-16-8 took 2.3 times as long so.
    """
    n_in, n_out, width, terms = place.n_in, place.n_out, place.width, _HALF_TERMS
    sums = [f"s{i}" for i in range(4 if n_in >= 8 else 2)]

    def each(indent: str, entry: str, value: str) -> list[str]:
        return [f"{indent}for (k = 0; k < {width}; k++)", f"{indent}    {entry} {value};"]

    def product(j: int) -> str:
        return f"p[{f'{j * n_out} + ' if j else ''}k] * x[{j}]"

    def add(indent: str, first: int, end: int) -> list[str]:
        return [
            line for j in range(first, end)
            for line in each(indent, f"{sums[j % len(sums)]}[k] +=", product(j))
        ]  # fmt: skip

    lines = [
        f"    REAL {', '.join(f'{one}[{width}]' for one in sums)};", *lines,
        *each("    ", "s0[k] =", f"{bias} + {product(0)}"),
        *(line for j in range(1, len(sums)) for line in each("    ", f"s{j}[k] =", product(j))),
        *add("    ", len(sums), min(n_in, terms)),
    ]  # fmt: skip
    full = n_in // terms * terms
    if full > terms:
        lines += [
            f"    for (j = {terms}; j < {full}; j += {terms}) {{",
            f"        p += {terms * n_out};",
            f"        x += {terms};",
            *add("        ", 0, terms),
            "    }",
        ]
    if 0 < full < n_in:
        lines += [f"    p += {terms * n_out};", f"    x += {terms};", *add("    ", 0, n_in - full)]
    total = _tree([f"{one}[k]" for one in sums]).removeprefix("(").removesuffix(")")
    lines += each("    ", "z[k] =", total)
    text = "\n".join(lines) + "\n"
    return text.replace("@k", "j, k" if "(j =" in text else "k")


def _tree(terms: Sequence[str]) -> str:
    """Return a sum of terms, two by two."""
    found = list(terms)
    while len(found) > 1:
        pairs = [f"({a} + {b})" for a, b in zip(found[::2], found[1::2], strict=False)]
        found = pairs + found[len(found) // 2 * 2 :]
    return found[0]


def write_forward(
    net: Network, layers: Sequence[Layer], words: Words, source: str, guard: str
) -> tuple[str, int]:
    """Return the body of the function from x to a, and the bytes of the stack that it takes.

    `source` is the array of parameters, `guard` are statements before all others.
    """
    found = places(net)
    last = found[-1]
    # Hidden layers take turns with two arrays, each as wide as the widest of its layers.
    widths = [
        max((p.width for p in found[first:-1:2]), default=0) for first in (0, 1)
    ]  # fmt: skip
    arrays = dict(zip(("odd", "even"), widths, strict=True))
    if last.width > last.n_out:
        arrays["whole"] = last.width
    declared = [f"{name}[{n}]" for name, n in arrays.items() if n]
    lines, emitting = guard.splitlines(), "x"
    for place, layer in zip(found, layers, strict=True):
        is_last = place is last
        receiving = "odd" if place.l % 2 else "even"
        if is_last:
            receiving = "whole" if "whole" in arrays else "a"
        at = f"{source} + {place.at}" if place.at else source
        lines.append(f"    {layer_name(place, is_last)}({at}, {emitting}, {receiving});")
        outputs = "a" if receiving == "whole" else ""
        lines += activate(layer.activation, place, receiving, words, net, outputs)
        emitting = receiving
    head = [f"    REAL {', '.join(declared)};"] if declared else []
    head += ["    int k;"] if any("k++" in line for line in lines) else []
    head += [""] if head else []
    return "\n".join([*head, *lines]) + "\n", sum(arrays.values()) * words.itemsize
