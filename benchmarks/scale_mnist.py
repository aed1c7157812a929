"""MNIST on several ranks: what is right of the test images, beside one process.

    mpiexec -n 2 python benchmarks/scale_mnist.py FOLDER [--epochs 5] [--seeds 3]

FOLDER has MNIST's IDX files. 784-128-10, Adam, 64 images in an update, however many ranks there
are: each reads all images and takes its part of every batch, so what is trained is the same but for
the order of sums. Rank 0 then trains alone. Exit code 1 if the means over the seeds differ by more
than 0.2 points. Not collected by pytest.
"""

import argparse
import sys
import time

import numpy as np
from mpi4py import MPI

import fcnn

MOST_APART = 0.002
BATCH = 64


def trained(data, seed, epochs, reducer):
    """Return the share of test images that are right, and the seconds of the training."""
    X, y, X_test, y_test = data
    net = fcnn.Network((784, 128, 10), rng=seed)
    size = 1 if reducer is None else reducer.size
    began = time.perf_counter()
    net.fit(X, y, epochs=epochs, batch_size=BATCH // size, rng=seed, reduce=reducer, n_threads=1)
    return net.evaluate(X_test, y_test)["accuracy"], time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    if BATCH % comm.size:
        sys.exit(f"expected a number of ranks that divides {BATCH}, got {comm.size}")
    X, y, X_test, y_test = fcnn.datasets.load_idx_folder(options.folder)
    data = X / np.float32(255), y, X_test / np.float32(255), y_test
    reducer = fcnn.parallel.Reducer(comm, replicated=True)
    together, alone = [], []
    for seed in range(options.seeds):
        together.append(trained(data, seed, options.epochs, reducer))
        if comm.rank == 0:
            alone.append(trained(data, seed, options.epochs, None))
            for name, (right, seconds) in (
                (f"{comm.size} ranks", together[-1]), ("one process", alone[-1]),
            ):  # fmt: skip
                print(f"seed {seed}  {name:12} {100 * right:.2f} % right, {seconds:.1f} s",
                      flush=True)  # fmt: skip
        request = comm.Ibarrier()
        while not request.Test():  # which leaves the processor to rank 0
            time.sleep(0.01)
    if comm.rank > 0:
        return
    means = [np.mean([right for right, _ in some]) for some in (together, alone)]
    print(f"means {100 * means[0]:.3f} % and {100 * means[1]:.3f} %, "
          f"{100 * abs(means[0] - means[1]):.3f} points apart")  # fmt: skip
    if abs(means[0] - means[1]) > MOST_APART:
        sys.exit(1)


if __name__ == "__main__":
    main()
