"""Estimators of several networks: each is fitted as one is, by an estimator of its own.

Where nobody sees the order, their epochs are made in one call of the core, as `fcnn.fit_many` makes
them.
"""
# scikit-learn has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from fcnn._dispatch import core
from fcnn.sklearn._stochastic import SOLVERS, epoch_after

if TYPE_CHECKING:
    from fcnn.sklearn._perceptron import Perceptron

# Data of all networks that may be copied for each.
_MOST_BYTES = 1 << 29

# Of the first estimator, what the ensemble has not.
_OF_ONE = ("network_", "_optimizer", "_rule", "_best_coefs", "_best_intercepts", "_random_state")


def refuse_another_number(estimator: Perceptron, goes_on: bool) -> None:
    """Refuse to go on with another number of networks than there are."""
    several, n = len(getattr(estimator, "estimators_", ())), estimator.n_networks
    has = several or int(hasattr(estimator, "network_"))
    if goes_on and has and has != n:
        what = f"the ensemble has {several} networks" if several else "there is one network"
        raise ValueError(f"n_networks: {what}, which cannot go on as {n}; fit without warm_start "
                         "begins anew")  # fmt: skip


def fit_each(
    estimator: Perceptron,
    X: Any,
    y: Any,
    sample_weight: Any,
    incremental: bool,
    eval_set: Any,
) -> Perceptron:
    """Fit the networks of an ensemble, as if one after the other."""
    n, began = estimator.n_networks, time.perf_counter()
    members = getattr(estimator, "estimators_", [])
    if not (members and (incremental or estimator.warm_start)):
        draw = check_random_state(estimator.random_state)
        seeds = draw.randint(np.iinfo(np.int32).max, size=n)
        members = [_one_of(estimator, int(seed)) for seed in seeds]
    for name in _OF_ONE:
        estimator.__dict__.pop(name, None)
    if _go_together(estimator, X):
        _fit_together(estimator, members, (X, y, sample_weight, incremental, eval_set))
    else:
        _fit_in_turn(estimator, members, (X, y, sample_weight, incremental, eval_set), began)
    fitted = [member for member in members if hasattr(member, "network_")]
    known = {"estimators_", *estimator.get_params(deep=False)}
    for name, value in vars(fitted[0]).items():
        if name not in known and name not in _OF_ONE:
            setattr(estimator, name, value)
    estimator.estimators_ = fitted
    return estimator


def _go_together(estimator: Perceptron, X: Any) -> bool:
    """Whether epochs of all networks are made in one call of the core.

    Not where somebody would see the order in which that is done, or where the copies that each may
    have of X are large.
    """
    copies = estimator.n_networks * getattr(X, "nbytes", 0)
    return not (
        estimator.solver not in SOLVERS or estimator.callbacks or estimator.verbose
        or estimator.max_time is not None or copies > _MOST_BYTES
    )  # fmt: skip


def _fit_together(estimator: Perceptron, members: list[Perceptron], given: tuple[Any, ...]) -> None:
    trainings = []
    for member in members:
        _prepare(estimator, member, given[3])
        trainings.append(member._epochs(*given))
    threads = estimator._threads()
    going = [(one, epoch) for one in trainings if (epoch := next(one, None)) is not None]
    while going:
        failures: list[BaseException | None]
        try:
            made = core.train_many([epoch.among_many() for _, epoch in going], 1, threads)
            failures = [failure for _, failure in made]
        except KeyboardInterrupt as error:
            failures = [error] * len(going)
        after = [
            (one, epoch_after(one, failure))
            for (one, _), failure in zip(going, failures, strict=True)
        ]
        going = [(one, epoch) for one, epoch in after if epoch is not None]


def _fit_in_turn(
    estimator: Perceptron, members: list[Perceptron], given: tuple[Any, ...], began: float
) -> None:
    for i, member in enumerate(members):
        _prepare(estimator, member, given[3])
        if estimator.max_time is not None:  # of what is left, as much as each of the others
            left = estimator.max_time - (time.perf_counter() - began)
            member.set_params(max_time=max(left / (len(members) - i), 1e-9))
        member._fit(*given)
        if getattr(member, "_was_interrupted", False):
            break


def _prepare(estimator: Perceptron, member: Perceptron, incremental: bool) -> None:
    """Give an estimator of one network the parameters that there are now."""
    member.set_params(**_parameters(estimator))
    if hasattr(estimator, "classes_") and incremental:
        member.classes_ = estimator.classes_
        member._label_binarizer = estimator._label_binarizer


def _parameters(estimator: Perceptron) -> dict[str, Any]:
    """Return the parameters that each network is fitted with."""
    own = {"n_networks", "random_state"}
    return {k: v for k, v in estimator.get_params(deep=False).items() if k not in own}


def _one_of(estimator: Perceptron, seed: int) -> Perceptron:
    """Return an estimator of one network, not fitted yet."""
    member: Perceptron = clone(estimator).set_params(n_networks=1, random_state=seed)
    return member
