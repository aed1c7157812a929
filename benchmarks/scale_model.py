"""A model of the time of a step on up to 64 ranks: its constants measured here, the rest predicted.

    mpiexec -n 2 python benchmarks/scale_model.py --measure     # writes benchmarks/scale_model.json
    python benchmarks/scale_model.py                # the table, and docs/scale-out.svg

A step of N ranks takes what it takes on one rank, whose gradient is whole before the update, and
the all-reduce of the gradient behind it:

    T(N) = T_rank + 2 log2(N) alpha + 2 (N - 1) / N bytes / beta

alpha is the time of a message, beta the bytes in a second: R. Rabenseifner, Optimization of
collective reduction operations, ICCS 2004. In the model no message is under way while gradients are
computed, so it is a bound for an MPI that sends by itself. Efficiency is the time of ``fit`` on one
process over T(N).

Measured are two processes of one machine: fit alone; a rank alone; two that do not know of each
other, which share the memory's bandwidth; two that add by shared memory, and by messages; and sums
of vectors of 1 KB to 8 MB, from which alpha and beta are fitted. Links between machines are
assumed, with usual figures: what is said of them is a prediction. Not collected by pytest.
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
from scale_out import CASES, in_turns

FILE = Path(__file__).with_suffix(".json")
PICTURE = Path(__file__).parents[1] / "docs" / "scale-out.svg"
SIZES = [2**k for k in range(10, 24, 1)]  # bytes
LINKS = {  # alpha in s, beta in bytes/s
    "100 Gbit/s, 2 us": (2e-6, 11e9),
    "10 Gbit/s, 30 us": (30e-6, 1.1e9),
}
MOST_RANKS = 64


def step(case, link, of_rank, ranks):
    """Return T(N) in seconds."""
    sizes, _, _ = CASES[case]
    count = 4 * sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))
    alpha, beta = link
    if ranks == 1:
        return of_rank
    return of_rank + 2 * np.log2(ranks) * alpha + 2 * (ranks - 1) / ranks * count / beta


def of_one_rank(ways):
    """Return the time of a rank's step without the sum: the least of two measurements of it."""
    return min(ways["rank"], ways["two apart"])


# --- Measurements --------------------------------------------------------------------------------


def measured_steps(comm, laps):
    """Return the least time of a step of each way, by case."""
    from mpi4py import MPI

    import fcnn

    ways = {
        "fit": None,
        "rank": fcnn.parallel.Reducer(MPI.COMM_SELF),
        "two apart": fcnn.parallel.Reducer(MPI.COMM_SELF),
        "shared memory": fcnn.parallel.Reducer(comm),
        "messages": fcnn.parallel.Reducer(comm, shared_memory=False),
    }
    return {
        case: {way: min(some, default=0.0) for way, some in times.items()}
        for case, times in in_turns(comm, ways, {"fit", "rank"}, laps).items()
    }


def measured_sums(comm, laps):
    """Return the least time of an all-reduce of each number of bytes."""
    from mpi4py import MPI

    found = {}
    for size in SIZES:
        vector, times = np.zeros(size // 4, np.float32), []
        for _ in range(laps):
            comm.Barrier()
            began = time.perf_counter()
            comm.Iallreduce(MPI.IN_PLACE, vector, MPI.SUM).Wait()
            times.append(time.perf_counter() - began)
        found[size] = min(times)
    return found


def fitted(sums):
    """Return alpha and beta of two ranks: the least squares of relative errors."""
    sizes, times = np.array([*map(float, sums)]), np.array([*sums.values()])
    matrix = np.column_stack([np.full(len(sizes), 2.0), sizes]) / times[:, np.newaxis]
    alpha, per_byte = np.linalg.lstsq(matrix, np.ones(len(sizes)), rcond=None)[0]
    return max(float(alpha), 0.0), float(1 / per_byte)


def measure(laps):
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if comm.size != 2:
        sys.exit(f"expected mpiexec -n 2, got {comm.size} ranks")
    steps, sums = measured_steps(comm, laps), measured_sums(comm, 20 * laps)
    if comm.rank == 0:
        library = MPI.Get_library_version().partition("\n")[0].strip("\0 ")
        found = {"mpi": library, "steps": steps, "sums": sums}
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        print(f"written to {FILE}")


# --- The table, and the picture ------------------------------------------------------------------


def table(found):
    """Lines for people: what was measured, and what the model says of the same."""
    alpha, beta = fitted(found["sums"])
    yield (
        f"all-reduce of two processes here ({found['mpi']}): alpha {1e6 * alpha:.1f} us, beta "
        f"{1e-9 * beta:.2f} GB/s"
    )
    for case, ways in found["steps"].items():
        yield f"{case}: ms of a step, and efficiency"
        for way, seconds in ways.items():
            yield f"  measured, {way:14} {1e3 * seconds:8.3f}  {ways['fit'] / seconds:.2f}"
        here = step(case, (alpha, beta), ways["two apart"], 2)
        of_rank = of_one_rank(ways)
        yield f"  model, messages, here  {1e3 * here:8.3f}  {ways['fit'] / here:.2f}"
        for name, link in LINKS.items():
            of_ranks = [step(case, link, of_rank, n) for n in (2, 8, 64)]
            told = ", ".join(f"{ways['fit'] / t:.2f}" for t in of_ranks)
            yield f"  predicted, {name}: 2, 8, 64 ranks {told}"


def draw(found):
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fcnn"
    import matplotlib.pyplot as plt

    ranks = np.arange(1, MOST_RANKS + 1)
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for ax, (case, ways) in zip(axes, found["steps"].items(), strict=True):
        for (name, link), color in zip(LINKS.items(), ("#2166ac", "#b2182b"), strict=True):
            lines = [ways["fit"] / step(case, link, of_one_rank(ways), n) for n in ranks]
            ax.plot(ranks, lines, "--", color=color, label=f"predicted: {name}")
        for way, marker in (("shared memory", "o"), ("messages", "s")):
            ax.plot([2], [ways["fit"] / ways[way]], marker, color="black", ms=6,
                    mfc="black" if marker == "o" else "white",
                    label=f"measured: two ranks of one machine, {way}")  # fmt: skip
        ax.set(title=f"{case} a rank", xlabel="ranks", xscale="log", ylim=(0, 1.05))
        ax.set_xticks(marks := [1, 2, 4, 8, 16, 32, 64], map(str, marks))
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("parallel efficiency")
    axes[0].legend(fontsize=8, loc="lower left")
    fig.savefig(PICTURE, metadata={"Date": None})
    print(f"drawn to {PICTURE}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="under mpiexec -n 2")
    parser.add_argument("--laps", type=int, default=12)
    options = parser.parse_args()
    if options.measure:
        measure(options.laps)
        return
    found = json.loads(FILE.read_text())
    print(*table(found), sep="\n")
    draw(found)


if __name__ == "__main__":
    main()
