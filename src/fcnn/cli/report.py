"""``fcnn report``: how good a saved model is on a table, as one HTML file."""

import argparse
import shlex
from pathlib import Path

import fcnn
from fcnn.cli.data import CommandError, check_writable, read_for_prediction, refusals, say
from fcnn.cli.model import load
from fcnn.cli.results import print_results


def report(options: argparse.Namespace) -> int:
    """Run ``fcnn report`` and return its exit code."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise CommandError("pictures need matplotlib: pip install fcnn[cli]") from None
    from fcnn.report import write_report

    output = Path(options.output or f"{Path(options.model).stem}.html")
    check_writable("--output", output, options.model, options.data)
    model, is_whole = load(options.model, options.data)
    table, y, part = read_for_prediction(
        options.data, not options.no_header, options.sheet, are_classes=bool(model.classes)
    )
    if y is None and not model.targets:
        raise CommandError(
            f"{options.data}: a report needs targets, and {options.model} names none"
        )
    source = "standard input" if options.data == "-" else options.data
    with refusals(y=options.data):
        made = write_report(
            model, table, output, y, repeats=options.repeats, seed=options.seed,
            source=source, model_name=options.model, command=shlex.join(["fcnn", *options.words]),
        )  # fmt: skip
    for note in made.notes:
        say(f"note: {note}")
    if not is_whole:
        say(f"note: {options.model} holds no scaling: the inputs are taken as they are")
    if made.which:
        say(f"note: measured on {made.which}")
    elif part:
        say(f"note: {part}")
    elif _is_of(model, source):
        say(f"note: {options.model} was trained on data of this name: on rows that it has learned "
            "from, it looks better than it is")  # fmt: skip
    print_results(made.scores, label="scores")
    print(f"report     {output}")
    return 0


def _is_of(model: fcnn.Model, source: str) -> bool:
    record = model.training
    return record is not None and Path(record.data).name == Path(source).name
