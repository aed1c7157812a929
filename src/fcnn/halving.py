"""Search for hyper-parameters by successive halving: `fcnn.search`, and what the command builds on.

K. Jamieson, A. Talwalkar: Non-stochastic best arm identification and hyperparameter optimization,
AISTATS 2016: a group of configurations is trained for few epochs, the better third goes on for
three times as many, and so on; then the next group, as long as there is time.
"""

# Annotations stay text, as in network.py.
from __future__ import annotations

import copy
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _format
from fcnn import _validation as check
from fcnn._checkpoint import checksum
from fcnn._format.replacing import refuse_unwritable
from fcnn._looked import Looked
from fcnn.history import History, Progress
from fcnn.many import fit_many
from fcnn.network import Network
from fcnn.optimizers import AdamW, Optimizer, as_optimizer
from fcnn.schedules import as_schedules, told

__all__ = ["SearchResult", "Trial", "search"]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]

GROUP, SURVIVORS, FIRST_EPOCHS = 9, 3, 3  # configurations in a group, a third of which goes on

# Of a configuration, what `fit_many` is given for each network.
TRAINING = ("batch_size", "dropout", "l1", "l2", "clip_norm", "label_smoothing")


def _refuse_unread(names: set[str], makes_optimizer: bool) -> None:
    """Refuse names of a space that nothing looks at, which would be reported as if they counted."""
    if not names:
        return
    name = sorted(names)[0]
    taken = [*TRAINING, *(() if makes_optimizer else ("lr", "weight_decay"))]
    functions = "make and optimizer do" if makes_optimizer else "make does"
    raise ValueError(
        f"space: {name!r} would change nothing: {functions} not look at it in any of the first "
        f"{GROUP} configurations, and the search itself takes {check.listed(taken)}"
        f"{check.did_you_mean(name, taken)}"
    )


class Best:
    """A callback that keeps the epoch of the lowest validation loss, over several calls of fit.

    Attributes
    ----------
    best : tuple or None
        Epoch, its loss, its parameters. One attribute, so that Ctrl-C finds it whole.
    history : fcnn.history.History
        Of all calls.
    """

    def __init__(self) -> None:
        self.best: tuple[int, float, Array] | None = None
        self.history = History()
        self._earlier = History()

    @property
    def completed(self) -> int:
        """Epochs so far."""
        return len(self.history.loss)

    def go_on(self) -> None:
        """Expect another call of `fit`, which goes on with the same network."""
        self._earlier = self.history

    def load_history(self, history: History) -> None:
        """Go on with the curves of an earlier process."""
        self.history = self._earlier = history

    def __call__(self, progress: Progress) -> None:
        """Take note of an epoch."""
        self.history = self._earlier + progress.history
        loss = progress.history.validation_loss[-1]
        if self.best is None or loss < self.best[1] or not np.isfinite(self.best[1]):
            self.best = self.completed, loss, progress.network.parameters.copy()


