"""The day's profile of one device: what it usually gives at each quarter of an hour.

NumPy only. Knows no document, no estimator and no clock.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUARTERS = 96
PROFILE_DAYS = 14
QUANTILES = (0.5, 0.9)
"""What is usual, and what a clear sky gives."""

_DAY_US = 86_400_000_000
_QUARTER_US = 900_000_000
_FEWEST = 24  # quarters of an hour that were measured; below there is no profile


class Past:
    """Readings of one device by day and quarter of an hour, for the profile as of any day."""

    def __init__(self, local_us: NDArray[np.int64], power: Floats) -> None:
        """local_us : (n,) what the local clock showed; power : (n,) W."""
        day, quarter = local_us // _DAY_US, local_us % _DAY_US // _QUARTER_US
        self._first_day = int(day.min()) if day.size else 0
        n_days = int(day.max()) - self._first_day + 1 if day.size else 0
        at = ((day - self._first_day) * QUARTERS + quarter).astype(np.int64)
        count = np.bincount(at, minlength=n_days * QUARTERS)
        total = np.bincount(at, power, minlength=n_days * QUARTERS)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        self._mean = mean.reshape(n_days, QUARTERS)

    def before(self, day: int) -> Floats:
        """(QUARTERS, 2) quantiles of the two weeks before a day, each quarter of an hour with its
        neighbours; NaN where nothing was measured.

        day : number of the local day since the epoch.
        """
        end = min(max(day - self._first_day, 0), len(self._mean))
        known = self._mean[max(end - PROFILE_DAYS, 0) : end]
        if np.isfinite(known).sum() < _FEWEST:
            return np.full((QUARTERS, len(QUANTILES)), np.nan)
        around = np.concatenate([known, np.roll(known, 1, axis=1), np.roll(known, -1, axis=1)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # quarters without any value
            found = np.nanquantile(around, QUANTILES, axis=0).T
        return np.asarray(found)

    def highest_before(self, day: int) -> float:
        """W of the best quarter of an hour before a day; 1 where none is known."""
        known = self._mean[: min(max(day - self._first_day, 0), len(self._mean))]
        known = known[np.isfinite(known)]
        return max(float(known.max()), 1e-3) if known.size else 1.0

    def of_rows(self, day: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
        """The profiles of some days, and for each row which of them is its day's."""
        days, nth = np.unique(day, return_inverse=True)
        return np.stack([self.before(int(each)) for each in days]), nth


def at_minute(profiles: Floats, nth: NDArray[np.int64], minute: Floats) -> Floats:
    """(n_rows, 2) from the middles of the quarters of an hour around a minute of the day.

    profiles : (n_profiles, QUARTERS, 2); nth : (n_rows,) which of them is the row's.
    """
    quarter = minute / 15.0 - 0.5
    before = np.floor(quarter).astype(np.int64)
    share = (quarter - before)[:, None]
    one, other = profiles[nth, before % QUARTERS], profiles[nth, (before + 1) % QUARTERS]
    return np.asarray(one * (1 - share) + other * share)
