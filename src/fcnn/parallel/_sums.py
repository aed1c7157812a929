"""Sums over ranks: who adds the gradients of a step."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn._dispatch import core
from fcnn.parallel._ranks import RankError

Array = NDArray[Any]


class Sum:
    """What adds the vectors of all ranks, here of one rank alone.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    network : Network
    optimizer : Optimizer
    in_panels : bool
        How the gradient stands: see ``core/exchange.pxi``.

    Attributes
    ----------
    vector : numpy.ndarray
        Replaced by the sum.
    sums : int
        How many there were.
    weights : numpy.ndarray or None
        Memory for the weights of all ranks together.
    """

    weights: Array | None = None

    def __init__(self, comm: Any, network: Any, optimizer: Any, in_panels: bool) -> None:
        self._comm = comm
        self.heard: list[Any] = []  # of Ctrl-C
        self.sums = 0
        self.is_broken = False  # set where a sum has failed: nobody can go on
        self.vector: Array = core.exchange_vector(network, in_panels)
        self._first, self._end = len(self.vector), 0

    def start(self, first: int, end: int) -> None:
        """Take note that some entries are whole."""
        self._first, self._end = min(first, self._first), max(end, self._end)

    def finish(self) -> bool:
        """Replace what is whole by its sum over the ranks; return whether this one is to end."""
        first, end = self._first, self._end
        self._first, self._end = len(self.vector), 0
        self.sums += 1
        self._add(first, end)
        return bool(self.heard)

    def _add(self, first: int, end: int) -> None:
        pass

    def free(self) -> None:
        """Give back what all ranks have together."""


class SystemSum(Sum):
    """By the MPI's own all-reduce, begun for each part of the vector and waited for at the end."""

    def __init__(self, comm: Any, network: Any, optimizer: Any, in_panels: bool) -> None:
        super().__init__(comm, network, optimizer, in_panels)
        from mpi4py import MPI

        self._in_place, self._plus, self._wait = MPI.IN_PLACE, MPI.SUM, MPI.Request.Waitall
        self._requests: list[Any] = []

    def start(self, first: int, end: int) -> None:
        """Begin the sum of some entries, which are whole."""
        part = self.vector[first:end]
        self._requests.append(self._comm.Iallreduce(self._in_place, part, self._plus))

    def finish(self) -> bool:
        """Wait for all of it."""
        self.sums += 1
        self._wait(self._requests)
        self._requests = []
        return bool(self.heard)


class TreeSum(Sum):
    """By messages in a fixed tree, of 2^k ranks: 0 + 1, 2 + 3, then these two, and so on.

    In each round two ranks halve what they have, and each adds one half: so every entry is added in
    one place, in the tree's order, and the halves come back by the same way. R. Rabenseifner:
    Optimization of collective reduction operations, ICCS 2004.
    """

    def __init__(self, comm: Any, network: Any, optimizer: Any, in_panels: bool) -> None:
        super().__init__(comm, network, optimizer, in_panels)
        self._other = np.empty(len(self.vector) // 2 + 1, self.vector.dtype)

    def _add(self, first: int, end: int) -> None:
        rank, way, distance = self._comm.Get_rank(), [], 1
        while distance < self._comm.Get_size():
            partner = rank ^ distance
            middle = (first + end) // 2
            mine, theirs = slice(first, middle), slice(middle, end)
            if rank & distance:
                mine, theirs = theirs, mine
            sums = self.vector[mine]
            other = self._other[: len(sums)]
            self._swap(self.vector[theirs], other, partner)
            np.add(sums, other, out=sums)
            way.append((partner, mine, theirs))
            first, end = mine.start, mine.stop
            distance *= 2
        for partner, mine, theirs in reversed(way):
            self._swap(self.vector[mine], self.vector[theirs], partner)

    def _swap(self, sent: Array, received: Array, partner: int) -> None:
        self._comm.Sendrecv(sent, partner, 0, received, partner, 0)


# Any: to NumPy's stubs MPI's buffers are none.
def _shared_window(comm: Any, count: int) -> Any:
    from mpi4py import MPI

    return MPI.Win.Allocate_shared(count, 1, comm=comm)


class SharedSum(Sum):
    """By memory that all ranks share, where they are on one machine: ``core/shared_sum.pxi``.

    The gradient is written where the others read it. In panels the weights are there, too.
    """

    def __init__(self, comm: Any, network: Any, optimizer: Any, in_panels: bool) -> None:
        super().__init__(comm, network, optimizer, in_panels)
        self.rank, size = comm.Get_rank(), comm.Get_size()
        count, dtype = len(self.vector), self.vector.dtype
        needed = _PAGE + (count + _SLACK) * dtype.itemsize
        self._window = _shared_window(comm, needed // _PAGE * _PAGE + _PAGE)
        parts = [_lines_of(self._window, k) for k in range(size)]
        vectors = [part[: count * dtype.itemsize].view(dtype) for part in parts]
        self.vector = vectors[self.rank]
        self.vector[:] = 0
        self.addresses = np.array([vector.ctypes.data for vector in vectors], np.int64)
        head = _LINE * (size + 1)
        shared = core.weights_bytes(network, optimizer) if in_panels else 0
        self._head = _shared_window(comm, _LINE + head + shared if self.rank == 0 else 0)
        lines = _lines_of(self._head, 0)
        self._counters = lines[: _LINE * size].view(np.int64)
        self.outcome = lines[_LINE * size : _LINE * size + 8].view(np.int64)
        if in_panels:
            self.weights = lines[head : head + shared]
        if self.rank == 0:
            self._counters[:] = 0
        self._meetings = 0
        self._processes = comm.allgather(os.getpid())  # and all have cleared theirs

    def finish(self) -> bool:
        """Wait for the gradients of all ranks, and add them where the core does not."""
        if self.weights is None:
            return super().finish()
        self.sums += 1
        self.updated()
        return bool(self.heard)

    def updated(self) -> None:
        """Wait until all ranks have come as far."""
        self._meetings += 1
        core.meet_shared(self._counters, self.rank, self._meetings, self._look)

    def _add(self, first: int, end: int) -> None:
        core.sum_shared(
            self.vector, self.addresses, self._counters, self.rank, first, end, self._meetings,
            self._look,
        )  # fmt: skip
        self._meetings += 3

    def _look(self) -> None:
        """Raise RankError if a rank is waited for that is no more."""
        for rank, process in enumerate(self._processes):
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                raise RankError(f"rank {rank}, process {process}, is no more") from None
            except PermissionError:
                pass

    def free(self) -> None:
        """Give back what all ranks have together."""
        self._window.Free()
        self._head.Free()


_PAGE, _LINE, _SLACK = 4096, 64, 256


def _lines_of(window: Any, rank: int) -> NDArray[np.uint8]:
    """Return what a rank brings to a window, from its first cache line on."""
    memory = np.frombuffer(window.Shared_query(rank)[0], np.uint8)
    return memory[-memory.ctypes.data % _LINE :]


def best_sum(comm: Any, deterministic: bool, shared_memory: bool) -> type[Sum]:
    """Return what adds the vectors of the ranks of a communicator."""
    if comm.Get_size() == 1:
        return Sum
    if shared_memory:
        from mpi4py import MPI

        beside = comm.Split_type(MPI.COMM_TYPE_SHARED)
        together = comm.allreduce(beside.Get_size(), MPI.MIN) == comm.Get_size()
        beside.Free()
        if together:
            return SharedSum
    return TreeSum if deterministic else SystemSum
