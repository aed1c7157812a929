"""The command line: ``fcnn train``, ``predict``, ``report`` and so on; see ``fcnn --help``.

A refusal is one line on stderr and exit code 2; 1 says that training diverged, 130 that it was
interrupted.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import fcnn
from fcnn import _validation as check
from fcnn._architecture import as_activation, as_loss
from fcnn.cli.data import (
    BROKEN_PIPE,
    DEFAULT_LOSSES,
    FAILED,
    INTERRUPTED,
    KINDS,
    LOSSES,
    REFUSED,
    SCALABLE_LOSSES,
    STANDARDIZATIONS,
    CommandError,
    say,
)
from fcnn.cli.fitting import SCHEDULES, as_dropout, as_schedule
from fcnn.cli.learn import add_learn
from fcnn.cli.ranks import is_first, open_ranks
from fcnn.cli.terminal import drop_unwritten, open_streams, red
from fcnn.cli.to_c import add_to_c
from fcnn.initializers import INITIALIZERS
from fcnn.names import Name
from fcnn.second_order import ALL_OPTIMIZERS
from fcnn.tables import KINDS as COLUMN_KINDS
from fcnn.tables.training import MOST_NUMBERS

T = TypeVar("T")

SHELLS = ("bash", "zsh", "tcsh")
MODEL = "a file that fcnn train, model.save or net.save wrote"


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        The words after ``fcnn``; None takes the process's own.
    """
    command = "fcnn"
    is_closed = sys.stdout is None
    open_streams(is_first())
    try:
        try:
            words = sys.argv[1:] if argv is None else list(argv)
            options = _parse(words)
            # Models and reports keep how they were made, as UTF-8, which not every file's name is.
            options.words = [w.encode(errors="backslashreplace").decode() for w in words]
            command = f"fcnn {options.command}".strip()
            answers = options.command in ("predict", "inspect", "completion", "bench")
            if is_closed and answers and getattr(options, "output", None) is None:
                raise CommandError("standard output is closed")
            options.ranks = open_ranks(options.command)
            code: int = options.run(options)
        except SystemExit as done:  # --help and --version
            code = int(done.code or 0)
        # Here, where a closed pipe can still be caught.
        sys.stdout.flush()
        return code
    except CommandError as error:
        _refuse(error.command or command, str(error))
        return error.code
    except BrokenPipeError:
        drop_unwritten(sys.stdout)
        return BROKEN_PIPE
    except UnicodeError as error:  # of a name that is no UTF-8, where a file has to hold it
        _refuse(command, str(error))
    except OSError as error:
        drop_unwritten(sys.stdout)
        what = error.strerror or str(error)
        where = f"{error.filename}: " if error.filename else ""
        _refuse(command, f"{where}{what}")
    except (MemoryError, OverflowError):
        remedy = "make the data, --layers or --batch-size smaller"
        _refuse(command, f"not enough memory; {remedy}")
    except KeyboardInterrupt:
        say(f"{command}: interrupted")
        return INTERRUPTED
    return REFUSED


def _refuse(command: str, why: str) -> None:
    say(why, head=f"{command}: {red('error:', sys.stderr)} ")


# --- Options --------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse's own drops what it cannot write, and ends well.
        (file or sys.stdout).write(message)

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message} (see {self.prog} --help)", command=self.prog)


