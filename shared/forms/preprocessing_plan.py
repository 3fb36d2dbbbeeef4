"""Apply a preprocessing plan: columns of a request -> one float array, in NumPy.

Each column of the output depends on one column of the input: by the same operations in the same
order as scikit-learn's, so that results are equal to the last bit, or by a table over all values
that a category can have. Knows no scikit-learn; see `lowering` for where plans come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in ("log", "log1p", "log2", "log10", "exp", "expm1", "sqrt", "square", "absolute")
}
"""Functions of one number that a plan may name."""


def _fill(x: Floats, values: Floats) -> Floats:
    return np.where(np.isnan(x), values, x)


def _is_missing(x: Floats, _: Floats) -> Floats:
    return np.isnan(x).astype(np.float64)


_STEPS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "subtract": np.subtract,
    "divide": np.divide,
    "multiply": np.multiply,
    "add": np.add,
    "at_least": np.maximum,
    "at_most": np.minimum,
    "fill": _fill,
    "is_missing": _is_missing,
}


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation on several columns at once.

    kind : of _STEPS, or the name of one of FUNCTIONS. values : (n_columns,); empty where none.
    """

    kind: str
    values: Floats

    def __call__(self, x: Floats) -> Floats:
        found = _STEPS.get(self.kind)
        if found is not None:
            return found(x, self.values)
        with np.errstate(all="ignore"):
            result: Floats = FUNCTIONS[self.kind](x)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Columns that go through the same steps. sources, outputs : (n_columns,)."""

    sources: Places
    outputs: Places
    steps: tuple[Step, ...]

    def apply(self, matrix: Floats) -> Floats:
        """(n_rows, n_columns)"""
        x = matrix.take(self.sources, axis=1)
        for step in self.steps:
            x = step(x)
        return x


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What one column of the input becomes, value by value.

    keys : (n_keys,) growing; None: the codes 0, 1, … of a category.
    values : (n_keys + 2, n_outputs); the last two rows are for an unknown and a missing value.
    """

    source: int
    outputs: Places
    keys: Floats | None
    values: Floats

    def rows(self, column: Floats) -> Floats:
        """(n_rows,) -> (n_rows, n_outputs)"""
        return self.values[self.places(column)]

    def places(self, column: Floats) -> Places:
        """Which row of `values` each value of the column has."""
        n_keys = self.values.shape[0] - 2
        if self.keys is None:
            is_known = (column >= 0) & (column < n_keys)
            place = np.where(is_known, column, n_keys).astype(np.intp)
        else:
            found = np.searchsorted(self.keys, column)
            place = np.minimum(found, max(n_keys - 1, 0)).astype(np.intp)
            is_known = self.keys[place] == column if n_keys else np.zeros(column.shape, np.bool_)
            place = np.where(is_known, place, n_keys)
        place[np.isnan(column)] = n_keys + 1
        return place


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Output column j is made by exactly one of `numbers` and `tables`."""

    n_inputs: int
    n_outputs: int
    numbers: tuple[Numbers, ...] = ()
    tables: tuple[Table, ...] = ()
    is_identity: bool = field(default=False)

    def apply(self, matrix: Floats) -> Floats:
        """(n_rows, n_inputs) float64 -> (n_rows, n_outputs) float64, C order; may be the input."""
        if self.is_identity:
            return np.ascontiguousarray(matrix)
        out = np.empty((matrix.shape[0], self.n_outputs))
        for numbers in self.numbers:
            out[:, numbers.outputs] = numbers.apply(matrix)
        for table in self.tables:
            out[:, table.outputs] = table.rows(matrix[:, table.source])
        return out

    def source_of(self, output: int) -> int:
        """Which column of the input an output column is made from."""
        for numbers in self.numbers:
            for source, place in zip(numbers.sources, numbers.outputs, strict=True):
                if place == output:
                    return int(source)
        for table in self.tables:
            if output in table.outputs:
                return table.source
        return output
