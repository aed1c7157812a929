"""The comparison with the NumPy twin: what ``fcnn bench`` prints, and what benchmarks/ share."""

import importlib
import math
import platform
import statistics
import subprocess
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

import fcnn
from fcnn import _validation as check
from fcnn import reference
from fcnn._dispatch import core
from fcnn.optimizers import SGD, Optimizer

__all__ = ["run"]


def __dir__() -> list[str]:
    return __all__


# Sizes and batch: from one where the calls cost more than the arithmetic to one that is all
# matrix products.
TRAINING: tuple[tuple[tuple[int, ...], int], ...] = (
    ((4, 16, 3), 16),
    ((2, 32, 32, 2), 32),
    ((64, 100, 10), 32),
    ((784, 128, 10), 32),
    ((784, 128, 10), 128),
    ((784, 1024, 1024, 10), 256),
)
PREDICTION: tuple[tuple[int, ...], ...] = ((4, 16, 3), (64, 100, 10), (784, 128, 10))
PREDICTION_ROWS = (1, 1000)

# So small that a network which is trained a million times on one batch stays the same network:
# no saturated outputs, no denormal numbers, whose arithmetic takes another time.
TIMING_LR = 1e-9

# Of ||fcnn - NumPy|| / ||NumPy||. The order of summation alone makes 1e-6 and 2e-15 at most in
# these networks; one wrong output of the 10,000 of 1000 rows makes 1e-2.
TOLERANCES = {"float32": 1e-5, "float64": 1e-13}

# Long enough that reading the clock takes no share of a lap, short enough that both sides meet
# the same disturbances.
SECONDS_PER_LAP = 1e-3
LEAST_LAPS = 3
# Before each lap, uncounted: behind a call that is mostly Python, or a sleep, a CPU multiplies at
# two thirds of its rate for about a millisecond (Zen 3), which is none of the next call's doing.
SECONDS_TO_WARM = 2e-3
# A call that takes so many times as long hardly feels it.
NO_NEED_TO_WARM = 10


@dataclass(frozen=True)
class Pair:
    """A network and its NumPy twin with the same parameters, and data for both.

    Attributes
    ----------
    network : fcnn.Network
        ReLU and softmax cross entropy.
    twin : fcnn.reference.Network
    X : numpy.ndarray, shape (rows, n_0)
    y : numpy.ndarray, shape (rows,)
        Labels.
    """

    network: fcnn.Network
    twin: reference.Network
    X: NDArray[Any]
    y: NDArray[np.int64]

    @property
    def sides(self) -> tuple[Any, Any]:
        """The network and its twin, which have the same methods."""
        return self.network, self.twin


