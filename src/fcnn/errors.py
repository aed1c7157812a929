"""Exceptions of fcnn."""

__all__ = ["DivergenceError"]


def __dir__() -> list[str]:
    return __all__


class DivergenceError(ArithmeticError):
    """Training produced a loss, a gradient or a weight that is not finite."""
