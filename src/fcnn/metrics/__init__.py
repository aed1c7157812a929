"""Scores of predictions: of a training, of classes, of numbers.

Answers come first and targets second, as in PyTorch's losses. Classes are labels 0, 1, ..., K - 1.

All take any array-like of numbers. One dimension, (s,), is a single column, (s, 1): answers of one
kind and targets of the other are compared as what they are. Whatever else differs in shape is
refused, as are no samples, and targets and weights that are not finite. An answer that is NaN makes
the score NaN.
"""

from fcnn.metrics.classes import (
    ClassScores,
    balanced_accuracy,
    confusion_matrix,
    precision_recall_f1,
    roc_auc,
)
from fcnn.metrics.numbers import (
    NumberScores,
    accuracy,
    coverage,
    d2_quantile,
    mae,
    pinball,
    r2,
    rmse,
    score,
)

__all__ = [
    "ClassScores",
    "NumberScores",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "coverage",
    "d2_quantile",
    "mae",
    "pinball",
    "precision_recall_f1",
    "r2",
    "rmse",
    "roc_auc",
    "score",
]


def __dir__() -> list[str]:
    return __all__
