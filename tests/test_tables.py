"""The core's tables of activations, losses and rules, and what every part knows of each name.

A failure names what is missing, or what the core does not have: docs/extending.md says what to add.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import test_c_interface
import test_optimizers
from conftest import PAIRS
from structure import ROOT

import fcnn
from fcnn import _dispatch, initializers, optimizers, reference
from fcnn._validation import HIDDEN_ACTIVATIONS
from fcnn.cli import fitting
from fcnn.convert import keras, onnx, sklearn, torch
from fcnn.explanation import _quantities
from fcnn.plot import diagram

CORE = _dispatch.core
ACTIVATIONS, LOSSES, RULES = set(CORE.ACTIVATIONS), set(CORE.OUTPUT_ACTIVATIONS), set(CORE.RULES)


def rules_of_the_header():
    text = Path(fcnn.get_include(), "fcnn.h").read_text()
    enum = re.search(r"enum {([^}]*)};\s*/\* rules", text)[1]
    return [name.lower() for name in re.findall(r"FCNN_(\w+)", enum)]


# What has an entry for each name, and the names; of converters: test_convert_complete.py.
TABLES = {
    # They have no sigma of one node alone: reference.softmax, reference.ascending.
    "reference.ACTIVATIONS": (reference.ACTIVATIONS, ACTIVATIONS - {"softmax", "ascending"}),
    "reference.LOSSES": (reference.LOSSES, LOSSES),
    "reference.UPDATES": (reference.UPDATES, RULES),
    "initializers._AUTO": (initializers._AUTO, ACTIVATIONS),
    "plot.diagram.SHOWS_ZERO_TARGETS": (diagram.SHOWS_ZERO_TARGETS, LOSSES),
    "explanation._quantities": (
        {**_quantities._PLAIN, **_quantities._BELOW}, ACTIVATIONS - {"softmax", "ascending"},
    ),
    "optimizers.OPTIMIZERS": (optimizers.OPTIMIZERS, RULES),
    "cli.fitting._LRS": (fitting._LRS, RULES),
    "the rules in include/fcnn.h": (rules_of_the_header(), RULES),
    "RULES of tests/test_optimizers.py": (
        {make().rule for make in test_optimizers.RULES.values()}, RULES,
    ),
    "OPTIMIZERS of tests/test_c_interface.py": (
        {make().rule for _, make in test_c_interface.OPTIMIZERS.values()}, RULES,
    ),
}  # fmt: skip


def compared(table, found, expected):
    """Return what a table lacks or has too much, as a message; nothing if it is complete."""
    found = set(found)
    parts = []
    if expected - found:
        parts.append(f"lacks {', '.join(sorted(expected - found))}")
    if found - expected:
        parts.append(f"has {', '.join(sorted(found - expected))}, which the core does not have")
    return f"{table} {'; it '.join(parts)}" if parts else ""


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_an_entry_for_each_name(table):
    found, expected = TABLES[table]
    problem = compared(table, found, expected)
    assert not problem, problem


def test_an_optimizer_is_public_and_has_the_name_of_its_rule():
    problem = compared("fcnn.__all__", {*fcnn.__all__} & {"SGD", *map(class_name, RULES)},
                       {*map(class_name, RULES)})  # fmt: skip
    assert not problem, problem
    assert {kind.rule: kind for kind in optimizers.OPTIMIZERS.values()} == optimizers.OPTIMIZERS


def test_the_estimators_take_every_loss_and_rule():
    pytest.importorskip("sklearn")
    from fcnn.sklearn import _losses, _stochastic

    tables = [_losses.CLASSIFICATION, _losses.REGRESSION]
    used = {loss.core for table in tables for loss in table.values()}
    problem = compared("sklearn._losses.REGRESSION", used, LOSSES)
    assert not problem, problem
    problem = compared("sklearn._stochastic.SOLVERS", _stochastic.SOLVERS, RULES)
    assert not problem, problem


# --- What is said of them ------------------------------------------------------------------------


def class_name(rule):
    """Return the name of a rule's optimizer, where there is one."""
    return getattr(optimizers.OPTIMIZERS.get(rule), "__name__", rule)


def names_of_others(table):
    """Return the other makers' names in a converter's table."""
    return {entry[0] for entry in table.values() if entry is not None}


def refused_optimizer():
    with pytest.raises(TypeError) as error:
        optimizers.as_optimizer(None)
    return str(error.value)


def page(path):
    return (ROOT / path).read_text()


# Where each of some names stands as a word. Texts are functions: pages are read where a test runs.
MENTIONS = {
    "Network's docstring": (lambda: fcnn.Network.__doc__, ACTIVATIONS | LOSSES),
    "docs/features.md": (
        lambda: page("docs/features.md"), ACTIVATIONS | LOSSES | {*map(class_name, RULES)},
    ),
    "fit's docstring": (lambda: fcnn.Network.fit.__doc__, {*map(class_name, RULES)}),
    "train_step's docstring": (lambda: fcnn.Network.train_step.__doc__, {*map(class_name, RULES)}),
    "as_optimizer's message": (refused_optimizer, {*map(class_name, RULES)}),
    "docs/embedding.md": (lambda: page("docs/embedding.md"), {*map(class_name, RULES)}),
    "from_torch's docstring": (
        lambda: torch.from_torch.__doc__, names_of_others(torch.MODULES),
    ),
    "from_onnx's docstring": (
        lambda: fcnn.convert.from_onnx.__doc__, names_of_others(onnx.OPERATORS),
    ),
    "docs/convert.md": (lambda: page("docs/convert.md"), names_of_others(onnx.OPERATORS)),
    "from_keras's docstring": (
        lambda: keras.from_keras.__doc__, {names[0] for names in keras.NAMES.values() if names},
    ),
    # scikit-learn's own names are in its documentation.
    "docs/sklearn.md": (
        lambda: page("docs/sklearn.md"),
        {name for name in HIDDEN_ACTIVATIONS if sklearn.HIDDEN.get(name) is None},
    ),
}  # fmt: skip


