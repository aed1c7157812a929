"""Loss and gradient of one batch: forward pass, delta recursion, weight gradients."""

import pytest

from fcnn import bench


@pytest.mark.parametrize(("sizes", "rows"), bench.TRAINING)
def test_gradients(benchmark, pair, dtype, side):
    losses, gradients = zip(
        *(network.gradients(pair.X, pair.y) for network in pair.sides), strict=True
    )
    bench.check_same("loss", losses, dtype)
    bench.check_same("gradient", gradients, dtype)
    benchmark(pair.sides[side].gradients, pair.X, pair.y)
