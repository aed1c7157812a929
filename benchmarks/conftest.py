"""One thread for both sides, and the pair of networks that each benchmark is given."""

import os

from peers.threads import THREAD_VARIABLES

# A BLAS reads these once, when NumPy loads it.
os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))

import pytest

import fcnn
from fcnn import bench

fcnn.set_num_threads(1)


def pytest_report_header():
    return bench.heading("float32 and float64")


@pytest.fixture(scope="session", autouse=True)
def _one_thread(request):
    """Refuse to time against a BLAS that was loaded before it could be limited."""
    threads = bench.blas_threads()
    if threads not in (None, 1) and not request.config.getoption("benchmark_disable"):
        pytest.exit(
            f"NumPy was imported before benchmarks/conftest.py and its BLAS has {threads} threads: "
            "run pytest benchmarks alone, or with OPENBLAS_NUM_THREADS=1",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def pytest_make_parametrize_id(val, argname):
    names = {"sizes": bench.dashed, "rows": "rows{}".format}
    return names[argname](val) if argname in names else None


def pytest_itemcollected(item):
    if "benchmark" in getattr(item, "fixturenames", ()):
        item.add_marker(
            pytest.mark.benchmark(max_time=0.5, min_time=0.001, min_rounds=5, warmup=False)
        )


@pytest.hookimpl(trylast=True)  # after the files' own sizes and rows: what comes last runs in turn
def pytest_generate_tests(metafunc):
    if "side" in metafunc.fixturenames:
        metafunc.parametrize("dtype", ["float32", "float64"])
        # An index into a pair's sides: which of the two is timed. Both are checked.
        metafunc.parametrize("side", [0, 1], ids=["fcnn", "numpy"])


@pytest.fixture
def pair(request, benchmark, sizes, rows, dtype):
    """Return equal networks and their data; name the group that puts the two side by side."""
    operation = request.node.originalname.removeprefix("test_").replace("_", " ")
    benchmark.group = f"{operation}: {bench.dashed(sizes)}, rows {rows}, {dtype}"
    return bench.make_pair(sizes, rows, dtype)
