"""Random graphs of ONNX: right for every number of rows, or refused by name with a way out."""

from collections import Counter

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from makers import random_graphs  # noqa: E402
from makers.cases import run_all  # noqa: E402

SEEDS = 250  # of each test


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_random_graphs(part):
    found = Counter(
        random_graphs.check(seed, run_all) for seed in range(part * SEEDS, (part + 1) * SEEDS)
    )
    # Enough of both, or there is nothing in it.
    assert found["right"] > SEEDS / 10
    assert found["refused"] > SEEDS / 10
