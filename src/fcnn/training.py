"""The training loop: epochs, validation, history. An epoch is one call of the core."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fcnn import _validation as check
from fcnn.errors import DivergenceError
from fcnn.optimizers import Adam, Optimizer, as_optimizer
from fcnn.threads import resolve

if TYPE_CHECKING:
    from fcnn.network import Network


@dataclass
class History:
    """The curves of a training, one entry for each completed epoch.

    Attributes
    ----------
    loss : list of float
        Mean loss of the epoch's batches, each before its update.
    validation_loss : list of float
        Loss on the validation data after the epoch; empty without validation data.
    validation_score : list of float
        Accuracy or r2 on the validation data.
    score_name : str
        "accuracy" or "r2"; empty without validation data.
    seconds : list of float
        Duration of each epoch, without validation.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    score_name: str = ""
    seconds: list[float] = field(default_factory=list)

    def __repr__(self) -> str:
        if not self.loss:
            return "<History: no epochs>"
        text = f"{len(self.loss)} epochs in {sum(self.seconds):.3g} s, loss {self.loss[-1]:.4g}"
        if self.validation_loss:
            text += (
                f", validation loss {self.validation_loss[-1]:.4g}, "
                f"{self.score_name} {self.validation_score[-1]:.4g}"
            )
        return f"<History: {text}>"


@dataclass(frozen=True)
class Progress:
    """What a callback is given after each epoch.

    Attributes
    ----------
    network : fcnn.Network
    optimizer : fcnn.optimizers.Optimizer
    history : History
        Up to and with this epoch.
    epoch, epochs : int
        Epochs completed in this call of `fit`, and asked for.
    """

    network: "Network"
    optimizer: Optimizer
    history: History
    epoch: int
    epochs: int


def fit(
    network: "Network",
    X: ArrayLike,
    y: ArrayLike,
    *,
    epochs: int,
    batch_size: int | None,
    optimizer: Optimizer | None,
    sample_weight: ArrayLike | None,
    validation: Sequence[Any] | None,
    callbacks: Iterable[Callable[[Progress], object]],
    shuffle: bool,
    rng: int | np.random.Generator | None,
    progress: bool,
    n_threads: int | None,
) -> History:
    """Train a network: see `Network.fit`."""
    epochs = check.as_count("epochs", epochs)
    check.as_flag("shuffle", shuffle)
    check.as_flag("progress", progress)
    inputs, targets, weight = _as_training_data(network, X, y, sample_weight, "")
    size = len(inputs)
    if batch_size is not None:
        size = min(size, check.as_count("batch_size", batch_size))
    optimizer = Adam() if optimizer is None else as_optimizer(optimizer)
    held_out = None
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
            got = type(validation).__name__
            if isinstance(validation, (tuple, list)):
                got += f" of {len(validation)}"
            raise TypeError(f"validation: expected (X, y) or (X, y, sample_weight), got {got}")
        X_held, y_held, weight_held = (*validation, None)[:3]
        held_out = _as_training_data(network, X_held, y_held, weight_held, "validation ")
    try:
        callbacks = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks: expected a list of functions, got {callbacks!r}") from None
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks: expected functions, got {callback!r}")
    generator = network.rng if rng is None else check.as_generator(rng)
    threads = resolve(n_threads) if n_threads is not None else None
    optimizer.state(network)  # which refuses an optimizer that is another network's

    history = History()
    order = np.arange(len(inputs), dtype=np.int64) if shuffle else None
    with _bar(epochs, progress) as bar:
        for epoch in range(1, epochs + 1):
            began = time.perf_counter()
            if order is not None:
                generator.shuffle(order)
            try:
                loss = network.train_epoch(inputs, targets, optimizer, size, order, weight, threads)
            except DivergenceError as error:
                error.add_note(f"in epoch {epoch} of {epochs}")
                raise
            history.seconds.append(time.perf_counter() - began)
            history.loss.append(loss)
            shown = {"loss": f"{loss:.4g}"}
            if held_out is not None:
                scores = network.evaluate(*held_out, threads)
                history.validation_loss.append(scores.pop("loss"))
                history.score_name, value = scores.popitem()
                history.validation_score.append(value)
                shown["validation"] = f"{history.validation_loss[-1]:.4g}"
                shown[history.score_name] = f"{value:.4f}"
            bar.set_postfix(shown, refresh=False)
            bar.update()
            answers = [
                callback(Progress(network, optimizer, history, epoch, epochs))
                for callback in callbacks
            ]
            if any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers):
                break
    return history


def _as_training_data(
    network: "Network", X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, whose: str
) -> tuple[Any, Any, Any]:
    inputs = check.as_inputs(f"{whose}X", X, network.sizes[0], network.dtype)
    if inputs.ndim == 1:
        raise ValueError(
            f"{whose}X: expected shape (samples, {network.sizes[0]}), got {inputs.shape}; "
            f"X[None] makes it one sample"
        )
    check.refuse_nonfinite(f"{whose}X", inputs)
    inputs, targets = check.as_targets(
        f"{whose}y", y, inputs, network.sizes[-1], network.loss, network.dtype
    )
    return (
        inputs,
        targets,
        check.as_sample_weight(sample_weight, len(inputs), network.dtype, f"{whose}sample_weight"),
    )


class _NoBar:
    def __enter__(self) -> "_NoBar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_postfix(self, *_: object, **__: object) -> None:
        pass

    def update(self) -> None:
        pass


def _bar(epochs: int, wanted: bool) -> Any:
    if not wanted:
        return _NoBar()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install fcnn[cli]") from None
    return tqdm(total=epochs, unit="epoch", dynamic_ncols=True)
