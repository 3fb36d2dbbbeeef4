"""Forecast each metric at each horizon with uncertainty, by what was chosen for it.

Changes are measured in the server's own volatility, for all servers together, beside each server's
habits. NumPy only; the API unpickles this and nothing else. `fitting` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.stored_types import reduced
from shared.workloads.server_metrics.cycles import Cycles
from shared.workloads.server_metrics.features import (
    FIRST_CHANGE,
    FIRST_HOUR,
    LAGS_MIN,
    VALUE,
    VOLATILITY,
)
from shared.workloads.server_metrics.regressors import Boosted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


BANDS = (80, 90)
"""Percent of the values that lie between `low` and `high`; the first is what risk is read from."""

NORMAL_HIGH = {80: 1.2816, 90: 1.6449}  # of a random walk
CLIP = 10.0  # in volatilities: one restart of a service must not decide


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one metric. features : (n_rows, n_features). minutes : (n_rows,) since the epoch.

    server : (n_rows,) numbers of `names`; -1 where nobody knows whose the row is.
    """

    features: Floats
    minutes: Ints
    server: Ints
    names: tuple[str, ...]

    @classmethod
    def of_nobody(cls, features: Floats) -> Rows:
        """Feature rows alone."""
        nobody = np.full(len(features), -1)
        return cls(features, np.zeros(len(features), dtype=np.int64), nobody, ())

    def where(self, chosen: NDArray[np.bool_] | slice) -> Rows:
        return Rows(self.features[chosen], self.minutes[chosen], self.server[chosen], self.names)

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True, eq=False)
class MetricForecaster:
    """What release 0.1.0 knew of one metric: a ridge regression on changes in volatilities."""

    floor: float
    gram: Floats
    moment: Floats
    coefficients: Floats
    trial_error: Floats
    trial_wins: Floats
    n_blocks: float
    share: Floats
    low: Floats
    high: Floats

    __reduce__ = reduced

    def forecast(
        self, rows: Rows, horizons_min: Sequence[int], band: int = 80
    ) -> tuple[Floats, Floats, Floats]:
        """(low, expected, high), each (n_rows, n_horizons), in the metric's unit."""
        del horizons_min
        x, scale = scaled(rows.features, self.floor)
        change = np.clip(x @ self.coefficients, -CLIP, CLIP) * scale[:, None]
        expected = rows.features[:, VALUE, None] + self.share * change
        wider = NORMAL_HIGH[band] / NORMAL_HIGH[80]
        low, high = (wider * bound * scale[:, None] for bound in (self.low, self.high))
        return expected + low, expected, expected + high


@dataclass(frozen=True, slots=True, eq=False)
class MetricModel:
    """What is known of one metric.

    linear (n_horizons, n_columns). boosted : for each horizon; None where the trees have no share.
    linear_share, boosted_share (n_horizons,) : 0 and 0 is persistence.
    low, high (n_horizons,) : of what was missed on rows that were not fitted on, in `spread`s;
        low_stays, high_stays : the same of persistence.
    strange : a metric that wanders off farther, beside how it trembles, than any did that was
        learnt from, moves in another way now: persistence is all that can be said of it.
    wide (4, n_horizons) : low, high, low_stays and high_stays of the band of 90 percent.
    """

    floor: float
    linear: Floats
    linear_share: Floats
    boosted: list[Boosted | None]
    boosted_share: Floats
    low: Floats
    high: Floats
    low_stays: Floats
    high_stays: Floats
    strange: float
    cycles: Cycles
    wide: Floats | None = None

    __reduce__ = reduced

    def bounds(self, band: int) -> Floats:
        """(4, n_horizons): low, high, low_stays and high_stays of a band of BANDS."""
        narrow = np.stack([self.low, self.high, self.low_stays, self.high_stays])
        if band == 80:
            return narrow
        if self.wide is not None:
            return self.wide
        return narrow * (NORMAL_HIGH[band] / NORMAL_HIGH[80])  # a version that did not learn it

    def forecast(
        self, rows: Rows, horizons_min: Sequence[int], band: int = 80
    ) -> tuple[Floats, Floats, Floats]:
        """(low, expected, high), each (n_rows, n_horizons), in the metric's unit."""
        x, scale = scaled(rows.features, self.floor)
        place = places_of(self.cycles, rows)
        is_strange = wandering(rows.features, scale) > self.strange
        bands = np.empty((3, len(rows), len(horizons_min)))
        lows, highs, lows_stays, highs_stays = self.bounds(band)
        for step, ahead_min in enumerate(horizons_min):
            change = np.zeros(len(rows))
            if self.linear_share[step] or self.boosted_share[step]:
                columns = columns_of(x, scale, self.cycles, place, rows, ahead_min)
                if self.linear_share[step]:
                    change += self.linear_share[step] * (columns @ self.linear[step])
                trees = self.boosted[step]
                if trees is not None:
                    change += self.boosted_share[step] * trees.predict(columns)
            away = spread(rows.features, ahead_min, self.floor)
            change[is_strange] = 0.0
            expected = rows.features[:, VALUE] + np.clip(change, -3 * CLIP, 3 * CLIP) * scale
            low = np.where(is_strange, lows_stays[step], lows[step])
            high = np.where(is_strange, highs_stays[step], highs[step])
            bands[:, :, step] = expected + low * away, expected, expected + high * away
        return bands[0], bands[1], bands[2]


