#!/usr/bin/env python3
"""How long one prediction of one row takes at worst: p50, p99, p99.9 and the worst of a million.

    python benchmarks/latency.py [--calls N] [--cpu 1] [--peers fcnn NumPy ...] [--readme FILE]

Each call is timed by itself, by the clock that the first line names; what the clock takes is timed
as a call of its own, an empty one, and stands in its row. The contestants of benchmarks/peers take
turns, 2,000 calls each, in one process on one thread and one CPU, so that what disturbs the machine
disturbs all of them. Their answers are checked first. `--readme benchmarks/README.md` puts the
tables in the place of the former ones there.
"""

import argparse
import gc
import sys
import textwrap
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from laps import bind
from peers.threads import limit_threads

NETWORKS = ("4-16-3", "64-100-10")
TURN = 2000
WARM = 2000
PEERS = ("fcnn", "NumPy", "ONNX Runtime", "generated C", "Numba")
PLACE = "latency"  # of the table, in a document
QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))


def take_turn(call: Callable[[], Any], times: array, first: int, calls: int) -> None:
    """Time each of some calls, in ns."""
    clock = time.perf_counter_ns
    for i in range(first, first + calls):
        begin = clock()
        call()
        times[i] = clock() - begin


def measure(contestants: dict[str, Callable[[], Any]], calls: int) -> dict[str, Any]:
    """Return the sorted times of each contestant, in ns."""
    import numpy as np

    times = {name: array("q", bytes(8 * calls)) for name in contestants}
    for call in contestants.values():
        take_turn(call, array("q", bytes(8 * WARM)), 0, WARM)
    gc.collect()
    for first in range(0, calls, TURN):
        for name, call in contestants.items():
            take_turn(call, times[name], first, min(TURN, calls - first))
    return {name: np.sort(np.frombuffer(some, np.int64)) for name, some in times.items()}


def row(times: Any) -> list[str]:
    """Return p50, p99, p99.9 and the worst, in us."""
    at = [times[min(int(share * len(times)), len(times) - 1)] for _, share in QUANTILES]
    return [f"{ns / 1e3:.2f}" for ns in (*at, times[-1])]


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000_000, help="of each contestant (1000000)")
    parser.add_argument(
        "--cpu", type=int, help="bind everything to this CPU (one that serves few interrupts)"
    )
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help="their sizes")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), help="who takes part")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument(
        "--readme", type=Path, metavar="FILE", help="put the tables there: benchmarks/README.md"
    )
    options = parser.parse_args()
    if options.calls < 1:
        parser.error(f"--calls: expected at least 1, got {options.calls}")
    limit_threads(1, options.dtype)
    if options.cpu is not None:
        bind(options.cpu)

    # Only now: a BLAS reads its limits when NumPy is loaded.
    from peers.checks import check_prediction
    from peers.contestants import load_peers
    from peers.readme import put
    from peers.threads import Load
    from peers.workloads import UnsupportedError

    import fcnn
    from fcnn import bench

    if options.readme is not None and put(options.readme.read_text("utf-8"), PLACE, []) is None:
        parser.error(f"--readme: {options.readme} has no place for this table")
    load = Load()
    peers, absent = load_peers(1, options.peers)
    clock = time.get_clock_info("perf_counter")
    title = (
        f"us of {options.calls:,} calls of each, {options.dtype}, {clock.implementation}, "
        f"{', '.join(f'{peer.name} {peer.version}' for peer in peers)}; {bench.cpu_name()}, "
        f"instruction set {fcnn.show_config('dicts')['instruction set']}"
    )
    print(title)
    for line in absent:
        print(line)
    document = [textwrap.fill(f"{time.strftime('%Y-%m-%d')}, {title}.", 100)]
    for network in options.networks:
        sizes = tuple(map(int, network.split("-")))
        pair = bench.make_pair(sizes, 1, options.dtype)
        x = pair.X[0].copy()
        expected = pair.twin.predict(x)
        contestants: dict[str, Callable[[], Any]] = {"an empty call": lambda: None}
        for peer in peers:
            try:
                call = peer.predictor(pair.network, x)
            except UnsupportedError:
                continue
            check_prediction(call, expected)
            contestants[peer.name] = call
        head = [network, *(name for name, _ in QUANTILES), "worst"]
        lines = [[name, *row(times)] for name, times in measure(contestants, options.calls).items()]
        print()
        for line in (head, *lines):
            print("".join([line[0].ljust(18), *(cell.rjust(10) for cell in line[1:])]))
        sys.stdout.flush()
        document += ["", f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
        document += [f"| {' | '.join(line)} |" for line in lines]
    print(f"\n{load.note()}")
    if options.readme is not None:
        document += ["", f"{load.note()}."]
        text = put(options.readme.read_text("utf-8"), PLACE, document)
        options.readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