def make_pair(sizes: Sequence[int], rows: int, dtype: DTypeLike) -> Pair:
    """Return a network, its twin, and random data, the same at every call.

    Parameters
    ----------
    sizes : sequence of int
        n_0, ..., n_L.
    rows : int
        Samples.
    dtype : str or numpy.dtype
        float32 or float64.
    """
    rng = np.random.default_rng(0)
    network = fcnn.Network(sizes, dtype=dtype, rng=rng)
    twin = reference.Network.like(network)
    X = rng.standard_normal((rows + rows // 4, sizes[0])).astype(network.dtype)
    kept = np.arange(rows)
    if len(sizes) > 2:
        # Where z is nearly 0, one rounding decides between relu's two derivatives: samples that
        # come nearest to it would make a right gradient look wrong.
        z, _ = twin.forward(X)
        margin = np.min([np.abs(z_l).min(axis=1) for z_l in z[1:-1]], axis=0)
        kept = np.argsort(margin)[-rows:]
    return Pair(network, twin, X[kept], rng.integers(0, sizes[-1], rows))


# --- The same numbers -----------------------------------------------------------------------------


def distance(theirs: Any, expected: Any) -> float:
    """Return ||theirs - expected|| / ||expected||, not a number if one of them has none.

    Parameters
    ----------
    theirs, expected : array-like
        Of the same size; a row alone may come as a matrix.
    """
    a, b = np.asarray(theirs, np.float64), np.asarray(expected, np.float64)
    error = np.linalg.norm(a.reshape(b.shape) - b)
    return float(error / np.linalg.norm(b)) if error else 0.0


def check_same(what: str, answers: Sequence[Any], dtype: DTypeLike, slack: float = 1.0) -> None:
    """Raise unless fcnn's numbers are NumPy's, up to the order of summation.

    Parameters
    ----------
    what : str
        What the numbers are, for the message.
    answers : (array-like, array-like)
        fcnn's and NumPy's.
    dtype : str or numpy.dtype
        What they were computed in: it sets the tolerance.
    slack : float, default 1
        Factor on the tolerance.

    Raises
    ------
    RuntimeError
        If they differ, in the norm, by more than the tolerance, or are not finite.
    """
    tolerance = slack * TOLERANCES[np.dtype(dtype).name]
    error = distance(*answers)
    if not error <= tolerance:  # so that NaN fails
        raise RuntimeError(
            f"{what}: fcnn and NumPy differ by {error:.1e} of the norm, "
            f"more than {tolerance:.0e}; nothing was timed"
        )


def check_step(pair: Pair, make_optimizer: Callable[[], Optimizer]) -> None:
    """Raise unless one training step changes the parameters of both sides alike.

    The parameters are afterwards what they were.

    Parameters
    ----------
    pair : Pair
    make_optimizer : callable
        Returns a new optimizer; a large learning rate makes the change visible beside the
        parameters' own rounding.

    Raises
    ------
    RuntimeError
        If losses or changes differ.
    """
    before = pair.network.parameters.copy()
    losses, changes = [], []
    for side in pair.sides:
        optimizer = make_optimizer()
        # From a state of zeros Adam's first step is the sign of the gradient: whatever its
        # constants are, and with a rounding deciding where the gradient is nearly 0.
        for state in optimizer.state(side):
            state[...] = 1e-4
        optimizer.steps = 3
        losses.append(side.train_step(pair.X, pair.y, optimizer))
        changes.append(side.parameters - before)
        side.parameters[...] = before
    check_same("loss of a training step", losses, before.dtype)
    check_same("change by a training step", changes, before.dtype)


# --- Timing ---------------------------------------------------------------------------------------


def alternate(
    calls: Sequence[Callable[[], object]],
    seconds: float,
    *,
    seconds_per_lap: float = SECONDS_PER_LAP,
    least_laps: int = LEAST_LAPS,
    pause: float = 0.0,
) -> list[list[float]]:
    """Return the laps of each of several calls, which take turns: A B A B ...

    Turns spread whatever else the machine does over all of them; the laps' median drops it. A lap
    begins with calls that are not counted, since the others leave the CPU in states of their own.

    Parameters
    ----------
    calls : sequence of callable
        Called without arguments.
    seconds : float
        For all together, about; each is called a few times in any case.
    seconds_per_lap : float
        A lap makes as many calls as take so long, about.
    least_laps : int
        Laps of each call in any case.
    pause : float, default 0
        Seconds before each lap, in which the threads of the call before go to sleep.

    Returns
    -------
    list of list of float
        Seconds per call of each lap, with the 50 ns or so that Python takes to make the call.
    """
    timers = [timeit.Timer(call) for call in calls]
    end = time.perf_counter() + seconds
    loops, warming = [], []
    for timer in timers:
        once = timer.timeit(1)
        if once < seconds_per_lap:  # the first call may be a slow one
            once = min(timer.repeat(3, 1))
        loops.append(max(1, round(seconds_per_lap / once)))
        needed = once < NO_NEED_TO_WARM * SECONDS_TO_WARM
        warming.append(math.ceil(SECONDS_TO_WARM / once) if needed else 0)
    laps: list[list[float]] = [[] for _ in calls]
    rounds = 0
    while rounds < least_laps or time.perf_counter() < end:
        for timer, n, before, times in zip(timers, loops, warming, laps, strict=True):
            if pause:
                time.sleep(pause)
                before = max(1, before)  # wakes the threads
            timer.timeit(before)
            times.append(timer.timeit(n) / n)
        rounds += 1
    return laps


# --- The machine ----------------------------------------------------------------------------------


def cpu_name() -> str:
    """Return the CPU's model name, or the nearest that the platform tells."""
    try:
        if platform.system() == "Linux":
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
        elif platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            return answer.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return platform.processor() or platform.machine() or "unknown CPU"


def blas_threads() -> int | None:
    """Return how many threads NumPy's BLAS uses, or None where threadpoolctl cannot tell."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return None
    counts = [
        int(pool["num_threads"])
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return max(counts, default=None)


def heading(dtype: str) -> str:
    """Return two lines: what is compared, on what machine, on how many threads.

    Parameters
    ----------
    dtype : str
        As it is to be printed.
    """
    threads = blas_threads()
    blas = "NumPy's BLAS perhaps on more" if threads is None else f"NumPy's BLAS on {threads}"
    return (
        f"fcnn {fcnn.__version__} and the same arithmetic in NumPy {np.__version__} "
        f"(fcnn.reference), {dtype}\n"
        f"{cpu_name()}, instruction set {core.ISA}; threads: fcnn {fcnn.get_num_threads()}, {blas}"
    )


# --- The table ------------------------------------------------------------------------------------


def dashed(sizes: Sequence[int]) -> str:
    """Return sizes as they are written: 784-128-10."""
    return "-".join(map(str, sizes))


def three_digits(number: float) -> str:
    """Return three digits or all before the point: 0.25, 2.50, 25.0, 2,500."""
    return f"{number:,.{2 if number < 10 else 1 if number < 100 else 0}f}"


def microseconds(seconds: float) -> str:
    """Return a time in microseconds, three digits of it."""
    return three_digits(1e6 * seconds)


def _row(name: str, calls: Sequence[Callable[[], object]], seconds: float) -> str:
    ours, theirs = map(statistics.median, alternate(calls, seconds))
    return f"  {name:34}{microseconds(ours):>10}{microseconds(theirs):>12}{theirs / ours:>9.1f}"


def _training_row(sizes: Sequence[int], batch: int, dtype: DTypeLike, seconds: float) -> str:
    pair = make_pair(sizes, batch, dtype)
    check_step(pair, lambda: SGD(1.0))
    calls = [partial(side.train_step, pair.X, pair.y, SGD(TIMING_LR)) for side in pair.sides]
    return _row(f"{dashed(sizes)}, batch {batch}", calls, seconds)


def _prediction_row(sizes: Sequence[int], rows: int, dtype: DTypeLike, seconds: float) -> str:
    pair = make_pair(sizes, rows, dtype)
    x = pair.X[0] if rows == 1 else pair.X
    answers = [side.predict(x) for side in pair.sides]
    check_same("prediction", answers, dtype)
    calls = [partial(side.predict, x, out) for side, out in zip(pair.sides, answers, strict=True)]
    return _row(dashed(sizes), calls, seconds)


def run(seconds: float = 10.0, dtype: str = "float32") -> str:
    """Compare fcnn with its NumPy twin on this machine.

    Times are medians of runs that take turns in one process; before them both sides are held to
    the same numbers.

    Parameters
    ----------
    seconds : float, default 10
        How long it may take, about; a second or two is the least.
    dtype : str, default "float32"
        float32 or float64.

    Returns
    -------
    str
        A table for printing.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    RuntimeError
        If fcnn and NumPy differ by more than rounding.
    """
    budget = check.as_number("seconds", seconds, above=0)
    check.as_choice("dtype", dtype, ("float32", "float64"))
    share = budget / (len(TRAINING) + len(PREDICTION) * len(PREDICTION_ROWS))
    lines = [
        heading(dtype),
        "",
        f"{'microseconds':36}{'fcnn':>10}{'NumPy':>12}{'ratio':>9}",
    ]
    lines.append("one training step, SGD")
    lines += [_training_row(sizes, batch, dtype, share) for sizes, batch in TRAINING]
    for rows in PREDICTION_ROWS:
        lines.append("prediction of one row" if rows == 1 else f"prediction of {rows} rows")
        lines += [_prediction_row(sizes, rows, dtype, share) for sizes in PREDICTION]
    lines += ["", "The ratio is NumPy's time over fcnn's: above 1, fcnn is faster."]
    return "\n".join(lines)
