"""Compare the newest week of a column with those before: missing values, standing still, level.

Pure; gives no verdict, but says how far beyond what is allowed the newest week is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain_service.promotion.gate_result import percent

WEEK_DAYS = 7
_RECENT_WEEKS, _YEAR_WEEKS = range(1, 14), range(50, 55)
_FEW_WEEKS = 4
"""With fewer weeks to compare with what is usual is known badly: twice as much is allowed, and
three times as much of a few days, which are no week."""
_FEWEST_ROWS = 5
_MOST_ROWS = 20_000
"""Of a week and column; quantiles of more are the same."""
_ONE_VALUE, _NOT_ONE_VALUE = 0.95, 0.75
"""A week of one value has it in this share of its rows; a usual week has not in more than that."""
_BY_CHANCE = 0.001
_ONE_A_DAY = 1.1
"""Different values of a day, on average, up to which they are taken for one."""
_MORE_MISSING = 0.3
_LOW, _MIDDLE, _HIGH = range(3)
_SAID = ("at its lowest", "usually", "at its highest")

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one unit. values : (n_rows,), NaN where missing. day : (n_rows,) of each.
    is_level : whether greater and smaller mean something: not for codes of categories.
    is_target : whether this is what is learnt; other columns may swing as much as weeks do."""

    name: str
    unit: str
    values: Floats
    day: NDArray[np.datetime64]
    is_level: bool = True
    is_target: bool = False


@dataclass(frozen=True, slots=True)
class Unlike:
    """by : how far beyond what is allowed, 1 is just at the limit."""

    by: float
    what: str


def compare_weeks(column: Column, n_days: int, allowed: float) -> Iterator[Unlike]:
    """What is unlike, and by how much; nothing where there is too little to compare.

    n_days : of the newest days and of each older period. allowed : as `max_newest_change` says.
    """
    if n_days < WEEK_DAYS and np.unique(column.values).size <= WEEK_DAYS:
        return  # days of the week, shifts: of a few days each has others
    last = column.day.max()
    ago = (last - column.day).astype("timedelta64[D]").astype(np.int64) // n_days
    takes = _of_a_day if _has_one_value_a_day(column, ago > 0) else _of_a_row

    def week_of(k: int) -> Floats:
        return takes(column, np.flatnonzero(ago == k))

    newest = week_of(0)
    recent, year = (
        [week for k in weeks if (week := week_of(k)).size >= _FEWEST_ROWS]
        for weeks in (_RECENT_WEEKS, _YEAR_WEEKS if n_days == WEEK_DAYS else ())
    )
    if newest.size < _FEWEST_ROWS or not recent:
        return
    yield from _missing(column, newest, [*recent, *year])
    newest = newest[~np.isnan(newest)]
    recent, year = ([week[~np.isnan(week)] for week in weeks] for weeks in (recent, year))
    recent, year = ([w for w in weeks if w.size >= _FEWEST_ROWS] for weeks in (recent, year))
    if newest.size < _FEWEST_ROWS or not recent:
        return
    # A new shop is no fault of the records, one label for everything is.
    if (column.is_level or column.is_target) and (
        one := _one_value(column, newest, [*recent, *year])
    ) is not None:
        yield one
    elif column.is_level:
        more = 2.0 if n_days == WEEK_DAYS else 3.0
        yield from _levels(column, newest, recent, year, allowed, more)


