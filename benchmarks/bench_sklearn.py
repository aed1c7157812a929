"""fcnn.sklearn against scikit-learn: the same estimators on the same data, fit by fit.

    pip install '.[sklearn]'
    python benchmarks/bench_sklearn.py --mnist DIR

The libraries take turns in one process, with the same number of threads. What is timed is `fit`,
with its checks; a row says if the two loss curves are not the same. "at most" is the ratio of a
library that took no time but for the multiplications and additions of the passes, at the rate of
this CPU's registers, measured between the laps. The search runs on two workers, as it is and with
each fit pinned to one thread.
"""

import argparse
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers.threads import busy
from peers.timing import Limit, Timing
from peers.workloads import Workload

import fcnn
from fcnn import bench, datasets

# Of the losses, relative: a path of ReLU leaves the other one late in a run.
SAME = {"float64": 1e-6, "float32": 1e-2}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few laps and epochs: does it run?")
    parser.add_argument("--laps", type=int, help="fits of each library (7, quick: 1)")
    parser.add_argument("--threads", type=int, default=1, help="of each library (1)")
    parser.add_argument(
        "--mnist", type=Path, metavar="DIR", help="folder with MNIST's IDX files: fit it, too"
    )
    parser.add_argument(
        "--rows", default="", metavar="SUBSTRING", help="only rows whose name has it"
    )
    options = parser.parse_args(arguments)
    options.laps = options.laps or (1 if options.quick else 7)
    if options.laps < 1 or options.threads < 1:
        parser.error("--laps and --threads: expected at least 1")
    return options


def seconds(time: float) -> str:
    return f"{time:.2f} s" if time >= 1 else f"{bench.three_digits(time * 1e3)} ms"


def compare(
    name: str,
    calls: Mapping[str, Callable[[], object]],
    laps: int,
    note: str,
    least: Callable[[], float] | None = None,
) -> None:
    """Time two calls in turns and print a row; the ratio is of the second to the first.

    `least` returns the seconds that the first can't do without.
    """
    timings = {side: Timing(0.0) for side in calls}
    bounds = []
    for _ in range(laps):
        if least is not None:
            bounds.append(least())
        for side, call in calls.items():
            began = time.perf_counter()
            call()
            timings[side].laps.append(time.perf_counter() - began)
    first, second = timings.values()
    spreads = " and ".join(f"{t.spread:.0%}" if laps > 1 else "-" for t in (first, second))
    ratio = second.median / first.median
    most = f"{second.median / min(bounds):.1f}" if bounds else ""
    print(
        f"{name:42}{seconds(first.median):>10}{seconds(second.median):>14}{ratio:>8.2f}{most:>9}"
        f"   {spreads:14}{note}",
        flush=True,
    )


def how_equal(mine: Any, theirs: Any) -> str:
    """Return iterations and accuracies, and from which epoch on the losses differ."""
    text = f"{mine.n_iter_} iterations"
    if mine.n_iter_ != theirs.n_iter_:
        text += f" and {theirs.n_iter_}"
    if not hasattr(mine, "loss_curve_"):
        return f"{text}, losses {mine.loss_:.4g} and {theirs.loss_:.4g}"
    both = min(mine.n_iter_, theirs.n_iter_)
    a, b = (np.asarray(e.loss_curve_)[:both] for e in (mine, theirs))
    apart = np.flatnonzero(np.abs(a / b - 1) > SAME[mine.network_.dtype.name])
    return text + (
        f", losses apart from epoch {apart[0] + 1} on" if apart.size else ", same losses"
    )


