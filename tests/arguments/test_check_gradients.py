"""check_gradients: its own argument."""

import pytest

from .helpers import ISSUED, inputs, labels, network, unchanged


@pytest.mark.parametrize("count", [0, -1, 1.5, "x", True])
def test_check_gradients_refuses(count):
    net = network()
    with unchanged(net), pytest.raises(ISSUED, match=rf"^max_parameters: expected .*{count}"):
        net.check_gradients(inputs(), labels(), max_parameters=count)
