"""What `initial_weights` refuses, each by its name."""

import numpy as np
import pytest

from fcnn.initializers import initial_weights


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"init": "he"}, "init"), ({"init": range(4)}, "init"), ({"init": None}, "init"),
        ({"activation": None}, "activation"), ({"activation": ()}, "activation"),
        ({"activation": "tan"}, "activation"), ({"n_in": 0}, "n_in"), ({"n_in": 2.5}, "n_in"),
        ({"n_out": -1}, "n_out"), ({"n_out": True}, "n_out"), ({"rng": "a"}, "rng"),
    ],
)  # fmt: skip
def test_refused_by_name(words, name):
    right = {"init": "auto", "activation": "tanh", "n_in": 3, "n_out": 2, "rng": 0}
    assert initial_weights(**right).shape == (2, 3)
    np.testing.assert_array_equal(
        initial_weights(**right), initial_weights(**{**right, "rng": np.random.default_rng(0)})
    )
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        initial_weights(**{**right, **words})
