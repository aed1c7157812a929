"""Networks, models and ensembles in files: `fcnn.load`. The format itself is `fcnn._format`'s."""

# Annotations stay text: Buffer is for type checkers alone.
from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from fcnn._dispatch import core
from fcnn._format import Architecture, load_model
from fcnn._format.container import as_source, named, pieces
from fcnn.ensemble import Ensemble
from fcnn.model import Model
from fcnn.network import Network

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["load"]


def __dir__() -> list[str]:
    return __all__


def load(
    path: str | os.PathLike[str] | Buffer, *, verified: bool = False
) -> Network | Model | Ensemble:
    """Return what a file holds: the network, the model or the ensemble that was saved in it.

    Parameters
    ----------
    path : str, path-like or bytes-like
        A file that `Network.save`, a checkpoint, `Model.save`, `Ensemble.save` or the command line
        wrote; or its content, from a database or an archive, which is read and then no longer
        needed.
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
    source = as_source(path)
    found, stored = load_model(source, _made, verified)
    networks = found if isinstance(found, list) else [found]
    if not all(map(core.all_finite, [one.parameters for one in networks])):
        wrong = sum(
            np.count_nonzero(~np.isfinite(part))
            for one in networks
            for part in pieces(one.parameters)
        )
        count = sum(one.num_parameters for one in networks)
        warnings.warn(
            f"{named(source)}: {wrong} of its {count} parameters are NaN or infinite",
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
    for one in networks:
        one.features, one.classes = stored.features, stored.classes
    if isinstance(found, list):
        try:
            return Ensemble(networks)
        except ValueError as error:
            raise ValueError(f"{named(source)}: not a sound ensemble ({error})") from None
    network: Network = found
    if stored.preparation is None or stored.target is None:
        return network
    return Model(network, stored.preparation, stored.target, stored.training)


def _made(found: Architecture) -> Network:
    """Return a network of an architecture that has been checked, all its parameters 0."""
    network = Network.__new__(Network)
    core.Network.__init__(network, found.sizes, found.activations, found.loss, found.dtype)
    return network


def load_network(path: str | Buffer) -> Network:
    """Return the network in a file, of a model without what stands before and behind it."""
    loaded = load(path)
    if isinstance(loaded, Ensemble):
        raise ValueError(
            f"{path}: expected a network, got an ensemble of {len(loaded)}; save one of its "
            "networks alone"
        )
    return loaded.network if isinstance(loaded, Model) else loaded