def _parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line; what is unknown is told with what it may have meant."""
    parser, commands = _parser()
    if words and not words[0].startswith("-") and words[0] not in commands:
        raise CommandError(
            f"there is no command {words[0]!r}; expected {check.listed(list(commands))}"
            f"{check.did_you_mean(words[0], commands)}"
        )
    options, rest = parser.parse_known_args(words)
    if rest:
        own = commands.get(options.command, parser)
        known = re.findall(r"--[a-z0-9-]+", own.format_help())
        wrong = next((word for word in rest if word.startswith("--")), "").partition("=")[0]
        own.error(
            f"unrecognized arguments: {' '.join(rest)}"
            f"{check.did_you_mean(wrong, known) if wrong else ''}"
        )
    return options


def _option(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Have argparse say why a text is refused; it names the option itself."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None

    return convert


def _read(kind: Callable[[str], T], called: str, text: str) -> T:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"expected {called}, got {text!r}") from None


def _number(**bounds: float) -> Callable[[str], float]:
    return _option(lambda text: check.as_number("", _read(float, "a number", text), **bounds))


def _count(least: int) -> Callable[[str], int]:
    return _option(lambda text: check.as_count("", _read(int, "a whole number", text), least))


def _choice(*choices: str, read: Callable[..., str] = check.as_choice) -> Callable[[str], str]:
    convert = _option(lambda text: read("", text, choices))
    convert.choices = choices  # type: ignore[attr-defined]  # for the shell's completion
    return convert


def _layers(text: str) -> tuple[int, ...]:
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(check.as_count("", int(part)) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"expected sizes like 128 or 128,64, or none for no hidden layer; got {text!r}"
        ) from None


def _activations(text: str) -> Name | list[Name]:
    names = [as_activation("", part.strip(), check.HIDDEN_ACTIVATIONS) for part in text.split(",")]
    return names if len(names) > 1 else names[0]


def _listed(names: Iterable[str], default: str) -> str:
    return check.listed([f"{name} (default)" if name == default else name for name in names])


def _add_dtype(parser: Any) -> None:
    names = ("float32", "float64")
    parser.add_argument(
        "--dtype", type=_choice(*names), default="float32", metavar="TYPE",
        help=_listed(names, "float32"),
    )  # fmt: skip


def _add_table(parser: Any) -> None:
    parser.add_argument(
        "--no-header", action="store_true",
        help="the first line of a text file or sheet is data; columns are called column_1, "
        "column_2, ...",
    )  # fmt: skip
    parser.add_argument(
        "--sheet", metavar="NAME",
        help="which sheet of an Excel file (default: the only one that has rows)",
    )  # fmt: skip


def _parser() -> tuple["_Parser", dict[str, "_Parser"]]:
    parser = _Parser(
        prog="fcnn",
        description=(
            "Fully connected neural networks, trained and served on CPUs at the speed of the "
            "hardware."
        ),
        epilog=textwrap.dedent("""\
            examples:
              fcnn train digits                        train on the digits that come with fcnn
              fcnn train iris.csv --target species     train on a table
              fcnn predict iris.safetensors new.csv    answers for new rows, as CSV
              fcnn COMMAND --help                      all options of a command"""),
    )
    parser.add_argument(
        "--version", action="version", help="print the version and the instruction set in use",
        version=f"fcnn {fcnn.__version__} ({fcnn._dispatch.core.ISA} instruction set)",
    )  # fmt: skip
    parser.set_defaults(command="", run=lambda _: parser.error("a command is missing"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_train(commands)
    _add_predict(commands)
    _add_report(commands)
    _add_inspect(commands)
    add_to_c(commands, _choice)
    _add_bench(commands)
    add_learn(commands, _count)
    _add_completion(commands)
    return parser, commands.choices


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a network and save it",
        description=textwrap.dedent(f"""\
            Train a network on DATA, test it on samples it has not seen, and save it.

            DATA is one of
              digits       1,797 handwritten digits of 8 x 8 pixels that come with fcnn
              FILE         a table: CSV (.gz), TSV, Parquet, JSON lines or Excel, columns of
                           numbers, categories, dates, true and false, some cells missing
              -            the same from standard input
              FILE.npz     a NumPy archive with X and y, or X_train, y_train, and optionally
                           X_test, y_test
              FOLDER       IDX files, as of MNIST: train-images-idx3-ubyte(.gz) and so on

            What is saved is the network of the epoch with the lowest validation loss (without
            validation, the last), with all that raw data need to be answered: columns, their
            kinds and scaling, classes or the scale of the target. Ctrl-C ends the training and
            saves the best completed epoch so far; during the first epoch nothing is saved. Exit
            codes: 0 trained, 1 training diverged, 2 wrong usage or data, {INTERRUPTED}
            interrupted. `mpiexec -n N fcnn train ...` shares each update out among N ranks."""),
        epilog=textwrap.dedent("""\
            examples:
              fcnn train digits
              fcnn train houses.csv --target price --layers 64,64 --epochs 200
              fcnn train mnist --layers 30 --activation sigmoid --output-activation sigmoid \\
                  --loss squared_error --optimizer sgd --lr 3 --batch-size 10"""),
    )
    parser.set_defaults(command="train", run=_train)
    parser.add_argument("data", metavar="DATA", help=KINDS)

    group = parser.add_argument_group("data")
    add = group.add_argument
    add(
        "--target", metavar="COLUMNS",
        help="column of a table to predict, or several with numbers, as in a,b; all others are "
        "inputs",
    )  # fmt: skip
    add(
        "--columns", action="append", default=[], metavar="NAME=KIND",
        help="what a column is, the target too, instead of what it looks like, as in "
        f"zip=category; kinds are {', '.join(COLUMN_KINDS)}; may be repeated or separated by "
        "commas",
    )  # fmt: skip
    add(
        "--ignore", action="append", default=[], metavar="COLUMNS",
        help='columns of a table that are not inputs, as in id or id,name, "" for those without '
        "a name; may be repeated",
    )  # fmt: skip
    _add_table(group)
    add(
        "--task", type=_choice("auto", *DEFAULT_LOSSES), default="auto", metavar="TASK",
        help="classification, regression or auto (default): classification if the targets are "
        "text, true and false, or two whole numbers, such as 0 and 1; of an entropy as --loss and "
        f"in arrays also whole numbers with at most {MOST_NUMBERS} distinct values",
    )  # fmt: skip
    add(
        "--test", type=_number(least=0, below=1), metavar="SHARE",
        help="share of the samples held out for the final test, if DATA has no test part "
        "(default 0.2; 0 for none)",
    )  # fmt: skip
    add(
        "--validation", type=_number(least=0, below=1), default=0.1, metavar="SHARE",
        help="share of the training samples held out to choose the best epoch (default 0.1; 0 for "
        "none)",
    )  # fmt: skip
    add(
        "--standardize", type=_choice("auto", *STANDARDIZATIONS), default="auto", metavar="HOW",
        help="features: each to mean 0 and deviation 1; together: one mean and one deviation for "
        "all; none; auto (default): together for images (digits, IDX), else features. Measured on "
        "the training samples, saved with the model",
    )  # fmt: skip

    group = parser.add_argument_group("network")
    add = group.add_argument
    add(
        "--layers", type=_option(_layers), default=(128,), metavar="SIZES",
        help="nodes of each hidden layer, as in 128 (default) or 128,64; none for no hidden layer",
    )  # fmt: skip
    add(
        "--activation", type=_option(_activations), default="relu", metavar="NAMES",
        help="of the hidden layers, one name for all or one for each, as in relu,tanh: "
        f"{', '.join(check.HIDDEN_ACTIVATIONS)} (default relu); another slope or alpha stands "
        "behind the name, as in 'leaky_relu(0.2)' and 'elu(0.5)'",
    )  # fmt: skip
    add(
        "--output-activation", type=_choice(*check.ACTIVATIONS, read=as_activation),
        metavar="NAME",
        help=f"those, {' or '.join(check.OUTPUT_ONLY)} (default: the loss's natural one)",
    )  # fmt: skip
    add(
        "--loss", type=_choice(*LOSSES, read=lambda name, text, _: as_loss(text, name)),
        metavar="NAME",
        help=f"{', '.join(LOSSES)} (default: "
        f"{', '.join(f'{loss} for {task}' for task, loss in DEFAULT_LOSSES.items())}); of "
        "quantiles others than 'quantile(0.05,0.5,0.95)' are named like that. With "
        f"{check.listed(SCALABLE_LOSSES)} targets are standardized for training; the saved model "
        "predicts in the original units",
    )  # fmt: skip
    add(
        "--init", type=_choice(*INITIALIZERS), default="auto", metavar="NAME",
        help=f"initial weights: {', '.join(INITIALIZERS)} (default auto: by activation, those of "
        "the output 0)",
    )  # fmt: skip
    _add_dtype(group)

    group = parser.add_argument_group("training")
    add = group.add_argument
    add(
        "--optimizer", type=_choice(*ALL_OPTIMIZERS), default="adamw", metavar="NAME",
        help=f"{_listed(ALL_OPTIMIZERS, 'adamw')}; of lm (Levenberg-Marquardt) and lbfgs an epoch "
        "is one iteration over all rows",
    )  # fmt: skip
    add(
        "--lr", type=_number(above=0), metavar="RATE",
        help="learning rate (default 0.003, sgd 0.1)",
    )  # fmt: skip
    add("--momentum", type=_number(least=0, below=1), metavar="M", help="of sgd (default 0)")
    add("--nesterov", action="store_true", help="Nesterov's variant of --momentum")
    add(
        "--weight-decay", type=_number(least=0), metavar="W",
        help="decay of weights and biases (default 0, of adamw 500 divided by the number of "
        "updates, at least 0.01 and at most 0.3)",
    )  # fmt: skip
    add(
        "--l2", type=_number(least=0), default=0.0, metavar="W",
        help="adds W/2 times the sum of all squared weights to the loss (default 0)",
    )  # fmt: skip
    add(
        "--dropout", type=_option(as_dropout), default=0.0, metavar="P",
        help="probability that a hidden node is dropped in training; or several, for the inputs "
        "and each hidden layer (default 0)",
    )  # fmt: skip
    add(
        "--label-smoothing", type=_number(least=0, below=1), default=0.0, metavar="E",
        help="of the entropies: a share E of each target goes to all classes alike (default 0)",
    )  # fmt: skip
    add(
        "--class-weight", metavar="WEIGHTS",
        help="balanced: classes count the same however many samples they have; or as in yes=5,no=1 "
        "(others 1)",
    )  # fmt: skip
    add(
        "--schedule", type=_option(as_schedule), metavar="NAMES",
        help=f"of the learning rate: {', '.join(SCHEDULES)}, or several, as in warmup:5,cosine "
        "(default cosine, from the learning rate down to 0)",
    )  # fmt: skip
    add("--epochs", type=_count(1), default=50, metavar="N",
        help="passes over the training samples (default 50)")  # fmt: skip
    add(
        "--batch-size", type=_count(1), metavar="N",
        help="samples in one update, of all ranks (default: a hundredth of the training samples, "
        "but at least 16 and at most 128)",
    )  # fmt: skip
    add(
        "--patience", type=_count(1), metavar="N",
        help="end after N epochs in a row in which the loss of validation (without it, that of "
        "training) did not get better (default: make all)",
    )  # fmt: skip
    add("--threads", type=_count(1), metavar="N", help="at most (default: as many as gain by it)")
    add(
        "--resume", metavar="FILE",
        help="keep the state of the training in FILE after each epoch, and go on from it if it is "
        "there, as if it had never been interrupted; other data and options are refused, but for "
        "--epochs. Of a --search after each round",
    )  # fmt: skip
    add(
        "--cv", type=_count(2), metavar="K",
        help="before the training, train and test on K parts in turn: mean and deviation of "
        "scores; not with --search",
    )  # fmt: skip
    add(
        "--search", type=_number(above=0), metavar="SECONDS",
        help="look so long for the layers, learning rate, dropout and weight decay with the best "
        "validation loss (Ctrl-C ends it with what it has), and save the best network of all",
    )  # fmt: skip
    add(
        "--seed", type=_count(0), default=0, metavar="N",
        help="of the split, the initial weights and the order of the samples (default 0)",
    )  # fmt: skip

    group = parser.add_argument_group("output")
    add = group.add_argument
    add(
        "--output", metavar="FILE",
        help="where to save the model; an existing file is replaced by a run that ended well "
        "only (default: the name of DATA with .safetensors, here, or with -2, -3, ... where "
        "there is one)",
    )  # fmt: skip
    add(
        "--plot", metavar="FILE",
        help="where to draw the curves; the ending decides the format (default: beside the model, "
        ".png)",
    )  # fmt: skip
    add("--no-plot", action="store_true", help="draw no picture")
    add("--quiet", action="store_true", help="no progress bar, and only the final lines")


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="answers of a saved network for new data",
        description=textwrap.dedent("""\
            Predict every row of DATA with a saved MODEL, as CSV with a header.

            Of a table the columns that the model was trained on are taken by name: their order is
            free, further columns are ignored. Of an .npz file or a folder of IDX files the
            test part is taken, or all if there is none; of digits all. Where DATA has the targets,
            the score goes to stderr."""),
        epilog=textwrap.dedent("""\
            examples:
              fcnn predict iris.safetensors new.csv > answers.csv
              fcnn predict iris.safetensors new.csv --probabilities --output answers.csv"""),
    )
    parser.set_defaults(command="predict", run=_predict)
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("data", metavar="DATA", help=KINDS)
    parser.add_argument(
        "--output", metavar="FILE", help="where to write (default: to the terminal)"
    )
    _add_table(parser)
    parser.add_argument(
        "--append", action="store_true",
        help="write the columns of the table, too, with the answers behind them",
    )  # fmt: skip
    parser.add_argument(
        "--probabilities", action="store_true",
        help="a column for each class instead of the most probable one: its probability (of a "
        "network trained with a loss other than the entropies, its output)",
    )  # fmt: skip


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="how good a saved network is, as a page for the browser",
        description=textwrap.dedent("""\
            Measure a saved MODEL on DATA, which has the targets, and write one HTML file that needs
            no other and no network: scores beside those of the trivial answer, confusion matrix or
            predicted against true numbers, the scores of each class, the importance of each
            column, what becomes of it, and the curves of the training.

            DATA is rows that MODEL was not trained on, or what it was trained on: then the rows
            that were held out for its test are measured."""),
        epilog=textwrap.dedent("""\
            example:
              fcnn report iris.safetensors new.csv --output iris.html"""),
    )
    parser.set_defaults(command="report", run=_report)
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("data", metavar="DATA", help=KINDS)
    add(
        "--output", metavar="FILE",
        help="where to write (default: the name of MODEL with .html, here); an existing file is "
        "replaced",
    )  # fmt: skip
    add(
        "--repeats", type=_count(1), default=5, metavar="N",
        help="permutations of each column, for its importance (default 5)",
    )  # fmt: skip
    add("--seed", type=_count(0), default=0, metavar="N", help="of the permutations (default 0)")
    _add_table(parser)


def _add_completion(commands: Any) -> None:
    parser = commands.add_parser(
        "completion",
        help="completes commands, options and names in a shell",
        description="Print what makes a shell complete the words of fcnn (needs shtab).",
        epilog='example, in ~/.bashrc:\n  eval "$(fcnn completion bash)"',
    )
    parser.set_defaults(command="completion", run=_completion)
    parser.add_argument("shell", type=_choice(*SHELLS), metavar="SHELL", help=", ".join(SHELLS))


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser(
        "inspect",
        help="what is in a model file",
        description="Print what a model file holds: layers, classes, scaling of inputs, weights.",
    )
    parser.set_defaults(command="inspect", run=_inspect)
    parser.add_argument("model", metavar="MODEL", help=MODEL)


def _add_bench(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="a short comparison with NumPy on this machine",
        description=(
            "Time training and prediction against the same formulas in NumPy (fcnn.reference), "
            "on this machine."
        ),
    )
    parser.set_defaults(command="bench", run=_bench)
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument(
        "--seconds", type=_number(above=0), default=10.0, metavar="S",
        help="about how long to measure (default 10)",
    )  # fmt: skip
    duration.add_argument(
        "--quick", dest="seconds", action="store_const", const=2.0, help="the same as --seconds 2"
    )
    _add_dtype(parser)


# --- Commands, imported when they are wanted ------------------------------------------------------


def _train(options: argparse.Namespace) -> int:
    from fcnn.cli.train import train

    return train(options)


def _predict(options: argparse.Namespace) -> int:
    from fcnn.cli.model import predict

    return predict(options)


def _report(options: argparse.Namespace) -> int:
    from fcnn.cli.report import report

    return report(options)


def _inspect(options: argparse.Namespace) -> int:
    from fcnn.cli.model import inspect

    return inspect(options)


def _completion(options: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise CommandError("needs shtab: pip install fcnn[cli]") from None
    parser, commands = _parser()
    for one in commands.values():
        for action in one._actions:
            action.choices = action.choices or getattr(action.type, "choices", None)
            if action.dest in ("data", "model", "output", "plot", "resume", "header"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, options.shell))
    return 0


def _bench(options: argparse.Namespace) -> int:
    from fcnn import bench

    try:
        print(bench.run(options.seconds, options.dtype))
    except RuntimeError as error:  # the two sides disagree
        raise CommandError(str(error), FAILED) from None
    return 0
