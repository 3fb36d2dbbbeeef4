"""What all parts together tell about the coming days: the yearly season, and what was no usual day.

NumPy only. Whatever it says about a day rests on earlier days alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_YEAR_DAYS = 364  # whole weeks, so that weekdays meet
_AROUND_DAYS = 24
_PACE_DAYS = 56
_AHEAD_DAYS = 7
_LEARNT_FROM_DAYS = 730
_DOUBT = 0.5
"""As if so much evidence said that last year tells nothing: sums of squared log ratios."""

SEASON_DAYS = _LEARNT_FROM_DAYS + _YEAR_DAYS + _PACE_DAYS + _AHEAD_DAYS + 7
"""So many days of totals say all that `Season` can know."""

# A day's pieces of one part that are far above all but one of its days in half a year.
_BULK_WINDOW_DAYS, _BULK_FEWEST, _BULK_RATIO, _BULK_DEVIATIONS = 182, 5, 2.5, 6.0


class Season:
    """How much busier the coming days are than the last four weeks, as it was a year ago.

    The ratio of a year ago counts as far as such ratios have told the truth so far: a regression
    through the origin of what came on what last year said, drawn towards nothing.
    """

    def __init__(self, totals: Floats, n_earlier: int) -> None:
        """totals : (n,) pieces of all parts by day; the first `n_earlier` lie before day 0."""
        self._n_earlier, self._n = n_earlier, totals.shape[0]
        self._sums = np.concatenate([[0.0], np.cumsum(totals)])
        day = np.arange(self._n + 1)
        told = self._told(day)
        pace, came = self._mean(day - _PACE_DAYS, day), self._mean(day, day + _AHEAD_DAYS)
        known = (told != 0) & (pace > 0) & (came > 0)
        happened = np.where(known, np.log(np.where(known, came / np.where(known, pace, 1), 1)), 0.0)
        said = np.where(known, told, 0.0)
        # What came in the seven days after a day is known seven days later.
        agreed, asked = (self._sum_of_past(x) for x in (said * happened, said * said))
        self._trust = np.clip(agreed / (asked + _DOUBT), 0.0, 1.0)

    def ratio(self, day: int) -> float:
        """For day number `day`, from what was known before it; a roll ahead trusts as on its
        first day."""
        at = self._n_earlier + day
        trust = self._trust[min(at, self._n)]
        return float(np.exp(trust * self._told(np.array([at]))[0])) if trust > 0 else 1.0

    def _told(self, at: NDArray[np.int64]) -> Floats:
        """Log of a year ago's ratio; 0 where there is no year."""
        ago = at - _YEAR_DAYS
        around = self._mean(ago - _AROUND_DAYS, ago + _AROUND_DAYS + 1)
        before = self._mean(ago - _PACE_DAYS, ago)
        known = (ago >= _PACE_DAYS) & (around > 0) & (before > 0)
        ratio = np.where(known, around / np.where(known, before, 1.0), 1.0)
        return np.asarray(np.log(np.clip(ratio, 0.2, 5.0)))

    def _mean(self, first: NDArray[np.int64], end: NDArray[np.int64]) -> Floats:
        """Of the days from `first` until before `end`; 0 where they are not all known."""
        known = (first >= 0) & (end <= self._n)
        a, b = np.clip(first, 0, self._n), np.clip(end, 0, self._n)
        return np.asarray(np.where(known, (self._sums[b] - self._sums[a]) / (end - first), 0.0))

    def _sum_of_past(self, values: Floats) -> Floats:
        """(n + 1,): at each day the sum over the two years of days whose week had passed."""
        sums = np.concatenate([[0.0], np.cumsum(values)])
        end = np.maximum(np.arange(self._n + 1) - _AHEAD_DAYS + 1, 0)
        found = sums[end] - sums[np.maximum(end - _LEARNT_FROM_DAYS, 0)]
        return np.asarray(found)


def without_bulk(pieces: Floats) -> Floats:
    """The pieces with each single bulk order counted as one usual day of that part.

    pieces : (n_days, n_parts). One that came again within half a year is no single one any more,
    and a part that was used on fewer than five days has no usual day yet.
    """
    usual = pieces
    for part in np.flatnonzero(pieces.max(axis=0, initial=0.0) > _BULK_DEVIATIONS):
        days = np.flatnonzero(pieces[:, part])
        sizes = pieces[days, part]
        means = np.cumsum(sizes) / np.arange(1, sizes.size + 1)
        for i in np.flatnonzero((sizes > _BULK_DEVIATIONS) & (sizes > means)):
            if i < _BULK_FEWEST:
                continue
            past = sizes[np.searchsorted(days, days[i] - _BULK_WINDOW_DAYS) : i]
            if past.size < _BULK_FEWEST:
                continue
            mean = float(np.mean(np.sort(past)[:-1]))
            spread = max(float(np.std(np.sort(past)[:-1])), np.sqrt(mean))
            second = float(np.sort(past)[-2])
            if sizes[i] > max(_BULK_RATIO * second, mean + _BULK_DEVIATIONS * spread):
                usual = pieces.copy() if usual is pieces else usual
                usual[days[i], part] = mean
    return usual
