"""Features of a metric at one minute, from samples on a grid of minutes. NumPy only.

The same code makes training rows from months of records and the row to forecast from out of a
window of an hour, so that features cannot differ between the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.workloads.rows import FeatureSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOW_MIN = 61
"""Minutes of history that a forecast looks at, the newest included."""

LAGS_MIN = (1, 2, 3, 5, 10, 15, 30, 45, 60)
_MEANS_MIN = (3, 5, 10, 15, 30, 60)
_DAY_MIN = 1440

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec("metric", "int64", "position in the list of metrics"),
    FeatureSpec("value", "float64", "of the metric"),
    FeatureSpec("volatility", "float64", "of the metric, root mean square change a minute"),
    *(FeatureSpec(f"above_{n}_min_ago", "float64", "of the metric") for n in LAGS_MIN),
    *(FeatureSpec(f"above_mean_of_{n}_min", "float64", "of the metric") for n in _MEANS_MIN),
    FeatureSpec("day_sin", "float64", "none", -1, 1),
    FeatureSpec("day_cos", "float64", "none", -1, 1),
    FeatureSpec("half_day_sin", "float64", "none", -1, 1),
    FeatureSpec("half_day_cos", "float64", "none", -1, 1),
)
METRIC, VALUE, VOLATILITY = 0, 1, 2
FIRST_CHANGE, FIRST_HOUR = 3, 3 + len(LAGS_MIN) + len(_MEANS_MIN)


def on_grid(minutes: NDArray[np.int64], values: Floats) -> tuple[int, Floats]:
    """The last value of each minute, NaN where there is none.

    Args:
        minutes: (n,) minutes since the epoch, in the order in which the values were taken.

    Returns:
        The first minute and the values from there on, one a minute.
    """
    first = int(minutes.min())
    grid = np.full(int(minutes.max()) - first + 1, np.nan)
    grid[minutes - first] = values  # of equal positions the last one stays
    return first, grid


def last_hours(grid: Floats, ends: NDArray[np.int64]) -> Floats:
    """(n_ends, WINDOW_MIN): the minutes up to each end; a gap repeats what was before it.

    What was before the first value is taken to be like it, so that a young server has a flat past.
    """
    padded = np.concatenate([np.full(WINDOW_MIN - 1, np.nan), grid])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_MIN)[ends]
    return _filled(windows)


def _filled(windows: Floats) -> Floats:
    is_known = ~np.isnan(windows)
    if is_known.all():
        return np.array(windows)
    columns = np.arange(windows.shape[1])
    before = np.maximum.accumulate(np.where(is_known, columns, -1), axis=1)
    first = np.argmax(is_known, axis=1)[:, None]
    source = np.where(before >= 0, before, first)
    return np.take_along_axis(windows, source, axis=1)


def feature_rows(metric: int, hours: Floats, minutes: NDArray[np.int64]) -> Floats:
    """(n_rows, n_features), columns as in FEATURES.

    hours : (n_rows, WINDOW_MIN), from `last_hours`. minutes : (n_rows,) since the epoch, UTC.
    """
    now = hours[:, -1]
    rows = np.empty((len(hours), len(FEATURES)))
    rows[:, METRIC] = metric
    rows[:, VALUE] = now
    rows[:, VOLATILITY] = np.sqrt(np.mean(np.diff(hours, axis=1) ** 2, axis=1))
    changes = [now - hours[:, -1 - lag] for lag in LAGS_MIN]
    changes += [now - hours[:, -n:].mean(axis=1) for n in _MEANS_MIN]
    rows[:, FIRST_CHANGE:FIRST_HOUR] = np.stack(changes, axis=1)
    angle = 2 * np.pi * (minutes % _DAY_MIN) / _DAY_MIN
    rows[:, FIRST_HOUR:] = np.stack(
        [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)], axis=1
    )
    return rows


def later_values(grid: Floats, ends: NDArray[np.int64], horizons_min: Sequence[int]) -> Floats:
    """(n_ends, n_horizons): what the grid held so many minutes later; NaN where nothing."""
    padded = np.concatenate([grid, np.full(max(horizons_min), np.nan)])
    return np.stack([padded[ends + h] for h in horizons_min], axis=1)


def filled_gaps(grid: Floats, longest_min: int) -> Floats:
    """What a metric was in short gaps: what it was before them. Longer gaps stay NaN."""
    positions = np.arange(len(grid))
    before = np.maximum.accumulate(np.where(np.isnan(grid), 0, positions))
    return np.where(positions - before <= longest_min, grid[before], np.nan)


def newest_hours(at_s: Floats, server: Ints, values: Floats) -> tuple[Floats, Ints, Ints]:
    """The last hour of a metric of each server that has it.

    at_s, server, values : (n_samples,) epoch seconds, growing numbers of the servers, and the
        metric, NaN where a sample does not hold it; the samples of a server oldest first.

    Returns:
        (n, WINDOW_MIN) hours; (n,) the minutes that they end with; (n,) the numbers of the servers.
    """
    is_known = ~np.isnan(values)
    minutes, server = (at_s[is_known] // 60).astype(np.int64), server[is_known]
    is_newest = np.diff(server, append=-1) != 0
    ends, whose = minutes[is_newest], server[is_newest]
    row = np.searchsorted(whose, server)
    position = minutes - ends[row] + WINDOW_MIN - 1
    is_within = position >= 0
    hours = np.full((len(whose), WINDOW_MIN), np.nan)
    # Of several in a minute the last one stays.
    hours[row[is_within], position[is_within]] = values[is_known][is_within]
    return _filled(hours), ends, whose
