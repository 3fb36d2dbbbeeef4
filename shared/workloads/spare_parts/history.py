"""Hold the daily totals of all parts, and say which days of them count.

NumPy only. Knows no document, no feature and no model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shared.workloads.spare_parts.season import SEASON_DAYS, without_bulk

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]

_CLOSED_FROM_PIECES = 8.0
"""No demand at all on a weekday that usually has this much cannot be chance: it was closed."""

_CLOSED_DAYS, _CLOSED_SHARE, _SCATTERED_DAYS = 91, 0.05, 2
"""Where more than this share of a quarter's busy weekdays were empty, one by one or two by two,
such a day is no closure."""

SURE_AFTER_DAYS = 28 + _CLOSED_DAYS
"""Which days are closures is known of a history whose beginning is so many days before."""


@dataclass(frozen=True, slots=True, eq=False)
class DemandHistory:
    """Daily totals per part over a gap-free calendar.

    first_day : day of `pieces[0]`.
    parts : (n_parts,) names.
    pieces : (n_days, n_parts) float64, 0 where nothing was used.
    first_use : (n_parts,) datetime64[D], the first day a part was ever used; may be before
        `first_day` when the history was cut.
    earlier_totals : (n_earlier_days,) pieces of all parts together on the days before
        `first_day`, as far as they are known: enough to know the season.
    usual : (n_days, n_parts) the pieces without single bulk orders: what features are made of.
    is_plain : of a version of the first release, whose features know no season, no bulk orders,
        and closures and beginnings by simpler rules; its answers must stay what they were.
    """

    first_day: np.datetime64
    parts: tuple[str, ...]
    pieces: Floats
    first_use: Days
    earlier_totals: Floats = field(default_factory=lambda: np.zeros(0))
    usual: Floats = field(default_factory=lambda: np.zeros(0))
    is_plain: bool = False

    def __post_init__(self) -> None:
        if self.usual.shape != self.pieces.shape:
            usual = self.pieces if self.is_plain else without_bulk(self.pieces)
            object.__setattr__(self, "usual", usual)

    @property
    def n_days(self) -> int:
        return int(self.pieces.shape[0])

    @property
    def end(self) -> np.datetime64:
        """The day after the last one."""
        return self.first_day + np.timedelta64(self.n_days, "D")

    def before(self, day: np.datetime64) -> DemandHistory:
        """The same history as it stood before `day` began."""
        kept = min(max(int((day - self.first_day).astype(int)), 0), self.n_days)
        return replace(self, pieces=self.pieces[:kept], usual=self.usual[:kept])

    def newest(self, n_days: int) -> DemandHistory:
        """The last `n_days` of it."""
        cut = max(self.n_days - n_days, 0)
        return replace(
            self,
            first_day=self.first_day + np.timedelta64(cut, "D"),
            pieces=self.pieces[cut:],
            earlier_totals=self.totals[: self.earlier_totals.shape[0] + cut][-SEASON_DAYS:],
            usual=self.usual[cut:],
        )

    @property
    def totals(self) -> Floats:
        """(n_earlier_days + n_days,) usual pieces of all parts together."""
        return np.concatenate([self.earlier_totals, self.usual.sum(axis=1)])


def weekday(day: np.datetime64) -> int:
    """0 is Monday."""
    return int((day.astype("datetime64[D]").astype(np.int64) + 3) % 7)


def is_open_day(totals: Floats, is_plain: bool = False) -> NDArray[np.bool_]:
    """Which days count: all but closures on days that are usually busy.

    A weekday on which the garage is always closed counts, with its zeros. Each day is judged by
    itself and the four same weekdays before it, never by what came later.

    totals : (n_days,) pieces of all parts together.
    """
    n_days = totals.shape[0]
    usual, n_known = np.zeros(n_days), np.zeros(n_days)
    for lag_days in (7, 14, 21, 28):
        if lag_days < n_days:
            usual[lag_days:] += totals[:-lag_days]
            n_known[lag_days:] += 1
    is_busy = usual >= _CLOSED_FROM_PIECES * np.maximum(n_known, 1)
    is_empty = is_busy & (totals <= 0)
    if is_plain:
        return np.asarray(~is_empty)
    # Where orders come in batches empty days are the rule, and the coming days will have them.
    # Three and more in a row are holidays all the same.
    run = np.cumsum(is_empty, dtype=np.int64)
    run -= np.maximum.accumulate(np.where(is_busy & ~is_empty, run, 0))
    n_scattered = _sum_of_newest(is_empty & (run <= _SCATTERED_DAYS))
    return np.asarray(~is_empty | (n_scattered > _CLOSED_SHARE * _sum_of_newest(is_busy) + 2))


def _sum_of_newest(claims: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n_days,): of how many of the last _CLOSED_DAYS days, each included, it is true."""
    sums = np.cumsum(claims, dtype=np.int64)
    sums[_CLOSED_DAYS:] -= sums[:-_CLOSED_DAYS].copy()
    return np.asarray(sums)
