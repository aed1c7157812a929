"""Networks from and to scikit-learn, PyTorch, ONNX and Keras, and as a file of C.

A reader turns what it is given into steps: matrices, factors and shifts of single nodes (a batch
normalization), activations. `steps.layers_from` folds them into a list of (W, b, activation), one
for each layer l = 1..L, and refuses what cannot be said so. Writers take that list.

The other packages are imported when they are needed: ``pip install 'fcnn[sklearn]'``, ``[torch]``
or ``[onnx]``. See ``docs/convert.md``.
"""

from fcnn.convert.c import to_c
from fcnn.convert.keras import from_keras
from fcnn.convert.onnx_reader import from_onnx
from fcnn.convert.onnx_writer import to_onnx
from fcnn.convert.sklearn import from_sklearn, to_sklearn
from fcnn.convert.torch import from_torch, to_torch

__all__ = [
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "to_c",
    "to_onnx",
    "to_sklearn",
    "to_torch",
]


def __dir__() -> list[str]:
    return __all__
