"""Refuse the same rows that the scikit-learn estimator would refuse, by a mask for each column.

Made from observation at publish, see `observing`. Knows no estimator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.workloads.rows import UNKNOWN_CATEGORY, RowRefused

Mask = NDArray[np.bool_]

A_NUMBER = "a finite number"
A_CATEGORY = "a category that was seen in training"
A_TEXT = "a text, not null"


@dataclass(frozen=True, slots=True, eq=False)
class InputMask:
    """(n_columns,) masks: what is refused in each column of a request's matrix.

    coded : columns of category codes; they hold codes, -1 and NaN and are never infinite.
    """

    missing: Mask
    infinite: Mask
    unknown: Mask
    coded: Mask

    def check(self, matrix: NDArray[np.float64]) -> None:
        """Any matrix of the right width.

        Raises:
            RowRefused: the first value, by row, that is not taken.
        """
        is_wrong = self.refused(matrix)
        if is_wrong.any():
            row, column = np.argwhere(is_wrong)[0].tolist()
            raise RowRefused(row, column, self.expected(column, matrix[row, column]))

    def refused(self, matrix: NDArray[np.float64]) -> Mask:
        """(n_rows, n_columns): which values are not taken."""
        found: Mask = (np.isnan(matrix) & self.missing) | (np.isinf(matrix) & self.infinite)
        found |= (matrix == UNKNOWN_CATEGORY) & self.unknown
        return found

    def expected(self, column: int, found: float) -> str:
        """What is taken there, as a phrase."""
        if not self.coded[column]:
            return A_NUMBER
        return A_TEXT if found != found else A_CATEGORY
