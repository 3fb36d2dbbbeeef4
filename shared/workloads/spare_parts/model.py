"""Make the candidates of spare parts, and how far their forecasts are usually off.

NumPy only, and what is made is data. Knows no document, no request and no clock.
"""

from __future__ import annotations

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
# Below 1 a column must earn its coefficient: what one weekday adds is mostly noise.
_TRUST_IN_WEEKDAYS = 0.5
_ROUNDS, _PRIOR_PIECES = 4, 50.0
_LEVEL_FLOOR = 0.05  # pieces/day; keeps the weight of a hardly used part finite
_SLOW, _FAST = 0.1, 2.0  # pieces/day

LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
HORIZONS = (1, 7, 14)
_CLASS_BOUNDS = (0.5, 2.0, 7.0, 50.0)  # pieces forecast
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
    """

    coefficients: list[list[float]]
    residuals: dict[str, list[list[float]]] = {}

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

    def quantile(self, forecast: Floats, level: float, horizon_days: int) -> Floats:
        """Pieces that are enough with probability `level`, of a forecast sum: any shape.

        Longer ahead than was looked at, the spread grows with the root of the forecast.
        """
        nearest = min(HORIZONS, key=lambda days: abs(np.log(days / horizon_days)))
        table = np.asarray(self.residuals[str(nearest)])
        of_class = np.array([np.interp(level, LEVELS, row) for row in table])
        spread = np.sqrt(forecast + _NOISE)
        return np.asarray(np.maximum(forecast + of_class[_class_of(forecast)] * spread, 0.0))


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
    would restock it. `by_speed` fits slow and fast parts at once, each with weights of their own.
    """
    progress(0.0, name)
    if name == "level":
        weights = np.zeros((1, len(FEATURES)))
        weights[0, COLUMN["level_for_weekday"]] = 1.0
    else:
        weights = _ridge(train, history, n_speeds=2 if name == "by_speed" else 1)
    model = DemandModel(np.broadcast_to(weights, (2, len(FEATURES))).tolist())
    found = with_residuals(model, history, progress, name)
    progress(1.0, name)
    return found


def with_residuals(
    model: DemandModel, history: DemandHistory, progress: Progress, name: str = ""
) -> DemandModel:
    """The same, with how far its forecasts of this history were off."""
    return DemandModel(model.coefficients, _residuals(model, history, progress, name))


def _share_of_fast(features: Floats) -> Floats:
    level = np.maximum(features[:, COLUMN["level"]], 1e-9)
    return np.asarray(np.clip(np.log(level / _SLOW) / np.log(_FAST / _SLOW), 0.0, 1.0))


def _ridge(train: TrainingSet, history: DemandHistory, n_speeds: int) -> Floats:
    """(n_speeds, n_features); days on which the garage was closed teach nothing."""
    number = (train.day - history.first_day).astype(np.int64)
    is_used = is_open_day(history.usual.sum(axis=1))[number]
    column_of = {name: i for i, name in enumerate(history.parts)}
    part = np.array([column_of[name] for name in train.slices[is_used].tolist()], dtype=np.int64)
    # A single bulk order is no usual demand to be learnt either.
    x, y = train.features[is_used], history.usual[number[is_used], part]
    guess, trust = np.zeros(len(FEATURES)), np.ones(len(FEATURES))
    for name, share in _GUESS.items():
        guess[COLUMN[name]] = share
    trust[FIRST_WEEKDAY_COLUMN:] = _TRUST_IN_WEEKDAYS
    fast = _share_of_fast(x)[:, None]
    columns = x * trust if n_speeds == 1 else np.hstack([x * trust * (1 - fast), x * trust * fast])
    weight = 1 / (x[:, COLUMN["level"]] + _LEVEL_FLOOR)
    weighted = columns * weight[:, None]
    penalty = _RIDGE_ALPHA * np.eye(columns.shape[1])
    found = np.linalg.solve(weighted.T @ columns + penalty, weighted.T @ (y - x @ guess))
    return _without_bias(found.reshape(n_speeds, -1) * trust + guess, x, y)


def _without_bias(weights: Floats, x: Floats, y: Floats) -> Floats:
    """Weights scaled so that what they say of slow and of fast parts adds up to what came.

    The level of a slow part is known badly, and a regression makes up for that by weights that
    are too small: each part's forecast would be a little better, and their sum a third too low.
    """
    fast = _share_of_fast(x)
    shares = (1 - fast, fast) if len(weights) == 2 else (np.ones_like(fast),)
    for _ in range(_ROUNDS):
        each = [(x @ one) * share for one, share in zip(weights, shares, strict=True)]
        said = np.maximum(np.sum(each, axis=0), 0.0)
        scale = [(share @ y + _PRIOR_PIECES) / (share @ said + _PRIOR_PIECES) for share in shares]
        weights = weights * np.array(scale)[:, None]
    return weights


def _class_of(forecast: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.searchsorted(np.asarray(_CLASS_BOUNDS), forecast).astype(np.int64)


def _residuals(
    model: DemandModel, history: DemandHistory, progress: Progress, name: str
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
            expected[days].append(total)
            off[days].append((came[:days].sum(axis=0) - total) / np.sqrt(total + _NOISE))
    if sum(each.size for each in off[HORIZONS[0]]) < _FEWEST_IN_CLASS:
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
