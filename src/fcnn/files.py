"""Networks and models in files: `fcnn.load`. The format itself is `fcnn._format`'s."""

import os

from fcnn._format import load_model
from fcnn.model import Model
from fcnn.network import Network

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Network | Model:
    """Return what a file holds: the network or the model that was saved in it.

    Parameters
    ----------
    path : str or path-like
        A file that `Network.save`, a checkpoint, `Model.save` or the command line wrote.

    Returns
    -------
    fcnn.Network or fcnn.Model
        A model if the file says how its inputs are prepared, as those of the command line do.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not an fcnn model, or of a newer format.
    """
    stored = load_model(path)
    *hidden, output = stored.activations
    network = Network(stored.sizes, hidden, output, stored.loss, stored.dtype, init="zeros")
    network.parameters = stored.parameters
    if stored.preparation is None or stored.target is None:
        network.features, network.classes = stored.features, stored.classes
        return network
    return Model(network, stored.preparation, stored.target, stored.training)


def load_network(path: str) -> Network:
    """Return the network in a file, of a model without what stands before and behind it."""
    loaded = load(path)
    return loaded.network if isinstance(loaded, Model) else loaded
