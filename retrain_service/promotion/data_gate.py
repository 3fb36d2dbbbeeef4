"""The data gate: leave out unusable rows and decide whether there is enough data to train.

Pure: no model has been fitted yet, and none is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain_service.promotion.gate_result import (
    GateResult,
    GateVerdict,
    Verdict,
    conclude,
    percent,
)
from shared.settings.per_model import GateSettings
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import TrainingSet

NO_LABEL = "no label"
NO_DAY = "no day"
CAME_TWICE = "the same row came before"
_FEW_UNCLEAR = 0.05


def check_data(
    rows: TrainingSet,
    policy: GateSettings,
    *,
    features: Sequence[FeatureSpec],
    n_records: int,
    now: datetime,
) -> tuple[TrainingSet, Verdict]:
    """Leave bad rows out and decide whether the rest may be trained on.

    features : the workload's columns. n_records : records in the snapshot, of all streams.

    Returns:
        The rows to train on, with what was left out counted in `rejected`, and the verdict:
        `Promote` means train.
    """
    fault = _schema_fault(rows, features)
    schema = GateResult(
        "data_schema",
        float(rows.features.shape[1]) if rows.features.ndim == 2 else None,
        float(len(features)),
        rows.n_rows,
        "failed" if fault else "passed",
        f"the rows are not what the workload says: {fault}; not trained."
        if fault
        else f"{len(features)} columns as the workload says.",
    )
    if fault:
        return rows, conclude([schema])
    bad = _bad_rows(rows, features)
    again = _repeated(rows) & ~bad[0]
    left_out = Counter(bad[1])
    if again.any():
        left_out[CAME_TWICE] += int(again.sum())
    usable = rows
    if left_out:
        rejected = dict(Counter(rows.rejected) + left_out)
        usable = replace(rows.where(~(bad[0] | again)), rejected=rejected)
    gates = _gates(rows, usable, bad[1], int(again.sum()), n_records, policy, now)
    return usable, conclude(gates, [schema])


def _gates(
    rows: TrainingSet,
    usable: TrainingSet,
    bad: Mapping[str, int],
    n_repeated: int,
    n_records: int,
    policy: GateSettings,
    now: datetime,
) -> Iterator[GateResult]:
    if rows.unclear:
        yield _clear(rows, n_records)
    if rows.n_rows < policy.min_rows:  # shares of a handful of rows say nothing
        yield _amount(usable, policy)
    yield _share("data_labels", sum(bad.values()), rows.n_rows, policy.max_bad_rows, "rows", bad)
    repeated = {CAME_TWICE: n_repeated} if n_repeated else {}
    if rows.key is None:
        sentence = "rows of this workload cannot come twice; records are kept once per id."
        yield GateResult("data_duplicates", None, None, rows.n_rows, "skipped", sentence)
    else:
        limit = policy.max_duplicates
        yield _share("data_duplicates", n_repeated, rows.n_rows, limit, "rows", repeated)
    n_rejected = min(sum(rows.rejected.values()), n_records)
    limit = policy.max_rejected
    yield _share("data_rejected", n_rejected, n_records, limit, "records", rows.rejected)
    yield _amount(usable, policy)
    yield _freshness(usable, policy, now)


def _schema_fault(rows: TrainingSet, features: Sequence[FeatureSpec]) -> str | None:
    names = [spec.name for spec in features]
    if rows.features.ndim != 2 or rows.features.shape[1] != len(names):
        return f"expected {len(names)} columns {names}, found shape {rows.features.shape}"
    lengths = {
        "features": rows.features.shape[0],
        "target": rows.target.shape[0],
        "day": rows.day.shape[0],
        "slices": rows.slices.shape[0],
        "key": rows.key.shape[0] if rows.key is not None else rows.day.shape[0],
    }
    if len(set(lengths.values())) > 1:
        return f"columns of different length: {lengths}"
    if not np.issubdtype(rows.features.dtype, np.number):
        return f"features are {rows.features.dtype}, expected numbers"
    if not np.issubdtype(rows.day.dtype, np.datetime64):
        return f"day is {rows.day.dtype}, expected dates"
    if rows.n_rows:
        columns = rows.features.T
        found = [
            name for name, column in zip(names, columns, strict=True) if np.isnan(column).all()
        ]
        if found:
            return f"no row has a value in {found}"
    return None


def _bad_rows(
    rows: TrainingSet, features: Sequence[FeatureSpec]
) -> tuple[NDArray[np.bool_], Mapping[str, int]]:
    """Rows nothing can be learnt from, each counted once, under the first reason that holds."""
    is_bad = np.zeros(rows.n_rows, dtype=np.bool_)
    counts: Counter[str] = Counter()

    def leave_out(these: NDArray[np.bool_], reason: str) -> None:
        nonlocal is_bad
        n = int((these & ~is_bad).sum())
        if n:
            counts[reason] += n
        is_bad = is_bad | these

    leave_out(np.isnat(rows.day), NO_DAY)
    leave_out(_without_label(rows.target), NO_LABEL)
    for spec, column in zip(features, rows.features.T, strict=True):
        leave_out(np.isinf(column), f"{spec.name} is infinite")
        if spec.dtype == "int64":
            leave_out(np.isfinite(column) & (column % 1 != 0), f"{spec.name} is no whole number")
        elif spec.dtype == "bool":
            is_bool = np.isnan(column) | (column == 0) | (column == 1)
            leave_out(~is_bool, f"{spec.name} is neither 0 nor 1")
    return is_bad, counts


def _without_label(target: NDArray[Any]) -> NDArray[np.bool_]:
    """(n_rows,): None, NaN or infinite; of a row of several labels, any of them."""
    missing = np.zeros(target.shape, dtype=np.bool_)
    if np.issubdtype(target.dtype, np.floating):
        missing |= ~np.isfinite(target)
    elif target.dtype == object:
        flat = [label is None or label != label for label in target.ravel()]
        missing |= np.array(flat, dtype=np.bool_).reshape(target.shape)
    return np.asarray(missing.any(axis=tuple(range(1, target.ndim))), dtype=np.bool_)


def _repeated(rows: TrainingSet) -> NDArray[np.bool_]:
    """Rows whose key was there before; the last of them is kept, it is the newest."""
    is_repeated = np.zeros(rows.n_rows, dtype=np.bool_)
    if rows.key is not None and rows.n_rows:
        _, last = np.unique(rows.key[::-1], return_index=True)
        is_repeated[:] = True
        is_repeated[rows.n_rows - 1 - last] = False
    return is_repeated


def _share(
    gate: str, n_bad: int, n: int, limit: float, what: str, reasons: Mapping[str, int]
) -> GateResult:
    share = n_bad / n if n else 0.0
    is_fine = share <= limit
    sentence = f"{n_bad} of {n} {what} ({percent(share)}) left out{_reasons(reasons)}" + (
        "." if is_fine else f"; at most {percent(limit)} allowed: bad data, not trained."
    )
    return GateResult(gate, share, limit, n, "passed" if is_fine else "failed", sentence)


def _clear(rows: TrainingSet, n_records: int) -> GateResult:
    """How values are written that may mean two things; few of them are left out, no more."""
    n = sum(rows.unclear.values())
    share = n / n_records if n_records else 0.0
    is_fine = share <= _FEW_UNCLEAR
    sentence = f"{n} of {n_records} records ({percent(share)}) left out{_reasons(rows.unclear)}" + (
        "." if is_fine else ": not trained on a guess."
    )
    verdict: GateVerdict = "passed" if is_fine else "failed"
    return GateResult("data_clear", share, _FEW_UNCLEAR, n_records, verdict, sentence)


def _amount(rows: TrainingSet, policy: GateSettings) -> GateResult:
    n_rows, n_days = rows.n_rows, rows.n_days
    is_enough = n_rows >= policy.min_rows and n_days >= policy.min_days
    n_rejected = sum(rows.rejected.values())
    sentence = (
        f"{n_rows} rows over {n_days} days."
        if is_enough
        else f"not enough data: {n_rows} rows over {n_days} days,"
        f" needs {policy.min_rows} rows and {policy.min_days} days"
        + (
            f"; {n_rejected} records could not be used{_reasons(rows.rejected)}"
            if n_rejected
            else ""
        )
        + "."
    )
    # What is short, or the rows when nothing is.
    is_about_days = n_rows >= policy.min_rows and not is_enough
    value, bound = (n_days, policy.min_days) if is_about_days else (n_rows, policy.min_rows)
    verdict: GateVerdict = "passed" if is_enough else "insufficient_data"
    return GateResult("data_amount", float(value), float(bound), n_rows, verdict, sentence)


def _freshness(rows: TrainingSet, policy: GateSettings, now: datetime) -> GateResult:
    newest = rows.day.max().astype("datetime64[D]")
    today = np.datetime64(now.date(), "D")
    age_days = int((today - newest).astype(np.int64))
    limit = policy.max_data_age_days
    is_fresh = not limit or age_days <= limit
    sentence = f"the newest row is of {newest}, {age_days} days ago" + (
        "."
        if is_fresh
        else f"; at most {limit} days allowed: nothing new to learn, not trained."
        " Does the source still bring usable records?"
    )
    bound = float(limit) if limit else None
    verdict: GateVerdict = "passed" if is_fresh else "failed"
    return GateResult("data_freshness", float(age_days), bound, rows.n_rows, verdict, sentence)


def _reasons(reasons: Mapping[str, int]) -> str:
    """The three most frequent, in brackets."""
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{n} {reason}" for reason, n in most[:3] if n]
    if len(most) > 3:
        shown.append(f"{len(most) - 3} more reasons")
    return f" ({', '.join(shown)})" if shown else ""
