"""Laps in turns, the limit of the CPU, and what came of them."""

import importlib
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fcnn import _dispatch, bench
from peers import images
from peers.images import Images
from peers.threads import Load, cores
from peers.workloads import OWN, UnsupportedError

LEAST_LAPS = 5
SECONDS_PER_LAP = 2e-3
# With several threads: what waits for work in a library gives up within this time (OpenBLAS takes
# the longest), and does not run beside the next peer.
PAUSE = 0.05

# About a millisecond: the call itself takes 3 us.
LIMIT_TURNS = 200_000
LIMIT_LAPS = 12


@dataclass
class Timing:
    """What was measured of one peer, in seconds of one step or one prediction."""

    cold: float  # the first call: of a whole epoch in training
    laps: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.laps)

    @property
    def least(self) -> float:
        return min(self.laps)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.laps, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> float:
        """The interquartile range as a share of the median."""
        low, high = self.quartiles
        return (high - low) / self.median


class Limit:
    """The most operations per second seen so far of each build of fcnn and each dtype."""

    def __init__(self) -> None:
        self.best: dict[tuple[str, str], float] = {}
        cores = {
            isa: importlib.import_module(f"fcnn.{module}")
            for isa, module in _dispatch.available().items()
        }
        self.cores = {isa: core for isa, core in cores.items() if hasattr(core, "multiply_adds")}

    def measure(self) -> None:
        """Run some short laps. They are repeated all over the run, and the best of all counts."""
        for isa, core in self.cores.items():
            for dtype in ("float32", "float64"):
                for _ in range(LIMIT_LAPS):
                    began = time.perf_counter()
                    operations = core.multiply_adds(LIMIT_TURNS, dtype)
                    rate = operations / (time.perf_counter() - began)
                    self.best[isa, dtype] = max(rate, self.best.get((isa, dtype), 0.0))

    def of(self, isa: str, dtype: str) -> float:
        return self.best.get((isa, dtype), math.nan)


@dataclass
class Row:
    """One line of the tables: who computes it in what time."""

    section: str
    name: str
    flops: float  # of one step or prediction
    dtype: str = ""  # where it is not the session's
    timings: dict[str, Timing] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def ratio(self, name: str, to: str = "fcnn") -> float:
        """Return the time of one over that of another, NaN where there is none.

        The median of the ratios of the laps of each turn: a CPU whose clock another guest's work
        changes for seconds had medians of the laps 30 % apart in one run, and these are not.
        """
        if name not in self.timings or to not in self.timings:
            return math.nan
        pairs = zip(self.timings[name].laps, self.timings[to].laps, strict=True)
        return statistics.median(lap / other for lap, other in pairs)

    def losses(self) -> Iterator[str]:
        """Yield a sentence for each peer that is faster than fcnn."""
        for name, theirs in self.timings.items():
            ratio = self.ratio(name)
            if name in OWN or name.startswith("fcnn,") or not ratio < 1:
                continue
            ours = self.timings["fcnn"]
            times = (
                f"{bench.microseconds(theirs.median)} us, fcnn {bench.microseconds(ours.median)}"
            )
            overlap = theirs.quartiles[1] > ours.quartiles[0]
            doubt = ", less apart than their spreads" if overlap else ""
            yield (
                f"fcnn loses: {self.section}, {self.name}: {name} takes {ratio:.2f} of its time"
                f" ({times}{doubt})"
            )


@dataclass
class Session:
    """One run: who takes part, and what came of it."""

    dtype: str
    threads: int
    seconds_per_row: float
    peers: list[Any]
    absent: list[str]
    bound: str
    folder: Path | None  # with MNIST's files
    load: Load = field(default_factory=Load)
    limit: Limit = field(default_factory=Limit)
    rows: list[Row] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @cached_property
    def images(self) -> Images:
        return images.load(self.folder, self.dtype)

    @property
    def more(self) -> int:
        """Threads of the rows that fcnn's gain is shown in."""
        return self.threads if self.threads > 1 else min(2, cores())

    def share_of_limit(self, row: Row, name: str) -> float:
        """Return how much of what the instruction set of fcnn allows a peer reaches in a row.

        The best lap beside the limit, which is a best lap, too.
        """
        limit = self.threads * self.limit.of(_dispatch.core.ISA, row.dtype or self.dtype)
        return row.flops / row.timings[name].least / limit

    @contextmanager
    def judging(self, row: Row, name: str) -> Iterator[None]:
        """Leave a peer out of a row if it cannot compute it, and say so if it should have."""
        try:
            yield
        except UnsupportedError:
            pass
        except Exception as error:  # of whatever kind: the other peers' times are still right
            message = f"{row.section}, {row.name}: {name}: {error or type(error).__name__}"
            self.errors.append(message)
            print(f"error: {message}", file=sys.stderr)

    def time(
        self,
        row: Row,
        calls: Mapping[str, Callable[[], object]],
        steps: int = 1,
        least_laps: int = LEAST_LAPS,
    ) -> None:
        """Let the calls take turns; a lap of a training is an epoch of some steps."""
        self.limit.measure()
        laps = bench.alternate(
            list(calls.values()),
            self.seconds_per_row,
            seconds_per_lap=SECONDS_PER_LAP,
            least_laps=least_laps,
            pause=PAUSE if self.threads > 1 else 0.0,
        )
        for name, times in zip(calls, laps, strict=True):
            row.timings[name].laps = [seconds / steps for seconds in times]
        self.rows.append(row)
