"""What each converter knows of every activation; one that its table lacks is refused by name."""

import importlib
import pkgutil
import re

import numpy as np
import pytest

import fcnn
from fcnn import _validation as check
from fcnn import convert
from fcnn.convert import c_training, steps

# Each converter's table by fcnn's names. None, or no name (Keras), says that it has no such thing.
TABLES = {
    "c_layers": "FUNCTIONS", "c_derivatives": "DERIVATIVES", "keras": "NAMES", "onnx": "OPERATORS",
    "sklearn": "HIDDEN", "torch": "MODULES",
}  # fmt: skip
# Modules that know no activation, or take the table of another one.
PARTS = {
    "c", "c_elementary", "c_selftest", "c_table", "c_training", "c_weights", "c_words",
    "onnx_activations", "onnx_answers", "onnx_flow", "onnx_graph", "onnx_operators",
    "onnx_reader", "onnx_table", "onnx_writer", "pipeline", "steps", "torch_modules",
}  # fmt: skip


def names():
    """All that the core has, in its table of losses, too."""
    outputs = [name for valid in check.OUTPUT_ACTIVATIONS.values() for name in valid]
    return {*check.ACTIVATIONS, *outputs}


def table_of(module):
    return getattr(importlib.import_module(f"fcnn.convert.{module}"), TABLES[module])


def incomplete(module):
    """Say what a converter's table lacks, or has that the core does not; nothing if it is well."""
    table = f"fcnn.convert.{module}.{TABLES[module]}"
    lacking, unknown = names() - {*table_of(module)}, {*table_of(module)} - names()
    lacks = f"{table} lacks {', '.join(sorted(lacking))}" if lacking else ""
    has = f"{table} has {', '.join(sorted(unknown))}, not in the core" if unknown else ""
    return "; ".join(filter(None, (lacks, has)))


def test_every_converter_has_a_table():
    modules = {module.name for module in pkgutil.iter_modules(convert.__path__)}
    assert modules - PARTS == set(TABLES)


@pytest.mark.parametrize("module", TABLES)
def test_a_table_has_every_activation(module):
    assert not incomplete(module), incomplete(module)


def test_training_in_c_has_every_loss():
    losses = {one.partition(",")[0] for one in c_training.LOSSES}
    lacking, unknown = {*check.OUTPUT_ACTIVATIONS} - losses, losses - {*check.OUTPUT_ACTIVATIONS}
    assert not lacking, f"convert.c_training.LOSSES lacks {', '.join(lacking)}"
    assert not unknown
    assert {*c_training.WITH_SLOPE} <= losses


@pytest.mark.parametrize("module", TABLES)
def test_a_new_activation_is_missed(module, monkeypatch):
    table = re.escape(f"fcnn.convert.{module}.{TABLES[module]}")
    with monkeypatch.context() as patch:
        patch.setattr(check, "ACTIVATIONS", (*check.ACTIVATIONS, "wobble"))
        assert re.fullmatch(f"{table} lacks wobble", incomplete(module))
    with monkeypatch.context() as patch:
        patch.setitem(check.OUTPUT_ACTIVATIONS, "wobbling", ("wobble",))
        assert re.fullmatch(f"{table} lacks wobble", incomplete(module))
    monkeypatch.setitem(table_of(module), "wobble", None)
    assert re.fullmatch(f"{table} has wobble, not in the core", incomplete(module))


# --- Writers -------------------------------------------------------------------------------------

WRITERS = {
    "c_layers": lambda net: convert.to_c(net, "net"),
    "c_derivatives": lambda net: convert.to_c(net, "net", derivatives=True),
    "onnx": convert.to_onnx,
    "sklearn": convert.to_sklearn,
    "torch": convert.to_torch,
}
PACKAGES = {
    "c_layers": "fcnn", "c_derivatives": "fcnn", "onnx": "onnx",
    "sklearn": "sklearn.neural_network", "torch": "torch",
}  # fmt: skip


@pytest.mark.parametrize("name", ["identity", "tanh"])
@pytest.mark.parametrize("entry", ["none", "absent"])
@pytest.mark.parametrize("module", WRITERS)
def test_a_writer_refuses_what_its_table_does_not_have(module, entry, name, monkeypatch):
    pytest.importorskip(PACKAGES[module])
    net = fcnn.Network((2, 3, 1), name, "identity", "squared_error")
    WRITERS[module](net)
    if entry == "none":
        monkeypatch.setitem(table_of(module), name, None)
    else:
        monkeypatch.delitem(table_of(module), name)
    message = f"got {name}" if module == "sklearn" else f"for the activation {name}"
    with pytest.raises(ValueError, match=rf"^net: .*{message}(; to_onnx and to_c write it)?$"):
        WRITERS[module](net)


# --- Readers -------------------------------------------------------------------------------------


def test_the_steps_of_an_activation_that_the_core_does_not_have_are_refused():
    given = [steps.linear("A", np.ones((2, 2))), steps.Activation("node 'y'", "wobble")]
    with pytest.raises(ValueError, match=r"^node 'y': is no activation of its own"):
        steps.layers_from(given, None)


def test_sklearn_s_name_of_an_activation_that_fcnn_does_not_have_is_refused():
    pytest.importorskip("sklearn")
    estimator = convert.to_sklearn(fcnn.Network((2, 3, 1), "tanh", loss="squared_error"))
    estimator.activation = "wobble"
    with pytest.raises(ValueError, match=r"^the activation of layer 1: fcnn has no wobble$"):
        convert.from_sklearn(estimator)


@pytest.mark.parametrize("name", check.ACTIVATIONS)
def test_without_a_loss_the_network_has_the_one_that_is_natural_for_its_outputs(name):
    state = {"weight": np.ones((2, 2)), "bias": np.ones(2)}
    if name == "ascending":  # of how many levels, nobody knows
        with pytest.raises(ValueError, match="loss: ascending outputs need one with levels"):
            convert.from_torch(state, [name])
        net = convert.from_torch(state, [name], loss="quantile(0.1, 0.9)")
        assert (net.activations, net.loss) == ((name,), "quantile(0.1, 0.9)")
        return
    natural = {"sigmoid": "binary_cross_entropy", "softmax": "cross_entropy", "exp": "poisson"}
    net = convert.from_torch(state, [name])
    assert (net.activations, net.loss) == ((name,), natural.get(name, "squared_error"))


def test_a_further_loss_leaves_the_natural_ones_as_they_are(monkeypatch):
    for output in ("identity", "sigmoid", "softmax", "exp"):
        monkeypatch.setitem(check.OUTPUT_ACTIVATIONS, f"wobble of {output}", (output,))
    test_without_a_loss_the_network_has_the_one_that_is_natural_for_its_outputs("sigmoid")
    test_without_a_loss_the_network_has_the_one_that_is_natural_for_its_outputs("identity")
