"""Features of the next day's demand from daily totals per part.

NumPy only. Knows no document, no model and no clock; the same function makes the training rows
and the rows of a served forecast, so the two cannot diverge.

All parts share one model. Each feature is in pieces per day and proportional to the part's own
demand, so one set of coefficients fits slow and fast parts alike and a new part works at once.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.workloads.rows import FeatureSpec
from shared.workloads.spare_parts.history import (
    SURE_AFTER_DAYS,
    Days,
    DemandHistory,
    Floats,
    is_open_day,
    weekday,
)
from shared.workloads.spare_parts.season import Season

WINDOW_DAYS = 182
"""How far back a feature looks."""

WARM_UP_DAYS = 14
"""The shortest past a feature row is made from: every weekday was seen twice."""

_UNIT = "pieces/day"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

FEATURES: tuple[FeatureSpec, ...] = tuple(
    FeatureSpec(name, "float64", _UNIT, 0.0)
    for name in (
        "level",  # usual demand: mean of the past, half the weight in the last eight weeks
        "same_weekday_recent",  # mean of the same weekdays, weight 0.60 per week back
        "same_weekday_mean",  # the same, weight 0.85 per week back: the naive baseline
        "same_weekday_slow",  # the same, weight 0.95 per week back
        "level_for_weekday",  # level x how busy this weekday is over all parts
        "yesterday",
        "mean_7_days",
        "adjusted_7_days",  # mean of the last 7 days as if each had been this weekday
        "adjusted_28_days",
        "adjusted_slow",  # the same over the window, half the weight in the last 16 weeks
        "share_7_days",  # the last 7 days of all parts together x this part's share
        "share_28_days",
        # Day of week and weekend enter as "level when it is that day, else 0".
        *(f"level_if_{name}" for name in _WEEKDAYS),
        "level_if_weekend",
    )
)
COLUMN = {spec.name: column for column, spec in enumerate(FEATURES)}
FIRST_WEEKDAY_COLUMN = COLUMN["level_if_monday"]

_AGE_DAYS = np.arange(WINDOW_DAYS, 0, -1)  # oldest first, yesterday last
_SAME_WEEKDAY = (_AGE_DAYS % 7 == 0).astype(np.float64)
# One row per average: the weight of each past day. A single product with the window gives all.
_WEIGHTS = np.array(
    [
        0.5 ** (_AGE_DAYS / 56),
        _SAME_WEEKDAY * 0.60 ** (_AGE_DAYS / 7 - 1),
        _SAME_WEEKDAY * 0.85 ** (_AGE_DAYS / 7 - 1),
        _SAME_WEEKDAY * 0.95 ** (_AGE_DAYS / 7 - 1),
        _AGE_DAYS <= 1,
        _AGE_DAYS <= 7,
        _AGE_DAYS <= 28,
        0.5 ** (_AGE_DAYS / 112),
    ],
    dtype=np.float64,
)
_WEIGHT_UP_TO_AGE = np.concatenate(
    [np.zeros((len(_WEIGHTS), 1)), np.cumsum(_WEIGHTS[:, ::-1], axis=1)], axis=1
)
_LEVEL, _SAME, _YESTERDAY, _LAST_7, _LAST_28, _SLOW = 0, slice(1, 4), 4, 5, 6, 7
_ADJUSTED = [_LAST_7, _LAST_28, _SLOW]
_WEEKDAY_WEIGHT = 0.5 ** (_AGE_DAYS / 84)
_WEEKDAY_OF_AGE = (np.arange(7)[:, None] - _AGE_DAYS[None, :]) % 7
_WEEKDAY_PRIOR_DAYS = 0.5
"""A weekday's factor is drawn towards 1 by as much as this many days would."""

_MIN_EXPECTED_DAYS = 0.2
"""An average over fewer (usual) days than this says nothing; the level stands in for it."""

_EXISTED_BEFORE_DAYS = 7
"""A part was available at least this long before its first use."""


class Predictor(Protocol):
    """An estimator or its compiled form."""

    def predict(self, features: Floats, /) -> Any:
        """(n_rows, n_features) -> (n_rows,)."""


