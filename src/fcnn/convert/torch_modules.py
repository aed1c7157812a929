"""What stands around the layers of a Model in PyTorch; imported with PyTorch, when it is needed.

At the top level of a module, so that `torch.save` and pickle find the classes again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from fcnn.convert.steps import OTHER_WRITERS, refuse
from fcnn.tables import Preparation
from fcnn.tables.columns import BooleanColumn, IgnoredColumn, NumberColumn


class Columns(nn.Module):  # type: ignore[misc]
    """Columns of numbers and booleans to the inputs of a network.

    Computed in float64. NaN is a missing cell; where none is filled in, it stays NaN, and what is
    not finite becomes NaN: then all of the row's answers are.

    Parameters
    ----------
    preparation : fcnn.tables.Preparation
    dtype : torch.dtype
        The network's.
    """

    def __init__(self, preparation: Preparation, dtype: Any) -> None:
        super().__init__()
        used, flagged, place = [], [], []
        is_boolean = [isinstance(column, BooleanColumn) for column in preparation.columns]
        for j, column in enumerate(preparation.columns):
            if isinstance(column, IgnoredColumn):
                continue
            if not isinstance(column, (NumberColumn, BooleanColumn)):
                name = f"column {column.name!r}" if column.name else f"column {j + 1}"
                refuse(
                    name,
                    f"to_torch takes numbers and booleans alone, this is {column.kind}"
                    f"{OTHER_WRITERS}",
                )
            used.append(j)
            place.append(preparation.starts[j])
            if column.flag:
                flagged.append(j)
        place += [preparation.starts[j] + 1 for j in flagged]
        fills = [getattr(column, "fill", None) for column in preparation.columns]
        bounds = {
            key: [
                none if (bound := getattr(column, key, None)) is None else bound
                for column in preparation.columns
            ]
            for key, none in (("low", -np.inf), ("high", np.inf))
        }
        self.dtype = dtype
        self.width = len(preparation.columns)
        for name, numbers in (
            ("fill", [np.nan if fill is None else fill for fill in fills]),
            ("low", bounds["low"]), ("high", bounds["high"]),
            ("mean", preparation.mean), ("scale", preparation.scale),
        ):  # fmt: skip
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64))
        self.register_buffer("is_boolean", torch.tensor(is_boolean))
        for name, indices in (
            ("used", used), ("flagged", flagged), ("order", np.argsort(place).tolist()),
        ):  # fmt: skip
            self.register_buffer(name, torch.tensor(indices, dtype=torch.int64))

    def forward(self, x: Any) -> Any:
        """Return the inputs, shape (s, n_0), of raw columns, shape (s, columns)."""
        if x.ndim != 2 or x.shape[1] != self.width:
            raise ValueError(f"x: expected shape (s, {self.width}), got {tuple(x.shape)}")
        x = x.to(torch.float64)
        missing = torch.isnan(x)
        x = torch.where(missing, self.fill, x)
        x = torch.where((x < self.low) & torch.isfinite(x), self.low, x)
        x = torch.where((x > self.high) & torch.isfinite(x), self.high, x)
        x = torch.where(self.is_boolean & (x != 0) & (x != 1), torch.nan, x)
        flags = missing[:, self.flagged].to(torch.float64)
        x = torch.cat([x[:, self.used], flags], dim=1)[:, self.order]
        x = ((x - self.mean) / self.scale).to(self.dtype)
        return torch.where(torch.isfinite(x), x, torch.nan)


class OwnUnits(nn.Module):  # type: ignore[misc]
    """Outputs of a network to numbers in their own units, float64.

    Parameters
    ----------
    mean, scale : numpy.ndarray of float64, shape (n_L,)
    """

    def __init__(self, mean: Any, scale: Any) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    def forward(self, a: Any) -> Any:
        """Return a * scale + mean, shape (s, n_L)."""
        return a.to(torch.float64) * self.scale + self.mean


class BothClasses(nn.Module):  # type: ignore[misc]
    """The probability of one of two classes to those of both."""

    def forward(self, a: Any) -> Any:
        """Return 1 - a and a, shape (s, 2), of a (s, 1)."""
        return torch.cat([1 - a, a], dim=1)
