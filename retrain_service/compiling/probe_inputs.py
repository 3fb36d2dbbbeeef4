"""Probe which inputs an estimator refuses, column by column. Training process only."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.forms.input_mask import InputMask
from shared.forms.preprocessing_plan import Plan
from shared.workloads.rows import UNKNOWN_CATEGORY

Floats = NDArray[np.float64]
Ask = Callable[[Floats], NDArray[Any]]

_ALL_OBSERVED = 40
_OF_EACH_KIND = 3


class NotObservable(Exception):
    """The estimator answers no row that could be changed."""


def refuses(ask: Ask, rows: Floats) -> bool:
    """Whether scikit-learn raises ValueError for these rows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            ask(rows)
        except (ValueError, TypeError):
            return True
    return False


def observe(ask: Ask, rows: Floats, coded: Sequence[int], plan: Plan) -> InputMask:
    """Put a missing, an infinite and an unknown value into each column of a row that is taken.

    rows : (n_rows, n_columns) real rows. coded : columns of category codes.

    Raises:
        NotObservable: no row of the first ten is taken.
    """
    base = next((row for row in rows[:10] if not refuses(ask, row[None])), None)
    if base is None:
        raise NotObservable("the estimator takes none of the first rows")
    n_columns = rows.shape[1]
    is_coded = np.zeros(n_columns, dtype=np.bool_)
    is_coded[list(coded)] = True
    missing, infinite, unknown = (np.zeros(n_columns, dtype=np.bool_) for _ in range(3))
    seen: dict[tuple[Any, ...], list[tuple[bool, bool, bool]]] = {}
    for column, treatment in enumerate(_treatments(plan, is_coded)):
        known = seen.setdefault(treatment, [])
        if n_columns > _ALL_OBSERVED and len(known) >= _OF_EACH_KIND and len(set(known)) == 1:
            found = known[0]
        else:
            found = (
                refuses(ask, _with(base, column, np.nan)),
                not is_coded[column] and refuses(ask, _with(base, column, np.inf)),
                bool(is_coded[column]) and refuses(ask, _with(base, column, UNKNOWN_CATEGORY)),
            )
            known.append(found)
        missing[column], infinite[column], unknown[column] = found
    return InputMask(missing, infinite, unknown, is_coded)


def _with(base: Floats, column: int, value: float) -> Floats:
    row = base.copy()[None]
    row[0, column] = value
    return row


def _treatments(plan: Plan, is_coded: NDArray[np.bool_]) -> list[tuple[Any, ...]]:
    """What is done to each column; columns that are treated alike are refused alike."""
    found: list[set[Any]] = [{("coded", bool(each))} for each in is_coded]
    for group in plan.numbers:
        for source in group.sources.tolist():
            found[source].add(tuple(step.kind for step in group.steps))
    for i, table in enumerate(plan.tables):
        found[table.source].add(i)  # an encoder's rules may differ from column to column
    return [tuple(sorted(map(str, each))) for each in found]
