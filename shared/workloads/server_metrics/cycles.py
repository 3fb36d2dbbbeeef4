"""What is usual for a metric of a server at a minute of the hour and a time of the week.

Learnt from training rows, looked up by forecasts. NumPy only; knows no clock and no record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.stored_types import reduced

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_MIN, SLOT_MIN = 60, 15
_DAY_SLOTS, _WEEK_DAYS = 96, 7
_WEEK_MIN = _DAY_SLOTS * _WEEK_DAYS * SLOT_MIN
MAX_SERVERS = 2_000
_DAY_DOUBT, _WEEK_DOUBT, _MINUTE_DOUBT = 1.0, 2.0, 5.0
"""So many days, weeks and rows of nothing unusual are added: a mean of one is no habit."""


@dataclass(frozen=True, slots=True, eq=False)
class Cycles:
    """Habits of one metric.

    servers : names, the rows of the arrays. week (n_servers, 672) : level in each quarter of an
    hour from Thursday 00:00 UTC on. hour (n_servers, 60) : how far the metric is above its last
    hour in each minute, which is where a job every five minutes shows.
    """

    servers: tuple[str, ...]
    week: NDArray[np.float32]
    hour: NDArray[np.float32]

    __reduce__ = reduced

    def places(self, names: list[str]) -> Ints:
        """The row of each server; -1 where nothing is known of it."""
        place = {name: row for row, name in enumerate(self.servers)}
        return np.array([place.get(name, -1) for name in names], dtype=np.int64)

    def changes(self, place: Ints, minutes: Ints, ahead_min: int) -> Floats:
        """(n_rows, 2): how the usual level, and the minute of the hour, change until `ahead_min`
        later; 0 where nothing is known. Never how far the level is from the usual one: after a
        change of level that would draw forecasts to where it was.

        place : from `places`. minutes : since the epoch, UTC.
        """
        found = np.zeros((len(place), 2))
        known = np.flatnonzero(place >= 0)
        if not len(self.servers) or not known.size:
            return found
        row, at = place[known], minutes[known]
        usual, later = (self.week[row, _slot(when)] for when in (at, at + ahead_min))
        found[known, 0] = later - usual
        now, then = at % HOUR_MIN, (at + ahead_min) % HOUR_MIN
        found[known, 1] = self.hour[row, then] - self.hour[row, now]
        return found


def _slot(minutes: Ints) -> Ints:
    return np.asarray(minutes % _WEEK_MIN // SLOT_MIN, dtype=np.int64)


def find_cycles(
    names: tuple[str, ...], server: Ints, minutes: Ints, values: Floats, above_hour: Floats
) -> Cycles:
    """Means by time, drawn towards the server's mean where few days stand behind them.

    names : of the servers that the numbers in `server` (n_rows,) stand for. minutes : (n_rows,)
    since the epoch. values, above_hour : (n_rows,) the metric, and less its mean of an hour.
    """
    chosen = np.unique(server)[:MAX_SERVERS]
    week = np.zeros((len(chosen), _DAY_SLOTS * _WEEK_DAYS), dtype=np.float32)
    hour = np.zeros((len(chosen), HOUR_MIN), dtype=np.float32)
    order = np.argsort(server, kind="stable")
    begins = np.searchsorted(server[order], chosen)
    ends = np.searchsorted(server[order], chosen, side="right")
    for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        mine = order[begin:end]
        week[row] = _week(minutes[mine], values[mine])
        minute = minutes[mine] % HOUR_MIN
        count = np.bincount(minute, minlength=HOUR_MIN)
        total = np.bincount(minute, above_hour[mine], HOUR_MIN)
        hour[row] = total / (count + _MINUTE_DOUBT)
    return Cycles(tuple(names[number] for number in chosen), week, hour)


def _week(minutes: Ints, values: Floats) -> Floats:
    slot, mean = _slot(minutes), float(values.mean())
    of_day = slot % _DAY_SLOTS
    n_days = len(np.unique(minutes // (_DAY_SLOTS * SLOT_MIN)))
    level = mean + (_means(of_day, values, _DAY_SLOTS) - mean) * n_days / (n_days + _DAY_DOUBT)
    days = np.tile(level, _WEEK_DAYS)
    n_weeks = n_days // _WEEK_DAYS
    if n_weeks < 1:
        return days
    weeks = _means(slot, values, len(days), days)
    return np.asarray(days + (weeks - days) * n_weeks / (n_weeks + _WEEK_DOUBT), dtype=np.float64)


def _means(slot: Ints, values: Floats, n: int, otherwise: Floats | None = None) -> Floats:
    """Of each slot; `otherwise`, or the mean of all, where it has no value."""
    count = np.bincount(slot, minlength=n)
    total = np.bincount(slot, values, n)
    without = np.full(n, values.mean()) if otherwise is None else otherwise
    return np.where(count > 0, total / np.maximum(count, 1), without)
