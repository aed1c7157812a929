"""The default ``fcnn train`` against scikit-learn's MLP on ten classic tables, in the same time.

    pip install '.[cli,sklearn]' ; pip install --no-deps plotnine ISLP river
    python benchmarks/table_defaults.py
    python benchmarks/table_defaults.py iris wine

Both learn from the same rows and are tested on the same others (a fifth). fcnn: the command, which
is told the target, and of numbers that are classes that they are. scikit-learn: StandardScaler and
one-hot columns before MLPClassifier or MLPRegressor with their defaults (regression with a
standardized target), trained by partial_fit until it has had as long as fcnn's whole command:
processor time, so that a busy machine does not matter, on one thread. "Its fit" is its own default
training, however long it takes, on tables that are not large. Each with several seeds, of the split
and of the training: means, and deviations of one run. The difference is of runs with the same
split, with the standard error of its mean; "tie" is within two of these.

The defaults were chosen on other tables (docs/design.md): none of these ten, whose tests they are.
"""

import argparse
import contextlib
import importlib.util
import io
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.metrics import accuracy_score, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import fcnn
from fcnn.cli.main import main as fcnn_command

MOST_ROWS = 10_000  # of a table that scikit-learn fits to its end, too


class AbsentError(Exception):
    """A package that holds a table is not installed."""


def packaged(package: str, path: str) -> Path:
    """Return a file of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise AbsentError(package)
    return Path(found.origin).parent / path


def of_sklearn(name: str) -> Callable[[], tuple[pd.DataFrame, str]]:
    """Return the reader of a table of scikit-learn's, classes by their names."""

    def read() -> tuple[pd.DataFrame, str]:
        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = bunch.frame.copy()
        if "target_names" in bunch and name != "digits":
            frame["target"] = np.asarray(bunch.target_names)[frame["target"]]
        return frame, "target"

    return read


def california_like() -> tuple[pd.DataFrame, str]:
    """Return districts of two coasts: prices of incomes, ages, rooms and distance to the sea."""
    rng = np.random.default_rng(0)
    n = 20_000
    income, age = rng.gamma(3.5, 1.1, n), rng.integers(1, 53, n)
    rooms, people = rng.lognormal(1.65, 0.3, n), rng.lognormal(1.1, 0.35, n)
    latitude = rng.uniform(32.5, 42, n)
    longitude = -114 - (latitude - 32.5) * 0.85 - rng.gamma(2, 1.2, n)
    sea = np.abs(longitude + 118 + 0.75 * (latitude - 34))
    price = (
        0.45 * income - 0.02 * income**2 + 1.6 * np.exp(-sea / 0.7) + 0.25 * np.sin(latitude)
        + 0.008 * age + 0.12 * rooms - 0.3 * np.log(people) + rng.normal(0, 0.35, n)
    )  # fmt: skip
    names = ("income", "age", "rooms", "people", "latitude", "longitude")
    columns = (income, age, rooms, people, latitude, longitude)
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)))
    frame["price"] = price.clip(0.15, 5)
    return frame, "price"


def csv_of(package: str, path: str, target: str, drop: tuple[str, ...] = ()) -> Any:
    """Return the reader of a CSV file that a package ships."""

    def read() -> tuple[pd.DataFrame, str]:
        frame = pd.read_csv(packaged(package, path))
        drops = [name for name in frame.columns if name.startswith("Unnamed") or name in drop]
        return frame.drop(columns=drops), target

    return read


def shuttle() -> tuple[pd.DataFrame, str]:
    """Return the shuttle's states, 7 % of them anomalies."""
    return pd.read_csv(packaged("river", "datasets/shuttle.csv.gz")), "anomaly"


TABLES: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "iris": of_sklearn("iris"),
    "wine": of_sklearn("wine"),
    "breast cancer": of_sklearn("breast_cancer"),
    "digits": of_sklearn("digits"),
    "diabetes": of_sklearn("diabetes"),
    "california-like": california_like,
    "diamonds": csv_of("plotnine", "data/diamonds.csv", "price"),
    # The other counts add up to the target.
    "Bikeshare": csv_of("ISLP", "data/Bikeshare.csv", "bikers", ("casual", "registered")),
    "Default": csv_of("ISLP", "data/Default.csv", "default"),
    "shuttle": shuttle,
}


