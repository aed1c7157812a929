"""Training on several processes at once, by MPI: every rank has rows, all have one network.

``net.fit(X, y, comm=MPI.COMM_WORLD)`` on every rank; docs/scale-out.md has more. MPI's processes
are called ranks, and numbered from 0. Needs mpi4py: ``pip install 'fcnn[mpi]'``, and an MPI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fcnn import _validation as check
from fcnn.parallel._ranks import RankError, Ranks, uninterrupted

if TYPE_CHECKING:
    from fcnn.history import History

__all__ = ["RankError", "Reducer"]


def __dir__() -> list[str]:
    return __all__


# Levels of the core's tree of shards: core/exchange.pxi.
_MOST_SHARDS = 256


class Reducer:
    """What ``fit(..., reduce=)`` takes to train with other ranks; ``fit(..., comm=)`` makes one.

    Every rank calls `fit` with the same arguments and rows of its own, of whatever kind `fit`
    takes. A batch is what all ranks bring to one update: `batch_size` is of each rank, so the batch
    has as many rows as all of them together. Its gradient is the mean over all rows, by their
    weights, and every rank makes the same update. A rank with fewer rows, or batches, than others
    takes no part in the last ones of an epoch but for the update.

    Parameters and optimizer state are those of rank 0 when the training begins. Validation and
    history are of all ranks; callbacks are called on rank 0, which alone writes checkpoints and
    shows progress. What they change (parameters, learning rate) goes to the other ranks. `resume`
    is read by rank 0, and takes a file of a training with any number of ranks, or without any.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Of these ranks. It is duplicated, so all of them have to make the Reducer.
    deterministic : bool, default False
        Whether the result has the same bits for 1, 2, 4, ... ranks, up to `shards`. A batch is cut
        into so many shards, of which rank k has the k-th part, and their gradients are added in a
        fixed tree. It takes some time more than the sums of the MPI.
    replicated : bool, default False
        Every rank brings all rows, the same ones (a memory map of one file, for example), and takes
        the k-th part of each batch, in the order of an epoch that one process would take.
    shards : int, default 8
        A power of two; for `deterministic` alone.
    shared_memory : bool, default True
        Whether ranks that are all on one machine add their gradients in memory that they share.
        Otherwise, and across machines, it is done by messages.

    Attributes
    ----------
    rank, size : int

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, or there are more ranks than shards or no power of two.
    ImportError
        Without mpi4py.
    """

    def __init__(
        self,
        comm: Any,
        deterministic: bool = False,
        *,
        replicated: bool = False,
        shards: int = 8,
        shared_memory: bool = True,
    ) -> None:
        mpi = _mpi()
        if not isinstance(comm, mpi.Intracomm) or comm == mpi.COMM_NULL:
            raise TypeError(f"comm: expected an mpi4py.MPI.Intracomm, got {comm!r}")
        self.deterministic = check.as_flag("deterministic", deterministic)
        self.replicated = check.as_flag("replicated", replicated)
        self.shared_memory = check.as_flag("shared_memory", shared_memory)
        self.shards = check.as_count("shards", shards)
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        if self.shards & (self.shards - 1) or self.shards > _MOST_SHARDS:
            raise ValueError(
                f"shards: expected a power of two, at most {_MOST_SHARDS}, got {shards}"
            )
        if self.deterministic and (self.size & (self.size - 1) or self.size > self.shards):
            raise ValueError(
                f"deterministic: expected 1, 2, 4, ... ranks, at most as many as the {self.shards} "
                f"shards, got {self.size}"
            )
        self._comm = comm.Dup()

    def free(self) -> None:
        """Free the communicator, on all ranks together: the Reducer cannot be used again."""
        comm, self._comm = self._comm, None
        if comm is not None:
            comm.Free()

    def __repr__(self) -> str:
        return (
            f"Reducer(rank {self.rank} of {self.size}, deterministic={self.deterministic}, "
            f"replicated={self.replicated}, shards={self.shards})"
        )


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            f"fcnn.parallel needs mpi4py and an MPI: pip install 'fcnn[mpi]' ({error})"
        ) from None
    return MPI


def fit(network: Any, X: Any, y: Any, *, comm: Any, reduce: Any, **arguments: Any) -> History:
    """Do what ``network.fit(X, y, comm=, reduce=, **arguments)`` does, on all ranks together."""
    # Not with the module: of it the command takes no more than `_ranks` for one process.
    from fcnn.parallel._session import Session, Sharing

    if comm is not None and reduce is not None:
        raise ValueError("comm: expected None with reduce, which has ranks of its own")
    session = None
    try:
        # Ctrl-C meanwhile: the others, who wait for this rank's first word, hear of it.
        with uninterrupted():
            reducer = reduce if comm is None else Reducer(comm)
            if reducer._comm is None:
                raise ValueError("reduce: this Reducer has been freed; expected another")
            ranks = Ranks(reducer._comm)
            sharing = Sharing(
                reducer.deterministic, reducer.replicated,
                reducer.shards if reducer.deterministic else 0, reducer.shared_memory,
            )  # fmt: skip
            session = Session(ranks, sharing, network, arguments)
    except KeyboardInterrupt as error:
        if session is not None:
            with uninterrupted():
                session.ranks.fail(error)
                if comm is not None:
                    reducer.free()
        raise
    try:
        history: History = session.run(X, y)
    finally:
        if comm is not None:  # whatever ends it ends it on all ranks
            with uninterrupted():
                reducer.free()
    return history
