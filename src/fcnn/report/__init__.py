"""Reports: how good a model is on a table, as numbers and as one HTML file.

The file needs nothing else, network access neither. It needs matplotlib: ``pip install fcnn[cli]``.
"""

from fcnn.report.importance import Importance, permutation_importance
from fcnn.report.report import Report, write_report

__all__ = ["Importance", "Report", "permutation_importance", "write_report"]


def __dir__() -> list[str]:
    return __all__
