"""What ``dir`` and tab completion offer of a public module is its own, and all that is public."""

import importlib
import inspect
import pkgutil
import typing

import pytest

import fcnn
from fcnn import _validation, names
from fcnn.initializers import INITIALIZERS
from fcnn.second_order import ALL_OPTIMIZERS

# The command's rooms are not for import.
MODULES = sorted(
    module.name
    for module in pkgutil.iter_modules(fcnn.__path__, "fcnn.")
    if not module.name.startswith(("fcnn._", "fcnn.cli"))
)
# Known from elsewhere, too: fcnn.history.
ELSEWHERE = {"fcnn.training": {"History", "Progress"}}


def imported(module):
    if module == "fcnn.sklearn":
        pytest.importorskip("sklearn")
    return importlib.import_module(module)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_offers_its_own_names(name):
    module = imported(name)
    assert dir(module) == sorted(module.__all__)
    for one in module.__all__:
        value = getattr(module, one)
        home = getattr(value, "__module__", name)
        if inspect.isroutine(value) or inspect.isclass(value):
            is_own = f"{home}.".startswith(f"{name}.")
            assert is_own or one in ELSEWHERE.get(name, ()), f"{one} is {home}'s"
        assert not inspect.ismodule(value)


def test_the_package_offers_its_own_names():
    modules = {name.removeprefix("fcnn.") for name in MODULES}
    offered = {name for name in dir(fcnn) if name not in fcnn.__all__}
    # `sklearn` may fail to import, `bench` and `network` are for whoever asks for them by name.
    assert offered <= modules
    assert modules - {*dir(fcnn)} == {"bench", "network", "sklearn"}
    for name in dir(fcnn):
        assert hasattr(fcnn, name)


@pytest.mark.parametrize(
    ("literal", "known"),
    [
        (names.Activation, _validation.HIDDEN_ACTIVATIONS),
        (names.OutputActivation, _validation.ACTIVATIONS),
        (names.Loss, _validation.OUTPUT_ACTIVATIONS),
        (names.Initializer, INITIALIZERS),
        (names.OptimizerName, {*ALL_OPTIMIZERS} - {"sgd"}),  # which needs a learning rate
    ],
)
def test_the_types_have_the_names_that_are_taken(literal, known):
    assert texts(literal) == {*known}


def test_the_types_have_the_names_that_estimators_take():
    sklearn = imported("fcnn.sklearn")
    perceptron = importlib.import_module("fcnn.sklearn._perceptron")
    losses = importlib.import_module("fcnn.sklearn._losses")
    taken = sklearn.MLPClassifier._parameter_constraints
    assert texts(names.EstimatorActivation) == {*perceptron.ACTIVATIONS}
    assert texts(names.EstimatorLoss) == {*losses.REGRESSION}
    assert texts(names.Solver) == options(taken["solver"])
    assert texts(names.LearningRate) == options(taken["learning_rate"])


def texts(literal):
    """The texts of a union of Literals and Name."""
    found = set()
    for part in typing.get_args(literal):
        found |= {part} if isinstance(part, str) else texts(part)
    return found


def options(constraints):
    return {text for one in constraints for text in getattr(one, "options", ())}
