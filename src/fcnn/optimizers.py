"""Optimizers: hyperparameters and state. Their arithmetic is the core's (`kernels/updates.pxd`)."""

import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcnn._attributes import Checked, Checks, number
from fcnn._dispatch import core
from fcnn._validation import as_count, as_flag, as_number, as_step_options, listed

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]


def __dir__() -> list[str]:
    return __all__


_LR = number(above=0)
_WEIGHT_DECAY = number(least=0)


def _as_betas(name: str, value: Any) -> tuple[float, float]:
    try:
        beta1, beta2 = value
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected two numbers, got {value!r}") from None
    return (
        as_number("betas[0]", beta1, least=0, below=1),
        as_number("betas[1]", beta2, least=0, below=1),
    )


class Optimizer(Checked):
    """What the optimizers share: the state vectors, and whose they are.

    An optimizer with state belongs to the network that it first updated; `reset` frees it.
    Hyperparameters are plain attributes and may be changed between calls, `lr` for a schedule; what
    they may not be is refused at the assignment, and so is an attribute that an optimizer has not.

    Attributes
    ----------
    steps : int
        Updates made so far.
    """

    _checks: ClassVar[Checks] = {"steps": lambda name, value: as_count(name, value, 0)}

    rule: ClassVar[str]
    lr: float
    weight_decay: float

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the state, the count of steps and the network."""
        self.steps = 0
        # How many of them W^1, b^1, W^2, ... had no part in (`trainable`): for Adam's correction.
        self._missed: NDArray[np.int64] | None = None
        self._state: tuple[NDArray[Any], ...] = ()
        self._owner: weakref.ref[Any] | None = None

    def _num_states(self) -> int:
        """Return how many vectors, each as long as the parameters, the rule keeps."""
        kinds = [f"fcnn.{kind.__name__}" for kind in OPTIMIZERS.values()]
        raise TypeError(f"use {listed(kinds)}")

    def _takes(self, count: int) -> bool:
        """Whether a state may have so many vectors."""
        return count == self._num_states()

    def state(self, network: Any) -> tuple[NDArray[Any], ...]:
        """Return the state vectors for a network, zeros at first.

        Raises
        ------
        ValueError
            If the state is that of another network.
        """
        count = self._num_states()
        if count == 0:
            return ()
        parameters = network.parameters
        if not self._state:
            self._state = tuple(
                core.zeros_with_slack(parameters.shape, parameters.dtype) for _ in range(count)
            )
        elif self._owner is not None and self._owner() is not network:
            raise ValueError(
                "optimizer: it holds the state of another network; make a new one for each "
                "network, or call optimizer.reset()"
            )
        elif [(v.shape, v.dtype) for v in self._state] != [
            (parameters.shape, parameters.dtype)
        ] * count:
            raise ValueError(
                f"optimizer: it holds {len(self._state)} state vectors of {self._state[0].size} "
                f"{self._state[0].dtype} numbers, the network needs {count} of {parameters.size} "
                f"{parameters.dtype}; call optimizer.reset()"
            )
        if self._missed is not None and len(self._missed) != 2 * len(network.activations):
            raise ValueError(
                f"optimizer: it has trained {len(self._missed) // 2} layers, the network has "
                f"{len(network.activations)}; call optimizer.reset()"
            )
        if self._owner is None:
            self._owner = weakref.ref(network)
        return self._state

    def update(
        self,
        network: Any,
        gradient: NDArray[Any],
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        trainable: Mapping[Any, float] | None = None,
    ) -> None:
        """Update a network's parameters with a gradient that is given.

        With the gradient of `fcnn.Network.gradients` it does what `fcnn.Network.train_step` does,
        to the same bits.

        Parameters
        ----------
        network : fcnn.Network
        gradient : numpy.ndarray, shape (num_parameters,)
            In the order of ``network.parameters``, of the network's dtype, contiguous. It is not
            changed.
        l1, l2, clip_norm
            As for `fcnn.Network.fit`: the derivative of the penalty joins the gradient, which is
            then shortened.
        trainable
            As for `fcnn.Network.fit`. What the gradient has where nothing moves is not looked at.

        Raises
        ------
        ValueError, TypeError
            If an argument is not as described; nothing is changed.
        fcnn.DivergenceError
            If the gradient or a weight would not be finite; nothing is changed.
        """
        as_optimizer(self)
        if not isinstance(network, core.CheckedNetwork):
            raise TypeError(f"network: expected an fcnn.Network, got {type(network).__name__}")
        options = as_step_options(
            len(network.sizes) - 1, None, l1, l2, clip_norm, 0.0, 0.0, trainable
        )
        core.update(network, self, gradient, options)

    def _hyperparameters(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("steps", "_missed", "_state", "_owner")
        }

    def state_dict(self) -> dict[str, Any]:
        """Return hyperparameters, steps and state vectors, which are not copied."""
        return {
            "rule": self.rule,
            "steps": self.steps,
            "missed": None if self._missed is None else self._missed.tolist(),
            "hyperparameters": self._hyperparameters(),
            "vectors": list(self._state),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, for any one network.

        Raises
        ------
        ValueError
            If the state is that of another kind of optimizer, or not whole; nothing is changed.
        """
        if state["rule"] != self.rule:
            raise ValueError(f"optimizer: expected {state['rule']!r} as saved, got {self.rule!r}")
        unknown = {*state["hyperparameters"]} - {*self._hyperparameters(), "_epsilon_hat"}
        if unknown:
            raise ValueError(f"optimizer: {self.rule} has no {sorted(unknown)[0]!r}")
        other = object.__new__(type(self))
        for name, value in state["hyperparameters"].items():
            setattr(other, name, value)  # which checks it
        vectors = tuple(map(_copy, state["vectors"]))
        steps = as_count("steps", state["steps"], 0)
        # Nothing in earlier files, where what was frozen counted them all.
        missed = state.get("missed")
        if missed is not None:
            missed = np.array([as_count("missed", count, 0) for count in missed], np.int64)
            if missed.max(initial=0) > steps:
                raise ValueError(f"optimizer: {missed.max()} of {steps} updates were missed")
        if not other._takes(len(vectors)) and (vectors or steps):
            raise ValueError(
                f"optimizer: {self.rule} keeps {other._num_states()} vectors, got {len(vectors)}"
            )
        self.__dict__.update(vars(other), steps=steps, _missed=missed, _state=vectors, _owner=None)

    def __getstate__(self) -> dict[str, Any]:
        # A weak reference cannot be pickled; a copy belongs to the network it updates next.
        return {**self.__dict__, "_owner": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Copied: the vectors of a pickle may be read-only memory (joblib's memory maps). Earlier
        # pickles know of no missed updates.
        self.__dict__.update({"_missed": None, **state})
        self._copy_state()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Optimizer":
        other: Optimizer = object.__new__(type(self))
        other.__dict__.update(self.__getstate__())
        other._copy_state()
        return other

    def _copy_state(self) -> None:
        self._state = tuple(map(_copy, self._state))
        self._missed = None if self._missed is None else self._missed.copy()

    def __copy__(self) -> "Optimizer":
        return self.__deepcopy__({})  # a shallow copy would share the state vectors


def _copy(v: NDArray[Any]) -> NDArray[Any]:
    """Return a copy as the core needs it: it reads a little past the end."""
    vector = core.zeros_with_slack(v.shape, v.dtype)
    vector[...] = v
    return vector


def as_optimizer(optimizer: Any) -> Optimizer:
    """Return an optimizer, or refuse what is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer: expected fcnn.SGD(...), fcnn.Adam() or fcnn.AdamW(), or for fit "
            f"fcnn.LBFGS() or fcnn.LevenbergMarquardt(), got {optimizer!r}"
        )
    return optimizer


class SGD(Optimizer):
    """Stochastic gradient descent: W <- W - lr g.

    With momentum a velocity v takes g's place: v <- momentum v + g, and W <- W - lr v, or with
    `nesterov` W <- W - lr (g + momentum v). Here g = dC/dW + weight_decay W, for weights and biases
    alike. The same as ``torch.optim.SGD``.

    Parameters
    ----------
    lr : float
        Learning rate eta, positive.
    momentum : float, default 0
        At least 0 and less than 1.
    nesterov : bool, default False
        Needs momentum.
    weight_decay : float, default 0
        Not negative.
    """

    rule = "sgd"
    _checks: ClassVar[Checks] = {
        **Optimizer._checks, "lr": _LR, "momentum": number(least=0, below=1), "nesterov": as_flag,
        "weight_decay": _WEIGHT_DECAY,
    }  # fmt: skip

    def __init__(
        self,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.lr = lr
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay

    def _refuse_together(self, values: Mapping[str, Any]) -> None:
        if values.get("nesterov") and values.get("momentum") == 0:
            raise ValueError("nesterov: needs momentum > 0, got momentum=0")

    def _num_states(self) -> int:
        return 1 if self.momentum else 0

    def __repr__(self) -> str:
        return (
            f"SGD(lr={self.lr:g}, momentum={self.momentum:g}, nesterov={self.nesterov}, "
            f"weight_decay={self.weight_decay:g})"
        )


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.
    The same as ``torch.optim.Adam``: weight decay is added to the gradient.

    Parameters
    ----------
    lr : float, default 0.001
        Learning rate, positive.
    betas : (float, float), default (0.9, 0.999)
        Decay of the two means, each at least 0 and less than 1.
    eps : float, default 1e-8
        Added to the root of the second mean, at least 1e-30.
    weight_decay : float, default 0
        Not negative.
    """

    rule = "adam"
    _checks: ClassVar[Checks] = {
        **Optimizer._checks, "lr": _LR, "betas": _as_betas,
        "eps": number(least=1e-30),  # which float32 still tells from 0
        "weight_decay": _WEIGHT_DECAY,
    }  # fmt: skip
    # Whether eps is added before the bias correction of the second mean, as scikit-learn does.
    _epsilon_hat = False

    def __init__(
        self,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def _num_states(self) -> int:
        return 2

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(lr={self.lr:g}, betas={self.betas}, eps={self.eps:g}, "
            f"weight_decay={self.weight_decay:g})"
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: W <- (1 - lr weight_decay) W before each step.

    I. Loshchilov, F. Hutter: Decoupled weight decay regularization, ICLR 2019, algorithm 2.
    The same as ``torch.optim.AdamW``. Parameters as for `Adam`; `weight_decay` is 0.01.
    """

    rule = "adamw"

    def __init__(
        self,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.rule: kind for kind in (SGD, Adam, AdamW)}
