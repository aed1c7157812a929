"""Tables: read from files, prepared for a network, and the targets they hold.

`read_table` reads a file, `infer_columns` says what kind of column each is, `Preparation` makes the
inputs of a network of them, `Target` the outputs' meaning. All but `read_table` need NumPy alone.
"""

from fcnn.tables.conversion import as_table
from fcnn.tables.kinds import KINDS, ColumnKind, infer_columns
from fcnn.tables.preparation import Preparation
from fcnn.tables.reading import read_table
from fcnn.tables.table import Column, Table, TableError
from fcnn.tables.target import Target
from fcnn.tables.training import TargetReading, read_target

__all__ = [
    "KINDS",
    "Column",
    "ColumnKind",
    "Preparation",
    "Table",
    "TableError",
    "Target",
    "TargetReading",
    "as_table",
    "infer_columns",
    "read_table",
    "read_target",
]


def __dir__() -> list[str]:
    return __all__
