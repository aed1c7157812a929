"""Networks and models in files: `fcnn.load`. The format itself is `fcnn._format`'s."""

import os
import warnings

import numpy as np

from fcnn._container import pieces
from fcnn._format import Architecture, load_model
from fcnn.model import Model
from fcnn.network import Network

__all__ = ["load"]


def __dir__() -> list[str]:
    return __all__


def load(path: str | os.PathLike[str], *, verified: bool = False) -> Network | Model:
    """Return what a file holds: the network or the model that was saved in it.

    Parameters
    ----------
    path : str or path-like
        A file that `Network.save`, a checkpoint, `Model.save` or the command line wrote.
    verified : bool
        Refuse a file without a checksum. Files of fcnn have one, unless they are older or another
        program wrote them; one that is there is compared in any case.

    Returns
    -------
    fcnn.Network or fcnn.Model
        A model if the file says how its inputs are prepared, as those of the command line do.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, not an fcnn model, or of a newer format.

    Warns
    -----
    RuntimeWarning
        If parameters are NaN or infinite: what is saved so is given back so.
    """
    network, stored = load_model(path, _made, verified)
    wrong = sum(np.count_nonzero(~np.isfinite(part)) for part in pieces(network.parameters))
    if wrong:
        warnings.warn(
            f"{path}: {wrong} of its {network.num_parameters} parameters are NaN or infinite",
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
    if stored.preparation is None or stored.target is None:
        network.features, network.classes = stored.features, stored.classes
        return network
    return Model(network, stored.preparation, stored.target, stored.training)


def _made(found: Architecture) -> Network:
    *hidden, output = found.activations
    return Network(found.sizes, hidden, output, found.loss, found.dtype, init="zeros")


def load_network(path: str) -> Network:
    """Return the network in a file, of a model without what stands before and behind it."""
    loaded = load(path)
    return loaded.network if isinstance(loaded, Model) else loaded
