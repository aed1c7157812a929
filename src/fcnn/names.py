"""The names that arguments take, for type checkers: one that is misspelt is seen before it runs.

``fcnn.Network((4, 3), activation="rellu")`` is an error for mypy and pyright. What a program learns
only when it runs, and a name with a number behind it, is marked as a `Name`:

>>> import fcnn
>>> from fcnn.names import Name
>>> fcnn.Network((4, 8, 3), activation=Name("leaky_relu(0.2)")).activations
('leaky_relu(0.2)', 'softmax')

Nothing is checked here. A wrong name is refused where it is used, whatever its type.
"""

from typing import Literal, NewType, TypeAlias

__all__ = [
    "Activation",
    "EstimatorActivation",
    "EstimatorLoss",
    "Initializer",
    "LearningRate",
    "Loss",
    "Name",
    "OptimizerName",
    "OutputActivation",
    "Solver",
]


def __dir__() -> list[str]:
    return __all__


Name = NewType("Name", str)
"""A text that is said to be one of the names; when the program runs, the text itself."""

Activation: TypeAlias = (
    Literal[
        "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"
    ]
    | Name
)  # fmt: skip
"""sigma of a hidden layer."""

OutputActivation: TypeAlias = Activation | Literal["softmax", "exp", "ascending"]
"""sigma of the output layer."""

Loss: TypeAlias = (
    Literal[
        "cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error", "huber",
        "poisson", "gaussian_nll", "quantile",
    ]
    | Name
)  # fmt: skip
"""The cost of a sample."""

Initializer: TypeAlias = (
    Literal[
        "auto", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal",
        "lecun_uniform", "zeros",
    ]
    | Name
)  # fmt: skip
"""How the initial weights are drawn."""

OptimizerName: TypeAlias = Literal["adam", "adamw", "lm", "lbfgs"] | Name
"""An optimizer with its defaults, for `fcnn.Network.fit`."""

EstimatorActivation: TypeAlias = (
    Literal[
        "identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"
    ]
    | Name
)  # fmt: skip
"""sigma of a hidden layer, as the estimators of `fcnn.sklearn` call it."""

EstimatorLoss: TypeAlias = (
    Literal[
        "squared_error", "absolute_error", "huber", "poisson", "gaussian_nll", "quantile",
    ]
    | Name
)  # fmt: skip
"""The loss of `fcnn.sklearn.MLPRegressor`."""

Solver: TypeAlias = Literal["lbfgs", "sgd", "adam", "adamw"] | Name
"""How the estimators are trained."""

LearningRate: TypeAlias = Literal["constant", "invscaling", "adaptive"] | Name
"""How the learning rate of the solver sgd moves."""
