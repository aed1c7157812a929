"""A command that ``mpiexec -n N fcnn ...`` has started several times: rank 0 speaks for all."""

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from fcnn.cli.data import CommandError
from fcnn.parallel._ranks import RankError, Ranks
from fcnn.second_order import SECOND_ORDER

# What the starters of MPI's processes tell each of them: MPICH and its kin, Open MPI, and by PMIx
# those of clusters, which need not say how many there are.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_NUMBERS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")

SHARED = ("train",)


def _number(names: tuple[str, ...]) -> int | None:
    for name in names:
        with contextlib.suppress(KeyError, ValueError):
            return int(os.environ[name])
    return None


def is_first() -> bool:
    """Whether this process is rank 0, or was not started by MPI: nothing of MPI is loaded."""
    return not _number(_NUMBERS)


def open_ranks(command: str) -> Ranks | None:
    """Return the ranks that run a command together, None of one process alone.

    Raises
    ------
    CommandError
        If there are several, and they cannot.
    """
    if _number(_NUMBERS) is None or (size := _number(_SIZES)) == 1:
        return None
    several = f"mpiexec has started {size or 'several'} processes"
    if command not in SHARED:
        raise CommandError(f"{several}; only fcnn train shares its work, expected one process")
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise CommandError(
            f"{several}, for which mpi4py and an MPI are needed: pip install 'fcnn[mpi]' ({error})"
        ) from None
    world = MPI.COMM_WORLD
    if world.Get_size() == 1:
        if size is None:
            return None
        library = MPI.Get_library_version().partition("\n")[0].strip(" \t\0")[:60]
        raise CommandError(
            f"{several}, but mpi4py's MPI knows of one alone: its MPI ({library}) is not that of "
            "this mpiexec"
        )
    return Ranks(world)


@contextlib.contextmanager
def together(ranks: Ranks | None) -> Iterator[None]:
    """Where all ranks do the same: whoever raises ends it on all, and rank 0 says why."""
    if ranks is None:
        yield
        return
    try:
        yield
        ranks.agree()
    except RankError as error:
        raise CommandError(_said(error, ranks)) from None
    except BaseException as error:
        if not isinstance(error, (CommandError, KeyboardInterrupt)) and ranks.rank > 0:
            traceback.print_exc(file=sys.__stderr__)
        ranks.fail(error)
        raise


def _said(error: RankError, ranks: Ranks) -> str:
    kind, _, text = error.raised.partition(": ")
    return f"rank {error.rank} of {ranks.size}: {text if kind == 'CommandError' else error.raised}"


def from_first(ranks: Ranks | None, value: Any) -> Any:
    """Return what rank 0 has found."""
    return value if ranks is None else ranks.from_first(value)


def sharing(ranks: Ranks | None) -> dict[str, Any]:
    """Return what tells `Network.fit` of the ranks, which all have all rows."""
    if ranks is None:
        return {}
    from fcnn.parallel import Reducer

    return {"reduce": Reducer(ranks.comm, replicated=True)}


def refuse_together(options: argparse.Namespace) -> None:
    """Refuse what ranks cannot share."""
    alone = "expected one process, without mpiexec"
    if options.search is not None:
        raise CommandError(f"--search: its networks are trained by one process; {alone}")
    if options.data == "-":
        raise CommandError("DATA: rank 0 alone has a standard input; expected a file")
    if options.optimizer in SECOND_ORDER:
        raise CommandError(f"--optimizer: {options.optimizer} has all rows in one process; {alone}")


def rows_of_each(size: int | None, options: argparse.Namespace) -> int | None:
    """Return how many rows of a batch each rank has, or refuse what they cannot share alike."""
    ranks: Ranks | None = options.ranks
    if ranks is None or size is None:  # which is of optimizers that ranks do not share
        return size
    if options.batch_size is not None and size % ranks.size:
        raise CommandError(
            f"--batch-size: {ranks.size} ranks cannot share {size} rows alike; expected a multiple "
            f"of {ranks.size}"
        )
    return -(-size // ranks.size)