def unmentioned(text, names):
    return ", ".join(sorted(n for n in names if not re.search(rf"(?<!\w){n}(?!\w)", text)))


@pytest.mark.parametrize("place", MENTIONS)
def test_a_text_mentions_each_name(place):
    text, names = MENTIONS[place]
    missing = unmentioned(text(), names)
    assert not missing, f"{place} does not mention {missing}"


def test_the_docstrings_of_the_estimators_mention_each_name():
    pytest.importorskip("sklearn")
    from fcnn.sklearn import MLPClassifier, MLPRegressor, _losses, _stochastic

    further = {name for name in HIDDEN_ACTIVATIONS if sklearn.HIDDEN.get(name) is None}
    names = {
        MLPClassifier: further | {*_stochastic.SOLVERS},
        MLPRegressor: further | {*_stochastic.SOLVERS} | {*_losses.REGRESSION} - {*sklearn.LOSSES},
    }
    for estimator, expected in names.items():
        missing = unmentioned(estimator.__doc__, expected)
        assert not missing, f"{estimator.__name__}'s docstring does not mention {missing}"


# --- What the compiled ladders compute -----------------------------------------------------------

# Prints each case before it is computed: a ladder without it ends the process. The cases behind the
# first N are left out. Rows and batches are such that every copy of a ladder is met: one row and a
# panel, an update of a row and one that multiplies ahead.
CASES = """
import sys
import numpy as np
from fcnn import optimizers
from fcnn._dispatch import core
from fcnn._validation import StepOptions

def network(hidden, output, loss):
    net = core.DifferentiatedNetwork((4, 5, 6), (hidden, output), loss, dtype)
    net.parameters[:] = np.linspace(-0.5, 0.5, net.parameters.size)
    return net

def forward_and_backward(hidden, output, loss):
    for rows in (1, 40):
        X = np.linspace(-1, 1, 4 * rows).reshape(rows, 4).astype(dtype)
        net = network(hidden, output, loss)
        net.predict(X)
        net.gradients(X, np.full((rows, net.num_targets), 1 / 6, dtype))
        net.hvp(X, np.ones((rows, net.sizes[-1]), dtype), X)

def update(make):
    for batch_size in (1, 2, 40):
        X = np.linspace(-1, 1, 160).reshape(40, 4).astype(dtype)
        y = np.full((40, 6), 1 / 6, dtype)
        for options in (None, StepOptions(trainable=(0.5, 1.0, 2.0, 0.0))):
            net = network("relu", "identity", "squared_error")
            net._train_epoch(X, y, make(), batch_size, options=options)

cases = {}
for name in core.ACTIVATIONS:
    hidden = "relu" if name in core.OUTPUT_ONLY else name
    cases[f"activation {name}"] = lambda h=hidden, n=name: forward_and_backward(
        h, n, "squared_error")
for loss, outputs in core.OUTPUT_ACTIVATIONS.items():
    for output in outputs:
        cases[f"loss {loss} of {output}"] = lambda l=loss, o=output: forward_and_backward(
            "relu", o, l)
for of_z in (False, True):
    cases[f"loss of one's own, of z: {of_z}"] = lambda of_z=of_z: core.own_step(
        network("relu", "identity", "squared_error"), np.ones((40, 4), dtype), None, None,
        lambda *_: (0.0, np.ones((40, 6), dtype)), of_z, optimizers.SGD(0.1))
for rule in core.RULES:
    cases[f"rule {rule}"] = lambda r=rule: update(lambda: optimizers.OPTIMIZERS[r](lr=0.01))
cases["rule sgd with momentum"] = lambda: update(lambda: optimizers.SGD(0.01, 0.9))
cases["rule sgd with nesterov"] = lambda: update(lambda: optimizers.SGD(0.01, 0.9, True))

done = int(sys.argv[1])
for name in list(cases)[done:]:
    print(name, flush=True)
    for dtype in map(np.dtype, ("float32", "float64")):
        cases[name]()
print("all", len(cases))
"""


@pytest.mark.slow
def test_every_case_of_the_compiled_ladders_is_computed(isa):
    if isa not in _dispatch.available():
        pytest.skip(f"this CPU cannot run the {isa} build")
    done, died = 0, []
    while True:
        run = subprocess.run(
            [sys.executable, "-c", CASES, str(done)],
            env={**os.environ, "FCNN_ISA": isa}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        names = run.stdout.splitlines()
        if run.returncode == 0:
            break
        assert names, run.stderr
        last = run.stderr.splitlines()[-1:]
        died.append(f"{names[-1]} ({last[0] if last else f'ended by signal {-run.returncode}'})")
        done += len(names)
    assert not died, f"{isa}: " + "; ".join(died)
    assert names[-1] == f"all {len(names) - 1}"
    assert len(names) - 1 == len(ACTIVATIONS) + len(PAIRS) + len(RULES) + 4


def test_every_build_has_the_same_tables(core):
    tables = "ACTIVATIONS ACTIVATION_CONSTANTS OUTPUT_ONLY OUTPUT_ACTIVATIONS LOSS_LEVELS RULES"
    for table in tables.split():
        assert getattr(core, table) == getattr(CORE, table)
