"""The table of `fcnn bench`: its rows, its numbers' form, and what keeps it honest."""

import platform
import re
import sys
import time
import types
from functools import partial

import numpy as np
import pytest

import fcnn
from fcnn import bench

ROW = re.compile(r"  (\S.*?) +([\d,]+\.?\d*) +([\d,]+\.?\d*) +(\d+\.\d)")


@pytest.fixture
def small(monkeypatch):
    """Leave out the networks that take long, when a test is about something else."""
    monkeypatch.setattr(bench, "TRAINING", (((4, 3), 5), ((4, 6, 3), 5)))
    monkeypatch.setattr(bench, "PREDICTION", ((4, 6, 3),))


@pytest.mark.slow(reason="runs the benchmark")
def test_table(monkeypatch):
    # The widest network alone takes seconds where others compute at the same time.
    monkeypatch.setattr(bench, "TRAINING", bench.TRAINING[:-1])
    lines = bench.run(seconds=0.01).splitlines()
    assert max(map(len, lines)) < 80
    head = "\n".join(lines[:2])
    for fact in (fcnn.__version__, np.__version__, "float32", bench.core.ISA, bench.cpu_name()):
        assert fact in head
    rows = [match for line in lines if (match := ROW.fullmatch(line))]
    training = ["4-16-3, batch 16", "2-32-32-2, batch 32", "64-100-10, batch 32"]
    training += ["784-128-10, batch 32", "784-128-10, batch 128"]
    assert [row[1] for row in rows] == training + ["4-16-3", "64-100-10", "784-128-10"] * 2
    for row in rows:
        ours, theirs, ratio = (float(row[i].replace(",", "")) for i in (2, 3, 4))
        assert ours > 0
        # The printed times have three digits or more, the ratio one decimal.
        assert ratio == pytest.approx(theirs / ours, rel=0.06, abs=0.06)


@pytest.mark.usefixtures("small")
def test_float64_is_named_and_used(monkeypatch):
    dtypes = []
    make_pair = bench.make_pair

    def spy(sizes, rows, dtype):
        pair = make_pair(sizes, rows, dtype)
        dtypes.extend([pair.network.dtype, pair.twin.dtype, pair.X.dtype])
        return pair

    monkeypatch.setattr(bench, "make_pair", spy)
    assert "float64" in bench.run(0.01, "float64").splitlines()[0]
    assert set(dtypes) == {np.dtype("float64")}


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_refuses_seconds(seconds):
    with pytest.raises(ValueError, match=r"^seconds: expected .*greater than 0"):
        bench.run(seconds=seconds)


@pytest.mark.parametrize("dtype", ["float16", "int32", "no such", ""])
def test_refuses_dtype(dtype):
    with pytest.raises(ValueError, match=r"^dtype: expected float32 or float64"):
        bench.run(dtype=dtype)


# --- The check before the timing ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_check_fails_for_one_wrong_number_of_many(dtype):
    pair = bench.make_pair((64, 100, 10), 100, dtype)
    answers = [side.predict(pair.X) for side in pair.sides]
    bench.check_same("prediction", answers, dtype)
    answers[0][57, 3] *= 1.01
    with pytest.raises(RuntimeError, match="prediction: fcnn and NumPy differ"):
        bench.check_same("prediction", answers, dtype)


def test_check_fails_for_nan():
    with pytest.raises(RuntimeError, match="differ"):
        bench.check_same("nan", [[np.nan], [1.0]], "float64")
    with pytest.raises(RuntimeError, match="differ"):
        bench.check_same("nan", [[np.nan], [np.nan]], "float64")


@pytest.mark.parametrize("optimizer", [fcnn.SGD, fcnn.Adam])
def test_check_step_sees_another_learning_rate(optimizer):
    pair = bench.make_pair((64, 100, 10), 32, "float32")
    before = pair.network.parameters.copy()
    bench.check_step(pair, lambda: optimizer(0.1))
    for side in pair.sides:
        assert np.array_equal(side.parameters, before)
    rates = iter([0.1, 0.1001])
    with pytest.raises(RuntimeError, match="change by a training step"):
        bench.check_step(pair, lambda: optimizer(next(rates)))


def test_check_step_sees_another_decay_of_the_means():
    pair = bench.make_pair((64, 100, 10), 32, "float32")
    decays = iter([(0.9, 0.999), (0.9, 0.998)])
    with pytest.raises(RuntimeError, match="change by a training step"):
        bench.check_step(pair, lambda: fcnn.Adam(0.1, betas=next(decays)))


@pytest.mark.usefixtures("small")
def test_nothing_is_timed_after_a_failed_check(monkeypatch):
    monkeypatch.setattr(bench, "TOLERANCES", {"float32": 0.0})
    monkeypatch.setattr(bench, "alternate", lambda *_: pytest.fail("timed"))
    monkeypatch.setattr(bench.reference.Network, "predict", lambda _self, x, out=None: x)
    monkeypatch.setattr(bench.reference.Network, "train_step", lambda *_: 1.0)
    with pytest.raises(RuntimeError, match="nothing was timed"):
        bench.run(0.01)


# --- Timing ---------------------------------------------------------------------------------------


def test_calls_take_turns():
    order = []
    bench.alternate([lambda: order.append("A"), lambda: order.append("B")], 1e-9)
    turns = re.findall(r"A+|B+", "".join(order))
    assert len(turns) == 2 * (1 + bench.LEAST_LAPS)  # the laps, and one to find their length
    assert turns[0][0] == "A"
    assert turns[-1][0] == "B"


@pytest.mark.slow
def test_each_lap_begins_warm(monkeypatch):
    """As many calls go uncounted before a lap as fill SECONDS_TO_WARM, and none of long ones."""
    monkeypatch.setattr(bench, "SECONDS_TO_WARM", 2e-3)
    short, long = [], []

    def take(seconds, calls):
        calls.append(seconds)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    laps = bench.alternate(
        [partial(take, 1.5e-3, short), partial(take, 30e-3, long)], 0.0, least_laps=3
    )
    assert [len(times) for times in laps] == [3, 3]
    assert len(short) > 2 * 3  # a warming call at least, and one that is counted
    assert len(long) == 1 + 3


# --- The machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows"])
def test_cpu_name_on_any_platform(monkeypatch, system):
    monkeypatch.setattr(platform, "system", lambda: system)
    assert bench.cpu_name().strip()


@pytest.mark.parametrize(
    ("pools", "threads", "text"),
    [
        (None, None, "perhaps on more"),
        ([], None, "perhaps on more"),
        ([{"user_api": "openmp", "num_threads": 8}], None, "perhaps on more"),
        ([{"user_api": "blas", "num_threads": 3}], 3, "BLAS on 3"),
    ],
)
def test_blas_threads(monkeypatch, pools, threads, text):
    module = None  # as an entry of sys.modules: an import that fails
    if pools is not None:
        module = types.SimpleNamespace(threadpool_info=lambda: pools)
    monkeypatch.setitem(sys.modules, "threadpoolctl", module)
    assert bench.blas_threads() == threads
    assert text in bench.heading("float32")
