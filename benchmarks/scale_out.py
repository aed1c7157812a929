"""Training on several ranks: time of a step beside that of one process, and of PyTorch's DDP.

    mpiexec -n 2 python benchmarks/scale_out.py             # fcnn; --json FILE keeps the figures
    mpiexec -n 2 python benchmarks/scale_out.py --phases    # where the time of a step goes
    python benchmarks/scale_out.py --ddp 2                  # PyTorch's DDP with gloo, so many ranks

Rows are per rank, so the work of a rank is the same however many there are, and the parallel
efficiency is the time of a step of one process, ``fit`` as it is, divided by that of all ranks.
Beside it stands what no exchange can reach: "apart", all ranks training at the same time without
knowing of each other, who share the memory, the last cache and what the cores may draw. One thread
for each rank, SGD, float32, random data. In turns, the least and the median of many laps;
meaningful where each rank has a core that nobody else uses. Not collected by pytest.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

CASES = {
    "784-128-10, 128 rows": ((784, 128, 10), 128, 40),
    "784-1024-1024-10, 256 rows": ((784, 1024, 1024, 10), 256, 8),
}


def problem(sizes, rows, steps):
    """Random samples of some steps, with labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows * steps, sizes[0])).astype(np.float32)
    return X, rng.integers(sizes[-1], size=len(X))


def of_fcnn(laps, phases):
    """Times of fcnn's steps by case and way, in seconds, on rank 0."""
    from mpi4py import MPI

    import fcnn

    comm = MPI.COMM_WORLD
    ways = {"one process": None, "apart": None}
    if phases:
        time_phases()
    for shared_memory, name in ((True, "shared memory"), (False, "messages")):
        ways[name] = fcnn.parallel.Reducer(comm, shared_memory=shared_memory)
        if comm.size & (comm.size - 1) == 0 and comm.size <= 8:
            ways[f"{name}, deterministic"] = fcnn.parallel.Reducer(
                comm, True, shared_memory=shared_memory
            )
        if phases:
            break
    return comm, in_turns(comm, ways, {"one process"}, laps)


def in_turns(comm, ways, alone, laps):
    """Times of steps by case and way, a reducer or None; some ways are rank 0's alone."""
    import fcnn

    found = {}
    for case, (sizes, rows, steps) in CASES.items():
        X, y = problem(sizes, rows, steps)
        networks = {way: fcnn.Network(sizes, rng=0) for way in ways}
        found[case] = {way: [] for way in ways}
        for _ in range(laps):
            for way, reducer in ways.items():
                comm.Barrier()
                if way in alone and comm.rank > 0:
                    wait_without_a_core(comm)
                    continue
                MEETINGS.clear()
                history = networks[way].fit(
                    X, y, epochs=3, batch_size=rows, optimizer=fcnn.SGD(0.01), shuffle=False,
                    reduce=reducer, n_threads=1,
                )  # fmt: skip
                seconds = [epoch / steps for epoch in history.seconds]
                if way in alone:
                    comm.Ibarrier().Wait()
                else:  # the slowest rank's, where they do not wait for each other
                    seconds = [max(epoch) for epoch in zip(*comm.allgather(seconds), strict=True)]
                found[case][way] += seconds
                if MEETINGS:
                    PHASES.setdefault((case, way), []).append((min(seconds), *phases_of(MEETINGS)))
    return found


# --- Where the time of a step goes ---------------------------------------------------------------

MEETINGS = []  # (begun, ended): of each step two, before the update and behind it
PHASES = {}  # by case and way, of each fit: seconds of a step of its best epoch, and of phases


def time_phases():
    """Have the sums in shared memory note when a rank waits for the others."""
    from fcnn.parallel import _sums

    class Timed(_sums.SharedSum):
        def updated(self):
            began = time.perf_counter()
            super().updated()
            MEETINGS.append((began, time.perf_counter()))

    _sums.SharedSum = Timed


def phases_of(meetings):
    """Return the medians of a step: its gradient, waiting, sum and update of a part, waiting."""
    begun, ended = np.array(meetings).reshape(-1, 2, 2).transpose(2, 0, 1)
    parts = begun[1:, 0] - ended[:-1, 1], ended - begun, begun[:, 1] - ended[:, 0]
    gradient, waits, update = parts
    return (
        np.median(gradient), np.median(waits[:, 0]), np.median(update), np.median(waits[:, 1])
    )  # fmt: skip


def wait_without_a_core(comm):
    """A barrier that leaves the processor to others."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.002)


def ddp_rank(rank, size, folder, laps):
    """Times of DDP's steps on one rank."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size
    )
    found = {}
    for name, (sizes, rows, steps) in CASES.items():
        X, y = (torch.from_numpy(a) for a in problem(sizes, rows, steps))
        layers = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        times = {"one process": [], "DDP": []}
        nets = {"one process": torch.nn.Sequential(*layers[:-1])}
        nets["DDP"] = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*layers[:-1]))
        for _ in range(3 * laps):
            for way, net in nets.items():
                dist.barrier()
                if way == "one process" and rank > 0:
                    continue
                optimizer = torch.optim.SGD(net.parameters(), 0.01)
                began = time.perf_counter()
                for i in range(steps):
                    part = slice(i * rows, (i + 1) * rows)
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(net(X[part]), y[part]).backward()
                    optimizer.step()
                times[way].append((time.perf_counter() - began) / steps)
        found[name] = times
    if rank == 0:
        Path(folder, "found.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def of_ddp(size, laps):
    """The same of PyTorch."""
    import tempfile

    import torch.multiprocessing

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(ddp_rank, (size, folder, laps), nprocs=size)
        return json.loads(Path(folder, "found.json").read_text())


def told(found, ranks):
    """Lines for people."""
    for name, times in found.items():
        one = min(times["one process"])
        ceiling = min(times.get("apart", times["one process"]))
        for way, seconds in times.items():
            best = min(seconds)
            line = (
                f"{name:28} {way:28} {1e3 * best:8.3f} ms a step (median "
                f"{1e3 * statistics.median(seconds):.3f})"
            )
            if way != "one process":
                line += f", efficiency of {ranks} {one / best:.2f}"
            if way not in ("one process", "apart") and "apart" in times:
                line += f", {ceiling / best:.2f} of apart"
            yield line
            if (name, way) in PHASES:
                _, *parts = min(PHASES[name, way])
                names = "gradient", "waiting", "sum and update", "waiting"
                yield "    " + ", ".join(
                    f"{part} {1e3 * seconds:.3f}"
                    for part, seconds in zip(names, parts, strict=True)
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--laps", type=int, default=15)
    parser.add_argument("--phases", action="store_true")
    parser.add_argument("--ddp", type=int, metavar="RANKS")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    if options.ddp:
        ranks, is_first, found = options.ddp, True, of_ddp(options.ddp, options.laps)
    else:
        comm, found = of_fcnn(options.laps, options.phases)
        ranks, is_first = comm.size, comm.rank == 0
    if is_first:
        print(*told(found, ranks), sep="\n")
        if options.json:
            best = {n: {w: min(t) for w, t in times.items()} for n, times in found.items()}
            Path(options.json).write_text(json.dumps({"ranks": ranks, "seconds": best}))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
