"""The contestants, a module for each.

A trainer has epoch(), which trains for one epoch and returns its mean loss as a number, and
parameters(), flat. A predictor is a call without arguments that returns the answer. Data are
converted to what the peer computes with beforehand.
"""

from collections.abc import Container
from typing import Any

from peers.contestants.fcnn import Fcnn, FcnnCore
from peers.contestants.generated import GeneratedC
from peers.contestants.jax import Jax
from peers.contestants.numba import Numba
from peers.contestants.numpy import NumPy
from peers.contestants.onnx import OnnxRuntime
from peers.contestants.sklearn import Sklearn
from peers.contestants.torch import Torch

__all__ = ["PEERS", "Fcnn", "FcnnCore", "Torch", "load_peers"]

PEERS = (Fcnn, NumPy, Torch, Jax, Sklearn, OnnxRuntime, GeneratedC, Numba)
# How to get it, where that is not to install a package of the peer's name in lower case.
WAYS = {
    "PyTorch": "pip install torch",
    "ONNX Runtime": "pip install onnxruntime onnx",
    "generated C": "install a C compiler",
}


def load_peers(threads: int, names: Container[str] = ()) -> tuple[list[Any], list[str]]:
    """Return the peers that are installed, fcnn and NumPy first, and what is said of the others.

    With names only these.
    """
    present, absent = [], []
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        try:
            present.append(peer(threads))
        except ImportError as error:
            way = WAYS.get(peer.name, f"pip install {peer.name.lower()}")
            absent.append(f"{peer.name} is absent ({way}): {error}")
    return present, absent