@dataclass(eq=False)
class Trial:
    """A configuration, its network, and how far it has come.

    Attributes
    ----------
    configuration : dict
    network : fcnn.Network
        Behind its last epoch; of a finished search behind its best one.
    optimizer : fcnn.optimizers.Optimizer
    kept : Best
        Its best epoch, and the history.
    has_failed : bool
        Whether its training diverged.
    """

    configuration: dict[str, Any]
    network: Network
    optimizer: Optimizer
    kept: Any = field(default_factory=Best)
    has_failed: bool = False

    @property
    def epochs(self) -> int:
        """How many epochs it has completed."""
        return int(self.kept.completed)

    @property
    def history(self) -> History:
        """Its curves, of all rounds."""
        history: History = self.kept.history
        return history

    @property
    def best_epoch(self) -> int:
        """The epoch of the lowest validation loss, counted from 1; 0 before there is one."""
        return self.kept.best[0] if self.kept.best else 0

    @property
    def loss(self) -> float:
        """The lowest validation loss so far; infinite before there is one."""
        loss = math.inf if self.kept.best is None else self.kept.best[1]
        return loss if math.isfinite(loss) else math.inf

    def state_dict(self) -> dict[str, Any]:
        """Return all that a search needs to go on with it."""
        best = self.kept.best
        return {
            "configuration": repr(sorted(self.configuration.items())),
            "network": repr(self.network),
            "parameters": self.network.parameters,
            "generator": self.network.rng.bit_generator.state,
            "optimizer": self.optimizer.state_dict(),
            "history": {**vars(self.kept.history)},
            "best": None if best is None else [best[0], best[1]],
            "best_parameters": None if best is None else best[2],
            "has_failed": self.has_failed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, of the same configuration."""
        configuration = repr(sorted(self.configuration.items()))
        for what, mine, saved in (
            ("configuration", configuration, state["configuration"]),
            ("network", repr(self.network), state["network"]),
            ("optimizer", _told(self.optimizer.state_dict()), _told(state["optimizer"])),
        ):
            if saved != mine:
                raise ValueError(f"expected the {what} {mine}, found {saved}")
        self.network.parameters = state["parameters"]
        self.network.rng.bit_generator.state = state["generator"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.kept.load_history(History(**state["history"]))
        best = state["best"]
        if best is not None:
            parameters = np.array(state["best_parameters"], self.network.dtype)
            if parameters.shape != self.network.parameters.shape:
                raise ValueError("the best parameters are of a network of another size")
            self.kept.best = int(best[0]), float(best[1]), parameters
        self.has_failed = bool(state["has_failed"])


def _told(optimizer: Mapping[str, Any]) -> str:
    """Return what an optimizer's state says of its kind."""
    numbers = sorted(  # a file has lists for tuples
        (k, tuple(v) if isinstance(v, list) else v) for k, v in optimizer["hyperparameters"].items()
    )
    return f"{optimizer['rule']} with {', '.join(f'{name}={value!r}' for name, value in numbers)}"


class Halving:
    """Successive halving: groups of trials, round after round.

    Parameters
    ----------
    new_trial : callable
        Returns a new `Trial` of a number 0, 1, ...: the same for the same number.
    go_on : callable
        Is given some trials and a number of epochs, up to which it trains each.
    epochs : int
        Of a trial that survives to the end.
    path : path-like or None
        Where the state is kept after each round.
    fingerprint : dict
        Numbers and texts that tell this search from another, in that file.
    """

    def __init__(
        self,
        new_trial: Callable[[int], Trial],
        go_on: Callable[[list[Trial], int], None],
        epochs: int,
        path: str | os.PathLike[str] | None,
        fingerprint: Mapping[str, Any],
    ) -> None:
        self.new_trial, self.go_on, self.epochs = new_trial, go_on, epochs
        self.path, self.fingerprint = path, dict(fingerprint)
        self.trials: list[Trial] = []
        self.group: list[int] = []  # numbers of those that go on
        self.rung = self._first = min(FIRST_EPOCHS, epochs)
        self.groups = 0  # that are done
        self.seconds = 0.0  # of earlier calls
        if path is not None:
            refuse_unwritable(path)
            if os.path.exists(path):
                self._load(path)

    def run(self, is_over: Callable[[], bool], groups: int | None = None) -> None:
        """Train until it is over, or so many groups are done."""
        began, earlier = time.perf_counter(), self.seconds
        while not is_over() and (groups is None or self.groups < groups):
            if not self.group:
                self.group = list(range(len(self.trials), len(self.trials) + GROUP))
                self.trials += [self.new_trial(number) for number in self.group]
                self.rung = self._first
            going = [self.trials[number] for number in self.group]
            self.go_on(going, self.rung)
            if is_over() and not all(t.has_failed or t.epochs >= self.rung for t in going):
                return  # amid a round, which is made anew where the search is taken up again
            self._end_round()
            self.seconds = earlier + time.perf_counter() - began
            if self.path is not None:
                _format.save_search(self._state(), self.path)

    def _end_round(self) -> None:
        left = [n for n in self.group if not self.trials[n].has_failed]
        # Of equal ones the first: sorting is stable.
        left = sorted(left, key=lambda n: self.trials[n].loss)[: max(len(left) // SURVIVORS, 1)]
        if self.rung >= self.epochs or not left:
            self.group, self.groups = [], self.groups + 1
        else:
            self.group, self.rung = left, min(self.rung * SURVIVORS, self.epochs)

    def ranked(self) -> list[Trial]:
        """Return the trials that have a loss, the best first."""
        return sorted((t for t in self.trials if t.loss < math.inf), key=lambda t: t.loss)

    def _state(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint, "group": self.group, "rung": self.rung,
            "groups": self.groups, "seconds": self.seconds,
            "trials": [trial.state_dict() for trial in self.trials],
        }  # fmt: skip

    def _load(self, path: str | os.PathLike[str]) -> None:
        state = _format.load_search(path)
        try:
            for name, mine in self.fingerprint.items():
                saved = state["fingerprint"].get(name)
                if saved != mine:
                    raise ValueError(f"it is of a search with another {name}: {saved!r}")
            trials = [self.new_trial(number) for number in range(len(state["trials"]))]
            for trial, saved in zip(trials, state["trials"], strict=True):
                trial.load_state_dict(saved)
            group = [int(number) for number in state["group"]]
            if any(not 0 <= number < len(trials) for number in group):
                raise ValueError(f"expected numbers of trials, found {group}")
            self.rung, self.groups = int(state["rung"]), int(state["groups"])
            self.seconds = check.as_number("seconds", state["seconds"], least=0)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            text = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"path: {path} is no search to go on with ({text})") from None
        self.trials, self.group = trials, group


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search has found.

    Attributes
    ----------
    trials : list of Trial
        All that have completed an epoch, the best first; each network has its best parameters.
    groups : int
        How many groups of configurations were trained to the end.
    seconds : float
        How long that took, earlier calls included.
    """

    trials: list[Trial]
    groups: int
    seconds: float

    @property
    def best(self) -> Network:
        """The network of the lowest validation loss."""
        return self.trials[0].network

    @property
    def configuration(self) -> dict[str, Any]:
        """Its configuration."""
        return self.trials[0].configuration

    def __repr__(self) -> str:
        best = self.trials[0]
        return (
            f"<SearchResult: {len(self.trials)} configurations in {self.seconds:.3g} s, the best "
            f"{best.configuration} with a validation loss of {best.loss:.4g}>"
        )


def search(
    make: Callable[[dict[str, Any], int], Network],
    space: Mapping[str, Any],
    X: ArrayLike,
    y: ArrayLike,
    *,
    validation: Sequence[Any],
    epochs: int = 81,
    seconds: float | None = None,
    groups: int | None = None,
    path: str | os.PathLike[str] | None = None,
    seed: int = 0,
    optimizer: Callable[[dict[str, Any]], Optimizer] | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: dict[int, float] | str | None = None,
    schedule: Any = None,
    n_threads: int | None = None,
) -> SearchResult:
    """Search for hyper-parameters by successive halving.

    Configurations are drawn from `space`, nine at a time, and trained for 3 epochs by `fit_many`;
    the better third goes on to 9, and so on up to `epochs`; then the next nine, as long as there is
    time. The lowest validation loss of any epoch decides.

    Parameters
    ----------
    make : callable
        Returns a new `fcnn.Network` for a configuration, a dict, and a seed: the same for the same.
    space : dict
        For each name of a configuration a list, of whose values one is drawn, or a tuple of two
        positive numbers, between which one is drawn evenly in its logarithm. "lr" and
        "weight_decay" are those of AdamW, unless there is an `optimizer`; "batch_size", "dropout",
        "l1", "l2", "clip_norm" and "label_smoothing" those of `fit`; others are for `make` and
        `optimizer`, and refused before the first epoch where neither looks at them. Dropout by one
        number is 0 of a network without hidden layers.
    X, y, sample_weight, class_weight
        As for `fcnn.Network.fit`.
    validation : (X, y) or (X, y, sample_weight)
        By which is chosen: what it says of the best is too good.
    epochs : int, default 81
        Of a configuration that survives to the end; 3 times a power of 3 gives each round its turn.
    seconds : float, optional
        End after so long, with the epoch at hand. Earlier calls with the same `path` count.
    groups : int, optional
        End after so many groups of nine: what is found then does not depend on the machine. One of
        `seconds` and `groups` is needed.
    path : str or path-like, optional
        A file that is written after each round, and gone on with if it is there: a search that was
        killed then comes to what it would have found. It keeps data and options apart from others.
    seed : int, default 0
        Of configurations, networks and shuffling.
    optimizer : callable, optional
        Returns a new optimizer for a configuration; by default `fcnn.AdamW` with its "lr" and
        "weight_decay", where it has them.
    schedule : one of fcnn.schedules, callable, or list of them, optional
        As for `fit`, over each round.
    n_threads : int, optional
        As for `fit_many`.

    Returns
    -------
    SearchResult

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, the file is of another search or no configuration
        completed an epoch with a finite loss.
    KeyboardInterrupt
        On Ctrl-C; `path` has the last whole round.

    Examples
    --------
    >>> import numpy as np, fcnn
    >>> X = np.random.default_rng(0).normal(size=(300, 3)).astype("float32")
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> def make(c, seed):
    ...     return fcnn.Network((3, *c["layers"], 2), rng=seed)
    >>> space = {"layers": [(8,), (16,), (8, 8)], "lr": (1e-3, 3e-2)}
    >>> found = fcnn.search(make, space, X[:200], y[:200], validation=(X[200:], y[200:]),
    ...                     epochs=9, groups=1)
    >>> len(found.trials), found.trials[0].epochs
    (9, 9)
    """
    if not callable(make):
        raise TypeError(f"make: expected a function of a configuration and a seed, got {make!r}")
    if optimizer is not None and not callable(optimizer):
        raise TypeError(f"optimizer: expected a function of a configuration, got {optimizer!r}")
    drawn_from = _as_space(space)
    epochs, seed = check.as_count("epochs", epochs), check.as_count("seed", seed, 0)
    if seconds is None and groups is None:
        raise ValueError("seconds: expected when to end, or groups, got neither")
    if seconds is not None:
        seconds = check.as_number("seconds", seconds, above=0)
    groups = None if groups is None else check.as_count("groups", groups)
    if not isinstance(validation, (tuple, list)):
        raise TypeError(
            f"validation: expected (X, y) to choose by, got {type(validation).__name__}"
        )
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a str or os.PathLike, got {type(path).__name__}")
    began = time.perf_counter()
    data: dict[str, Any] = {"sample_weights": sample_weight, "class_weight": class_weight}
    looked = {*TRAINING, *(("lr", "weight_decay") if optimizer is None else ())}

    def new_trial(number: int) -> Trial:
        rng = np.random.default_rng((seed, number))
        configuration = {name: draw(rng) for name, draw in drawn_from.items()}
        network = make(Looked(configuration, looked), seed + number)
        if not isinstance(network, Network):
            raise TypeError(f"make: expected an fcnn.Network, it returned {network!r}")
        if len(network.sizes) == 2 and np.ndim(configuration.get("dropout", ())) == 0:
            configuration["dropout"] = 0.0  # which is of hidden nodes
        given = {k: configuration[k] for k in ("lr", "weight_decay") if k in configuration}
        if optimizer is None:
            rule: Optimizer = AdamW(**given)
        else:
            rule = as_optimizer(optimizer(Looked(configuration, looked)))
        if number == GROUP - 1:
            _refuse_unread({*drawn_from} - looked, optimizer is not None)
        return Trial(configuration, network, rule)

    def is_over() -> bool:
        return seconds is not None and used + time.perf_counter() - began >= seconds

    def go_on(trials: list[Trial], rung: int) -> None:
        train_trials(
            trials, rung, X, y, validation, is_over, schedule=schedule, n_threads=n_threads,
            **data,
        )  # fmt: skip

    fingerprint = {
        "space": repr({name: space[name] for name in drawn_from}), "epochs": epochs, "seed": seed,
        "data": checksum(X, y, sample_weight, *validation), "class_weight": repr(class_weight),
        "schedule": told(as_schedules(schedule), epochs),
    }  # fmt: skip
    used = 0.0
    halving = Halving(new_trial, go_on, epochs, path, fingerprint)
    used = halving.seconds
    halving.run(is_over, groups)
    trials = halving.ranked()
    if not trials:
        raise ValueError(
            "search: no configuration completed an epoch with a finite loss"
            + (f" in {seconds:g} s; expected more time" if seconds is not None else "")
        )
    for trial in trials:
        trial.network.parameters = trial.kept.best[2]
    return SearchResult(trials, halving.groups, used + time.perf_counter() - began)


def train_trials(
    trials: list[Trial],
    epochs: int,
    X: Any,
    y: Any,
    validation: Sequence[Any],
    is_over: Callable[[], bool] = lambda: False,
    callbacks: Sequence[Any] = (),
    schedule: Any = None,
    **further: Any,
) -> None:
    """Train each up to a number of epochs; one that diverges has failed.

    `is_over` is asked behind each epoch whether all trainings end there; each gets a copy of
    `callbacks`; `schedule` is what `fit` takes; `further` are arguments of `fit_many`, which
    configurations may have others of.
    """
    going = [trial for trial in trials if not trial.has_failed and trial.epochs < epochs]
    if not going:
        return
    for trial in going:
        trial.kept.go_on()
    own: dict[str, Any] = {}
    for name in TRAINING:
        if any(name in trial.configuration for trial in going):
            default = further.get(name, _NEUTRAL.get(name))
            own[name] = [_given(trial.configuration.get(name, default)) for trial in going]
    ends = [_End(is_over) for _ in going]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of those that diverge
        fit_many(
            [trial.network for trial in going], X, y,
            epochs=[epochs - trial.epochs for trial in going],
            optimizers=[trial.optimizer for trial in going], validation=validation,
            callbacks=[
                [trial.kept, *copy.deepcopy(list(callbacks)), end]
                for trial, end in zip(going, ends, strict=True)
            ],
            schedules=_given(schedule), diverged="stop", **{**further, **own},
        )  # fmt: skip
    for trial, end in zip(going, ends, strict=True):
        trial.has_failed = not end.was_told


class _End:
    """A callback that ends a training where all end; it is told so, unless the training failed."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over, self.was_told = is_over, False

    def __call__(self, progress: Progress) -> bool:
        return self._is_over()

    def on_end(self, progress: Progress) -> None:
        self.was_told = True


_NEUTRAL = {
    "batch_size": "auto", "dropout": 0.0, "l1": 0.0, "l2": 0.0, "label_smoothing": 0.0,
}  # fmt: skip


def _given(value: Any) -> Any:
    """Return what fit_many takes for one network: a tuple where a list would be of all."""
    return tuple(value) if isinstance(value, (list, np.ndarray)) else value


def _as_space(space: Any) -> dict[str, Callable[[np.random.Generator], Any]]:
    """Return what draws each hyper-parameter."""
    if not isinstance(space, Mapping) or not space:
        raise TypeError(f"space: expected a dict of lists and of pairs of numbers, got {space!r}")
    draws = {}
    for name, values in space.items():
        if not isinstance(name, str):
            raise TypeError(f"space: expected names as texts, got {name!r}")
        draws[name] = _draw_of(name, values)
    return draws


def _draw_of(name: str, values: Any) -> Callable[[np.random.Generator], Any]:
    what = f"space[{name!r}]"
    if isinstance(values, tuple):
        if len(values) != 2:
            raise ValueError(f"{what}: expected a list, or a tuple (low, high), got {values!r}")
        low, high = (check.as_number(what, value, above=0) for value in values)
        if not low < high:
            raise ValueError(f"{what}: expected low < high, got {values!r}")
        ends = math.log(low), math.log(high)
        return lambda rng: float(np.exp(rng.uniform(*ends)))
    if not isinstance(values, list) or not values:
        raise ValueError(f"{what}: expected a list of values, or (low, high), got {values!r}")
    return lambda rng: values[int(rng.integers(len(values)))]
