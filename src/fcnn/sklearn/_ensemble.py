"""Estimators of several networks: each is fitted as one is, by an estimator of its own."""
# scikit-learn has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

if TYPE_CHECKING:
    from fcnn.sklearn._perceptron import Perceptron

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
    """Fit the networks of an ensemble one after the other."""
    n, began = estimator.n_networks, time.perf_counter()
    members = getattr(estimator, "estimators_", [])
    if not (members and (incremental or estimator.warm_start)):
        draw = check_random_state(estimator.random_state)
        seeds = draw.randint(np.iinfo(np.int32).max, size=n)
        members = [_one_of(estimator, int(seed)) for seed in seeds]
    for name in _OF_ONE:
        estimator.__dict__.pop(name, None)
    for i, member in enumerate(members):
        parameters = _parameters(estimator)
        if estimator.max_time is not None:  # of what is left, as much as each of the others
            left = estimator.max_time - (time.perf_counter() - began)
            parameters["max_time"] = max(left / (n - i), 1e-9)
        member.set_params(**parameters)
        if hasattr(estimator, "classes_") and incremental:
            member.classes_ = estimator.classes_
            member._label_binarizer = estimator._label_binarizer
        member._fit(X, y, sample_weight, incremental, eval_set)
        if getattr(member, "_was_interrupted", False):
            break
    fitted = [member for member in members if hasattr(member, "network_")]
    known = {"estimators_", *estimator.get_params(deep=False)}
    for name, value in vars(fitted[0]).items():
        if name not in known and name not in _OF_ONE:
            setattr(estimator, name, value)
    estimator.estimators_ = fitted
    return estimator


def _parameters(estimator: Perceptron) -> dict[str, Any]:
    """Return the parameters that each network is fitted with."""
    own = {"n_networks", "random_state"}
    return {k: v for k, v in estimator.get_params(deep=False).items() if k not in own}


def _one_of(estimator: Perceptron, seed: int) -> Perceptron:
    """Return an estimator of one network, not fitted yet."""
    member: Perceptron = clone(estimator).set_params(n_networks=1, random_state=seed)
    return member
