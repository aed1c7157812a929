"""Objects of the user's: their attributes are checked at each assignment, and others refused."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fcnn._validation import as_number, did_you_mean, listed

Check = Callable[[str, Any], Any]
Checks = dict[str, Check]


def number(**bounds: float) -> Check:
    """Return what takes a number within bounds: see `fcnn._validation.as_number`."""
    return lambda name, value: as_number(name, value, **bounds)


class Checked:
    """What optimizers, callbacks, models, ... share: an attribute is right, or refused at once.

    So a mistake shows where it is made, and not in a training that goes on as before. A class that
    a user derives may have attributes of its own.
    """

    # What becomes of a value that is assigned, by the attribute's name.
    _checks: ClassVar[Checks] = {}

    # A type checker would take any name of a class that has it.
    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            kind = type(self)
            check = kind._checks.get(name)
            if check is not None:
                value = check(name, value)
                self._refuse_together({**self.__dict__, name: value})
            elif not name.startswith("_") and kind.__module__.startswith("fcnn."):
                there = getattr(kind, name, None)
                if not callable(there) and not isinstance(there, property):
                    names = {**kind._checks, **{k: None for k in dir(kind) if _is_set(kind, k)}}
                    raise unknown(kind, name, [k for k in names if not k.startswith("_")])
            super().__setattr__(name, value)

    def _refuse_together(self, values: Mapping[str, Any]) -> None:
        """Raise ValueError where attributes contradict each other; some may not be there yet."""


def unknown(kind: type, name: str, known: list[str]) -> AttributeError:
    """Return the refusal of an attribute that would be kept and never read."""
    return AttributeError(
        f"{kind.__name__} has no attribute {name!r} to set; expected {listed(known)}"
        f"{did_you_mean(name, known)}"
    )


def _is_set(kind: type, name: str) -> bool:
    found = getattr(kind, name, None)
    return isinstance(found, property) and found.fset is not None
