"""``fcnn to-c``: a saved model as a file of C."""

import argparse
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fcnn
from fcnn.cli.data import CommandError, check_writable, read_for_prediction, refusals

ROWS = 16  # of the data, for the self-test
# Of fcnn.convert, which is imported when it is wanted.
WEIGHTS = ("auto", "text", "file", "extern")
FLOATS = ("hexadecimal", "decimal")


def add_to_c(commands: Any, choice: Callable[..., Any]) -> None:
    """Add the command to those of the parser; `choice` makes the type of an option."""
    parser = commands.add_parser(
        "to-c",
        help="a saved network as a file of C",
        description=textwrap.dedent("""\
            Write a saved MODEL as a file of C99 (and C++17) that needs no library and no Python:
            from raw columns to answers or, of a file with a network alone or with --network, from
            the network's inputs to its outputs. Its first comment says how it is called."""),
        epilog=textwrap.dedent("""\
            examples:
              fcnn to-c iris.safetensors --header iris.h
              fcnn to-c iris.safetensors --self-test iris.csv --output predict.c --name iris
              cc -O3 -DIRIS_MAIN predict.c -lm && ./a.out"""),
    )
    parser.set_defaults(command="to-c", run=to_c)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file that fcnn train, model.save or net.save wrote")
    add(
        "--output", metavar="FILE",
        help="where to write (default: the name of MODEL with .c, here); an existing file is "
        "replaced",
    )  # fmt: skip
    add(
        "--name", metavar="NAME",
        help="what the names in the file begin with (default: the name of MODEL, other characters "
        "than letters and digits as underscores)",
    )  # fmt: skip
    add("--header", metavar="FILE", help="where to write the declarations, too")
    add(
        "--network", action="store_true",
        help="the network alone, without scaling, categories and classes",
    )  # fmt: skip
    add(
        "--weights", type=choice(*WEIGHTS), default="auto", metavar="WHERE",
        help="where weights are: text; file: beside the text, as .bin, which the assembler reads; "
        "extern: at the caller; auto (default): file for more than 262,144, else text",
    )  # fmt: skip
    add(
        "--floats", type=choice(*FLOATS), default=FLOATS[0], metavar="HOW",
        help="how numbers are written: hexadecimal (default) or decimal; both exactly",
    )  # fmt: skip
    add("--derivatives", action="store_true", help="the Jacobian, too; of a network alone")
    add(
        "--training", action="store_true",
        help="the gradient and a step of SGD and Adam, too; of a network alone",
    )  # fmt: skip
    add(
        "--self-test", metavar="DATA", nargs="?", const="",
        help=f"a function, too, that compares with answers for the first {ROWS} rows of DATA, and "
        "takes the time; of a network alone for random ones, without DATA",
    )  # fmt: skip
    add(
        "--no-header", action="store_true",
        help="the first line of DATA is data, as for fcnn predict",
    )  # fmt: skip


def to_c(options: argparse.Namespace) -> int:
    """Run ``fcnn to-c`` and return its exit code."""
    from fcnn import convert
    from fcnn.convert.c_weights import file_beside

    with refusals():
        loaded = fcnn.load(options.model)
    if isinstance(loaded, fcnn.Ensemble):
        raise CommandError(
            f"{options.model}: an ensemble of {len(loaded.networks)} networks; to_c writes one: "
            "fcnn.convert.to_c(ensemble.networks[0], ...)"
        )
    is_model = isinstance(loaded, fcnn.Model) and not options.network
    net = loaded if is_model or isinstance(loaded, fcnn.Network) else loaded.network
    stem = Path(options.model).stem
    output = Path(options.output or f"{stem}.c")
    name = re.sub("[^A-Za-z0-9]", "_", stem) if options.name is None else options.name
    if options.name is None and not re.match("[A-Za-z]", name):
        name = f"net_{name}"
    network = net.network if isinstance(net, fcnn.Model) else net
    blob = file_beside(network, options.weights, output)
    sources = [options.model, *([options.self_test] if options.self_test else [])]
    check_writable("--output", output, *sources)
    if options.header is not None:
        check_writable("--header", Path(options.header), *sources)
    if blob is not None:
        check_writable("--weights", blob, *sources)
    for option in ("derivatives", "training"):
        if is_model and getattr(options, option):
            raise CommandError(f"--{option}: is for a network alone; give --network, too")
    rows: Any = options.self_test is not None
    if is_model and options.self_test == "":
        raise CommandError("--self-test: expected DATA, rows for the model to answer")
    if options.self_test and not is_model:
        raise CommandError("--self-test: the rows of a network alone are random; leave DATA out")
    if options.no_header and not options.self_test:
        raise CommandError("--no-header: is for the DATA of --self-test")
    if options.self_test:
        table, _, _ = read_for_prediction(
            options.self_test, not options.no_header, None, are_classes=bool(net.classes)
        )
        rows = table.take(np.arange(min(ROWS, table.rows)))
    with refusals(name="--name", header="--header", self_test="--self-test", weights="--weights"):
        text = convert.to_c(
            net, name, output, derivatives=options.derivatives, training=options.training,
            weights=options.weights, floats=options.floats, header=options.header, self_test=rows,
        )  # fmt: skip
    print(f"output     {output}, {len(text):,} bytes")
    if options.header is not None:
        print(f"header     {options.header}")
    if blob is not None:
        print(f"weights    {blob}")
    return 0
