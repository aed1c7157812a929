"""What is asked for. NumPy is not loaded here."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time fcnn and its peers side by side: training and prediction.",
        epilog="FCNN_ISA=v2 (v3, v4) in the environment chooses fcnn's instruction set. The exit "
        "status is 1 if a peer computed something else than the reference.",
    )
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="of timing, for all rows (120), about"
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1, help="for each peer (1)")
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[""],
        metavar="SUBSTRING",
        help="only rows whose 'section: name' holds one of these",
    )
    parser.add_argument(
        "--mnist", type=Path, metavar="DIR", help="folder with MNIST's IDX files (a stand-in)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    parser.add_argument(
        "--readme",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="put this run in the place of the former one: docs/speed.md, benchmarks/README.md",
    )
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the ratios (.svg, .png)")
    options = parser.parse_args(arguments)
    if not 0 < options.seconds < math.inf:
        parser.error(f"--seconds: expected a number above 0, got {options.seconds}")
    if options.threads < 1:
        parser.error(f"--threads: expected at least 1, got {options.threads}")
    return options
