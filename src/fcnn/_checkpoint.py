"""Of the state that a checkpoint holds: whose it is, and whether it is the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np


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
            raise ValueError(
                f"{name}: expected the {state['kind']} whose state is in the checkpoint, got "
                f"{list(objects)}"
            )
        left.remove(found)
        pairs.append((found, state["state"]))
    return pairs