def _sample(rows: Rows) -> Rows:
    return rows[:: rows.size // _MOST_ROWS + 1]


def _of_a_row(column: Column, rows: Rows) -> Floats:
    return column.values[_sample(rows)]


def _of_a_day(column: Column, rows: Rows) -> Floats:
    """The different values of each day, each once."""
    some = _sample(rows)
    values, codes = np.unique(column.values[some], return_inverse=True)
    pairs = column.day[some].astype(np.int64) * values.size + codes
    return column.values[some[np.unique(pairs, return_index=True)[1]]]


def _has_one_value_a_day(column: Column, is_older: NDArray[np.bool_]) -> bool:
    """Whether all rows of a day share a value: the weather, a campaign. Seven such days are seven
    observations, however many rows they have."""
    some = _sample(np.flatnonzero(is_older))
    n_days = np.unique(column.day[some]).size
    return _of_a_day(column, some).size <= _ONE_A_DAY * n_days


def _missing(column: Column, newest: Floats, older: Sequence[Floats]) -> Iterator[Unlike]:
    share = float(np.isnan(newest).mean())
    usual = max(float(np.isnan(week).mean()) for week in older)
    yield Unlike(
        (share - usual) / _MORE_MISSING,
        f"{column.name} is missing in {percent(share)} of the rows, in no week before in more than"
        f" {percent(usual)}",
    )


def _one_value(column: Column, newest: Floats, older: Sequence[Floats]) -> Unlike | None:
    """A column that stands still, or of nothing but zeros, that has never done so."""
    values, counts = np.unique(newest, return_counts=True)
    place = int(counts.argmax())
    share = float(counts[place]) / newest.size
    if share < _ONE_VALUE:
        return None
    usual = max(float((week == values[place]).mean()) for week in older)
    moves = all(np.ptp(week) > 0 for week in older)
    by_chance = usual**newest.size
    if usual > _NOT_ONE_VALUE or by_chance > _BY_CHANCE or not moves:
        return None
    shown = f"{values[place]:.4g}{column.unit}" if column.is_level else "the same"
    return Unlike(
        np.inf,
        f"{column.name} is {shown} in {percent(share)} of the rows, in no week before in more than"
        f" {percent(usual)}",
    )


def _levels(
    column: Column,
    newest: Floats,
    recent: Sequence[Floats],
    year: Sequence[Floats],
    allowed: float,
    more: float,
) -> Iterator[Unlike]:
    """Middle and edges beside those of the weeks before; zeros are no level of what is counted.

    more : times as much is allowed where there are few weeks.
    """
    everything = np.concatenate([newest, *recent, *year])
    sign = 1.0 if (everything >= 0).all() else -1.0 if (everything <= 0).all() else 0.0
    if sign:
        newest = sign * newest[newest != 0]
        recent, year = ([sign * week[week != 0] for week in weeks] for weeks in (recent, year))
        recent, year = ([w for w in weeks if w.size >= _FEWEST_ROWS] for weeks in (recent, year))
        if newest.size < _FEWEST_ROWS or not recent:
            return
    if len(recent) < _FEW_WEEKS:
        allowed *= more
    now = _edges(newest)
    usual = [_range(week_edges) for week_edges in zip(*map(_edges, recent), strict=True)]
    swing = 0.5 if column.is_target else 1.0
    by, edge = _beyond(now, usual, _width(recent), sign, allowed, swing)
    if year:
        years = [_Range(min(found), max(found)) for found in zip(*map(_edges, year), strict=True)]
        by = min(by, _beyond(now, years, _width(year), sign, allowed, swing)[0])
    factor = sign or 1.0
    low, high = sorted((factor * usual[edge].low, factor * usual[edge].high))
    yield Unlike(
        by,
        f"{column.name} is {_SAID[edge]} {factor * now[edge]:.4g}{column.unit}, in the weeks before"
        f" {low:.4g} to {high:.4g}{column.unit}",
    )


@dataclass(frozen=True, slots=True)
class _Range:
    low: float
    high: float


def _edges(week: Floats) -> tuple[float, float, float]:
    """Low, middle and high; beyond an edge lie a twentieth of the values and three of them, so that
    one great order or one glitch is no edge."""
    outside = min(max(0.05, 3 / week.size), 0.5)
    low, middle, high = np.quantile(week, (outside, 0.5, 1 - outside)).tolist()
    return low, middle, high


def _range(found: Sequence[float]) -> _Range:
    """The least and the greatest; of many weeks without the most extreme one on each side, so that
    one bad week does not make the next one usual."""
    ordered = sorted(found)
    if len(ordered) > _FEW_WEEKS:
        ordered = ordered[1:-1]
    return _Range(ordered[0], ordered[-1])


def _width(weeks: Sequence[Floats]) -> float:
    low, high = np.quantile(np.concatenate(weeks), (0.01, 0.99)).tolist()
    return float(high - low)


def _beyond(
    now: Sequence[float],
    usual: Sequence[_Range],
    width: float,
    sign: float,
    allowed: float,
    swing: float,
) -> tuple[float, int]:
    """How far outside, 1 for what is just allowed, and the edge that says it.

    What has a zero (pieces, W) is outside by a factor: upwards where its high edge is, downwards
    where middle and high edge are, for a few small values are no other unit; where usual weeks
    differ by a factor themselves (rain), by that to the power of `swing`, when it is more. What
    has no zero (degrees, changes) is outside by the width of all usual values.
    """
    if sign:
        factors = [max(allowed, (each.high / each.low) ** swing) for each in usual]
        up = now[_HIGH] / usual[_HIGH].high / factors[_HIGH]
        down = min(usual[edge].low / now[edge] / factors[edge] for edge in (_MIDDLE, _HIGH))
        return max(up, down), _HIGH if up > down else _MIDDLE
    found = [
        max(now[edge] - usual[edge].high, usual[edge].low - now[edge], 0.0) for edge in range(3)
    ]
    edge = int(np.argmax(found))
    room = width * allowed / 2
    return found[edge] / room if room > 0 else np.inf if found[edge] else 0.0, edge
