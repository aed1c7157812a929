"""What the small benchmarks share: one CPU, and calls timed in turns."""

import os
import statistics
import timeit


def bind(cpu=None):
    """Run on one CPU; None takes the first that is free to use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0)) if cpu is None else cpu})


def measure(calls, seconds):
    """Return the best and the median lap of each call, in us."""
    number = {
        name: max(1, int(5e-4 / min(timeit.repeat(call, number=1, repeat=5))))
        for name, call in calls.items()
    }
    laps = {name: [] for name in calls}
    begin = timeit.default_timer()
    while timeit.default_timer() - begin < seconds:
        for name, call in calls.items():
            laps[name].append(1e6 * timeit.timeit(call, number=number[name]) / number[name])
    return {name: (min(some), statistics.median(some)) for name, some in laps.items()}
