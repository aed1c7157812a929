"""Forward pass: one row into a given array, and 1000 rows."""

import numpy as np
import pytest

from fcnn import bench

NETWORKS = tuple(dict.fromkeys(sizes for sizes, _ in bench.TRAINING))

pytestmark = pytest.mark.parametrize("sizes", NETWORKS)


@pytest.mark.parametrize("rows", [1])
def test_predict_one_row(benchmark, pair, dtype, side):
    x = pair.X[0]
    outs = [np.full(pair.network.sizes[-1], np.nan, dtype) for _ in pair.sides]
    for network, out in zip(pair.sides, outs, strict=True):
        network.predict(x, out=out)
    bench.check_same("prediction of one row", outs, dtype)
    # By position: a keyword through the timing loop costs as much as the small network's answer.
    benchmark(pair.sides[side].predict, x, outs[side])


@pytest.mark.parametrize("rows", [1000])
def test_predict_batch(benchmark, pair, dtype, side):
    answers = [network.predict(pair.X) for network in pair.sides]
    bench.check_same("prediction of a batch", answers, dtype)
    benchmark(pair.sides[side].predict, pair.X)
