"""``fcnn train --search SECONDS``: random search with successive halving, in a box of time.

How is `fcnn.halving`'s; here is what is tried, and what is said of it.
"""

import _thread
import argparse
import contextlib
import copy
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import fcnn
from fcnn._checkpoint import checksum
from fcnn.cli.data import CommandError, Data, refusals, say
from fcnn.cli.fitting import CALLED, Kept, optimizer_of
from fcnn.cli.parts import Prepared, network_for
from fcnn.halving import Halving, Trial, train_trials

LAYERS = ((), (32,), (64,), (128,), (256,), (64, 64), (128, 128), (256, 128), (128, 64, 32))
LEARNING_RATES = (1e-4, 3e-2)  # drawn between them, evenly in their logarithm
DROPOUTS = (0.0, 0.0, 0.1, 0.2, 0.4)
WEIGHT_DECAYS = (0.0, 1e-3, 1e-2, 1e-1, 3e-1)
SHOWN = 5

# What tells one search from another, beside its data.
_OPTIONS = (
    "layers", "activation", "output_activation", "loss", "dtype", "init", "lr", "weight_decay",
    "dropout", "l2", "label_smoothing", "class_weight", "patience", "batch_size", "epochs", "seed",
    "schedule",
)  # fmt: skip


def said(trial: Trial) -> str:
    """Return a configuration as options."""
    configuration = trial.configuration
    layers = ",".join(map(str, configuration["layers"])) or "none"
    dropout = ",".join(f"{p:g}" for p in np.atleast_1d(configuration["dropout"]))
    return (
        f"--layers {layers} --lr {configuration['lr']:.3g} "
        f"--dropout {dropout} --optimizer adamw "
        f"--weight-decay {configuration['weight_decay']:g}"
    )


class _Clock:
    """Says when the time is over, and interrupts an epoch that goes on behind it."""

    GRACE = 0.1  # within which most epochs end by themselves; then between two interrupts

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds

    def is_over(self) -> bool:
        return time.perf_counter() >= self.end

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before is None:
            yield  # no other thread hears a signal
            return
        is_running, has_rung, has_ended = True, False, threading.Event()

        def hear(number: int, frame: FrameType | None) -> None:
            nonlocal has_rung
            if has_rung:
                has_rung = False
                # Anywhere else it might be swallowed, as in the callbacks of weakref that Python
                # runs where it collects garbage: seen three times in tests. Here it would cut off
                # what ends the clock, which would ring on.
                where = frame.f_globals.get("__name__", "") if frame else ""
                if is_running and where.startswith("fcnn.") and where != __name__:
                    raise KeyboardInterrupt
            elif before is not signal.SIG_IGN:  # Ctrl-C
                (before if callable(before) else signal.default_int_handler)(number, frame)

        def ring() -> None:
            nonlocal has_rung
            wait = max(self.end - time.perf_counter(), 0) + self.GRACE
            while not has_ended.wait(min(wait, threading.TIMEOUT_MAX)) and is_running:
                wait = self.GRACE
                if not has_rung:  # else two would be heard as one, and then as Ctrl-C
                    has_rung = True
                    _thread.interrupt_main()

        bell = threading.Thread(target=ring, daemon=True)
        try:
            signal.signal(signal.SIGINT, hear)
            bell.start()
            yield
        finally:
            is_running = False  # no call, within which Ctrl-C could come
            has_ended.set()
            if bell.is_alive():
                bell.join()
            signal.signal(signal.SIGINT, before)


def refuse(options: argparse.Namespace) -> None:
    """Refuse options that a search would ignore or that leave it nothing to choose by."""
    if options.optimizer != "adamw":
        raise CommandError(f"--optimizer: a --search trains by adamw, not by {options.optimizer}")
    if not options.validation:
        raise CommandError("--search: needs samples to choose by; expected --validation above 0")
    if options.cv is not None:
        raise CommandError(
            "--cv: scores networks of the options, and a --search looks for others; expected one "
            "of the two"
        )


