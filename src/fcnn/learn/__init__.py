"""Learn backpropagation by watching the engine: ``fcnn learn``, and checks of your own code.

`serve` has the page that the command shows, `check` compares a function of yours with the core,
`widget` has the page in a notebook (``pip install fcnn[notebook]``).
"""

from typing import TYPE_CHECKING, Any

from fcnn.learn._exercises import Verdict, check

if TYPE_CHECKING:
    from fcnn.learn._server import LearnServer

__all__ = ["Verdict", "check", "serve", "widget"]


def serve(port: int = 0) -> "LearnServer":
    """Return a server of the page, on this machine alone; ``serve_forever()`` answers.

    Parameters
    ----------
    port : int, default 0
        0 takes one that is free.

    Returns
    -------
    fcnn.learn._server.LearnServer
        Its ``url`` is what to open; the secret in it is new each time.

    Raises
    ------
    OSError
        If the port is taken.
    ValueError, TypeError
        If it is no number of a port.
    """
    from fcnn import _validation as arguments
    from fcnn.learn._server import LearnServer

    port = arguments.as_count("port", port, least=0)
    if port > 65535:
        raise ValueError(f"port: expected at most 65535, got {port}")
    return LearnServer(port)


def widget(view: str = "chain") -> Any:
    """Return the page as a widget, for Jupyter and what else shows anywidget's.

    Parameters
    ----------
    view : str, default "chain"
        The view to begin with: chain, full, check, descend, playground or build.

    Returns
    -------
    anywidget.AnyWidget

    Raises
    ------
    ValueError, TypeError
        If there is no such view.
    ImportError
        If anywidget is not installed.
    """
    from fcnn.learn._widget import make_widget

    return make_widget(view)
