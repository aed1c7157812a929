"""What the ranks of a training tell each other, and how none waits for one that has failed.

All that is said in Python goes through `Ranks.agree`, to which every rank brings a value or the
error that ended it: whoever fails goes there next, whatever it was doing, and the others, who are
on their way there, raise `RankError`. Within the steps of an epoch the gradients themselves carry
the wish to end (`core/exchange.pxi`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class RankError(RuntimeError):
    """Another rank has ended the training; the message has its number and what it raised.

    Attributes
    ----------
    rank : int or None
        Its number, if it is known.
    raised : str
        What it raised: "ValueError: ...".
    """

    def __init__(self, message: str, rank: int | None = None, raised: str = "") -> None:
        super().__init__(message)
        self.rank, self.raised = rank, raised


@contextlib.contextmanager
def uninterrupted() -> Iterator[list[Any]]:
    """Put off Ctrl-C: between two messages that belong together nobody may leave.

    Yields
    ------
    list
        What has been heard, if anything. It is raised at the end.
    """
    heard: list[Any] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield heard
        return

    def hear(number: int, frame: Any) -> None:
        if frame is not None and frame.f_code is interruptible.__code__ and (
            "is_inside" in frame.f_locals
        ):  # fmt: skip
            before(number, frame)
        else:
            heard.append((number, frame))

    signal.signal(signal.SIGINT, hear)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            before(*heard[0])


def interruptible(call: Callable[[], T]) -> T:
    """Make a call of the core that Ctrl-C ends within `uninterrupted`: it tells the others itself.

    What it calls back is not interrupted, nor is what is before the call.
    """
    is_inside = True  # noqa: F841  # for the handler, which may be called before this line
    return call()


class Ranks:
    """The ranks of one training.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        For its messages alone.

    Attributes
    ----------
    rank, size : int
        As the communicator has them.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.has_ended = False  # by an error that all know of

    def agree(self, value: Any = None) -> list[Any]:
        """Return what each rank brings.

        Raises
        ------
        RankError
            If a rank brings an error.
        """
        return self._exchange((None, value))

    def fail(self, error: BaseException) -> None:
        """Tell the others why this rank has ended."""
        if self.has_ended:
            return
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        try:
            self._exchange((text, None))
        except RankError:
            return
        except Exception:  # of the MPI: nothing can be told
            traceback.print_exc()
            self.comm.Abort(1)

    def _exchange(self, mine: tuple[str | None, Any]) -> list[Any]:
        with uninterrupted():
            answers = self.comm.allgather(mine) if self.size > 1 else [mine]
            failed = {rank: text for rank, (text, _) in enumerate(answers) if text is not None}
            if failed:
                self.has_ended = True
                rank, text = next(iter(failed.items()))
                also = [str(other) for other in failed if other != rank]
                raise RankError(
                    f"rank {rank} of {self.size} has ended the training ({text})"
                    + (f"; so have ranks {', '.join(also)}" if also else ""),
                    rank, text,
                )  # fmt: skip
        return [value for _, value in answers]

    def from_first(self, value: Any) -> Any:
        """Return what rank 0 brings; the others' is not looked at."""
        return self.agree(value if self.rank == 0 else None)[0]


def refuse_differences(described: list[Mapping[str, Any]]) -> None:
    """Raise ValueError if the ranks do not bring the same, with the name and the odd rank.

    Parameters
    ----------
    described : list of dict
        Of each rank, by the names of arguments.
    """
    for name in described[0]:
        values = [one.get(name) for one in described]
        # Not their texts: equal dicts may have another order, and 1 is 1.0.
        like = [sum(other == value for other in values) for value in values]
        count = max(like)
        if count == len(values):
            continue
        usual = values[like.index(count)]
        others = "the others have" if count == len(values) - 1 else "most have"
        if len(values) == 2 or count == 1:
            usual, others = values[0], "rank 0 has"
        rank = next(rank for rank, value in enumerate(values) if value != usual)
        raise ValueError(
            f"{name}: expected the same on all {len(values)} ranks, rank {rank} has "
            f"{values[rank]!r}, {others} {usual!r}"
        )