# Whose classes are numbers.
CLASSES = ("digits", "shuttle")


def of_fcnn(
    train: pd.DataFrame, test: pd.DataFrame, target: str, seed: int, task: str
) -> tuple[float, float, bool]:
    """Return score and seconds of the default run, reading and saving included."""
    train.to_csv("train.csv", index=False)
    began = time.process_time()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = fcnn_command(
            ["train", "train.csv", "--target", target, "--test", "0", "--no-plot", "--task", task,
             "--seed", str(seed), "--output", "m.safetensors"]
        )  # fmt: skip
    seconds = time.process_time() - began
    if code:
        raise RuntimeError(err.getvalue())
    model = fcnn.load("m.safetensors")
    answers = model.predict(test.drop(columns=[target]))
    if model.classes:
        return accuracy_score(test[target].astype(str), answers.astype(str)), seconds, True
    return r2_score(test[target], answers), seconds, False


def of_sklearn_mlp(
    train: pd.DataFrame, test: pd.DataFrame, target: str, seed: int, seconds: float, classes: bool
) -> tuple[float, int, float]:
    """Return score and epochs of scikit-learn's MLP in so many seconds, and its fit's score."""
    X, X_test = train.drop(columns=[target]), test.drop(columns=[target])
    texts = [name for name in X if X[name].dtype.kind not in "biuf"]
    encoder = ColumnTransformer(
        [("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts)],
        remainder=StandardScaler(),
    )
    began = time.process_time()
    X, X_test = encoder.fit_transform(X), encoder.transform(X_test)
    if classes:
        y: Any = train[target].astype(str)
        first: dict[str, Any] = {"classes": np.unique(y)}
        mlp: Any = MLPClassifier(random_state=seed)
    else:
        mean, scale = train[target].mean(), train[target].std()
        y, first, mlp = (train[target] - mean) / scale, {}, MLPRegressor(random_state=seed)
    epochs = 0
    while epochs == 0 or time.process_time() - began < seconds:
        mlp.partial_fit(X, y, **(first if epochs == 0 else {}))
        epochs += 1

    def score(fitted: Any) -> float:
        if classes:
            return accuracy_score(test[target].astype(str), fitted.predict(X_test))
        return r2_score(test[target], fitted.predict(X_test) * scale + mean)

    whole = score(type(mlp)(random_state=seed).fit(X, y)) if len(X) <= MOST_ROWS else np.nan
    return score(mlp), epochs, whole


def told_of(scores: np.ndarray) -> str:
    """Return mean and deviation of scores."""
    return "" if np.isnan(scores).any() else f"{scores.mean():.4f} ± {scores.std(ddof=1):.4f}"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(TABLES)}")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    fcnn.set_num_threads(1)
    MLPClassifier(max_iter=2).fit(np.eye(4), [0, 1] * 2).predict(np.eye(4))  # what the first costs
    print("| table | rows | score | fcnn | scikit-learn | difference | | seconds | its epochs | "
          "its fit |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in options.names or TABLES:
            try:
                frame, target = TABLES[name]()
            except AbsentError as absent:
                print(f"| {name} | {absent} is not installed | | | | | | |")
                continue
            runs = []
            for seed in range(options.seeds):
                order = np.random.default_rng(seed).permutation(len(frame))
                n_test = len(frame) // 5
                test, train = frame.iloc[order[:n_test]], frame.iloc[order[n_test:]]
                task = "classification" if name in CLASSES else "auto"
                score, seconds, classes = of_fcnn(train, test, target, seed, task)
                other, epochs, whole = of_sklearn_mlp(train, test, target, seed, seconds, classes)
                runs.append((score, other, seconds, epochs, whole))
            ours, theirs, seconds, epochs, whole = (np.array(v) for v in zip(*runs, strict=True))
            gain = ours - theirs
            error = gain.std(ddof=1) / len(gain) ** 0.5
            told = "tie" if abs(gain.mean()) <= 2 * error else "behind" if gain.mean() < 0 else ""
            print(
                f"| {name} | {len(frame):,} | {'accuracy' if classes else 'r2'} | {told_of(ours)} "
                f"| {told_of(theirs)} | {gain.mean():+.4f} ± {error:.4f} | {told} | "
                f"{seconds.mean():.2f} | {epochs.mean():.0f} | {told_of(whole)} |", flush=True,
            )  # fmt: skip
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
