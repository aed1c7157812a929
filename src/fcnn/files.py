"""Networks in files: `fcnn.load`. The format itself is `fcnn._format`'s."""

import os

from fcnn._format import load_model
from fcnn.network import Network

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Network:
    """Return the network in a file that `Network.save`, a checkpoint or the command line wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    fcnn.Network
        With `preprocessing` set, if the file has it: predict with
        ``net.predict(net.preprocessing(X))``.

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
    network.preprocessing = stored.preprocessing
    return network
