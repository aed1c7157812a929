"""As many threads for each peer as are asked for, and no more. NumPy is not loaded here."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Read once, when a library is loaded. NPROC is XLA's count of threads, where it asks for one.
THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",
)


def _siblings(cpu: int) -> str:
    """Return a name of the core that a CPU belongs to: two threads of one core are one core."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return path.read_text().strip() if path.is_file() else str(cpu)


def limit_threads(threads: int, dtype: str) -> str:
    """Limit every peer, before it is loaded, to as many threads and CPUs; return how."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ["XLA_FLAGS"] = (
        f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} "
        f"intra_op_parallelism_threads={threads}"
    )
    os.environ.update(JAX_PLATFORMS="cpu", JAX_ENABLE_X64=str(int(dtype == "float64")))
    # Where something else runs, a thread that spins keeps the one it waits for from the CPU:
    # PyTorch then took four times as long and more; otherwise no difference was seen.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if not hasattr(os, "sched_setaffinity"):
        return "not bound to CPUs (this system cannot)"
    cores: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        cores.setdefault(_siblings(cpu), cpu)
    if len(cores) < threads:
        sys.exit(f"--threads: {threads} threads need as many cores, there are {len(cores)}")
    chosen = list(cores.values())[-threads:]  # the first one serves more interrupts
    os.sched_setaffinity(0, chosen)
    return f"bound to CPU {', '.join(map(str, chosen))}"


def busy() -> Iterator[str]:
    """Yield a warning if something else runs: threads that wait for others then suffer most."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        yield f"warning: something else was running in the last minute (load average {load:.1f})"


def too_many_threads(threads: int) -> Iterator[str]:
    """Yield a sentence for each library that has more threads than it should."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        yield "threadpoolctl is absent: that the limits hold was not verified"
        return
    for pool in threadpoolctl.threadpool_info():
        if pool["num_threads"] > threads:
            yield f"warning: {pool['filepath']} has {pool['num_threads']} threads"
