"""``fcnn train --resume FILE``: whether the training in a file is the one that is asked for."""

import argparse
import os
from typing import Any

from fcnn import _format
from fcnn.cli.data import CommandError, refusals, say
from fcnn.cli.fitting import HYPERPARAMETERS, Kept
from fcnn.optimizers import Optimizer
from fcnn.schedules import as_schedules, told

# Another one of these makes no other training, but a longer, a silent one, ...: any option that is
# not here has to be that of the file. Data are compared by what they hold, not by their name, and
# hyperparameters with the optimizer's.
_FREE = frozenset(
    (
        "command", "run", "words", "ranks", "data", "epochs", "threads", "resume", "cv", "search",
        "output", "plot", "no_plot", "quiet", *HYPERPARAMETERS,
    )
)  # fmt: skip


def asked(options: argparse.Namespace, **known: Any) -> dict[str, str | None]:
    """Return the options that a training depends on, as texts; None of those that are not given.

    `known` are values of options that were given or found.
    """
    given = {name: value for name, value in vars(options).items() if name not in _FREE} | known
    if options.schedule is not None:
        given["schedule"] = told(as_schedules(options.schedule), 0) or "none"
    return {name: _text(value) for name, value in given.items()}


def _text(value: Any) -> str | None:
    if value is None or value is False or value == []:
        return None
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    return "" if value is True else str(value)


def _said(name: str, text: str | None) -> str:
    option = f"--{name.replace('_', '-')}"
    return f"no {option}" if text is None else f"{option} {text}".rstrip()


def state_of(options: argparse.Namespace, mine: dict[str, str | None]) -> dict[str, Any]:
    """Return what --resume's file knows of its optimizer; refuse one of another training."""
    path = options.resume
    with refusals(resume="--resume"):
        state, _ = _format.load_checkpoint(None, path)
    states = [one["state"] for one in state["callbacks"] if one.get("kind") == Kept.__name__]
    if not states:
        raise CommandError(
            f"--resume: {path} is of a training in Python, with which its fit(resume=) goes on"
        )
    saved = states[0].get("options")
    if saved is None:
        say(
            f"note: {path} does not say which data and options it is of: an earlier fcnn wrote it; "
            "only the number of samples is compared"
        )
    _refuse_others(path, saved or {}, mine)
    found: dict[str, Any] = state["optimizer"]
    for name, value in found["hyperparameters"].items():
        given = getattr(options, name, None)
        if given and given != value:
            raise CommandError(
                f"--resume: {path} is of a training with {_said(name, str(value))}, here it is "
                f"{_said(name, _text(given))}"
            )
    return {**found, "vectors": [], "steps": 0, "missed": None}


def adopt(optimizer: Optimizer, state: dict[str, Any] | None) -> None:
    """Give an optimizer the hyperparameters that are a file's, so that what is said is true."""
    if state is not None and state["rule"] == optimizer.rule:  # fit refuses another
        with refusals(optimizer="--resume", lr="--resume"):
            optimizer.load_state_dict(state)


def _refuse_others(path: Any, saved: dict[str, Any], mine: dict[str, str | None]) -> None:
    """Refuse a file of other options; those that are newer than it are not compared."""
    differing = [name for name, text in mine.items() if saved.get(name, text) != text]
    if differing:
        theirs, ours = (
            ", ".join(_said(name, texts[name]) for name in differing) for texts in (saved, mine)
        )
        raise CommandError(
            f"--resume: {os.fspath(path)} is of a training with {theirs}, here it is {ours}"
        )
