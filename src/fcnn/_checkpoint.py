"""Of the state that a checkpoint holds: whose it is, and whether it is the same."""

import warnings
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Checksums by what they are of ("X", "validation y") and how they were made ("all", "rows").
Fingerprint = dict[str, dict[str, str]]

_PIECE = 1 << 24  # bytes, of a few milliseconds: between them Ctrl-C is heard


class Loaded(NamedTuple):
    """A checkpoint that has been read, in place of its path; `path` is for messages."""

    path: str
    saved: tuple[dict[str, Any], NDArray[Any]]


def checksum(*arrays: Any) -> str:
    """Return a checksum of data, by which a checkpoint or a search knows them again.

    An array counts with its dtype and shape, a sparse matrix with its entries, None as itself.
    """
    found = 0
    for array in arrays:
        if array is None:
            found = zlib.crc32(b"None", found)  # that of (None, a) is not that of (a, None)
            continue
        parts = [np.asarray(array)] if not hasattr(array, "tocsr") else []
        if not parts:
            rows = array.tocsr()
            parts = [rows.data, rows.indices, rows.indptr]
        for part in parts:
            found = zlib.crc32(f"{part.dtype.str}{part.shape}".encode(), found)
            if part.dtype.kind == "O":
                found = zlib.crc32(repr(part.tolist()).encode(), found)
                continue
            octets = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
            for begin in range(0, len(octets), _PIECE):
                found = zlib.crc32(octets[begin : begin + _PIECE].data, found)
    return f"crc32:{found:08x}"


def fingerprint_of(data: Any, held_out: Any, jacobian: Any, whole: bool = True) -> Fingerprint:
    """Return what tells the data of a training from others; of X some rows unless `whole`.

    Parameters
    ----------
    data : fcnn._data.Arrays or fcnn._data.Batches
    held_out : fcnn._data.Arrays or None
        Of the validation.
    jacobian : fcnn._sobolev.JacobianTerm or None
    """
    # A validation may join or leave; one that stays is to be the same.
    validation = {} if held_out is None else held_out.fingerprint(whole)
    return {
        **data.fingerprint(whole),
        **{f"validation {name}": known for name, known in validation.items()},
        "jacobian_targets": {"all": "none"} if jacobian is None else jacobian.fingerprint(),
    }


def shared_fingerprint(of_ranks: Sequence[Fingerprint]) -> Fingerprint:
    """Return what tells the data of all ranks from others: theirs, where all have the same."""
    first, count = of_ranks[0], len(of_ranks)
    if all(one == first for one in of_ranks):
        return first
    names = dict.fromkeys(name for one in of_ranks for name in one)
    return {
        name: {f"all of {count} ranks": checksum(repr([one.get(name) for one in of_ranks]))}
        for name in names
    }


def refuse_other_data(path: Any, saved: Any, mine: Fingerprint) -> None:
    """Refuse a checkpoint of a training on other data; what only one side knows says nothing."""
    if saved is None:  # of earlier files
        warnings.warn(
            f"resume: {path} does not say which data it is of: an earlier fcnn wrote it; only "
            "their number is compared",
            UserWarning, stacklevel=5,
        )  # fmt: skip
        return
    differing = [
        name for name, known in mine.items()
        if any(saved.get(name, {}).get(how, text) != text for how, text in known.items())
    ]  # fmt: skip
    if differing:
        raise ValueError(
            f"resume: {path} is of a training with other data: {', '.join(differing)}; "
            "fcnn.load(path) gives its network, to train with these"
        )


def equal(state: Any, other: Any) -> bool:
    if not isinstance(state, dict) or not isinstance(other, dict):
        return bool(np.array_equal(state, other))  # of some generators it has arrays
    return state.keys() == other.keys() and all(equal(state[key], other[key]) for key in state)


def samples_text(count: int | None) -> str:
    return "batches of an iterable" if count is None else f"{count} samples"


def states_of(name: str, objects: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the states of those that have one, with the names of their classes."""
    states = []
    for i, one in enumerate(objects):
        if hasattr(one, "state_dict"):
            state = one.state_dict()
            if not isinstance(state, dict):
                raise TypeError(f"{name}[{i}]: expected a dict from state_dict(), got {state!r}")
            if state:
                states.append({"kind": type(one).__name__, "state": state})
    return states


def matched(
    name: str, states: list[dict[str, Any]], objects: Sequence[Any]
) -> list[tuple[Any, dict[str, Any]]]:
    """Return who goes on from which state: the first of its class that is left."""
    left = [one for one in objects if hasattr(one, "load_state_dict")]
    pairs = []
    for state in states:
        found = next((one for one in left if type(one).__name__ == state["kind"]), None)
        if found is None:
            given = ", ".join(type(one).__name__ for one in objects) or "none"
            raise ValueError(
                f"{name}: expected the {state['kind']} whose state is in the checkpoint, got "
                f"{given}"
            )
        left.remove(found)
        pairs.append((found, state["state"]))
    return pairs