class _Past:
    """A history laid out for moving windows; `append` is how a forecast becomes the past.

    Row r holds day r - WINDOW_DAYS of the history, so a window always has WINDOW_DAYS rows and
    days before the history weigh nothing. Not shared between threads: one per computation.
    """

    def __init__(self, history: DemandHistory, n_more_days: int) -> None:
        n_days, n_parts = history.pieces.shape
        n_rows = WINDOW_DAYS + n_days + n_more_days
        self.first_weekday = weekday(history.first_day)
        self.n_days = n_days
        pieces = history.usual
        totals = pieces.sum(axis=1)
        self.is_open = np.zeros(n_rows)
        self.is_open[WINDOW_DAYS : WINDOW_DAYS + n_days] = is_open_day(totals, history.is_plain)
        self.totals = np.zeros(n_rows)
        self.totals[WINDOW_DAYS : WINDOW_DAYS + n_days] = totals
        starts = (history.first_use - history.first_day).astype(np.int64)
        there_from = starts - (_EXISTED_BEFORE_DAYS if history.is_plain else 0)
        exists = np.arange(n_rows)[:, None] - WINDOW_DAYS >= there_from[None, :]
        self._starts, self._n_uses = starts, np.cumsum(pieces > 0, axis=0, dtype=np.int32)
        no_totals = np.zeros(0)
        totals_known = no_totals if history.is_plain else history.totals
        self._season = Season(totals_known, history.earlier_totals.shape[0])
        self._is_plain = history.is_plain
        # Side by side, so that one product weighs both: the pieces, and the days they fell on.
        self.stacked = np.zeros((n_rows, 2 * n_parts))
        self.stacked[WINDOW_DAYS : WINDOW_DAYS + n_days, :n_parts] = pieces
        self.stacked[:, n_parts:] = exists * self.is_open[:, None]
        self._n_parts = n_parts

    def append(self, pieces: Floats) -> None:
        """Take a forecast day (n_parts,) as if it had happened."""
        row = WINDOW_DAYS + self.n_days
        self.stacked[row, : self._n_parts] = pieces
        self.stacked[row, self._n_parts :] = 1.0
        self.totals[row] = pieces.sum()
        self.is_open[row] = 1.0
        self.n_days += 1

    def features(self, day: int) -> Floats:
        """What was known before day number `day` of the history: (n_parts, n_features)."""
        window = slice(day, day + WINDOW_DAYS)
        n_parts = self._n_parts
        today = (self.first_weekday + day) % 7
        stacked, is_open, totals = self.stacked[window], self.is_open[window], self.totals[window]
        factors = _weekday_factors(totals, is_open, today)
        factor = factors[today]
        factor_of_day = factors[_WEEKDAY_OF_AGE[today]]

        sums = _WEIGHTS @ stacked
        n_before = self._days_before_first_use(day)
        pieces, n_open = sums[:, :n_parts], sums[:, n_parts:] + n_before
        n_usual = _WEIGHTS @ (stacked[:, n_parts:] * factor_of_day[:, None]) + n_before
        all_pieces = pieces.sum(axis=1)
        all_usual = _WEIGHTS @ (is_open * factor_of_day)

        level = _ratio(pieces[_LEVEL], n_usual[_LEVEL], 0.0)
        expected = level * factor
        x = np.zeros((n_parts, len(FEATURES)))
        x[:, 0] = level
        x[:, 1:4] = _ratio(pieces[_SAME], n_open[_SAME], expected).T
        x[:, 4] = expected
        x[:, 5] = _ratio(pieces[_YESTERDAY], n_open[_YESTERDAY], level)
        x[:, 6] = _ratio(pieces[_LAST_7], n_open[_LAST_7], level)
        x[:, 7:10] = factor * _ratio(pieces[_ADJUSTED], n_usual[_ADJUSTED], level).T
        pace = _ratio(all_pieces, all_usual, all_pieces[_LEVEL] / max(all_usual[_LEVEL], 1e-9))
        if pace[_LEVEL] > 0:
            x[:, 10:12] = expected[:, None] * (pace[_LAST_7 : _LAST_28 + 1] / pace[_LEVEL])
        x[:, FIRST_WEEKDAY_COLUMN + today] = level
        if today >= 5:
            x[:, -1] = level
        return x * self._season.ratio(day)

    def _days_before_first_use(self, day: int) -> Floats:
        """How much the days weigh on which a part was there before it was first used.

        As many as usually lie between two uses, else one use on the first day known would be a
        trend: (n_weights, n_parts).
        """
        n_before = np.zeros((_WEIGHTS.shape[0], self._n_parts))
        age = day - self._starts
        young = np.flatnonzero((age > 0) & (age < WINDOW_DAYS))
        if young.size and self.n_days and not self._is_plain:
            n_uses = np.maximum(self._n_uses[min(day, len(self._n_uses)) - 1, young], 1)
            gap = np.maximum(age[young] // n_uses, _EXISTED_BEFORE_DAYS)
            gap = np.minimum(gap, np.maximum(self._starts[young], 0))
            until = np.minimum(age[young] + gap, WINDOW_DAYS)
            n_before[:, young] = _WEIGHT_UP_TO_AGE[:, until] - _WEIGHT_UP_TO_AGE[:, age[young]]
        return n_before


def _ratio(pieces: Floats, n_days: Floats, otherwise: Any) -> Floats:
    enough = n_days > _MIN_EXPECTED_DAYS
    return np.where(enough, pieces / np.where(enough, n_days, 1.0), otherwise)


def _weekday_factors(totals: Floats, is_open: Floats, today: int) -> Floats:
    """How busy each weekday is, all parts together: (7,), 1 is a usual day, 0 always closed."""
    weight = _WEEKDAY_WEIGHT * is_open
    weekdays = _WEEKDAY_OF_AGE[today]
    n_days = np.bincount(weekdays, weight, 7)
    pieces = np.bincount(weekdays, weight * totals, 7)
    usual = pieces.sum() / max(n_days.sum(), 1e-9)
    if usual <= 0:
        return np.ones(7)
    factors: Floats = (pieces / usual + _WEEKDAY_PRIOR_DAYS) / (n_days + _WEEKDAY_PRIOR_DAYS)
    return factors


def feature_rows(history: DemandHistory) -> tuple[Floats, Floats, Days, NDArray[np.intp]]:
    """One row per part and day, from the day after a part's first use on.

    Returns:
        features (n_rows, n_features), pieces (n_rows,), day (n_rows,) datetime64[D] and the
        part's index (n_rows,), ordered by day, then part.
    """
    past = _Past(history, n_more_days=0)
    first_row = (history.first_use - history.first_day).astype(np.int64) + 1
    kept = [np.flatnonzero(first_row <= day) for day in range(WARM_UP_DAYS, history.n_days)]
    if not kept:
        empty = np.zeros(0)
        no_day = empty.astype("datetime64[D]")
        return np.zeros((0, len(FEATURES))), empty, no_day, empty.astype(np.intp)
    features = np.concatenate(
        [past.features(WARM_UP_DAYS + i)[parts] for i, parts in enumerate(kept)]
    )
    number = np.repeat(np.arange(WARM_UP_DAYS, history.n_days), [len(parts) for parts in kept])
    part = np.concatenate(kept)
    return features, history.pieces[number, part], history.first_day + number, part


def forecast(history: DemandHistory, estimator: Predictor, n_days: int) -> Floats:
    """Roll the model day by day from the end of the history, each forecast becoming the past.

    Returns:
        (n_days, n_parts) pieces, never negative and never above the part's busiest day in the
        window, so that a long roll cannot run away.
    """
    past = _Past(history.newest(WINDOW_DAYS + SURE_AFTER_DAYS), n_more_days=n_days)
    highest = history.newest(WINDOW_DAYS).pieces.max(axis=0, initial=0.0)
    path = np.empty((n_days, len(history.parts)))
    for i in range(n_days):
        path[i] = np.clip(estimator.predict(past.features(past.n_days)), 0.0, highest)
        past.append(path[i])
    return path
