"""Make the candidates of spare parts, and how far their forecasts are usually off.

NumPy only, and what is made is data. Knows no document, no request and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from shared.stored_types import reduced
from shared.workloads.spare_parts.history import DemandHistory, Floats, is_open_day
from shared.workloads.spare_parts.rows import (
    COLUMN,
    FEATURES,
    FIRST_WEEKDAY_COLUMN,
    WARM_UP_DAYS,
    forecast,
)
from shared.workloads.training import Progress, TrainingSet

CANDIDATES = ("by_speed", "ridge", "level")

# Chosen on expanding windows inside the older four fifths of real demand; half or twice as much
# changes the error by less than 1 %, and the greater one is the safer on a short history.
_RIDGE_ALPHA = 100.0
# Drawn towards a sound guess instead of zero, so that a short history is no worse off for it.
_GUESS = {"adjusted_28_days": 0.5, "adjusted_slow": 0.5}
# What a slow part is forecast by: its share of the last half year, at the pace that all parts
# together have had for about a month. Of one such part nothing newer can be known, and weights
# learnt from it follow a season too late.
_SLOW_WEIGHTS = {"share_28_days": 0.7, "level_for_weekday": 0.3}
# Below 1 a column must earn its coefficient: what one weekday adds is mostly noise.
_TRUST_IN_WEEKDAYS = 0.5
_PRIOR_PIECES = 50.0
_LEVEL_FLOOR = 0.05  # pieces/day; keeps the weight of a hardly used part finite
_SLOW, _FAST = 0.1, 2.0  # pieces/day

LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
HORIZONS = (1, 7, 14)
_CLASS_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 7.0, 50.0)  # pieces forecast
_WITHIN_A_PIECE = (-0.4, -0.2, 0.0, 0.2, 0.4)
_FEWEST_IN_CLASS = 120
_ORIGINS, _ORIGIN_EVERY_DAYS = 52, 7
_ENOUGH, _FEWEST_ORIGINS = 4000, 13  # residuals: of many parts fewer origins tell as much
_NOISE = 0.1  # pieces; even of a part of which none is expected one may be needed


class DemandModel(msgspec.Struct, frozen=True):
    """Linear in the features, with other weights for slow parts than for fast ones.

    coefficients : (2, n_features), of parts of 0.1 pieces a day or less and of 2 or more; between
        them the weights go over into each other with the logarithm of the level.
    residuals : horizon in days -> class of the forecast -> quantiles at LEVELS of what came minus
        the forecast, over the root of the forecast; empty where there was no past to learn from.
    is_whole : only whole pieces came; each residual is then spread over the width of a piece, for
        without it no quantile of a slow part's zeros and ones holds what it says.
    """

    coefficients: list[list[float]]
    residuals: dict[str, list[list[float]]] = {}
    is_whole: bool = False

    __reduce__ = reduced

    def predict(self, features: Floats) -> Floats:
        """(n_rows, n_features) -> (n_rows,) pieces per day, never negative."""
        slow, fast = np.asarray(self.coefficients)
        share = _share_of_fast(features)
        found = (features @ slow) * (1 - share) + (features @ fast) * share
        return np.asarray(np.maximum(found, 0.0))

    @property
    def has_residuals(self) -> bool:
        return bool(self.residuals)

    def enough(self, forecast: Floats, level: float, horizon_days: int) -> Floats:
        """Whole pieces that are enough with probability `level`, of a forecast sum: any shape."""
        found = self._quantile(forecast, np.full(forecast.shape, level), horizon_days)
        return np.asarray(np.ceil(np.maximum(found - (0.5 if self.is_whole else 0.0), 0.0)))

    def bounds(self, forecast: Floats, interval: float, horizon_days: int) -> tuple[Floats, Floats]:
        """Between which pieces a forecast sum lies with the probability `interval`: any shape.

        Whole where only whole pieces came. Where even nothing lies above the lower bound, all of
        the doubt is above the upper one.
        """
        beyond = np.full(forecast.shape, (1 - interval) / 2)
        low = self._quantile(forecast, beyond, horizon_days)
        if not self.is_whole:
            high = self._quantile(forecast, 1 - beyond, horizon_days)
            return np.maximum(low, 0.0), np.maximum(high, 0.0)
        low = np.minimum(np.maximum(np.ceil(low), 0.0), np.floor(forecast))
        upper = np.where(low > 0, 1 - beyond, interval)
        high = np.floor(self._quantile(forecast, upper, horizon_days))
        return low, np.maximum(high, np.floor(forecast + 0.5))

    def _quantile(self, forecast: Floats, level: Floats, horizon_days: int) -> Floats:
        """Longer ahead than was looked at, the spread grows with the root of the forecast."""
        nearest = min(HORIZONS, key=lambda days: abs(np.log(days / horizon_days)))
        table = np.asarray(self.residuals[str(nearest)])
        nth = np.minimum(_class_of(forecast), len(table) - 1)
        found = np.empty(forecast.shape)
        for one, row in enumerate(table):
            is_one = nth == one
            found[is_one] = np.interp(level[is_one], LEVELS, row)
        return np.asarray(forecast + found * np.sqrt(forecast + _NOISE))


NAIVE = DemandModel(2 * [[float(name == "same_weekday_mean") for name in COLUMN]])
"""The naive baseline: the mean of the same weekdays, weight 0.85 per week back."""


def fit_demand(
    name: str, train: TrainingSet, history: DemandHistory, progress: Progress
) -> DemandModel:
    """Fit one of CANDIDATES, in pieces per day.

    history : as it stood when the training part ended.

    `level` takes the exponentially smoothed demand, zeros included: a part that is used no more
    fades, as in Teunter, Syntetos & Babai (2011). `ridge` weighs errors by 1 / level, for counts
    vary as their mean does: one step of a Poisson regression with the identity as its link. The
    squared loss is meant: the median of a part that is used twice a week is zero, and nobody
    would restock it. `by_speed` does so for fast parts; a slow one takes its share of the pace of
    all parts together.
    """
    progress(0.0, name)
    if name == "level":
        slow = fast = _weights(level_for_weekday=1.0)
    elif name == "by_speed":
        slow = _weights(**_SLOW_WEIGHTS)
        fast = _ridge(train, history, slow)
    else:
        slow = fast = _ridge(train, history, None)
    model = DemandModel([slow.tolist(), fast.tolist()])
    found = with_residuals(model, history, progress, name)
    progress(1.0, name)
    return found


def with_residuals(
    model: DemandModel, history: DemandHistory, progress: Progress, name: str = ""
) -> DemandModel:
    """The same, with how far its forecasts of this history were off."""
    is_whole = bool((history.pieces == np.round(history.pieces)).all())
    within = _WITHIN_A_PIECE if is_whole else (0.0,)
    return DemandModel(
        model.coefficients, _residuals(model, history, within, progress, name), is_whole
    )


def _share_of_fast(features: Floats) -> Floats:
    level = np.maximum(features[:, COLUMN["level"]], 1e-9)
    return np.asarray(np.clip(np.log(level / _SLOW) / np.log(_FAST / _SLOW), 0.0, 1.0))


def _weights(**given: float) -> Floats:
    """(n_features,), zero where nothing is given."""
    return np.array([given.get(name, 0.0) for name in COLUMN])


def _ridge(train: TrainingSet, history: DemandHistory, slow: Floats | None) -> Floats:
    """(n_features,) weights of fast parts, beside those of slow ones; of all parts without them.

    Days on which the garage was closed teach nothing.
    """
    number = (train.day - history.first_day).astype(np.int64)
    is_used = is_open_day(history.usual.sum(axis=1))[number]
    column_of = {name: i for i, name in enumerate(history.parts)}
    part = np.array([column_of[name] for name in train.slices[is_used].tolist()], dtype=np.int64)
    # A single bulk order is no usual demand to be learnt either.
    x, y = train.features[is_used], history.usual[number[is_used], part]
    guess, trust = _weights(**_GUESS), np.ones(len(FEATURES))
    trust[FIRST_WEEKDAY_COLUMN:] = _TRUST_IN_WEEKDAYS
    share = np.ones(len(x)) if slow is None else _share_of_fast(x)
    settled = np.zeros(len(x)) if slow is None else (x @ slow) * (1 - share)
    columns = x * trust * share[:, None]
    weight = 1 / (x[:, COLUMN["level"]] + _LEVEL_FLOOR)
    weighted = columns * weight[:, None]
    penalty = _RIDGE_ALPHA * np.eye(columns.shape[1])
    left = y - settled - (x @ guess) * share
    weights = np.linalg.solve(weighted.T @ columns + penalty, weighted.T @ left) * trust + guess
    if slow is None:
        # Scaled until what is said adds up to what came: the level of a slow part is known badly,
        # and a regression makes up for that by weights that are too small.
        weights = (
            weights * (y.sum() + _PRIOR_PIECES) / (np.maximum(x @ weights, 0).sum() + _PRIOR_PIECES)
        )
    return np.asarray(weights)


def _class_of(forecast: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.searchsorted(np.asarray(_CLASS_BOUNDS), forecast).astype(np.int64)


def _residuals(
    model: DemandModel,
    history: DemandHistory,
    within: Sequence[float],
    progress: Progress,
    name: str,
) -> dict[str, list[list[float]]]:
    """Quantiles over forecasts from origins a week apart in the newest year: conformal.

    Each forecast knows only what was known at its origin; that its few weights were fitted on
    those days too is no matter beside the thousands of rows.
    """
    longest = HORIZONS[-1]
    n_origins = min(max(_ENOUGH // max(len(history.parts), 1), _FEWEST_ORIGINS), _ORIGINS)
    starts = range(history.n_days - longest, WARM_UP_DAYS + 7, -_ORIGIN_EVERY_DAYS)[:n_origins]
    expected: dict[int, list[Floats]] = {days: [] for days in HORIZONS}
    off: dict[int, list[Floats]] = {days: [] for days in HORIZONS}
    for i, start in enumerate(starts):
        progress(0.2 + 0.8 * i / len(starts), name)
        known = history.before(history.first_day + np.timedelta64(start, "D"))
        is_there = history.first_use < known.end
        path = forecast(known, model, longest)[:, is_there]
        came = history.usual[start : start + longest, is_there]
        for days in HORIZONS:
            total = path[:days].sum(axis=0)
            spread = came[:days].sum(axis=0)[:, None] + np.array(within)
            expected[days].append(total)
            off[days].append((spread - total[:, None]) / np.sqrt(total + _NOISE)[:, None])
    if sum(len(each) for each in off[HORIZONS[0]]) < _FEWEST_IN_CLASS:
        return {}
    return {
        str(days): _quantiles(np.concatenate(expected[days]), np.concatenate(off[days]))
        for days in HORIZONS
    }


def _quantiles(expected: Floats, off: Floats) -> list[list[float]]:
    """By class of the forecast; one with too few takes its nearest neighbours' as well."""
    of_class = _class_of(expected)
    n_classes = len(_CLASS_BOUNDS) + 1
    table = []
    for one in range(n_classes):
        reach = 0
        while (near := np.abs(of_class - one) <= reach).sum() < _FEWEST_IN_CLASS:
            reach += 1
            if reach == n_classes:
                break
        n = int(near.sum())
        # The finite-sample step of split conformal: the (n + 1)-th part more on either side.
        levels = [min(max(0.5 + (q - 0.5) * (n + 1) / n, 0.0), 1.0) for q in LEVELS]
        table.append(np.quantile(off[near], levels).tolist())
    return table
