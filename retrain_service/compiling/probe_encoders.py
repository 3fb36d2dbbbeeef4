"""Probe a fitted encoder: find its output for each category by calling it. Training process only.

So its rules for unknown and missing values are its own. Imports no scikit-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain_service.compiling.columns import Column, Columns, NotLowered, Values


def probe(step: Any, columns: Columns, n_outputs: Sequence[int]) -> Columns:
    """Ask the encoder what becomes of each value; it treats columns one by one.

    Args:
        n_outputs: how many columns it makes of each.

    Raises:
        NotLowered: a column was computed before it is encoded, or the encoder takes none of its
            values.
    """
    categories = getattr(step, "categories_", [()] * len(columns))
    numbers = [
        trace_categories(column, known) for column, known in zip(columns, categories, strict=True)
    ]
    found: Columns = []
    first = 0
    for sink, (column, n_own) in enumerate(zip(numbers, n_outputs, strict=True)):
        is_numeric = all(each.is_numeric() for each in numbers)
        rows = np.empty(
            (len(column.values), len(numbers)), dtype=np.float64 if is_numeric else object
        )
        for j, other in enumerate(numbers):
            rows[:, j] = other.values[0]
        rows[:, sink] = column.values
        became = _transformed(step, rows)
        for output in range(first, first + n_own):
            values = tuple(_value(row[output]) for row in became)
            found.append(replace(column, values=values))
        first += n_own
    return found


def trace_categories(column: Column, categories: Any) -> Values:
    """A number that an encoder takes has as many values as the encoder knows, and one more.

    Raises:
        NotLowered: it was computed: its values are not the encoder's categories.
    """
    if isinstance(column, Values):
        return column
    known = tuple(float(each) for each in categories if each == each)
    if any(kind != "fill" for kind, _ in column.steps) or not known:
        raise NotLowered("an encoder of numbers that were computed is not lowered")
    missing = column.steps[0][1] if column.steps else float("nan")
    return Values(column.source, known, (*known, max(known) + 1.5, missing))


def _transformed(step: Any, rows: NDArray[Any]) -> list[Any]:
    """(n_rows,) of rows; for those that the step refuses, zeros that nobody will ever get."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(_dense(step.transform(rows)))
        except Exception:  # noqa: BLE001 - see the docstring; admission is observed elsewhere
            good: list[Any] = []
            for row in rows:
                try:
                    good.append(_dense(step.transform(row[None]))[0])
                except Exception:  # noqa: BLE001
                    good.append(None)
    width = next((len(row) for row in good if row is not None), None)
    if width is None:
        raise NotLowered(f"{type(step).__name__} takes none of the values")
    return [np.zeros(width) if row is None else row for row in good]


def _dense(found: Any) -> NDArray[Any]:
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def _value(found: Any) -> Any:
    is_number = isinstance(found, (float, int, np.number)) and not isinstance(found, bool)
    return float(found) if is_number else found