def search(
    options: argparse.Namespace, data: Data, ready: Prepared, arguments: dict[str, Any]
) -> tuple[fcnn.Model, Kept, list[Trial]]:
    """Return the model of the lowest validation loss, what was kept of it, and all trials.

    Parameters
    ----------
    options, data, ready
        As for a training without a search.
    arguments : dict
        Of `Network.fit`; dropout is the search's.
    """

    def new_trial(number: int) -> Trial:
        return _trial(options, data, ready, number)

    def go_on(trials: list[Trial], rung: int) -> None:
        with refusals(y=data.whose, validation_y=data.whose, **CALLED):
            train_trials(
                trials, rung, ready.X, ready.y, ready.validation, clock.is_over,
                batch_size=ready.batch_size, **arguments,
            )  # fmt: skip

    fingerprint = {
        "data": checksum(ready.X, ready.y, *ready.validation),
        "options": repr([(name, str(getattr(options, name))) for name in _OPTIONS]),
    }
    with refusals(path="--resume"):
        halving = Halving(new_trial, go_on, options.epochs, options.resume, fingerprint)
    if halving.trials:
        say(f"note: goes on with {len(halving.trials)} configurations of {options.resume}")
    clock = _Clock(options.search - halving.seconds)
    with contextlib.suppress(KeyboardInterrupt), clock.running():
        halving.run(clock.is_over)
    ranked = halving.ranked()
    if not ranked:
        raise CommandError(
            f"--search: no epoch was completed in {options.search:g} s; expected more time"
        )
    best = ranked[0]
    model = fcnn.Model(best.network, ready.model.preparation, ready.model.target)
    return model, best.kept, ranked


def _trial(options: argparse.Namespace, data: Data, ready: Prepared, number: int) -> Trial:
    """Return a new configuration: the first is that of the options, the others are drawn."""
    rng = np.random.default_rng((options.seed, 4, number))
    low, high = np.log(LEARNING_RATES)
    drawn = {
        "layers": LAYERS[rng.integers(len(LAYERS))],
        "lr": float(np.exp(rng.uniform(low, high))),
        "dropout": float(rng.choice(DROPOUTS)),
        "weight_decay": float(rng.choice(WEIGHT_DECAYS)),
    }
    if number == 0:
        drawn = {
            "layers": options.layers, "lr": options.lr,
            "dropout": options.dropout, "weight_decay": options.weight_decay,
        }  # fmt: skip
    own = copy.copy(options)
    if number and not drawn["layers"]:
        drawn["dropout"], own.activation = 0.0, "relu"  # which are of hidden nodes
    own.layers, own.lr, own.weight_decay = drawn["layers"], drawn["lr"], drawn["weight_decay"]
    own.optimizer, own.momentum, own.nesterov = "adamw", None, False
    own.seed = options.seed + number
    network = network_for(own, data, ready.model.network.sizes[0])
    optimizer = optimizer_of(own, ready.updates)
    drawn |= {"lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
    return Trial(drawn, network, optimizer, Kept(ready.score, None))


def tell_trials(trials: list[Trial], seconds: float) -> None:
    """Print the best configurations as the options that give them."""
    say(f"search     {len(trials):,} configurations in {seconds:.3g} s; the best:")
    for trial in trials[:SHOWN]:
        say(f"  validation loss {trial.loss:.5g} in epoch {trial.best_epoch:,}: {said(trial)}")


def save(trials: list[Trial], path: Path) -> None:
    """Write the configurations, the best first, as JSON."""
    rows = [
        {
            **trial.configuration, "layers": list(trial.configuration["layers"]),
            "validation_loss": trial.loss, "epochs": trial.epochs,
            "best_epoch": trial.best_epoch,
        }
        for trial in trials
    ]  # fmt: skip
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
