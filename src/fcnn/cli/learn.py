"""``fcnn learn``: the page on this machine, and checks of one's own file."""

import argparse
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fcnn.cli.data import FAILED, CommandError, say


def add_learn(commands: Any, count: Callable[[int], Callable[[str], int]]) -> None:
    """Add the command; `count` reads whole numbers."""
    parser = commands.add_parser(
        "learn",
        help="backpropagation on a page, every number computed by the engine",
        description=textwrap.dedent("""\
            Show a page in the browser: the chain of two nodes, a fully connected network, the
            check of a gradient, paths downhill, a playground, and six exercises. It is served on
            this machine alone and needs no network; Ctrl-C ends it.

            With --check: exit code 0 if all functions of FILE are right, 1 if one is not."""),
        epilog="examples:\n  fcnn learn\n  fcnn learn --check mine.py",
    )
    parser.set_defaults(command="learn", run=learn)
    parser.add_argument(
        "--port", type=count(0), default=0, metavar="N", help="of the address (default: a free one)"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, and open no browser"
    )
    parser.add_argument(
        "--check", metavar="FILE",
        help="run a Python file of your own and compare its functions forward, output_delta, "
        "hidden_delta, gradient, update and train with the engine",
    )  # fmt: skip


def learn(options: argparse.Namespace) -> int:
    """Run ``fcnn learn`` and return its exit code."""
    if options.check is not None:
        for option, is_given in (("port", options.port), ("no-browser", options.no_browser)):
            if is_given:
                raise CommandError(f"--{option}: is for the page, which --check does not open")
        return _check(options.check)
    from fcnn.learn import serve

    try:
        server = serve(options.port)
    except ValueError as error:
        raise CommandError(f"--{error}") from None
    except OSError as error:  # taken, or one that only the system's owner may have
        raise CommandError(f"--port {options.port}: {error.strerror or error}") from None
    with server:
        print(f"open {server.url}\nCtrl-C ends it", flush=True)
        if not options.no_browser:
            # Beside the server: a browser in the terminal returns when it is left.
            threading.Thread(target=_open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _open(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        say("note: no browser was found; open the address in one on this machine")


def _check(path: str) -> int:
    from fcnn.learn._exercises import EXERCISES, check_file

    if not Path(path).is_file():
        raise CommandError(f"--check: there is no file {path!r}")
    try:
        verdicts = check_file(path)
    except ValueError as error:
        raise CommandError(str(error)) from None
    for verdict in verdicts:
        print(verdict)
    if missing := [*filter(lambda name: name not in {v.exercise for v in verdicts}, EXERCISES)]:
        print(f"Not in {path}: {', '.join(missing)}.")
    return 0 if all(verdicts) else FAILED