def compare_fits(options: argparse.Namespace, name: str, X: Any, y: Any, **parameters: Any) -> None:
    import sklearn.neural_network

    import fcnn.sklearn

    mine = fcnn.sklearn.MLPClassifier(random_state=0, **parameters)
    theirs = sklearn.neural_network.MLPClassifier(random_state=0, **parameters)
    note = how_equal(mine.fit(X, y), theirs.fit(X, y))
    calls = {"fcnn": lambda: mine.fit(X, y), "scikit-learn": lambda: theirs.fit(X, y)}
    limit = Limit()
    # L-BFGS evaluates at least once for each iteration.
    operations = Workload(mine.network_.sizes, len(X), 1).flops * mine.n_iter_

    def least() -> float:
        limit.measure()
        isa = fcnn.show_config("dicts")["instruction set"]
        return operations / (limit.of(isa, mine.network_.dtype.name) * options.threads)

    compare(name, calls, options.laps, note, least)


def compare_searches(options: argparse.Namespace, X: Any, y: Any) -> None:
    """Time a search as it is against one with pinned fits, and against scikit-learn's."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    import fcnn.sklearn

    grid = {
        "alpha": [1e-5, 1e-3, 1e-1],
        "hidden_layer_sizes": [(50,), (100,)],
        "learning_rate_init": [1e-3, 3e-3],
    }

    def search(estimator: Any) -> Callable[[], object]:
        estimator.set_params(max_iter=5 if options.quick else 60, random_state=0)
        found = GridSearchCV(estimator, grid, n_jobs=2, cv=3)
        return lambda: found.fit(X, y)

    print("\nGridSearchCV(n_jobs=2) over 12 settings, 3 folds: as it is, and in the second column")
    default = search(fcnn.sklearn.MLPClassifier())
    others = {
        "  each fit pinned to one thread": search(fcnn.sklearn.MLPClassifier(n_threads=1)),
        "  scikit-learn": search(MLPClassifier()),
    }
    default()  # starts the workers
    for name, other in others.items():
        compare(name, {"default": default, "other": other}, options.laps, "")


def run(options: argparse.Namespace) -> None:
    from sklearn.datasets import load_digits

    def wanted(name: str) -> bool:
        return options.rows in name

    print(f"{'':42}{'fcnn':>10}{'scikit-learn':>14}{'ratio':>8}{'at most':>9}   spread")
    X, y = load_digits(return_X_y=True)
    few = {"max_iter": 10} if options.quick else {}
    for kind in SAME:
        if wanted(name := f"digits, defaults, {kind}"):
            compare_fits(options, name, X.astype(kind), y, **few)
        if wanted(name := f"digits, lbfgs, {kind}"):
            compare_fits(options, name, X.astype(kind), y, solver="lbfgs", **few)
    if wanted("MNIST"):
        if options.mnist is None:
            print("MNIST: skipped, it needs --mnist DIR")
        else:
            images, labels = datasets.load_idx_folder(options.mnist)[:2]
            parameters = {"hidden_layer_sizes": (128,), "batch_size": 64, "max_iter": 2}
            for kind in SAME:
                name = f"MNIST, 784-128-10, batch 64, {kind}"
                compare_fits(options, name, (images / 255).astype(kind), labels, **parameters)
    if wanted("GridSearchCV"):
        compare_searches(options, X, y)


def main(options: argparse.Namespace) -> None:
    import sklearn
    from threadpoolctl import threadpool_limits

    os.environ["PYTHONWARNINGS"] = "ignore"  # of the workers
    print(
        f"fcnn {fcnn.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}; {bench.cpu_name()}, instruction set "
        f"{fcnn.show_config('dicts')['instruction set']}\n"
        f"fits of each library in turns: {options.laps}; threads of each: {options.threads}. "
        "Medians, their ratio, the range between quartiles over the median"
    )
    for line in busy():
        print(line)
    before = fcnn.get_num_threads()
    fcnn.set_num_threads(options.threads)
    try:
        with threadpool_limits(options.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(options)
    finally:
        fcnn.set_num_threads(before)


@pytest.mark.parametrize("rows", ["digits", "MNIST"])
def test_it_runs(rows, capsys):
    pytest.importorskip("sklearn")
    main(parse_arguments(["--quick", "--rows", rows]))
    assert rows in capsys.readouterr().out


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: pip install 'fcnn[sklearn]'")
