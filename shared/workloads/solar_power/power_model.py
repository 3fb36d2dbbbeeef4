"""Forecast power as a share of the device's own day: candidates that are data, and their error.

NumPy only, but for the fit of trees. Knows no document and no clock.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.stored_types import reduced
from shared.workloads.solar_power.profile import Floats, Past, at_minute
from shared.workloads.solar_power.rows import COLUMN
from shared.workloads.training import Progress

CANDIDATES = ("smart_persistence", "linear", "boosted")

LEVELS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
_DARK = 0.02  # of the highest power; below, a ratio to it means nothing
_MOST = 1.15  # of the highest power a clear sky gave
_FULL_LIGHT, _N_CLASSES = 0.3, 4
_MOST_ROWS = 20_000
_N_ROUNDS = 25
_LINEAR = 6  # of the derived columns, the first so many
_EXTRA = ("lux", "temperature", "humidity", "lux_change", "lux_mean_5")
_TREES = {
    "loss": "absolute_error",
    "max_iter": 80,
    "learning_rate": 0.08,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 30,
    "early_stopping": False,
}


class Forest(msgspec.Struct, frozen=True):
    """Trees as arrays (n_trees, n_nodes): a row goes left where its value is at most the
    threshold, or is missing and `missing_left` says so; a leaf leads to itself."""

    column: list[list[int]]
    threshold: list[list[float]]
    left: list[list[int]]
    right: list[list[int]]
    missing_left: list[list[bool]]
    value: list[list[float]]
    depth: int
    start: float

    __reduce__ = reduced


class PowerModel(msgspec.Struct, frozen=True):
    """Where a forecast starts is smart persistence: the device stays as far below a clear sky.

    horizon_min : ahead. highest_w : what a clear sky gave at most. profile : (QUARTERS, 2) W, None
    where nothing was measured. weights : of the first derived columns; empty for smart persistence
    itself. forest : what is learnt on top of that. residuals : one row for each class of rows,
    quantiles at LEVELS of what came minus the forecast, over what a clear sky gives then.
    """

    horizon_min: float
    highest_w: float
    profile: list[list[float | None]]
    weights: list[float] = []
    forest: Forest | None = None
    residuals: list[list[float]] = []

    __reduce__ = reduced

    def predict(self, features: Floats) -> Floats:
        """(n_rows, n_features) -> (n_rows,) W by which the power will have changed."""
        return self.change(derive(features, self._now_and_then(features), self.highest_w))

    def bounds(self, features: Floats, forecast: Floats, interval: float) -> tuple[Floats, Floats]:
        """Between which W the power lies with the probability `interval`: (n_rows,) each."""
        derived = derive(features, self._now_and_then(features), self.highest_w)
        table = np.asarray(self.residuals)
        of_class = _class_of(derived)
        power = features[:, COLUMN["power"]]
        found = []
        for level in ((1 - interval) / 2, (1 + interval) / 2):
            share = np.array([np.interp(level, LEVELS, row) for row in table])[of_class]
            found.append(_possible(forecast + share * derived.scale, power, self.highest_w))
        return np.minimum(found[0], forecast), np.maximum(found[1], forecast)

    def change(self, derived: Derived) -> Floats:
        found = np.zeros(len(derived.scale))
        if self.weights:
            found = np.nan_to_num(derived.columns[:, :_LINEAR]) @ np.asarray(self.weights)
        if self.forest is not None:
            found = found + _answers(self.forest, derived.columns)
        expected = derived.smart + found * derived.scale
        return np.asarray(_possible(expected, derived.power, self.highest_w) - derived.power)

    def _now_and_then(self, features: Floats) -> tuple[Floats, Floats]:
        profile = np.array(self.profile, dtype=np.float64)[None]
        return _profile_of(features, profile, np.zeros(len(features), np.int64), self.horizon_min)


class Derived(msgspec.Struct, frozen=True):
    """columns : (n_rows, n) ratios to `scale`, and what else trees may look at. scale, smart,
    power : (n_rows,) W."""

    columns: Floats
    scale: Floats
    smart: Floats
    power: Floats


def derive(features: Floats, now_and_then: tuple[Floats, Floats], highest_w: float) -> Derived:
    """What a candidate learns from: (n_rows, 2) quantiles of the profile now and then."""
    now, then = now_and_then
    power = features[:, COLUMN["power"]]
    dark = _DARK * highest_w
    scale = np.nan_to_num(np.maximum(then[:, 1], dark), nan=highest_w)
    is_day = now[:, 1] > dark
    ratio = power / np.where(is_day, now[:, 1], 1.0)
    smart = np.where(is_day, ratio * then[:, 1], power + then[:, 1] - now[:, 1])
    smart = np.where(np.isfinite(smart), _possible(smart, power, highest_w), power)
    mean = features[:, COLUMN["power_mean_5"]]
    minute = features[:, COLUMN["hour"]] * 60 + features[:, COLUMN["minute"]]
    columns = [
        smart / scale,
        then[:, 0] / scale,
        mean / scale,
        power / scale,
        now[:, 1] / scale,
        np.minimum(features[:, COLUMN["power_change"]] / scale, 10.0),
        np.where(is_day, ratio, np.nan),
        then[:, 1] / highest_w,
        minute,
        *(features[:, COLUMN[name]] for name in _EXTRA),
    ]
    return Derived(np.column_stack(columns), scale, smart, power)


def _possible(watts: Floats, power: Floats, highest_w: float) -> Floats:
    """Below zero only where the power is so now, and hardly above the clearest sky."""
    most = np.maximum(power, _MOST * highest_w)
    return np.asarray(np.clip(watts, np.minimum(power, 0.0), most))


def is_night(features: Floats, target: Floats, highest_w: float) -> NDArray[np.bool_]:
    """(n_rows,): there is no light now and none came: nothing to be forecast."""
    dark = _DARK / 2 * highest_w
    return np.asarray((features[:, COLUMN["power"]] <= dark) & (target <= dark))


def smart_persistence(past: Past, day: int, horizon_min: float) -> PowerModel:
    """The naive baseline, as it is known when a local day begins: as far below a clear sky as
    now. Pedro & Coimbra (2012), with the device's own clear days in the place of a model of the
    sky; without any past, the power stays what it is."""
    profile = past.before(day)
    own = [[None if np.isnan(w) else float(w) for w in row] for row in profile]
    return PowerModel(horizon_min, past.highest_before(day), own)


def fit_power(
    name: str,
    features: Floats,
    target: Floats,
    reading_day: NDArray[np.int64],
    past: Past,
    horizon_min: float,
    seed: int,
    progress: Progress,
) -> PowerModel:
    """Fit one of CANDIDATES by the absolute error, for that is how forecasts are judged.

    reading_day : (n_rows,) local day of each row's reading, days since the epoch; a row learns
        from the profile that was known when its day began. Its own profile is that of the newest
        two weeks.
    """
    empty = smart_persistence(past, int(reading_day.max()) + 1, horizon_min)
    highest_w = empty.highest_w
    profiles, nth = past.of_rows(reading_day)
    derived = derive(features, _profile_of(features, profiles, nth, horizon_min), highest_w)
    by_day = np.flatnonzero(~is_night(features, target, highest_w))
    if len(by_day) < 50:
        by_day = np.arange(len(target))
    by_day = by_day[:: max(1, -(-len(by_day) // _MOST_ROWS))]
    d = Derived(*(getattr(derived, field)[by_day] for field in Derived.__struct_fields__))
    y, day = target[by_day], reading_day[by_day]
    # The newest quarter of the days tells how far a fit on the others is off.
    border = np.quantile(day, 0.75)
    older, newer = day <= border, day > border
    if newer.sum() < 50 or older.sum() < 50:
        older = newer = np.ones(len(day), dtype=np.bool_)
    progress(0.1, name)
    judged = _learnt(name, empty, d, y, older, seed)
    progress(0.5, name)
    off = (y - (d.power + judged.change(d)))[newer] / d.scale[newer]
    changing = _class_of(d)[newer]
    model = _learnt(name, empty, d, y, np.ones(len(day), dtype=np.bool_), seed)
    progress(1.0, name)
    n = 2 * np.unique(day[newer]).size
    residuals = [_quantiles(off, changing == one, n) for one in range(_N_CLASSES)]
    return msgspec.structs.replace(model, residuals=residuals)


def _learnt(
    name: str, empty: PowerModel, d: Derived, y: Floats, chosen: NDArray[np.bool_], seed: int
) -> PowerModel:
    if name == "smart_persistence":
        return empty
    x, share = d.columns[chosen], ((y - d.smart) / d.scale)[chosen]
    weight = d.scale[chosen]
    if name == "linear":
        weights = _least_absolute(np.nan_to_num(x[:, :_LINEAR]), share, weight)
        return msgspec.structs.replace(empty, weights=weights.tolist())
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(**_TREES, random_state=seed)
    # A column without any value cannot be binned; as a constant it is never looked at.
    trees.fit(np.where(np.isnan(x).all(axis=0), 0.0, x), share, sample_weight=weight)
    return msgspec.structs.replace(empty, forest=_as_arrays(trees))


def _least_absolute(x: Floats, y: Floats, weight: Floats) -> Floats:
    """Weights with the least absolute error, by least squares weighted anew each round."""
    found: Floats = np.zeros(x.shape[1])
    ridge = 1e-3 * len(x) * float(weight.mean()) * np.eye(x.shape[1])
    for _ in range(_N_ROUNDS):
        w = weight / np.maximum(np.abs(y - x @ found), 0.01)
        weighted = (x * w[:, None]).T
        found = np.asarray(np.linalg.solve(weighted @ x + ridge, weighted @ y), dtype=np.float64)
    return found


def _profile_of(
    features: Floats, profiles: Floats, nth: NDArray[np.int64], horizon_min: float
) -> tuple[Floats, Floats]:
    minute = features[:, COLUMN["hour"]] * 60 + features[:, COLUMN["minute"]]
    return at_minute(profiles, nth, minute), at_minute(profiles, nth, minute + horizon_min)


def _class_of(d: Derived) -> NDArray[np.int64]:
    """0 and 1 at the ends of the day, 2 and 3 in full light; 1 and 3 where the power is not what
    it was on the mean of the last readings."""
    changing = np.abs(d.columns[:, 2] - d.columns[:, 3]) > 0.05
    return changing + 2 * (np.nan_to_num(d.columns[:, 7]) > _FULL_LIGHT).astype(np.int64)


def _quantiles(off: Floats, chosen: NDArray[np.bool_], n: int) -> list[float]:
    """With the finite-sample step of split conformal for `n` half days."""
    values = off[chosen] if chosen.sum() >= 60 else off
    levels = [min(max(0.5 + (q - 0.5) * (n + 1) / n, 0.0), 1.0) for q in LEVELS]
    return list(np.quantile(values, levels).tolist())


# -- trees -----------------------------------------------------------------------------------------


def _as_arrays(trees: Any) -> Forest:
    """The nodes of a fitted HistGradientBoostingRegressor, every tree as long as the longest."""
    nodes = [stage[0].nodes for stage in trees._predictors]
    n = max(len(each) for each in nodes)

    def padded(name: str, each: Any) -> list[Any]:
        found = np.zeros(n, dtype=each[name].dtype)
        found[: len(each)] = each[name]
        return list(found.tolist())

    left: list[list[int]] = []
    right: list[list[int]] = []
    for each in nodes:
        itself = np.arange(n)
        is_leaf = np.ones(n, dtype=np.bool_)
        is_leaf[: len(each)] = each["is_leaf"].astype(np.bool_)
        for side, into in (("left", left), ("right", right)):
            child = np.array(padded(side, each), dtype=np.int64)
            into.append(np.where(is_leaf, itself, child).tolist())
    return Forest(
        column=[padded("feature_idx", each) for each in nodes],
        threshold=[padded("num_threshold", each) for each in nodes],
        left=left,
        right=right,
        missing_left=[[bool(one) for one in padded("missing_go_to_left", each)] for each in nodes],
        value=[padded("value", each) for each in nodes],
        depth=max(int(each["depth"].max()) for each in nodes),
        start=float(np.ravel(trees._baseline_prediction)[0]),
    )


def _answers(forest: Forest, x: Floats) -> Floats:
    """(n_rows,): all trees go down one step at a time."""
    column, threshold, left, right, missing_left, value = (
        np.asarray(getattr(forest, name)) for name in Forest.__struct_fields__[:6]
    )
    n_trees = column.shape[0]
    tree = np.arange(n_trees)[None, :]
    found = np.empty(len(x))
    step = max(1, 2_000_000 // max(n_trees, 1))
    for first in range(0, len(x), step):
        part = x[first : first + step]
        row = np.arange(len(part))[:, None]
        node = np.zeros((len(part), n_trees), dtype=np.int64)
        for _ in range(forest.depth):
            values = part[row, column[tree, node]]
            is_left = np.where(
                np.isnan(values), missing_left[tree, node], values <= threshold[tree, node]
            )
            node = np.where(is_left, left[tree, node], right[tree, node])
        found[first : first + step] = forest.start + value[tree, node].sum(axis=1)
    return found
