"""``fcnn train --search SECONDS``: random search with successive halving, in a box of time.

K. Jamieson, A. Talwalkar: Non-stochastic best arm identification and hyperparameter optimization,
AISTATS 2016: several configurations are trained for few epochs, the better third goes on for three
times as many, and so on up to --epochs; then the next ones, as long as there is time.
"""

import _thread
import argparse
import contextlib
import copy
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn.cli.data import INTERRUPTED, CommandError, Data, say
from fcnn.cli.fitting import Kept, fit, optimizer_of
from fcnn.cli.parts import Prepared, network_for
from fcnn.optimizers import Optimizer

Array = NDArray[Any]

LAYERS = ((), (32,), (64,), (128,), (256,), (64, 64), (128, 128), (256, 128), (128, 64, 32))
LEARNING_RATES = (1e-4, 3e-2)  # drawn between them, evenly in their logarithm
DROPOUTS = (0.0, 0.0, 0.1, 0.2, 0.4)
WEIGHT_DECAYS = (0.0, 1e-3, 1e-2, 1e-1, 3e-1)
GROUP, SURVIVORS, FIRST_EPOCHS = 9, 3, 3  # configurations in a group, a third of which goes on
SHOWN = 5


@dataclass(eq=False)
class Trial:
    """A configuration, its network, and how far it has come."""

    configuration: dict[str, Any]
    network: fcnn.Network
    optimizer: Optimizer
    kept: Kept
    failed: bool = False

    @property
    def epochs(self) -> int:
        """How many epochs it has completed."""
        return self.kept.completed

    @property
    def loss(self) -> float:
        """The lowest validation loss so far."""
        loss = np.inf if self.kept.best is None else self.kept.best[1]
        return loss if np.isfinite(loss) else np.inf

    @property
    def said(self) -> str:
        """The configuration as options, and what came of it."""
        layers = ",".join(map(str, self.configuration["layers"])) or "none"
        dropout = ",".join(f"{p:g}" for p in np.atleast_1d(self.configuration["dropout"]))
        return (
            f"--layers {layers} --lr {self.configuration['lr']:.3g} "
            f"--dropout {dropout} --optimizer adamw "
            f"--weight-decay {self.configuration['weight_decay']:g}"
        )


class _Clock:
    """Interrupts what is running when the time is over."""

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds
        self.is_over = False

    @property
    def left(self) -> float:
        return self.end - time.perf_counter()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        timer = threading.Timer(max(self.left, 0), self._ring)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _ring(self) -> None:
        self.is_over = True
        _thread.interrupt_main()


def refuse(options: argparse.Namespace) -> None:
    """Refuse options that a search would ignore or that leave it nothing to choose by."""
    if options.resume is not None:
        raise CommandError("--resume: goes on with one training, not with a --search")
    if options.optimizer != "adamw":
        raise CommandError(f"--optimizer: a --search trains by adamw, not by {options.optimizer}")
    if not options.validation:
        raise CommandError("--search: needs samples to choose by; expected --validation above 0")


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
    clock = _Clock(options.search)
    rng = np.random.default_rng((options.seed, 4))
    trials: list[Trial] = []
    epochs = min(FIRST_EPOCHS, options.epochs)
    with contextlib.suppress(KeyboardInterrupt), clock.running():
        while clock.left > 0:
            group = [_trial(options, data, ready, rng, len(trials) + i) for i in range(GROUP)]
            trials += group
            rung = epochs
            while group and clock.left > 0:
                for trial in group:
                    _go_on(trial, rung, options, data, ready, arguments)
                if rung == options.epochs:
                    break
                going = [trial for trial in group if not trial.failed]
                group = sorted(going, key=lambda t: t.loss)[: max(len(going) // SURVIVORS, 1)]
                rung = min(rung * 3, options.epochs)
    ranked = sorted((t for t in trials if t.loss < np.inf), key=lambda t: t.loss)
    if not ranked:
        raise CommandError(
            f"--search: no epoch was completed in {options.search:g} s; expected more time"
        )
    best = ranked[0]
    assert best.kept.best is not None
    model = fcnn.Model(best.network, ready.model.preparation, ready.model.target)
    return model, best.kept, ranked


def _trial(
    options: argparse.Namespace, data: Data, ready: Prepared, rng: np.random.Generator, number: int
) -> Trial:
    """Return a new configuration: the first is that of the options, the others are drawn."""
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
    elif not drawn["layers"]:
        drawn["dropout"] = 0.0  # which is of hidden nodes
    own = copy.copy(options)
    own.layers, own.lr, own.weight_decay = drawn["layers"], drawn["lr"], drawn["weight_decay"]
    own.optimizer, own.momentum, own.nesterov = "adamw", None, False
    own.seed = options.seed + number
    network = network_for(own, data, ready.model.network.sizes[0])
    optimizer = optimizer_of(own, ready.updates)
    drawn |= {"lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
    return Trial(drawn, network, optimizer, Kept(ready.score, None))


def _go_on(
    trial: Trial,
    epochs: int,
    options: argparse.Namespace,
    data: Data,
    ready: Prepared,
    arguments: dict[str, Any],
) -> None:
    """Train up to a number of epochs; a trial that diverges has failed."""
    trial.kept.go_on()
    _, code = fit(
        trial.network, ready.X, ready.y, trial.kept, data, epochs=epochs - trial.epochs,
        batch_size=ready.batch_size, optimizer=trial.optimizer, validation=ready.validation,
        **{**arguments, "dropout": trial.configuration["dropout"]},
    )  # fmt: skip
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    trial.failed = bool(code)


def tell_trials(trials: list[Trial], seconds: float) -> None:
    """Print the best configurations as the options that give them."""
    say(f"search     {len(trials):,} configurations in {seconds:.3g} s; the best:")
    for trial in trials[:SHOWN]:
        assert trial.kept.best is not None
        say(f"  validation loss {trial.loss:.5g} in epoch {trial.kept.best[0]:,}: {trial.said}")


def save(trials: list[Trial], path: Path) -> None:
    """Write the configurations, the best first, as JSON."""
    rows = [
        {
            **trial.configuration, "layers": list(trial.configuration["layers"]),
            "validation_loss": trial.loss, "epochs": trial.epochs,
            "best_epoch": trial.kept.best[0] if trial.kept.best else 0,
        }
        for trial in trials
    ]  # fmt: skip
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
