"""Make training rows from records: one for each server, minute and metric, oldest first.

Pure. A row's features come from `history`, as those of a forecast do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from shared.records import Table
from shared.workloads.server_metrics.columns import SampleColumns, read_columns
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
from shared.workloads.server_metrics.model import Rows
from shared.workloads.server_metrics.records import SampleReader
from shared.workloads.training import TrainingSet

TOO_OLD = "older than history_days"

_LONGEST_GAP_MIN = 5
_YOUNGEST_MIN = 10  # a server's first minutes have no past to learn from
_N_GOLDEN_SERVERS = 3


@dataclass(frozen=True, slots=True, eq=False)
class RowContext:
    """scale (n_metrics, n_horizons): how far a metric usually moves; what losses are measured in.

    golden_windows : the last hour of a few servers. newest_s : epoch seconds of the last sample.
    servers : names of the servers, by the numbers in the keys of the rows.
    """

    scale: Floats
    golden_windows: Mapping[str, list[dict[str, float]]]
    newest_s: float
    servers: tuple[str, ...] = ()


_MINUTES = 1 << 26  # since the epoch: enough until the year 2097


def metric_rows(rows: TrainingSet, position: int) -> tuple[NDArray[np.bool_], Rows]:
    """Which rows are of a metric, and these with their minutes and servers, out of their keys."""
    chosen = rows.features[:, METRIC] == position
    features = rows.features[chosen]
    if rows.key is None:
        return chosen, Rows.of_nobody(features)
    place, minutes = np.divmod(rows.key[chosen].astype(np.int64), _MINUTES)
    n_metrics = rows.context.scale.shape[0]
    return chosen, Rows(features, minutes, place // n_metrics, rows.context.servers)


def training_rows(
    table: Table,
    reader: SampleReader,
    horizons_min: Sequence[int],
    *,
    history_days: int,
    max_rows: int,
) -> TrainingSet:
    """Every row whose value at each horizon is known; thinned out evenly to `max_rows`.

    target : (n_rows, n_horizons). day : on which the last of them was known, UTC.
    """
    rejected: Counter[str] = Counter()
    metrics = reader.metrics
    samples = read_columns(table, reader, rejected)
    newest_s = float(samples.times.max(initial=0.0))
    oldest_s = newest_s - history_days * 86_400
    one_in = _thinning(samples, oldest_s, len(metrics), max_rows)
    nothing = np.zeros(0, np.int64)
    parts: list[tuple[NDArray[np.int64], Floats, Floats]] = [
        (nothing, np.zeros((0, len(FEATURES))), np.zeros((0, len(horizons_min))))
    ]
    servers = [nothing]
    for number, (_, times, values) in enumerate(samples.by_server()):
        n_old = int(np.searchsorted(times, oldest_s))
        if n_old:
            rejected[TOO_OLD] += n_old
        found = list(_rows_of(times[n_old:], values[n_old:], horizons_min, one_in))
        servers += [np.full(len(minutes), number) for minutes, _, _ in found]
        parts += found
    minutes, rows, later = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(minutes, kind="stable")
    minutes, rows, later = minutes[order], rows[order], later[order]
    place = np.concatenate(servers)[order] * len(metrics) + rows[:, METRIC].astype(np.int64)
    known_at = (minutes + horizons_min[-1]).astype("datetime64[m]")
    return TrainingSet(
        features=rows,
        target=later,
        day=known_at.astype("datetime64[D]"),
        slices=np.array(metrics, dtype=np.str_)[rows[:, METRIC].astype(np.int64)],
        context=RowContext(
            _scale(rows, later, len(metrics)),
            _golden_windows(samples, metrics),
            newest_s,
            samples.servers,
        ),
        rejected=dict(rejected),
        key=place * _MINUTES + minutes,
    )


def _thinning(samples: SampleColumns, oldest_s: float, n_metrics: int, max_rows: int) -> int:
    """Keep one minute in so many."""
    n_minutes = 0
    for _, times, _ in samples.by_server():
        minutes = times[np.searchsorted(times, oldest_s) :] // 60
        n_minutes += int(np.count_nonzero(np.diff(minutes, prepend=-1.0)))
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


def _golden_windows(
    samples: SampleColumns, metrics: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """The newest value of each metric in each of the last minutes, as the feed would keep them."""
    windows = {}
    for server, times, values in islice(samples.by_server(), _N_GOLDEN_SERVERS):
        by_minute: dict[int, dict[str, float]] = {}
        for at, row in zip(times[-1000:].tolist(), values[-1000:].tolist(), strict=True):
            numbers = zip(metrics, row, strict=True)
            kept = {metric: number for metric, number in numbers if not math.isnan(number)}
            by_minute.setdefault(int(at // 60), {}).update({**kept, "at": at})
        newest = int(times[-1] // 60)
        windows[server] = [by_minute[m] for m in sorted(by_minute) if m > newest - WINDOW_MIN]
    return windows
