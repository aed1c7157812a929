"""How ``fcnn train`` trains: options that are those of `Network.fit`, and what is kept of it."""

import argparse
import contextlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn import _validation as check
from fcnn.cli.data import FAILED, INTERRUPTED, CommandError, Data, refusals
from fcnn.history import History, Progress
from fcnn.optimizers import Optimizer
from fcnn.parallel._ranks import RankError
from fcnn.schedules import Cosine, Plateau, Schedule, Step, WarmUp
from fcnn.second_order import ALL_OPTIMIZERS, SECOND_ORDER, SecondOrder

Array = NDArray[Any]

# Loss, validation loss and score fit into 80 columns, unlike with tqdm's own form.
_BAR = "{n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}{postfix}"

# Of the optimizers; each is an option.
HYPERPARAMETERS = ("lr", "weight_decay", "momentum", "nesterov")
_LRS = {"adam": 0.003, "adamw": 0.003, "sgd": 0.1}

# Few rows are few updates, which are to take as much from the weights in all. With one decay for
# all, tables of hundreds of rows lose by noise, or those of thousands by what they could have
# learned (docs/design.md).
_DECAY = 500.0  # weight decay times updates
_LEAST_DECAY, _MOST_DECAY = 0.01, 0.3

# Arguments of `Network.fit`, as they are called here.
CALLED = {
    name: f"--{name.replace('_', '-')}"
    for name in ("class_weight", "dropout", "l2", "label_smoothing", "resume", "schedule")
} | {"rng": "--resume", "callbacks": "--resume", "optimizer": "--resume", "path": "--resume"}

SCHEDULES = ("none", "cosine", "step:EPOCHS", "plateau:EPOCHS", "warmup:EPOCHS")


def as_schedule(text: str) -> list[Schedule]:
    """Return the schedules of a text like warmup:5,cosine."""
    made: list[Schedule] = []
    if text.strip() == "none":
        return made
    for part in text.split(","):
        word, colon, number = part.strip().partition(":")
        name = check.as_choice("", word, [known.partition(":")[0] for known in SCHEDULES[1:]])
        if name == "cosine":
            if colon:
                raise ValueError(f"expected cosine without a number, got {part!r}")
            made.append(Cosine())
            continue
        try:
            epochs = int(number)
        except ValueError:
            raise ValueError(f"expected {name}:EPOCHS, as in {name}:10, got {part!r}") from None
        check.as_count("", epochs)
        made.append(
            Step(epochs) if name == "step" else
            Plateau(patience=epochs) if name == "plateau" else WarmUp(epochs)
        )  # fmt: skip
    return made


def as_dropout(text: str) -> float | tuple[float, ...]:
    """Return one probability, or one for the inputs and each hidden layer."""
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"expected a number, or several as in 0.1,0.5; got {text!r}") from None
    rates = [check.as_number("", rate, least=0, below=1) for rate in rates]
    return rates[0] if len(rates) == 1 else tuple(rates)


def _class_weight(text: str, data: Data) -> str | dict[int, float]:
    """Return "balanced", or the weight of each label that a text like yes=5,no=1 names."""
    target = data.targets.target
    if not target.is_classes:
        raise CommandError(f"--class-weight: {data.whose} is for regression")
    if text == "balanced":
        return text
    classes = list(target.class_texts)
    weights: dict[int, float] = {}
    whole = text.rpartition("=")[0] in classes  # a name may hold a comma
    for part in [text] if whole else text.split(","):
        name, equals, number = part.rpartition("=")
        if not equals:
            raise CommandError(
                f"--class-weight: expected balanced, or weights as in {classes[0]}=5; got {part!r}"
                f"{check.did_you_mean(part, ['balanced'])}"
            )
        if name not in classes:
            raise CommandError(
                f"--class-weight: there is no class {name!r}; expected "
                f"{check.listed(classes[:20])}{check.did_you_mean(name, classes)}"
            )
        try:
            weight = check.as_number("", float(number), least=0)
        except ValueError:
            raise CommandError(
                f"--class-weight: expected a finite number at least 0, got {part!r}"
            ) from None
        if weights.setdefault(classes.index(name), weight) != weight:
            raise CommandError(f"--class-weight: two weights of {name!r}; expected one")
    return weights


def fit_arguments(options: argparse.Namespace, data: Data) -> dict[str, Any]:
    """Return what the options say of `Network.fit`, but for files."""
    return {
        "dropout": options.dropout,
        "l2": options.l2,
        "label_smoothing": options.label_smoothing,
        "n_threads": options.threads,
        "schedule": _schedule_of(options),
        "class_weight": (
            None if options.class_weight is None else _class_weight(options.class_weight, data)
        ),
        "callbacks": (
            [fcnn.EarlyStopping(patience=options.patience, restore_best=False)]
            if options.patience else []
        ),
    }  # fmt: skip


def checkpoint_arguments(
    options: argparse.Namespace, given: dict[str, Any], resumes: bool
) -> dict[str, Any]:
    """Return the arguments of `Network.fit` with those of --resume, whose file may be there."""
    if options.resume is None:
        return given
    callbacks = [*given["callbacks"], fcnn.ModelCheckpoint(options.resume)]
    return {**given, "callbacks": callbacks, "resume": options.resume if resumes else None}


