"""fit: its options, and what it refuses of X that other methods take."""

import re

import numpy as np
import pytest

import fcnn

from .helpers import ISSUED, dtypes, inputs, labels, network, unchanged


def test_fit_refuses_a_single_sample_without_its_dimension():
    net = network()
    expected = r"^X: .*\(samples, 4\).*\(4,\).*X\[None\]"
    with unchanged(net), pytest.raises(ValueError, match=expected):
        net.fit(np.ones(4), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@dtypes
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 2), (9, 3)])
def test_training_refuses_nonfinite_inputs(row, column, value, dtype):
    net, optimizer = network(dtype=dtype), fcnn.Adam()
    X = inputs(dtype=dtype)
    net.train_step(X, labels(), optimizer)
    X = inputs(dtype=dtype)
    X[row, column] = value
    expected = rf"^X: expected finite numbers, got {value} at \[{row}, {column}\]"
    with unchanged(net, optimizer, X):
        with pytest.raises(ValueError, match=expected):
            net.fit(X, labels(), optimizer=optimizer)
        with pytest.raises(ValueError, match=expected):
            net.train_step(X, labels(), optimizer)
        with pytest.raises(ValueError, match="^validation " + expected[1:]):
            net.fit(inputs(), labels(), optimizer=optimizer, validation=(X, labels()))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"epochs": 0}, ValueError, ["epochs: expected at least 1", "got 0"]),
        ({"epochs": -1}, ValueError, ["epochs: expected at least 1", "got -1"]),
        ({"epochs": 1.0}, TypeError, ["epochs: expected an integer", "got 1.0"]),
        ({"epochs": None}, TypeError, ["epochs: expected an integer", "got None"]),
        ({"epochs": "3"}, TypeError, ["epochs: expected an integer", "got '3'"]),
        ({"epochs": True}, TypeError, ["epochs: expected an integer", "got True"]),
        ({"batch_size": 0}, ValueError, ["batch_size: expected at least 1", "got 0"]),
        ({"batch_size": -5}, ValueError, ["batch_size: expected at least 1", "got -5"]),
        ({"batch_size": 2.5}, TypeError, ["batch_size: expected an integer", "got 2.5"]),
        ({"batch_size": "all"}, TypeError, ["batch_size: expected an integer", "got 'all'"]),
        ({"batch_size": False}, TypeError, ["batch_size: expected an integer", "got False"]),
        ({"optimizer": "adan"}, ValueError, ["optimizer: expected", "did you mean 'adam'?"]),
        ({"optimizer": fcnn.Adam}, TypeError, ["optimizer: expected fcnn.SGD", "Adam"]),
        ({"optimizer": 0.1}, TypeError, ["optimizer: expected fcnn.SGD", "got 0.1"]),
        ({"rng": -1}, ISSUED, ["rng: expected", "got -1"]),
        ({"rng": "x"}, TypeError, ["rng: expected", "got 'x'"]),
        ({"rng": 0.5}, TypeError, ["rng: expected", "got 0.5"]),
        ({"validation": 5}, TypeError, ["validation: expected (X, y)", "int"]),
        ({"validation": 0.1}, TypeError, ["validation: expected (X, y)", "float"]),
        ({"validation": ()}, ISSUED, ["validation: expected (X, y)", "0"]),
        ({"validation": (inputs(),)}, ISSUED, ["validation: expected (X, y)", "1"]),
        ({"validation": (inputs(), labels(), None, 1)}, ISSUED, ["validation: expected", "4"]),
        ({"validation": inputs()}, TypeError, ["validation: expected (X, y)", "ndarray"]),
        ({"validation": (inputs()[:, :3], labels())}, ValueError, ["validation X: ", "(10, 3)"]),
        ({"validation": (inputs()[0], 0)}, ValueError, ["validation X: ", "(4,)"]),
        ({"validation": (inputs() * np.inf, labels())}, ValueError, ["validation X: ", "inf"]),
        ({"validation": (inputs(0), [])}, ValueError, ["validation X: ", "(0, 4)"]),
        ({"validation": (inputs(), labels(9))}, ValueError, ["validation y: ", "(9,)"]),
        ({"validation": (inputs(), labels() + 1)}, ValueError, ["validation y: ", "unique(y, "]),
        ({"validation": (inputs(), labels() * 1.0)}, TypeError, ["validation y: ", "y.astype"]),
        (
            {"validation": (inputs(), labels(), np.ones(9))},
            ValueError, ["validation sample_weight: ", "(10,)", "(9,)"],
        ),
        ({"callbacks": print}, TypeError, ["callbacks: expected", "print"]),
        ({"callbacks": 5}, TypeError, ["callbacks: expected", "5"]),
        ({"callbacks": None}, TypeError, ["callbacks: expected", "None"]),
        ({"callbacks": [None]}, TypeError, ["callbacks: expected", "None"]),
        ({"callbacks": [print, "stop"]}, TypeError, ["callbacks: expected", "'stop'"]),
        ({"l1": -1}, ValueError, ["l1: expected a finite number at least 0", "got -1"]),
        ({"l1": "a"}, TypeError, ["l1: expected a number", "got 'a'"]),
        ({"l1": True}, TypeError, ["l1: expected a number", "got True"]),
        ({"l2": np.nan}, ValueError, ["l2: expected a finite number at least 0", "got nan"]),
        ({"l2": None}, TypeError, ["l2: expected a number", "got None"]),
        ({"clip_norm": 0}, ValueError, ["clip_norm: expected a finite number greater than 0"]),
        ({"clip_norm": np.inf}, ValueError, ["clip_norm: expected a finite number", "got inf"]),
        ({"clip_norm": "1"}, TypeError, ["clip_norm: expected a number", "got '1'"]),
        ({"dropout": 1}, ValueError, ["dropout: expected", "at least 0 and less than 1", "got 1"]),
        ({"dropout": -0.1}, ValueError, ["dropout: expected", "got -0.1"]),
        ({"dropout": None}, TypeError, ["dropout: expected a number", "got None"]),
        ({"dropout": "0.5"}, ValueError, ["dropout: expected one number, or 2", "got '0.5'"]),
        ({"dropout": {0.1}}, ValueError, ["dropout: expected one number, or 2", "got {0.1}"]),
        ({"dropout": (0.5,)}, ValueError, ["dropout: expected one number, or 2", "got (0.5,)"]),
        ({"dropout": (0, 0.5, 0)}, ValueError, ["dropout: expected one number, or 2"]),
        ({"dropout": (0, 1.5)}, ValueError, ["dropout[1]: expected", "got 1.5"]),
        ({"dropout": (None, 0)}, TypeError, ["dropout[0]: expected a number", "got None"]),
        ({"label_smoothing": 1}, ValueError, ["label_smoothing: expected", "less than 1", "got 1"]),
        ({"label_smoothing": "x"}, TypeError, ["label_smoothing: expected a number"]),
        ({"class_weight": "balance"}, ValueError, ["class_weight: expected balanced", "'balance'"]),
        ({"class_weight": [1, 2, 3]}, TypeError, ["class_weight: expected a dict", "[1, 2, 3]"]),
        ({"class_weight": {3: 1}}, ValueError, ["class_weight: expected labels from 0 to 2", "3"]),
        ({"class_weight": {"a": 1}}, ValueError, ["class_weight: expected labels", "got 'a'"]),
        ({"class_weight": {1: -1}}, ValueError, ["class_weight[1]: expected", "got -1"]),
        ({"class_weight": {1: "x"}}, TypeError, ["class_weight[1]: expected a number"]),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, ["class_weight: expected at least one"]),
        ({"loss": "huber"}, TypeError, ["loss: expected a function", "got 'huber'"]),
        ({"loss": print, "label_smoothing": 0.1}, ValueError, ["label_smoothing: ", "your own"]),
        ({"loss": print, "class_weight": "balanced"}, ValueError, ["class_weight: ", "your own"]),
        ({"schedule": "cosine"}, TypeError, ["schedule: expected one of fcnn.schedules", "cosine"]),
        ({"resume": "/absent/file"}, FileNotFoundError, ["/absent/file: no such file"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[5:40] if isinstance(v, dict) else "",
)  # fmt: skip
def test_fit_refuses(arguments, error, words):
    net, optimizer = network(), fcnn.Adam()
    X, y = inputs(), labels()
    net.train_step(X, y, optimizer)
    rng = np.random.default_rng(3)
    with unchanged(net, optimizer, rng, X, y):
        with pytest.raises(error) as caught:
            net.fit(X, y, **{"optimizer": optimizer, "rng": rng, "epochs": 1, **arguments})
        message = str(caught.value)
        assert message.startswith(words[0])
        assert [word for word in words if word not in message] == []


def test_options_that_do_not_go_with_the_loss_are_refused():
    net = network("squared_error")
    y = np.zeros((10, 3))
    for options, words in (
        ({"label_smoothing": 0.1}, "label_smoothing: .*got 0.1 with 'squared_error'"),
        ({"class_weight": {0: 2}}, "class_weight: .*got squared_error of 3 outputs"),
    ):
        with unchanged(net), pytest.raises(ValueError, match=f"^{words}"):
            net.fit(inputs(), y, **options)
    several = network("binary_cross_entropy")
    with pytest.raises(ValueError, match=r"^class_weight: .*binary_cross_entropy of 3 outputs"):
        several.fit(inputs(), y, class_weight="balanced")
    nothing = network()
    with unchanged(nothing), pytest.raises(ValueError, match=r"^class_weight: .*for a class of y"):
        nothing.fit(inputs(), np.zeros(10, int), class_weight={0: 0})
    with unchanged(net), pytest.raises(ValueError, match=r"^label_smoothing: .*squared_error"):
        net.train_step(inputs(), y, fcnn.Adam(), label_smoothing=0.1)


def test_fit_takes_no_positional_options():
    with pytest.raises(TypeError, match="positional"):
        network().fit(inputs(), labels(), 5)


@pytest.mark.parametrize("size", [10, 11, 10**6, 2**63 - 1, 10**30, None, np.int64(10)])
def test_a_batch_of_everything(size):
    net, whole = network(), network()
    net.fit(inputs(), labels(), epochs=1, batch_size=size, shuffle=False)
    whole.fit(inputs(), labels(), epochs=1, batch_size=10, shuffle=False)
    assert net.parameters.tobytes() == whole.parameters.tobytes()
