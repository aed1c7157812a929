"""Fits of MLPClassifier: fcnn.sklearn's beside scikit-learn's, its defaults, and sparse data."""

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fcnn import datasets
from peers.checks import check_fit
from peers.timing import Row, Session, Timing
from peers.workloads import products

LEAST_FITS = 3
# Rows, columns and share of the sparse data that are not zero, as of counted words.
SPARSE = (20_000, 10_000, 0.01)
SPARSE_CLASSES = 10


@dataclass(frozen=True)
class Fit:
    name: str
    data: Callable[[str], tuple[Any, Any]]
    dtype: str
    parameters: dict[str, Any]


def digits(dtype: str) -> tuple[Any, Any]:
    X, y = datasets.load_digits()
    return np.ascontiguousarray(X, dtype), y


def counts(dtype: str) -> tuple[Any, Any]:
    """Return a sparse matrix in CSR, and classes that some of its columns decide."""
    sparse = importlib.import_module("scipy.sparse")
    rows, columns, density = SPARSE
    rng = np.random.default_rng(0)
    X = sparse.random(rows, columns, density, "csr", dtype, rng)
    return X, np.asarray(X[:, :SPARSE_CLASSES].argmax(axis=1)).ravel()


FITS = (
    Fit("digits, defaults, float64", digits, "float64", {}),
    Fit("digits, defaults, float32", digits, "float32", {}),
    Fit("CSR 20,000 x 10,000, 1 %, one epoch", counts, "float32", {"max_iter": 1}),
)


def planned() -> list[tuple[Row, Callable[[Session, Row], None]]]:
    return [
        (Row("fit of MLPClassifier", fit.name, 0.0, fit.dtype), partial(run_fit, fit=fit))
        for fit in FITS
    ]


def run_fit(session: Session, row: Row, fit: Fit) -> None:
    """Time whole fits, of both libraries in turns."""
    try:
        theirs = importlib.import_module("sklearn.neural_network").MLPClassifier
        mine = importlib.import_module("fcnn.sklearn").MLPClassifier
    except ImportError:
        return
    X, y = fit.data(fit.dtype)
    models = {
        "fcnn": mine(random_state=0, n_threads=session.threads, **fit.parameters),
        "scikit-learn": theirs(random_state=0, **fit.parameters),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations that ended early
        with session.judging(row, "fcnn"):
            check_fit(*models.values(), X, y)
            row.timings = {name: Timing(float("nan")) for name in models}
            calls = {name: partial(model.fit, X, y) for name, model in models.items()}
            session.time(row, calls, least_laps=LEAST_FITS)
            row.facts = {name: f"{model.n_iter_} epochs" for name, model in models.items()}
            first, *others = products(models["fcnn"].network_.sizes)
            first *= getattr(X, "nnz", X.size) / math.prod(X.shape)  # no zeros of CSR
            row.flops = 2.0 * X.shape[0] * models["fcnn"].n_iter_ * (2 * first + 3 * sum(others))
