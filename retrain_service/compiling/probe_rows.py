"""Make probe rows: inputs on which a form that is not equal would differ. Training process only.

Real rows; values exactly at and one step beside split thresholds, in double and in single
precision; every category, unknown ones; missing and infinite values; values far outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.forms.input_mask import InputMask
from shared.forms.preprocessing_plan import Numbers, Plan
from shared.workloads.rows import UNKNOWN_CATEGORY

Floats = NDArray[np.float64]

MAX_REAL, MAX_THRESHOLDS = 500, 250
_MAX_CODES, _N_GAPS, _MAX_WIDE = 40, 60, 60
_GAP_SHARE = 0.3
_TINY, _HUGE = 1e-30, 1e19


@dataclass(frozen=True, slots=True)
class ProbeRows:
    """rows : (n_rows, n_columns). kind : (n_rows,) of real, threshold, category, missing, far, and
    extreme: with a number of a size that no real row has, and that hardly any client sends."""

    rows: Floats
    kind: NDArray[np.str_]


def make_probe_rows(
    real: Floats,
    plan: Plan,
    admission: InputMask,
    thresholds: Sequence[tuple[int, float]],
    n_codes: dict[int, int],
    seed: int,
) -> ProbeRows:
    """The same arguments, the same rows.

    real : (n_rows, n_columns), at least one row.
    thresholds : (column of the plan's output, value). n_codes : of each column of codes.
    """
    rng = np.random.default_rng(seed)
    parts: list[tuple[str, list[Floats]]] = [("real", list(real[:MAX_REAL]))]

    def changed(column: int, value: float) -> Floats:
        row: Floats = real[rng.integers(len(real))].copy()
        row[column] = value
        return row

    chosen = rng.permutation(len(thresholds))[:MAX_THRESHOLDS].tolist()
    by_output = _groups_by_output(plan)
    parts.append(
        (
            "threshold",
            [
                changed(source, value)
                for i in chosen
                for source, value in _beside(thresholds[i], plan, by_output)
            ],
        )
    )
    n_columns = real.shape[1]
    columns = list(range(n_columns))
    if n_columns > _MAX_WIDE:
        columns = sorted(rng.permutation(n_columns)[:_MAX_WIDE].tolist())
    for column in columns:
        if admission.coded[column]:
            codes = range(min(n_codes.get(column, 0), _MAX_CODES))
            found = [changed(column, float(code)) for code in codes]
            parts.append(("category", [*found, changed(column, UNKNOWN_CATEGORY)]))
        else:
            parts.append(("far", [changed(column, each) for each in _far(real[:, column])]))
            parts.append(("missing", [changed(column, np.inf), changed(column, -np.inf)]))
        parts.append(("missing", [changed(column, np.nan)]))
    may_be_missing = np.flatnonzero(~admission.missing)
    for _ in range(_N_GAPS if may_be_missing.size else 0):
        row = real[rng.integers(len(real))].copy()
        row[may_be_missing[rng.random(may_be_missing.size) < _GAP_SHARE]] = np.nan
        parts.append(("missing", [row]))
    rows = [row for _, found in parts for row in found]
    kinds = [kind for kind, found in parts for _ in found]
    made = np.array(rows)
    is_extreme = (_is_extreme(made) & ~_is_extreme(real).any(axis=0)).any(axis=1)
    return ProbeRows(made, np.where(is_extreme, "extreme", np.array(kinds, dtype=np.str_)))


def _is_extreme(rows: Floats) -> NDArray[np.bool_]:
    size = np.abs(rows)
    return np.asarray(((size < _TINY) & (size > 0)) | ((size > _HUGE) & (size < np.inf)))


def _far(column: Floats) -> list[float]:
    known = column[np.isfinite(column)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    span = max(high - low, 1e-3)
    # Halves between whole numbers are unknown to an encoder that took numbers for categories.
    return [low, high, low - 10 * span, high + 10 * span, 0.0, -0.0, low + 0.5, 1e-310, 1e20]


def _groups_by_output(plan: Plan) -> dict[int, tuple[Numbers, int]]:
    return {
        int(output): (group, i) for group in plan.numbers for i, output in enumerate(group.outputs)
    }


def _beside(
    split: tuple[int, float], plan: Plan, by_output: dict[int, tuple[Numbers, int]]
) -> Iterator[tuple[int, float]]:
    """(column of the request, value) that arrive at the threshold, or just beside it."""
    output, threshold = split
    if plan.is_identity:
        source, wanted = output, _steps_beside(threshold)
        yield from ((source, value) for value in wanted)
        return
    if output not in by_output:
        return
    group, i = by_output[output]
    for value in _steps_beside(threshold):
        before = _undone(group, i, value)
        if before is not None:
            yield from ((int(group.sources[i]), each) for each in _double_steps(before))


def _steps_beside(value: float) -> list[float]:
    single = np.float32(value)
    down, up = (np.nextafter(single, np.float32(bound)) for bound in (-np.inf, np.inf))
    return [*_double_steps(value), float(single), float(down), float(up)]


def _double_steps(value: float) -> list[float]:
    return [value, math.nextafter(value, -math.inf), math.nextafter(value, math.inf)]


def _undone(group: Numbers, i: int, value: float) -> float | None:
    """The number that the steps turn into `value`, or nearly; None where they cannot be undone."""
    for step in reversed(group.steps):
        constant = float(step.values[i])
        if step.kind == "subtract":
            value += constant
        elif step.kind == "add":
            value -= constant
        elif step.kind == "divide":
            value *= constant
        elif step.kind == "multiply" and constant != 0:
            value /= constant
        elif step.kind not in ("fill", "at_least", "at_most"):
            return None
    return value