class Kept:
    """A callback of `Network.fit` that keeps the best epoch and moves the progress bar.

    Attributes
    ----------
    best : tuple or None
        Epoch, its loss as validation sees it, its parameters. One attribute, so that Ctrl-C
        finds it whole.
    history : History
        Of all calls of `fit`, as are `completed` and the epoch of `best`.
    resumed : int
        The epoch that the last call began behind.
    options : dict
        What checkpoints keep of the command: see `fcnn.cli.resumption`.
    """

    def __init__(
        self,
        score: Callable[[fcnn.Network], tuple[str, float]] | None,
        bar: Any,
        options: dict[str, str | None] | None = None,
    ) -> None:
        self.options = options or {}
        self.score = score
        self.bar = bar
        self.completed = 0
        self.resumed = 0
        self.history = History()
        self._earlier = History()
        self.best: tuple[int, float, Array] | None = None

    def go_on(self) -> None:
        """Expect another call of `fit`, which goes on with the same network."""
        self._earlier = self.history

    def load_history(self, history: History) -> None:
        """Go on with the curves of an earlier process."""
        self.history = self._earlier = history
        self.completed = len(history.loss)

    def _take(self, progress: Progress) -> int:
        """Take the curves, and return the epoch since the beginning of the first call."""
        self.history = self._earlier + progress.history if self._earlier.loss else progress.history
        return len(self._earlier.loss) + progress.epoch

    def __call__(self, progress: Progress) -> None:
        """Take note of an epoch."""
        history = progress.history
        shown = {"loss": f"{history.loss[-1]:.3g}"}
        loss = -float(progress.epoch)  # without validation, the later the better
        if history.validation_loss:
            if self.score is not None:
                history.score_name, history.validation_score[-1] = self.score(progress.network)
            loss = history.validation_loss[-1]
            shown["validation"] = f"{loss:.3g}"
            shown[history.score_name] = f"{history.validation_score[-1]:.4f}"
        epoch = self._take(progress)
        if self.best is None or loss < self.best[1] or not np.isfinite(self.best[1]):
            self.best = epoch, loss, progress.network.parameters.copy()
        self.completed = epoch
        if self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update()

    def on_begin(self, progress: Progress) -> None:
        """Take the curves of a training that is resumed."""
        self.completed = self.resumed = self._take(progress)
        if self.bar is not None:
            self.bar.update(progress.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch and the options, for checkpoints."""
        if self.best is None:
            return {}
        best = dict(zip(("epoch", "loss", "parameters"), self.best, strict=True))
        return {**best, "options": self.options}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.best = int(state["epoch"]), float(state["loss"]), state["parameters"]


def progress_bar(epochs: int, wanted: bool) -> Any:
    """Return a bar of tqdm's as a context, or an empty context."""
    if wanted and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            # Some terminals do not know their size; a bar of the width 0 would not be seen.
            if os.get_terminal_size(sys.stderr.fileno()).columns > 0:
                return tqdm(total=epochs, bar_format=_BAR, dynamic_ncols=True)
            return tqdm(total=epochs, bar_format=_BAR, ncols=80, nrows=24)
    return contextlib.nullcontext()


def _schedule_of(options: argparse.Namespace) -> Any:
    """Return what `fit` takes: a cosine unless another is given, or nothing has a learning rate."""
    if options.schedule is None and options.optimizer not in SECOND_ORDER:
        return Cosine()
    return options.schedule or None


def optimizer_of(options: argparse.Namespace, updates: int = 1) -> Optimizer:
    """Return the optimizer that the options describe, for a training of so many updates."""
    takes = {rule: inspect.signature(kind).parameters for rule, kind in ALL_OPTIMIZERS.items()}
    own = takes[options.optimizer]
    given = {name: getattr(options, name) for name in HYPERPARAMETERS}
    for name, value in given.items():
        if value and name not in own:
            others = check.listed([rule for rule in ALL_OPTIMIZERS if name in takes[rule]])
            raise CommandError(
                f"--{name.replace('_', '-')}: belongs to --optimizer {others}, which is "
                f"{options.optimizer} here"
            )
    if given["lr"] is None and "lr" in own:
        given["lr"] = _LRS[options.optimizer]
    if given["weight_decay"] is None and options.optimizer == "adamw":
        given["weight_decay"] = min(max(_DECAY / updates, _LEAST_DECAY), _MOST_DECAY)
    kind = ALL_OPTIMIZERS[options.optimizer]
    if issubclass(kind, SecondOrder) and options.batch_size is not None:
        raise CommandError(
            f"--batch-size: {options.optimizer} takes all rows at once; expected none with it"
        )
    with refusals(nesterov="--nesterov"):
        return kind(**{name: v for name, v in given.items() if name in own and v is not None})


def fit(
    net: fcnn.Network,
    X: Array,
    y: Array,
    kept: Kept,
    data: Data,
    *,
    epochs: int,
    batch_size: int | None,
    optimizer: Optimizer,
    validation: tuple[Array, Array],
    callbacks: Sequence[Callable[[Progress], object]] = (),
    **further: Any,
) -> tuple[str, int]:
    """Train; return why it ended early, if it did, and the exit code."""
    if isinstance(optimizer, SecondOrder):
        with refusals(optimizer="--optimizer"):
            optimizer.refuse(net)
    try:
        with refusals(y=data.whose, validation_y=data.whose, **CALLED), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "resume: ")  # which `resumption` has said
            net.fit(
                X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer,
                validation=validation if len(validation[0]) else None,
                callbacks=[kept, *callbacks], **further,
            )  # fmt: skip
    except (KeyboardInterrupt, RankError) as error:
        if isinstance(error, RankError) and error.raised != KeyboardInterrupt.__name__:
            raise CommandError(str(error)) from None
        epoch = min(kept.completed + 1, epochs)
        return f"interrupted in epoch {epoch} of {epochs}", INTERRUPTED
    except fcnn.DivergenceError as error:
        reason = str(error).partition(";")[0]
        if not isinstance(optimizer, SecondOrder):  # which has none
            reason += f"; try a smaller --lr than {optimizer.lr:g}"
        return f"training diverged in epoch {kept.completed + 1} of {epochs}: {reason}", FAILED
    return "", 0
