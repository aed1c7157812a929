"""What the small benchmarks share: one CPU, and calls timed in turns."""

import argparse
import os
import statistics
import timeit


def parser_of(doc, seconds):
    """Return a parser of what all of them are given: how long, and on which CPU."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"of each table or row ({seconds:g})"
    )
    parser.add_argument("--cpu", type=int, help="that all run on; the first that is free to use")
    return parser


def bind(cpu=None):
    """Run on one CPU; None takes the first that is free to use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0)) if cpu is None else cpu})


def measure(calls, seconds, timer=timeit.default_timer):
    """Return the best and the median lap of each call, in us of a timer."""
    number = {
        name: max(1, int(5e-4 / min(timeit.repeat(call, number=1, repeat=5))))
        for name, call in calls.items()
    }
    laps = {name: [] for name in calls}
    begin = timeit.default_timer()
    while timeit.default_timer() - begin < seconds:
        for name, call in calls.items():
            took = timeit.timeit(call, timer=timer, number=number[name])
            laps[name].append(1e6 * took / number[name])
    return {name: (min(some), statistics.median(some)) for name, some in laps.items()}
