"""One training step with SGD and with Adam, and one epoch in shuffled order."""

import numpy as np
import pytest

import fcnn
from fcnn import bench

# Samples of an epoch. The widest network is left out: its epoch is its steps.
EPOCHS = (((4, 16, 3), 512), ((64, 100, 10), 1797), ((784, 128, 10), 2048))
BATCH_SIZE = 32


@pytest.mark.parametrize(("sizes", "rows"), bench.TRAINING)
def test_sgd_step(benchmark, pair, side):
    bench.check_step(pair, lambda: fcnn.SGD(1.0))
    step = pair.sides[side].train_step
    benchmark(step, pair.X, pair.y, fcnn.SGD(bench.TIMING_LR))


@pytest.mark.parametrize(("sizes", "rows"), bench.TRAINING)
def test_adam_step(benchmark, pair, side):
    bench.check_step(pair, lambda: fcnn.Adam(0.1))
    step = pair.sides[side].train_step
    benchmark(step, pair.X, pair.y, fcnn.Adam(bench.TIMING_LR))


def fcnn_epoch(pair, optimizer, rng):
    """Return the loss of one epoch of `fit`, its checks of the data included."""
    history = pair.network.fit(
        pair.X, pair.y, epochs=1, batch_size=BATCH_SIZE, optimizer=optimizer, rng=rng
    )
    return history.loss[0]


def numpy_epoch(pair, optimizer, rng):
    order = np.arange(len(pair.X))
    rng.shuffle(order)
    return pair.twin.train_epoch(pair.X, pair.y, optimizer, BATCH_SIZE, order)


@pytest.mark.parametrize(("sizes", "rows"), EPOCHS)
def test_epoch(benchmark, pair, dtype, side):
    epochs = (fcnn_epoch, numpy_epoch)
    before = pair.network.parameters.copy()
    losses = [epoch(pair, fcnn.SGD(0.1), np.random.default_rng(0)) for epoch in epochs]
    changes = [network.parameters - before for network in pair.sides]
    # Rounding differences of a step reach the steps after it, and one may carry a z across relu's
    # kink; samples in another order make ten times as much.
    bench.check_same("loss of an epoch", losses, dtype, slack=10)
    bench.check_same("change by an epoch", changes, dtype, slack=1000)
    benchmark(epochs[side], pair, fcnn.SGD(bench.TIMING_LR), np.random.default_rng(0))
