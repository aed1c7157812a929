"""A file of C that computes what a network does."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from fcnn import _validation as check
from fcnn._format.container import as_path
from fcnn._format.replacing import write_whole
from fcnn.convert.c_derivatives import BACK, write_jacobian
from fcnn.convert.c_elementary import write_elementary
from fcnn.convert.c_layers import write_forward, write_layers
from fcnn.convert.c_selftest import declare_test, recorded, write_test
from fcnn.convert.c_table import table_head, write_answers, write_columns
from fcnn.convert.c_training import declare_training, write_training
from fcnn.convert.c_weights import KINDS, Weights, file_beside, write_weights
from fcnn.convert.c_words import FLOATS, Words
from fcnn.convert.steps import layers_of, refuse_surrogates
from fcnn.model import Model
from fcnn.network import Network

_KEYWORDS = re.compile(
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    "inline|int|long|register|restrict|return|short|signed|sizeof|static|struct|switch|typedef|"
    "union|unsigned|void|volatile|while"
)

_MACROS = """\
#if defined(__GNUC__) || defined(_MSC_VER)
#define MACRO_RESTRICT __restrict
#else
#define MACRO_RESTRICT
#endif
#ifdef __GNUC__
#define MACRO_APART __attribute__((noinline))
#else
#define MACRO_APART
#endif
#ifdef __clang__ /* which would unroll short loops before it can make vectors of them */
#define MACRO_LOOP _Pragma("clang loop unroll(disable)")
#else
#define MACRO_LOOP
#endif
"""


def to_c(
    net: Network | Model,
    name: str,
    path: str | os.PathLike[str] | None = None,
    *,
    derivatives: bool = False,
    training: bool = False,
    weights: str = "auto",
    floats: str = "hexadecimal",
    header: str | os.PathLike[str] | None = None,
    self_test: Any = False,
) -> str:
    """Return a file of C99 with a function that computes what `net.predict` does for one sample.

    It is C++17, too, with functions that C calls. It needs no library: its own elementary functions
    are loops over arrays, which GCC and Clang make vector instructions of at -O3. It allocates
    nothing, and any number of threads may call it. With T float or double, the network's dtype::

        #define NAME_INPUTS             n_0
        #define NAME_OUTPUTS            n_L
        #define NAME_PARAMETERS         how many weights and biases there are
        #define NAME_SCRATCH_BYTES      of the stack, besides a few variables
        void NAME_predict(const T *x, T *a);                x (n_0,), a (n_L,), not overlapping

    With `derivatives` also those of all outputs with respect to all inputs, as `net.jacobian` has
    them::

        #define NAME_JACOBIAN_SCRATCH_BYTES
        void NAME_jacobian(const T *x, T *jacobian);        jacobian (n_L, n_0), row after row

    With `training` also the gradient of the network's loss and a step of SGD or Adam, in static
    memory, for one thread. y has a probability for each class where the loss takes labels; the
    loss is that before the step. What is not finite updates nothing::

        #define NAME_TARGETS
        extern T NAME_parameters[];                         in the order of net.parameters
        T NAME_gradient(const T *x, const T *y, int rows, T *gradient);
        T NAME_sgd(const T *x, const T *y, int rows, double lr, double momentum,
                   double weight_decay);
        T NAME_adam(const T *x, const T *y, int rows, double lr, double beta1, double beta2,
                    double epsilon, double weight_decay);
        void NAME_reset(void);                              forgets velocity, moments and steps

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

    What differs from `predict` is rounding: sums of narrow layers are added up in another order,
    and the compiler chooses the instructions. Compiled with -ffast-math the file is refused.

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
    training : bool, default False
        Write the functions that train, too; likewise. They need math.h.
    weights : {"auto", "text", "file", "extern"}, default "auto"
        Where weights and biases are. "text": in the text. "file": in a file beside it, `path` with
        the ending .bin, which the assembler (GCC and Clang, where programs are ELF) puts into the
        program, or which NAME_load(path) reads. "auto": "file" for more than 262,144 of them,
        written to a path, else "text". "extern": at the caller, who hands them over as a first
        argument, ``NAME_predict(const T *parameters, const T *x, T *a)``: NAME_PARAMETERS numbers,
        ``net.parameters.tofile`` writes such.
    floats : {"hexadecimal", "decimal"}, default "hexadecimal"
        How numbers are written; both exactly. Compilers before C99 and C++17 read decimal ones.
    header : str or path-like, optional
        A file to write the declarations to, which stand in the text, too: both can be included.
    self_test : bool or array-like, default False
        Write ``int NAME_test(void)``, which compares with recorded answers of `predict`, prints the
        worst error and the time of a row, and returns 0 if all is well; with NAME_MAIN defined the
        file is a program that does so. True takes 16 rows of random numbers; else rows as `predict`
        takes them, which a model needs. It needs stdio.h and time.h.

    Returns
    -------
    str
        The text.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the network has parameters that are not finite.
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import fcnn, fcnn.convert
    >>> net = fcnn.Network((4, 16, 3), rng=0)
    >>> print(fcnn.convert.to_c(net, "iris")[:61])
    /* iris: a fully connected network, 4-16-3, computed in float
    """
    network = net.network if isinstance(net, Model) else net
    layers_of(network)  # refuses what is none
    for what, value in (("derivatives", derivatives), ("training", training)):
        if check.as_flag(what, value) and isinstance(net, Model):
            raise ValueError(f"{what}: a model's columns have none; write that of model.network")
    if not isinstance(name, str):
        raise TypeError(f"name: expected a str, got {type(name).__name__}")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or _KEYWORDS.fullmatch(name):
        raise ValueError(
            "name: expected an identifier of C (letters, digits and underscores, a letter first, "
            f"no keyword), got {name!r}"
        )
    weights = check.as_choice("weights", weights, KINDS)
    words = Words(name, network.dtype, check.as_choice("floats", floats, FLOATS))
    file = None if path is None else as_path(path)
    header_file = None if header is None else as_path(header, "header")
    if weights == "file" and file is None:
        raise ValueError('weights: "file" stands beside the text; give its path, too')
    check.refuse_nonfinite("parameters", network.parameters)
    test = None
    if not (isinstance(self_test, (bool, type(None))) and not self_test):
        test = recorded(net, self_test)
    blob = file_beside(network, weights, file)
    _refuse_one_for_two({"path": file, "header": header_file, "weights": blob})
    found = write_weights(
        network, words, weights, blob, is_trained=training, is_tested=test is not None
    )  # fmt: skip
    declared, text = _written(net, words, found, derivatives, training, test)
    if blob is not None and found.blob is not None:
        write_whole(blob, found.blob)
    if header_file is not None:
        write_whole(header_file, declared.encode())
    if file is not None:
        write_whole(file, text.encode())
    return text


def _refuse_one_for_two(given: dict[str, Path | None]) -> None:
    """Refuse paths that are the same file: one would replace the other."""
    written: dict[str, str] = {}
    for what, path in given.items():
        if path is not None:
            first = written.setdefault(os.path.realpath(path), what)
            if what != first:
                other = {"path": "text", "header": "declarations"}[first]
                raise ValueError(f"{what}: {path} is the file of the {other}, too")


def _written(
    net: Network | Model, words: Words, weights: Weights, derivatives: bool, training: bool,
    test: Any,
) -> tuple[str, str]:  # fmt: skip
    """Return the text of the header and that of the file."""
    network = net.network if isinstance(net, Model) else net
    layers = layers_of(network)
    is_model = isinstance(net, Model)
    n_L = network.sizes[-1]
    body, scratch = write_forward(
        network, layers, words, weights.source, weights.guard("a", n_L)
    )  # fmt: skip
    forward = (
        f"{'static ' if is_model else ''}void NAME_{'network' if is_model else 'predict'}"
        f"({weights.given}const REAL *x, REAL *a)\n{{\n{body}}}\n"
    )
    # What is read behind the biases of the last layer is in the file's own array.
    functions = write_layers(network, words, has_slack=not weights.given)
    functions.append(forward)
    macros = f"#define MACRO_PARAMETERS {network.num_parameters}\n"
    behind = ""
    if isinstance(net, Model):
        refuse_surrogates(net)
        behind = f"{write_columns(net.preparation, words)}\n{write_answers(net, words, weights)}"
        comment, declared, includes = table_head(net, words, scratch, weights)
        declared = words.filled(macros) + declared
    else:
        comment, includes = words.filled(_comment(network, weights)), ""
        declared = words.filled(
            f"#define MACRO_INPUTS {network.sizes[0]}\n"
            f"#define MACRO_OUTPUTS {n_L}\n"
            f"{macros}"
            f"#define MACRO_SCRATCH_BYTES {scratch}\n"
            f"void NAME_predict({weights.given}const REAL *x, REAL *a);\n"
        )
    more = ""
    if (derivatives or training) and len(layers) > 1:
        functions.append(BACK)
    if derivatives:
        function, scratch = write_jacobian(network, layers, words, weights)
        functions.append(function)
        more += (
            f"\n#define MACRO_JACOBIAN_SCRATCH_BYTES {scratch}\n"
            "/* da_k / dx_j, jacobian[MACRO_OUTPUTS][MACRO_INPUTS] */\n"
            f"void NAME_jacobian({weights.given}const REAL *x, REAL *jacobian);\n"
        )
    if training:
        functions += write_training(network, layers, words, weights)
        more += declare_training(network, weights)
    if test is not None:
        behind += words.filled(
            f"\n{write_test(words, weights, *test, of_model=is_model)}"
        )  # fmt: skip
        more += declare_test(weights.given)
    if not includes and (training or weights.kind == "file"):
        includes = "#include <math.h>\n"
    parts = "\n".join(functions)
    elementary = write_elementary(parts, words)
    declared = words.filled(
        "#ifndef MACRO_DECLARED\n#define MACRO_DECLARED\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n'
    ) + declared + weights.filled(weights.declared, words) + words.filled(
        f"{more}#ifdef __cplusplus\n}}\n#endif\n#endif\n"
    )  # fmt: skip
    declared = f"{comment}\n{declared}"
    code = [
        *map(words.filled, (elementary, _MACROS)), weights.filled(weights.defined, words),
        words.filled(parts),
    ]  # fmt: skip
    return declared, "\n".join(filter(None, [declared, includes, *code, behind]))


def _comment(net: Network, weights: Weights) -> str:
    """Return the template of the first comment."""
    shape = "-".join(map(str, net.sizes))
    reads = "reads x[MACRO_INPUTS]"
    if weights.given:
        reads = "reads parameters[MACRO_PARAMETERS], for each layer W (n_in, n_out) and then\n" \
            "   b (n_out), and x[MACRO_INPUTS],"  # fmt: skip
    return (
        f"/* NAME: a fully connected network, {shape}, computed in REAL\n"
        "\n"
        f"   NAME_predict {reads} and writes a[MACRO_OUTPUTS]; the two must not\n"
        "   overlap. Any number of threads may call it: besides a it writes to its stack only, of\n"
        "   which it takes MACRO_SCRATCH_BYTES and a few variables. */\n"
    )
