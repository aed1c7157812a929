"""As many threads for each peer as are asked for, and no more. NumPy is not loaded here."""

import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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

# Of all CPUs' time: what the system itself and a look at it take.
QUIET = 0.02


def _siblings(cpu: int) -> str:
    """Return a name of the core that a CPU belongs to: two threads of one core are one core."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return path.read_text().strip() if path.is_file() else str(cpu)


# What this process could use before it was bound.
_all_cpus: set[int] = set()


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
    _all_cpus.update(os.sched_getaffinity(0))
    first = _first_cpus()
    if len(first) < threads:
        sys.exit(f"--threads: {threads} threads need as many cores, there are {len(first)}")
    chosen = first[-threads:]  # the first one serves more interrupts
    os.sched_setaffinity(0, chosen)
    return f"bound to CPU {', '.join(map(str, chosen))}"


def _first_cpus() -> list[int]:
    """Return a CPU of each core."""
    by_core: dict[str, int] = {}
    for cpu in sorted(_all_cpus):
        by_core.setdefault(_siblings(cpu), cpu)
    return list(by_core.values())


def cores() -> int:
    """Return how many cores this process had before it was bound, 1 where that is unknown."""
    return len(_first_cpus()) or 1


@contextmanager
def unbound() -> Iterator[None]:
    """Give this thread all CPUs that it once had, for what is timed on several threads."""
    if not _all_cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _all_cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Load:
    """How much of the CPUs' time others took since it was made: processes here, and the host."""

    def __init__(self) -> None:
        self.began = self._now()

    def _now(self) -> list[float]:
        """Return seconds of all CPUs: in all, used, taken by the host, used by this process."""
        path = Path("/proc/stat")
        if not path.is_file():
            return []
        user, nice, system, idle, wait, *interrupts, stolen = map(
            int, path.read_text().split("\n", 1)[0].split()[1:9]
        )
        used = user + nice + system + sum(interrupts)
        ticks = os.sysconf("SC_CLK_TCK")
        counts = (used + idle + wait + stolen, used, stolen)
        return [*(count / ticks for count in counts), time.process_time()]

    def shares(self) -> tuple[float, float] | None:
        """Return what other processes and the host took; None where the system does not say."""
        if not self.began:
            return None
        total, used, stolen, own = (b - a for a, b in zip(self.began, self._now(), strict=True))
        others, host = (max(0.0, share) / (total or 1) for share in (used - own, stolen))
        return others, host

    @property
    def kind(self) -> str:
        shares = self.shares()
        return "idle" if shares is not None and sum(shares) < QUIET else "noisy"

    def note(self) -> str:
        shares = self.shares()
        if shares is None:
            return "load: this system does not say what else was running"
        others, host = shares
        return (
            f"load: {self.kind} run, of the CPUs' time other processes took {others:.1%}, the "
            f"host's other guests {host:.1%}"
        )


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