@dataclass(frozen=True, slots=True, eq=False)
class FleetForecaster:
    """The estimator: a model for each metric that there were enough rows of.

    risk : what scores are about: "limit", being at it soon; "level" in versions of release 0.1.0.
    """

    horizons_min: tuple[int, ...]
    metrics: dict[str, MetricModel | MetricForecaster] = field(default_factory=dict)
    risk: str = "level"

    __reduce__ = reduced


def forecast(
    known: MetricModel | MetricForecaster | None,
    rows: Rows,
    horizons_min: Sequence[int],
    limit: float | None,
    band: int = 80,
) -> tuple[Floats, Floats, Floats]:
    """(low, expected, high), each (n_rows, n_horizons); persistence where nothing was learnt.

    limit : what the metric cannot pass, unless it is beyond already; None: nobody knows.
    band : one of BANDS.
    """
    now = rows.features[:, VALUE, None]
    if known is None:
        expected = np.repeat(now, len(horizons_min), axis=1)
        far = rows.features[:, VOLATILITY, None] * np.sqrt(np.asarray(horizons_min))
        away = NORMAL_HIGH[band] * far
        found = (expected - away, expected, expected + away)
    else:
        found = known.forecast(rows, horizons_min, band)
    if limit is None:
        return found
    low, expected, high = (
        np.clip(each, np.minimum(now, 0), np.maximum(now, limit)) for each in found
    )
    return low, expected, high


def spread(features: Floats, ahead_min: int, floor: float) -> Floats:
    """(n_rows,): how far a metric moves in so many minutes, by what it did in the last hour.

    The larger of the change from minute to minute and the changes over about as long a time: after
    a change of level or of pace both are of the new one. Bands are multiples of it.
    """
    square = features[:, VOLATILITY] ** 2
    lags = np.array(LAGS_MIN)
    near = np.flatnonzero((lags >= min(ahead_min, 60) / 2) & (lags <= 2 * ahead_min))
    moved = features[:, FIRST_CHANGE + near] ** 2 * np.minimum(ahead_min / lags[near], 8.0)
    most = np.maximum(np.maximum(square, moved.mean(axis=1)), floor**2)
    return np.asarray(np.sqrt(most), dtype=np.float64)


def wandering(features: Floats, scale: Floats) -> Floats:
    """(n_rows,): how far a metric is from where it was half an hour and more ago, beside how far
    it goes in a minute."""
    far = FIRST_CHANGE + np.flatnonzero(np.array(LAGS_MIN) >= 15)
    return np.asarray(np.abs(features[:, far]).mean(axis=1) / scale, dtype=np.float64)


def places_of(cycles: Cycles, rows: Rows) -> Ints:
    """The row of each server in `cycles`."""
    if not rows.names:
        return np.full(len(rows), -1)
    return cycles.places(list(rows.names))[rows.server]


N_MORE = 3


def columns_of(
    x: Floats, scale: Floats, cycles: Cycles, place: Ints, rows: Rows, ahead_min: int
) -> Floats:
    """What both parts see: the scaled row, its volatility, and the server's habits."""
    habits = cycles.changes(place, rows.minutes, ahead_min)
    habits = np.clip(habits / scale[:, None], -3 * CLIP, 3 * CLIP)
    return np.concatenate([x, np.log(scale)[:, None], habits], axis=1)


def scaled(rows: Floats, floor: float) -> tuple[Floats, Floats]:
    """Changes in volatilities beside the time of day; and the volatility of each row."""
    scale = np.maximum(rows[:, VOLATILITY], floor)
    x = np.concatenate(
        [
            rows[:, FIRST_CHANGE:FIRST_HOUR] / scale[:, None],
            rows[:, FIRST_HOUR:],
            np.ones((len(rows), 1)),
        ],
        axis=1,
    )
    x[:, : FIRST_HOUR - FIRST_CHANGE] = np.clip(
        x[:, : FIRST_HOUR - FIRST_CHANGE], -3 * CLIP, 3 * CLIP
    )
    return x, scale
