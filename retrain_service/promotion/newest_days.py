"""The gate of the newest days: refuse to train where they are unlike all weeks before. Pure.

The newest days teach what serves and judge what is taught, so that a week in another unit, of
zeros or of a silent sensor would be learnt and found good. Compared are whole weeks, so that no
weekend and no half day is taken for a change, and a week counts as usual when weeks like it were
there in the last quarter or around the same time a year ago.

A change that lasts is no fault: once a second whole week of the past is like it, it is usual.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from retrain_service.promotion.gate_result import GateResult, Verdict, conclude
from retrain_service.promotion.unlike_weeks import WEEK_DAYS, Column, Unlike, compare_weeks
from shared.settings.per_model import GateSettings
from shared.workloads.contract import Workload
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import TrainingSet

GATE = "data_newest"
_MOST = 1000.0
"""Where nothing like it was allowed at all."""


def check_newest_days(
    rows: TrainingSet, workload: Workload, policy: GateSettings, before: Sequence[GateResult]
) -> Verdict:
    """The verdict on rows that passed the gates `before`: `Promote` means train."""
    return conclude([judge_newest_days(rows, workload, policy)], before)


def judge_newest_days(rows: TrainingSet, workload: Workload, policy: GateSettings) -> GateResult:
    """The value is how many times more unlike the newest days are than is allowed, the bound 1."""
    n = rows.n_rows
    if not policy.max_newest_change:
        return _skipped(n, "max_newest_change is 0: the newest days are not looked at.")
    n_days = _days_compared(rows)
    if not n_days:
        return _skipped(n, "too few days to compare the newest with older ones.")
    found: list[Unlike] = []
    n_columns = 0
    for column in _columns(rows, workload):
        n_columns += 1
        found += compare_weeks(column, n_days, policy.max_newest_change)
    worst = max(found, key=lambda one: one.by, default=None)
    newest = f"the newest {n_days} days"
    if worst is None or worst.by <= 1:
        value = worst.by if worst else 0.0
        sentence = f"{newest} are like those before in each of {n_columns} columns."
        return GateResult(GATE, value, 1.0, n, "passed", sentence)
    n_more = sum(one.by > 1 for one in found) - 1
    more = f" (and {n_more} more such finding{'s' if n_more > 1 else ''})" if n_more else ""
    sentence = (
        f"{newest} are unlike those before: {worst.what}{more}; not trained, so that nothing wrong"
        " is learnt. Mend the records; or wait, for a change that lasts three weeks is believed;"
        f" or set gate.max_newest_change (now {policy.max_newest_change:g}; 0: off)."
    )
    return GateResult(GATE, min(worst.by, _MOST), 1.0, n, "failed", sentence)


def _skipped(n: int, sentence: str) -> GateResult:
    return GateResult(GATE, None, None, n, "skipped", sentence)


def _days_compared(rows: TrainingSet) -> int:
    """A week where there are two; of a shorter history its newest third; 0 below six days."""
    if not rows.n_rows:
        return 0
    span = int((rows.day.max() - rows.day.min()).astype("timedelta64[D]").astype(np.int64)) + 1
    if span >= 2 * WEEK_DAYS:
        return WEEK_DAYS
    return span // 3 if span >= 6 else 0


# -- the columns -------------------------------------------------------------------------------


def _columns(rows: TrainingSet, workload: Workload) -> Iterator[Column]:
    for where, these in _units(rows, workload):
        part = rows if these is None else rows.where(these)
        for spec, values in zip(workload.features_of(part), part.features.T, strict=True):
            is_measured = workload.measured is None or spec.name in workload.measured
            if not is_measured or spec.dtype == "text":
                continue
            yield Column(spec.name + where, _unit(spec), values, part.day, _is_level(spec))
        if np.issubdtype(part.target.dtype, np.floating):
            is_number = workload.has_number_target(part)
            targets = part.target.reshape(part.n_rows, -1).T
            for values in targets:
                yield Column("target" + where, "", values, part.day, is_number, True)


def _units(rows: TrainingSet, workload: Workload) -> Iterator[tuple[str, NDArray[np.bool_] | None]]:
    """The parts of the rows whose columns are of one unit each, and how they are called."""
    if not workload.slices_have_units:
        yield "", None
        return
    for name in np.unique(rows.slices):
        yield f" of {name}", rows.slices == name


def _unit(spec: FeatureSpec) -> str:
    return "" if spec.unit in ("none", "") else f" {spec.unit.partition(',')[0]}"


def _is_level(spec: FeatureSpec) -> bool:
    return spec.dtype in ("float64", "int64")
