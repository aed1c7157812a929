"""Networks, models and ensembles in files: `fcnn.load`. The format itself is `fcnn._format`'s."""

import os
import warnings

import numpy as np

from fcnn._container import pieces
from fcnn._format import Architecture, load_model
from fcnn.ensemble import Ensemble
from fcnn.model import Model
from fcnn.network import Network

__all__ = ["load"]


def __dir__() -> list[str]:
    return __all__


def load(path: str | os.PathLike[str], *, verified: bool = False) -> Network | Model | Ensemble:
    """Return what a file holds: the network, the model or the ensemble that was saved in it.

    Parameters
    ----------
    path : str or path-like
        A file that `Network.save`, a checkpoint, `Model.save`, `Ensemble.save` or the command line
        wrote.
    verified : bool
        Refuse a file without a checksum. Files of fcnn have one, unless they are older or another
        program wrote them; one that is there is compared in any case.

    Returns
    -------
    fcnn.Network, fcnn.Model or fcnn.Ensemble
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
    found, stored = load_model(path, _made, verified)
    networks = found if isinstance(found, list) else [found]
    wrong = sum(
        np.count_nonzero(~np.isfinite(part)) for one in networks for part in pieces(one.parameters)
    )
    if wrong:
        count = sum(one.num_parameters for one in networks)
        warnings.warn(
            f"{path}: {wrong} of its {count} parameters are NaN or infinite",
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
    for one in networks:
        one.features, one.classes = stored.features, stored.classes
    if isinstance(found, list):
        try:
            return Ensemble(networks)
        except ValueError as error:
            raise ValueError(f"{path}: not a sound ensemble ({error})") from None
    network: Network = found
    if stored.preparation is None or stored.target is None:
        return network
    return Model(network, stored.preparation, stored.target, stored.training)


def _made(found: Architecture) -> Network:
    *hidden, output = found.activations
    return Network(found.sizes, hidden, output, found.loss, found.dtype, init="zeros")


def load_network(path: str) -> Network:
    """Return the network in a file, of a model without what stands before and behind it."""
    loaded = load(path)
    if isinstance(loaded, Ensemble):
        raise ValueError(
            f"{path}: expected a network, got an ensemble of {len(loaded)}; save one of its "
            "networks alone"
        )
    return loaded.network if isinstance(loaded, Model) else loaded
