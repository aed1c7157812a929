"""Where a training leaves its files: under new names, or over files if it ended well."""

import argparse
import itertools
from pathlib import Path

from fcnn.cli.data import CommandError, check_writable, refusals

ENDING = ".safetensors"


def own_name(data: str) -> str:
    """Return the name of data without a folder: of tables other than CSV with its ending.

    houses.csv and houses.csv.gz are "houses", houses.tsv is "houses.tsv".
    """
    if data in ("digits", "-"):
        return data.replace("-", "stdin")
    path = Path(data).resolve()
    if path.is_dir():
        return path.name
    name = path.name.removesuffix(".gz")
    return name.removesuffix(".csv").removesuffix(".npz") or path.name


def picture_of(output: Path) -> Path:
    """Return the name of the picture beside a model."""
    return output.with_name(f"{output.name.removesuffix(ENDING)}.png")


def new_name(output: Path) -> Path:
    """Return the name itself, or with -2, -3, ... before the ending: the first that is free.

    Free is one where neither a model nor a picture is.
    """
    stem = output.name.removesuffix(ENDING)
    for i in itertools.count(1):
        candidate = output.with_name(f"{stem}{f'-{i}' if i > 1 else ''}{ENDING}")
        if not candidate.exists() and not picture_of(candidate).exists():
            return candidate
    raise AssertionError


def output_paths(options: argparse.Namespace) -> tuple[Path, Path | None, str]:
    """Return where model and picture go, and why there is no picture."""
    if options.output is not None:
        output = Path(options.output)
    else:
        output = new_name(Path(f"{own_name(options.data)}{ENDING}"))
    check_writable("--output", output, options.data)
    state = getattr(options, "resume", None)
    if state is not None and output.resolve() == Path(state).resolve():
        raise CommandError(f"--output: {output} is also the file of --resume")
    if options.no_plot:
        if options.plot is not None:
            raise CommandError("--plot: a file is given, but also --no-plot")
        return output, None, ""
    picture = picture_of(output) if options.plot is None else Path(options.plot)
    try:
        from fcnn.plot._figure import check_ending

        with refusals(path="--plot"):
            check_ending(picture)
    except ImportError:
        return output, None, "not drawn, that needs matplotlib: pip install fcnn[cli]"
    check_writable("--plot", picture, options.data)
    if picture.resolve() == output.resolve():
        raise CommandError(f"--plot: {picture} is also the model's file")
    if state is not None and picture.resolve() == Path(state).resolve():
        raise CommandError(f"--plot: {picture} is also the file of --resume")
    return output, picture, ""


def for_unfinished(output: Path) -> tuple[Path, str]:
    """Return where the model of a run that did not end well goes, and what is said of it."""
    if not output.is_file():
        return output, ""
    return new_name(output), f"; {output} is as it was"
