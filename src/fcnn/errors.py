"""Exceptions of fcnn."""


class DivergenceError(ArithmeticError):
    """Training produced a loss, a gradient or a weight that is not finite."""
