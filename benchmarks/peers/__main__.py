"""Run the comparison: ``python benchmarks/peers --help``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Of `python benchmarks/peers` Python makes this folder the first of the path; the package is in
    # the one above.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

    from peers.options import parse_arguments
    from peers.threads import limit_threads

    options = parse_arguments()
    bound = limit_threads(options.threads, options.dtype)

    # Only now: a BLAS reads its limits when NumPy is loaded.
    from peers.run import main

    sys.exit(main(options, bound))
