"""Serve linear models: one matrix product, with the preprocessing folded into the weights.

For one row the number of NumPy calls is the cost: scaling becomes part of the weights and each
category one look-up. Rows with missing or refused values take the plain way, step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.forms.input_mask import InputMask
from shared.forms.preprocessing_plan import Numbers, Plan

Floats = NDArray[np.float64]

FOLDABLE = frozenset({"subtract", "divide", "multiply", "add", "fill", "is_missing"})


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Scores = plan(matrix) @ weights + intercept, in this order: as scikit-learn does.

    weights : (n_outputs of the plan, n_scores). intercept : (n_scores,).
    """

    admission: InputMask
    plan: Plan
    weights: Floats
    intercept: Floats

    def scores(self, matrix: Floats) -> Floats:
        """See `answers.Scorer`."""
        self.admission.check(matrix)
        found: Floats = self.plan.apply(matrix) @ self.weights + self.intercept
        return found

    def is_foldable(self) -> bool:
        return all(step.kind in FOLDABLE for group in self.plan.numbers for step in group.steps)


class Folded:
    """The same scores with the preprocessing folded into the weights."""

    def __init__(self, linear: Linear) -> None:
        self._linear = linear
        plan = linear.plan
        n_scores = linear.weights.shape[1]
        self._weights = np.zeros((plan.n_inputs, n_scores))
        self._intercept = linear.intercept.astype(np.float64).copy()
        # What a missing number adds beside the intercept; NaN where nothing stands in for it.
        self._missing = np.zeros((plan.n_inputs, n_scores))
        for group in plan.numbers:
            weights = linear.weights[group.outputs]
            slope, offset = _folded(group)
            np.add.at(self._weights, group.sources, slope[:, None] * weights)
            self._intercept += offset @ weights
            x = np.full((1, len(group.sources)), np.nan)
            for step in group.steps:
                x = step(x)
            np.add.at(self._missing, group.sources, (x[0] - offset)[:, None] * weights)
        self._missing[linear.admission.missing] = np.nan  # so that it is found out and refused
        self._rows: list[Floats] = []
        self._places: list[tuple[int, dict[float, int], Floats]] = []
        for table in plan.tables:
            rows = table.values @ linear.weights[table.outputs]
            if linear.admission.unknown[table.source]:
                rows[-2] = np.nan
            if linear.admission.missing[table.source]:
                rows[-1] = np.nan
            self._rows.append(rows)
            n_keys = len(rows) - 2
            keys = np.arange(n_keys) if table.keys is None else table.keys
            places = {float(key): i for i, key in enumerate(keys)}
            self._places.append((table.source, places, rows))
        self._singles = [
            (source, {key: float(rows[i, 0]) for key, i in places.items()}, rows[-2:, 0].tolist())
            for source, places, rows in self._places
        ]
        self._constant = float(self._intercept[0])
        self._is_single = n_scores == 1

    def scores(self, matrix: Floats) -> Floats:
        """See `answers.Scorer`."""
        if len(matrix) != 1:
            return self._many(matrix)
        if not self._is_single:
            return self._one(matrix)
        found: Floats = matrix.dot(self._weights)
        value = found.item()
        if value - value != 0.0:  # something is missing or infinite
            return self._with_gaps(matrix)
        value += self._constant
        for column, known, (unknown, _) in self._singles:
            value += known.get(matrix.item(column), unknown)
        if value - value != 0.0:
            return self._linear.scores(matrix)
        found[0, 0] = value
        return found

    def _one(self, matrix: Floats) -> Floats:
        found: Floats = matrix.dot(self._weights)
        found += self._intercept
        for column, places, rows in self._places:
            found += rows[places.get(matrix.item(column), -2)]
        return found if np.isfinite(found).all() else self._with_gaps(matrix)

    def _with_gaps(self, matrix: Floats) -> Floats:
        """One row in which something may be missing."""
        filled = matrix.copy()
        added = self._intercept.copy()
        for column, value in enumerate(matrix[0].tolist()):
            if value != value:
                filled[0, column] = 0.0
                added += self._missing[column]
        for column, places, rows in self._places:
            value = matrix.item(column)
            added += rows[-1 if value != value else places.get(value, -2)]
        found: Floats = filled.dot(self._weights) + added
        return found if np.isfinite(found).all() else self._linear.scores(matrix)

    def _many(self, matrix: Floats) -> Floats:
        found: Floats = matrix @ self._weights
        found += self._intercept
        for table, rows in zip(self._linear.plan.tables, self._rows, strict=True):
            found += rows[table.places(matrix[:, table.source])]
        is_odd = ~np.isfinite(found).all(axis=1)
        if is_odd.any():
            self._linear.admission.check(matrix)
            found[is_odd] = self._linear.scores(matrix[is_odd])
        return found


def _folded(group: Numbers) -> tuple[Floats, Floats]:
    """(slope, offset) of each column: what the steps do to a number that is there."""
    slope, offset = np.ones(len(group.sources)), np.zeros(len(group.sources))
    for step in group.steps:
        if step.kind == "subtract":
            offset = offset - step.values
        elif step.kind == "add":
            offset = offset + step.values
        elif step.kind == "multiply":
            slope, offset = slope * step.values, offset * step.values
        elif step.kind == "divide":
            slope, offset = slope / step.values, offset / step.values
        elif step.kind == "is_missing":  # no number that is there is missing
            slope, offset = slope * 0.0, offset * 0.0
    return slope, offset
