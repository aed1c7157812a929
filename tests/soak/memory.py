"""An allocation fails, the first, the second, ... of each call: MemoryError, and nothing else.

Calls that are Python's alone (files, pickles) are left out: there CPython 3.11 itself ends with a
segmentation fault (in `sorted`), and NumPy with SystemError.
"""

import contextlib
import gc

import numpy as np

import fcnn

from .common import Lacking, goes_on

MOST = 3000  # allocations of a call
# What others say instead of MemoryError: CPython of a lock and of a frame, NumPy's operators.
OF_OTHERS = ("can't allocate lock", "<ufunc '", "error return without exception set")


def calls():
    """Return calls by name, each with what it may not change."""
    X, y = np.ones((40, 6), np.float32), np.arange(40) % 3
    net, optimizer = fcnn.Network((6, 9, 3), rng=0), fcnn.Adam()
    risky = net.copy()
    wide = fcnn.Network((300, 200, 3), rng=0)
    wide_X = np.ones((300, 300), np.float32)
    net.train_step(X, y, optimizer)
    gradient = np.ones(net.num_parameters, np.float32)

    def train():
        net.free_workspace()
        net.train_step(X, y, optimizer)

    def wide_gradient():
        wide.free_workspace()
        return wide.gradients(wide_X, np.zeros(300, int), n_threads=2)

    return net, optimizer, {
        "Network": lambda: fcnn.Network((6, 9, 3), rng=0),
        "predict, one row": lambda: net.predict(X[0]),
        "predict": lambda: net.predict(X),
        "predict, lists": lambda: net.predict(X.tolist()),
        "predict, float64": lambda: net.predict(X.astype(float)),
        "train_step": train,
        "gradients": wide_gradient,
        "trace": lambda: net.trace(X, y),
        "evaluate": lambda: net.evaluate(X, y),
        "jacobian": lambda: net.jacobian(X),
        "hvp": lambda: net.hvp(X, np.ones((40, 3)), X),
        "update, clipped": lambda: optimizer.update(net, gradient, clip_norm=1),
        "update, checked": lambda: fcnn.Adam(2e15).update(risky, gradient),
        "fit": lambda: net.fit(X, y, epochs=2, batch_size=16),
    }  # fmt: skip


def run(size, seed):
    try:
        import _testcapi
    except ImportError:
        raise Lacking("needs CPython's own _testcapi (libpython3-testsuite)") from None
    points = 0
    net, optimizer, some = calls()
    for name, call in some.items():
        goes_on()
        with contextlib.suppress(ValueError):
            call()
        misses = 0
        gc.collect()
        for start in range(MOST):
            steps, before = optimizer.steps, net.parameters.copy()
            failed = None
            _testcapi.set_nomemory(start, start + 1)
            try:
                call()
            except MemoryError:
                failed = True
            except ValueError as error:
                failed = error
            except (RuntimeError, SystemError) as error:
                failed = str(error).startswith(OF_OTHERS) or error
            except BaseException as error:
                failed = error
            finally:
                _testcapi.remove_mem_hooks()
            if isinstance(failed, BaseException):
                raise AssertionError(f"{name}, allocation {start}") from failed
            points += failed is True
            assert np.isfinite(net.parameters).all()
            if optimizer.steps == steps and name != "fit":
                np.testing.assert_array_equal(net.parameters, before, f"{name} {start}")
            if failed is None:
                # One that a call does without: there are no more when some follow each other.
                misses += 1
                if misses > 30:
                    break
            else:
                misses = 0
        else:
            raise AssertionError(f"{name}: more than {MOST} allocations")
    return f"{len(some)} calls, an allocation that fails at {points} points: MemoryError alone"
