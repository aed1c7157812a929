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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class RankError(RuntimeError):
    """Another rank has ended the training; the message has its number and what it raised."""


@contextlib.contextmanager
def uninterrupted(files: Sequence[str] = ()) -> Iterator[list[Any]]:
    """Put off Ctrl-C: between two messages that belong together nobody may leave.

    Parameters
    ----------
    files : sequence of str
        Whose code is not to be interrupted; without any nothing is.

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
        calling = frame
        while files and calling is not None and calling.f_code.co_filename not in files:
            calling = calling.f_back
        if calling is None:
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
                    + (f"; so have ranks {', '.join(also)}" if also else "")
                )
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
        texts = [repr(value) for value in values]
        if len({*texts}) == 1:
            continue
        usual, count = Counter(texts).most_common(1)[0]
        rank = next(rank for rank, text in enumerate(texts) if text != usual)
        others = "the others have" if count == len(texts) - 1 else "most have"
        if len(texts) == 2:
            usual, others = texts[0], "rank 0 has"
            rank = 1
        elif count == 1:
            usual, rank, others = texts[0], 1, "rank 0 has"
        raise ValueError(
            f"{name}: expected the same on all {len(texts)} ranks, rank {rank} has {texts[rank]}, "
            f"{others} {usual}"
        )
