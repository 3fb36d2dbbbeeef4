"""Features at a reading, and the power some minutes later as the target.

NumPy only. Knows no document, no model and no clock; the same function makes the training rows
and the row of a served forecast, so the two cannot diverge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from shared.workloads.rows import FeatureSpec
from shared.workloads.solar_power.records import LUX, POWER, Readings

Floats = NDArray[np.float64]

WINDOW = 5
"""Readings in a rolling mean, the newest included."""

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec("hour", "int64", "h, local clock", 0, 23),
    FeatureSpec("minute", "int64", "min", 0, 59),
    FeatureSpec("day_of_week", "int64", "day of week, Monday 0", 0, 6),
    FeatureSpec("servo_angle", "float64", "degree"),
    FeatureSpec("temperature", "float64", "°C"),
    FeatureSpec("humidity", "float64", "%"),
    FeatureSpec("lux", "float64", "lx"),
    FeatureSpec("voltage", "float64", "V"),
    FeatureSpec("current", "float64", "A"),
    FeatureSpec("power", "float64", "W"),
    FeatureSpec("fan_on", "bool", "1 while the fan runs", 0, 1),
    FeatureSpec("power_change", "float64", "W since the reading before"),
    FeatureSpec("lux_change", "float64", "lx since the reading before"),
    FeatureSpec("power_mean_5", "float64", "W, mean of the last five readings"),
    FeatureSpec("lux_mean_5", "float64", "lx, mean of the last five readings"),
)
COLUMN = {spec.name: column for column, spec in enumerate(FEATURES)}

_BLOCK_US = 900_000_000  # offsets from UTC change on the quarter of an hour
_HOUR_US, _MINUTE_US, _DAY_US = 3_600_000_000, 60_000_000, 86_400_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """How far ahead: `horizon_us`, found within `tolerance_us`. Readings further apart than both
    together are no neighbours."""

    horizon_us: int
    tolerance_us: int

    @property
    def reach_us(self) -> int:
        return self.horizon_us + self.tolerance_us


class Predictor(Protocol):
    """An estimator or its compiled form."""

    def predict(self, features: Floats, /) -> Any:
        """(n_rows, n_features) -> (n_rows,) W by which the power will have changed."""


def feature_rows(readings: Readings, time_zone: ZoneInfo, reach_us: int) -> Floats:
    """(n_readings, n_features), each row from its reading and the four before it.

    reach_us : readings further apart are no neighbours: after such a gap the change is 0 and the
        mean begins anew.
    """
    n = len(readings)
    local_us = local_clock_us(readings.time_us, time_zone)
    values = readings.values
    is_next = np.zeros(n, dtype=np.bool_)
    is_next[1:] = np.diff(readings.time_us) <= reach_us
    stretch = np.cumsum(~is_next, dtype=np.int64)
    x = np.empty((n, len(FEATURES)))
    x[:, 0] = local_us // _HOUR_US % 24
    x[:, 1] = local_us // _MINUTE_US % 60
    x[:, 2] = (local_us // _DAY_US + 3) % 7  # the epoch began on a Thursday
    x[:, 3:11] = values
    for i, column in enumerate((POWER, LUX)):
        x[:, 11 + i] = _change(values[:, column], is_next)
        x[:, 13 + i] = _mean(values[:, column], stretch)
    return x


def _change(values: Floats, is_next: NDArray[np.bool_]) -> Floats:
    change = np.zeros(values.shape[0])
    change[1:] = np.diff(values)
    change[~is_next] = 0.0
    change[np.isnan(values)] = np.nan
    return change


def _mean(values: Floats, stretch: NDArray[np.int64]) -> Floats:
    """Of the last WINDOW values in the same stretch, as far as they are known.

    Summed up anew for each row: a running sum would carry rounding from readings long past, and
    a served row could then differ from the same row in training.
    """
    n = values.shape[0]
    total, count = np.zeros(n), np.zeros(n)
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    for lag in range(min(WINDOW, n) - 1, -1, -1):
        is_there = known[: n - lag] & (stretch[lag:] == stretch[: n - lag])
        total[lag:] += np.where(is_there, filled[: n - lag], 0.0)
        count[lag:] += is_there
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def forecast_w(estimator: Predictor, rows: Floats) -> Floats:
    """(n_rows,) W: the power of each row plus the change that the estimator expects.

    Below zero only where the power is so now: at night an inverter may consume, by day no panel.
    """
    power = rows[:, COLUMN["power"]]
    change = np.asarray(estimator.predict(rows), dtype=np.float64)
    return np.maximum(power + change, np.minimum(power, 0.0))


def target_index(
    time_us: NDArray[np.int64], horizon_us: int, tolerance_us: int
) -> NDArray[np.int64]:
    """(n,) index of the reading nearest to each time plus the horizon; -1 where none is near.

    time_us : strictly increasing. Of two that are equally near, the earlier.
    """
    n = time_us.shape[0]
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    wanted = time_us + horizon_us
    after = np.searchsorted(time_us, wanted)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, n - 1)
    is_before = wanted - time_us[before] <= np.abs(time_us[after] - wanted)
    nearest = np.where(is_before, before, after)
    is_near = np.abs(time_us[nearest] - wanted) <= tolerance_us
    return np.where(is_near, nearest, -1).astype(np.int64)


def tolerance_us(time_us: NDArray[np.int64], span: Span) -> int:
    """At least half of the usual spacing, at most half of the horizon: a device that reports
    every ten minutes has no reading exactly a quarter of an hour later."""
    if time_us.size < 2:
        return span.tolerance_us
    half_spacing = int(np.median(np.diff(time_us))) // 2
    return max(span.tolerance_us, min(half_spacing, span.horizon_us // 2))


def local_clock_us(time_us: NDArray[np.int64], time_zone: ZoneInfo) -> NDArray[np.int64]:
    """What the clock of the zone shows, as microseconds of a calendar without offsets."""
    blocks, where = np.unique(time_us // _BLOCK_US, return_inverse=True)
    offsets_us = np.empty(blocks.shape[0], dtype=np.int64)
    for i, block in enumerate(blocks.tolist()):
        at = datetime.fromtimestamp(block * _BLOCK_US // 1_000_000, UTC).astimezone(time_zone)
        offset = at.utcoffset()
        offsets_us[i] = round(offset.total_seconds()) * 1_000_000 if offset is not None else 0
    return time_us + offsets_us[where]


def local_day(time_us: NDArray[np.int64], time_zone: ZoneInfo) -> NDArray[np.datetime64]:
    """(n,) datetime64[D], the day on the zone's calendar."""
    return (local_clock_us(time_us, time_zone) // _DAY_US).astype("datetime64[D]")
