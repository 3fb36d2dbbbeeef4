"""Symbolic columns, from which a preprocessing plan is made. Training process only.

A column is a number with the operations so far, or all values that a category can have with what
became of them. Knows no transformer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shared.forms.preprocessing_plan import Numbers, Plan, Step, Table
from shared.workloads.rows import RowContract

UNKNOWN_TEXT = "\ufffdunknown"
"""Stands for a category that was never seen while an encoder is observed."""


class NotLowered(Exception):
    """A step has no plan; the sentence says which and why."""


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers, and what is done to it."""

    source: int
    steps: tuple[tuple[str, float], ...] = ()

    def then(self, kind: str, value: float = 0.0) -> Number:
        return replace(self, steps=(*self.steps, (kind, float(value))))


@dataclass(frozen=True, slots=True)
class Values:
    """A column with so few values that each is followed: keys, then unknown, then missing.

    keys : None for category codes. values : what each has become so far; floats or texts.
    """

    source: int
    keys: tuple[float, ...] | None
    values: tuple[Any, ...]

    def is_numeric(self) -> bool:
        return all(isinstance(value, float) for value in self.values)


Column = Number | Values
Columns = list[Column]


def input_columns(contract: RowContract | None, n_columns: int, *, is_decoded: bool) -> Columns:
    """is_decoded : the estimator gets texts where the contract has codes."""
    if contract is None or not is_decoded:
        return [Number(source) for source in range(n_columns)]
    found: Columns = []
    for source, spec in enumerate(contract.features):
        known = contract.codes.get(spec.name)
        if known is None:
            found.append(Number(source))
        else:
            texts = sorted(known, key=lambda text, known=known: known[text])  # type: ignore[misc]
            found.append(Values(source, None, (*texts, UNKNOWN_TEXT, math.nan)))
    return found


def as_plan(columns: Columns, n_inputs: int) -> Plan:
    """Columns that are numbers by now -> a plan.

    Raises:
        NotLowered: a category reached the estimator as a text.
    """
    groups: dict[tuple[str, ...], list[tuple[int, Number]]] = {}
    sources: dict[tuple[int, tuple[float, ...] | None], list[tuple[int, Values]]] = {}
    for output, column in enumerate(columns):
        if isinstance(column, Number):
            kinds = tuple(kind for kind, _ in column.steps)
            groups.setdefault(kinds, []).append((output, column))
        elif column.is_numeric():
            sources.setdefault((column.source, column.keys), []).append((output, column))
        else:
            raise NotLowered(f"column {column.source} reaches the estimator as texts")
    numbers = tuple(
        Numbers(
            np.array([column.source for _, column in members], dtype=np.intp),
            np.array([output for output, _ in members], dtype=np.intp),
            tuple(
                Step(kind, np.array([column.steps[i][1] for _, column in members]))
                for i, kind in enumerate(kinds)
            ),
        )
        for kinds, members in groups.items()
    )
    tables = tuple(
        Table(
            source,
            np.array([output for output, _ in members], dtype=np.intp),
            None if keys is None else np.array(keys),
            np.array([column.values for _, column in members], dtype=np.float64).T.copy(),
        )
        for (source, keys), members in sources.items()
    )
    is_identity = (
        not tables
        and len(columns) == n_inputs
        and all(column == Number(i) for i, column in enumerate(columns))
    )
    return Plan(n_inputs, len(columns), numbers, tables, is_identity)
