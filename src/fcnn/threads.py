"""How many threads a call takes: no more than the CPUs that this process may use."""

import os
from functools import cache

from fcnn import _cgroups
from fcnn._validation import as_count

__all__ = ["get_num_threads", "resolve", "set_num_threads", "usable_cpus"]


def __dir__() -> list[str]:
    return __all__


# What set_num_threads was last given, as a tuple of one; None before its first call.
_given: tuple[int | None] | None = None


def set_num_threads(n: int | None) -> None:
    """Set how many threads a call takes at most if its `n_threads` is None.

    A call whose work is too small to share takes fewer. An explicit `n_threads` is not affected.

    Parameters
    ----------
    n : int or None
        At least 1; None allows all CPUs that this process may use. Before the first call the
        environment variable ``FCNN_NUM_THREADS`` decides, and without it the same as None.

    Raises
    ------
    ValueError, TypeError
        If n is not as described; nothing is changed.
    """
    global _given
    _given = (None if n is None else as_count("n", n),)


def get_num_threads() -> int:
    """Return how many threads a call takes at most now if its `n_threads` is None.

    Returns
    -------
    int
        What `set_num_threads` or ``FCNN_NUM_THREADS`` set, but no more than the CPUs that this
        process may use.

    Raises
    ------
    ValueError
        If ``FCNN_NUM_THREADS`` counts and is not an integer of at least 1.
    """
    most = _initial() if _given is None else _given[0]
    if most == 1:
        return most
    usable = usable_cpus()
    return usable if most is None else min(most, usable)


def resolve(n_threads: int | None) -> int:
    """Return how many threads a call may take for its argument `n_threads`.

    Parameters
    ----------
    n_threads : int or None

    Returns
    -------
    int
        n_threads, or for None `get_num_threads`; no more than the CPUs that this process may use.
    """
    if n_threads is None:
        return get_num_threads()
    count = as_count("n_threads", n_threads)
    return count if count == 1 else min(count, usable_cpus())


@cache
def _initial() -> int | None:
    """Return what the environment variable allows; None is all usable CPUs."""
    text = os.environ.get("FCNN_NUM_THREADS", "").strip()
    if not text:
        return None
    try:
        count = int(text)
    except ValueError:
        raise ValueError(f"FCNN_NUM_THREADS: expected an integer, got {text!r}") from None
    return as_count("FCNN_NUM_THREADS", count)


# --- CPUs ----------------------------------------------------------------------------------------


def usable_cpus() -> int:
    """Return how many CPUs this process may use, at least 1.

    The CPUs of its affinity mask (``taskset``), as it is now, where the system has one; no more
    than its cgroup's quota (``docker run --cpus``), as it was at the first call. A fraction of a
    CPU is not counted: two threads on 1.5 CPUs use the quota up before its period ends, and both
    then stand still until the next.
    """
    count, quota = _allowed_cpus() or 1, _quota()
    return count if quota is None else min(count, quota)


def _allowed_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        try:
            return len(os.sched_getaffinity(0))
        except OSError:  # a sandbox may forbid the question
            return os.cpu_count()
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count()
    return os.cpu_count()


@cache
def _quota() -> int | None:
    """Return the whole CPUs of this process's quota, read once; None if it has none."""
    return _cgroups.least("cpu", _group_quota)


def _group_quota(folder: str) -> int | None:
    """Return the quota of one cgroup in whole CPUs, at least 1; None if it has none."""
    text = _cgroups.read(f"{folder}/cpu.max")
    if text is None:
        names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
        text = " ".join(str(_cgroups.read(f"{folder}/{name}")) for name in names)
    try:
        quota, period = map(int, text.split())
    except ValueError:  # "max 100000", no such files, or what no kernel writes
        return None
    return max(1, quota // period) if quota > 0 and period > 0 else None  # -1 is no quota
