"""Make training rows from records: one for each server, minute and metric, oldest first.

Pure. A row's features come from `history`, as those of a forecast do.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from shared.records import Table
from shared.workloads.server_metrics.features import (
    FEATURES,
    METRIC,
    VALUE,
    WINDOW_MIN,
    Floats,
    feature_rows,
    filled_gaps,
    last_hours,
    later_values,
    on_grid,
)
from shared.workloads.server_metrics.records import read_sample
from shared.workloads.training import TrainingSet

IN_THE_FUTURE = "dated in the future"
TOO_OLD = "older than history_days"
CLOCK_SLACK = timedelta(minutes=5)

_LONGEST_GAP_MIN = 5
_YOUNGEST_MIN = 10  # a server's first minutes have no past to learn from
_N_GOLDEN_SERVERS = 3

_Samples = Mapping[str, tuple[Floats, Floats]]
"""Server -> (n,) epoch seconds, oldest first; (n, n_metrics) values, NaN where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class RowContext:
    """scale (n_metrics, n_horizons): how far a metric usually moves; what losses are measured in.

    golden_windows : the last hour of a few servers. newest_s : epoch seconds of the last sample.
    """

    scale: Floats
    golden_windows: Mapping[str, list[dict[str, float]]]
    newest_s: float


def training_rows(
    table: Table,
    metrics: Sequence[str],
    horizons_min: Sequence[int],
    *,
    history_days: int,
    max_rows: int,
) -> TrainingSet:
    """Every row whose value at each horizon is known; thinned out evenly to `max_rows`.

    target : (n_rows, n_horizons). day : on which the last of them was known, UTC.
    """
    rejected: Counter[str] = Counter()
    samples = _samples(table, metrics, rejected)
    newest_s = max((float(times[-1]) for times, _ in samples.values()), default=0.0)
    oldest_s = newest_s - history_days * 86_400
    one_in = _thinning(samples, oldest_s, len(metrics), max_rows)
    parts: list[tuple[NDArray[np.int64], Floats, Floats]] = [
        (np.zeros(0, np.int64), np.zeros((0, len(FEATURES))), np.zeros((0, len(horizons_min))))
    ]
    for times, values in samples.values():
        n_old = int(np.searchsorted(times, oldest_s))
        if n_old:
            rejected[TOO_OLD] += n_old
        parts += _rows_of(times[n_old:], values[n_old:], horizons_min, one_in)
    minutes, rows, later = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(minutes, kind="stable")
    minutes, rows, later = minutes[order], rows[order], later[order]
    known_at = (minutes + horizons_min[-1]).astype("datetime64[m]")
    return TrainingSet(
        features=rows,
        target=later,
        day=known_at.astype("datetime64[D]"),
        slices=np.array(metrics, dtype=np.str_)[rows[:, METRIC].astype(np.int64)],
        context=RowContext(
            _scale(rows, later, len(metrics)), _golden_windows(samples, metrics), newest_s
        ),
        rejected=dict(rejected),
    )


def _samples(table: Table, metrics: Sequence[str], rejected: Counter[str]) -> _Samples:
    # As numbers side by side: months of a fleet as Python objects are more than a machine has.
    found: dict[str, array[float]] = {}
    width = 1 + len(metrics)
    for record in table:
        sample = read_sample(record.fields, metrics)
        if isinstance(sample, str):
            rejected[sample] += 1
            continue
        at = sample.at or record.updated_at
        if at > record.updated_at + CLOCK_SLACK:
            rejected[IN_THE_FUTURE] += 1
            continue
        values = sample.values
        row = (at.timestamp(), *(values.get(metric, math.nan) for metric in metrics))
        found.setdefault(sample.server, array("d")).extend(row)
    ordered = {}
    for server in sorted(found):
        rows = np.frombuffer(found.pop(server)).reshape(-1, width)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        ordered[server] = (rows[:, 0], rows[:, 1:])
    return ordered


def _thinning(samples: _Samples, oldest_s: float, n_metrics: int, max_rows: int) -> int:
    """Keep one minute in so many."""
    n_minutes = sum(len(np.unique(times[times >= oldest_s] // 60)) for times, _ in samples.values())
    return max(1, -(-n_minutes * n_metrics // max_rows))


def _rows_of(
    times: Floats,
    values: Floats,
    horizons_min: Sequence[int],
    one_in: int,
) -> Iterator[tuple[NDArray[np.int64], Floats, Floats]]:
    """(minutes, features, later values) of each metric of one server."""
    for position, series in enumerate(values.T):
        is_there = ~np.isnan(series)
        if is_there.sum() < 2:
            continue
        first, grid = on_grid((times[is_there] // 60).astype(np.int64), series[is_there])
        ends = np.flatnonzero(~np.isnan(grid))
        # Scattered, so that what happens each full hour keeps its share.
        mixed = (ends + first).astype(np.uint64) * np.uint64(2_654_435_761) % np.uint64(2**32)
        ends = ends[(ends >= _YOUNGEST_MIN) & ((mixed >> np.uint64(8)) % np.uint64(one_in) == 0)]
        later = later_values(filled_gaps(grid, _LONGEST_GAP_MIN), ends, horizons_min)
        is_known = np.isfinite(later).all(axis=1)
        ends = ends[is_known]
        if len(ends):
            hours = last_hours(grid, ends)
            yield ends + first, feature_rows(position, hours, ends + first), later[is_known]


def _scale(rows: Floats, later: Floats, n_metrics: int) -> Floats:
    scale = np.ones((n_metrics, later.shape[1]))
    for position in range(n_metrics):
        chosen = rows[:, METRIC] == position
        if chosen.any():
            now = rows[chosen, VALUE, None]
            moved = np.abs(later[chosen] - now).mean(axis=0)
            # A metric that never moves: any error at all must not be infinitely bad.
            scale[position] = np.maximum(moved, max(1e-3 * float(np.abs(now).mean()), 1e-6))
    return scale


def _golden_windows(samples: _Samples, metrics: Sequence[str]) -> dict[str, list[dict[str, float]]]:
    """The newest sample of each of the last minutes, as the feed would keep it."""
    windows = {}
    for server in list(samples)[:_N_GOLDEN_SERVERS]:
        times, values = (column[-1000:].tolist() for column in samples[server])
        by_minute = {
            int(at // 60): {
                "at": at,
                **{metric: n for metric, n in zip(metrics, row, strict=True) if not math.isnan(n)},
            }
            for at, row in zip(times, values, strict=True)
        }
        newest = int(times[-1] // 60)
        windows[server] = [by_minute[m] for m in sorted(by_minute) if m > newest - WINDOW_MIN]
    return windows
