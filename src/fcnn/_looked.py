"""A dict that knows which of its names were looked at."""

from collections.abc import Iterator, Mapping
from typing import Any


class Looked(dict[str, Any]):
    """A configuration that a user's function is given: which names it looks at is noted."""

    def __init__(self, configuration: Mapping[str, Any], names: set[str]) -> None:
        super().__init__(configuration)
        self._names = names

    def __getitem__(self, name: str) -> Any:
        self._names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return what a dict does."""
        self._names.add(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Return what a dict does."""
        self._names.add(name)
        return super().pop(name, *default)

    def __contains__(self, name: object) -> bool:
        self._names.add(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:  # which ** asks for the names
        return super().__iter__()

    def items(self) -> Any:
        """Return what a dict does."""
        self._names.update(super().keys())
        return super().items()

    def values(self) -> Any:
        """Return what a dict does."""
        self._names.update(super().keys())
        return super().values()

    def copy(self) -> dict[str, Any]:
        """Return what a dict does."""
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()
