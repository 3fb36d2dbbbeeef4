"""Fit a metric's candidates and choose among them, for each horizon. Training half.

The candidates are persistence ("it stays as it is"), a linear model, boosted trees, both of the
least absolute error, and mixtures. The choice is made on rows that were not fitted on; persistence
stays unless another clearly wins, so a forecast is never worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.workloads.server_metrics.cycles import Cycles, find_cycles
from shared.workloads.server_metrics.features import FIRST_HOUR, VALUE, VOLATILITY
from shared.workloads.server_metrics.model import (
    BANDS,
    CLIP,
    N_MORE,
    NORMAL_HIGH,
    Floats,
    MetricModel,
    Rows,
    columns_of,
    places_of,
    scaled,
    spread,
    wandering,
)
from shared.workloads.server_metrics.regressors import Boosted, fit_boosted, fit_linear

_VALIDATION_SHARE = 0.25
_MIN_GAIN = 0.01  # of persistence's error
_MIN_WINS = 0.55  # of the blocks of rows
_N_BLOCKS = 20
_MIN_ROWS = 200
_MIN_BOOSTED = 2_000
_STRANGE = 1.3
_FLOOR_SHARE = 0.05  # of the typical volatility: a still server's own is 0
_MIXTURES = ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.5, 0.5))
"""(share of the linear model, share of the trees); the first is persistence."""


def fit_metric(
    rows: Rows, later: Floats, horizons_min: Sequence[int], seed: int
) -> MetricModel | None:
    """Learn from rows, oldest first; None when there are too few.

    later : (n_rows, n_horizons), finite.
    """
    if len(rows) < _MIN_ROWS:
        return None
    floor = max(float(np.median(rows.features[:, VOLATILITY])) * _FLOOR_SHARE, 1e-6)
    n_older = int(len(rows) * (1 - _VALIDATION_SHARE))
    older, newer = rows.where(slice(n_older)), rows.where(slice(n_older, None))
    x, scale = scaled(newer.features, floor)
    tried, everything = _Habits.of(older), _Habits.of(rows)
    place = places_of(tried.all, newer)
    linear, boosted, shares, bounds, stays = [], [], [], [], []
    for step, ahead_min in enumerate(horizons_min):
        moved = later[n_older:, step] - newer.features[:, VALUE]
        columns = columns_of(x, scale, tried.all, place, newer, ahead_min)
        parts = _fit_parts(older, later[:n_older, step], ahead_min, floor, tried, seed)
        changes = np.stack([part * scale for part in _answers(parts, columns)])
        share = _choose(changes, moved)
        away = spread(newer.features, ahead_min, floor)
        # Neighbouring minutes miss alike: so many independent ones are behind a quantile.
        n_apart = max(np.unique(newer.minutes // max(ahead_min, 30)).size, 10)
        bounds.append(_bounds((moved - share @ changes) / away, n_apart))
        of_stays = _bounds(moved / away, n_apart)
        normal = np.array([[NORMAL_HIGH[band]] for band in BANDS]) * np.array([-1.0, 1.0])
        stays.append(np.where(np.abs(normal) > np.abs(of_stays), normal, of_stays))
        whole = _fit_parts(rows, later[:, step], ahead_min, floor, everything, seed, share)
        linear.append(whole[0])
        boosted.append(whole[1] if share[1] else None)
        shares.append(share)
    of_linear, of_boosted = np.array(shares).T
    narrow, wide = np.concatenate([bounds, stays], axis=2).transpose(1, 2, 0)
    _, scale = scaled(rows.features, floor)
    return MetricModel(
        floor=floor,
        linear=np.array(linear),
        linear_share=of_linear,
        boosted=boosted,
        boosted_share=of_boosted,
        low=narrow[0],
        high=narrow[1],
        low_stays=narrow[2],
        high_stays=narrow[3],
        strange=_STRANGE * float(np.quantile(wandering(rows.features, scale), 0.99)),
        cycles=everything.all,
        wide=wide,
    )


def _bounds(missed: Floats, n_apart: int) -> Floats:
    """(len(BANDS), 2): conformal quantiles, for so many independent rows; never on the wrong side.
    As many values lie below the first as above the second."""
    beyond = (1 - np.array(BANDS) / 100) / 2 * (1 - 4 / n_apart)
    low, high = np.quantile(missed, [beyond, 1 - beyond])
    return np.stack([np.minimum(low, 0.0), np.maximum(high, 0.0)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Habits:
    """Habits of all rows, and of those of every second day: a row is fitted beside habits that it
    had no part in, or the model would believe in them too much."""

    all: Cycles
    halves: tuple[Cycles, Cycles]
    is_odd: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Rows) -> _Habits:
        is_odd = rows.minutes // 1440 % 2 == 1
        halves = (_cycles(rows.where(is_odd)), _cycles(rows.where(~is_odd)))
        return cls(_cycles(rows), halves, is_odd)


def _cycles(rows: Rows) -> Cycles:
    return find_cycles(
        rows.names,
        rows.server,
        rows.minutes,
        rows.features[:, VALUE],
        rows.features[:, FIRST_HOUR - 1],
    )


def _fit_parts(
    rows: Rows,
    later: Floats,
    ahead_min: int,
    floor: float,
    habits: _Habits,
    seed: int,
    share: Floats | None = None,
) -> tuple[Floats, Boosted | None]:
    """share : of the parts that are wanted; None for all."""
    x, scale = scaled(rows.features, floor)
    columns = np.empty((len(rows), x.shape[1] + N_MORE))
    for is_mine, cycles in zip((~habits.is_odd, habits.is_odd), habits.halves, strict=True):
        mine = rows.where(is_mine)
        place = places_of(cycles, mine)
        columns[is_mine] = columns_of(x[is_mine], scale[is_mine], cycles, place, mine, ahead_min)
    y = np.clip((later - rows.features[:, VALUE]) / scale, -3 * CLIP, 3 * CLIP)
    linear, trees = np.zeros(columns.shape[1]), None
    if share is None or share[0]:
        linear = fit_linear(columns, y, scale)
    if len(rows) >= _MIN_BOOSTED and (share is None or share[1]):
        trees = fit_boosted(columns, y, scale, seed)
    return linear, trees


def _answers(parts: tuple[Floats, Boosted | None], columns: Floats) -> tuple[Floats, Floats]:
    linear, trees = parts
    of_trees = trees.predict(columns) if trees is not None else np.zeros(len(columns))
    both = (columns @ linear, of_trees)
    return np.clip(both[0], -3 * CLIP, 3 * CLIP), np.clip(both[1], -3 * CLIP, 3 * CLIP)


def _choose(changes: Floats, moved: Floats) -> Floats:
    """The best of _MIXTURES; persistence, unless it clearly wins.

    changes : (2, n_rows) of the parts. moved : (n_rows,) what it was.
    """
    mixtures = np.array(_MIXTURES)
    error = np.abs(moved - mixtures @ changes)
    blocks = [part for part in np.array_split(np.arange(len(moved)), _N_BLOCKS) if len(part)]
    by_block = np.stack([error[:, part].mean(axis=1) for part in blocks])
    mean, wins = error.mean(axis=1), (by_block < by_block[:, :1]).mean(axis=0)
    is_clear = (mean <= (1 - _MIN_GAIN) * mean[0]) & (wins >= _MIN_WINS)
    best = int(np.argmin(np.where(is_clear, mean, np.inf))) if is_clear.any() else 0
    return np.asarray(mixtures[best], dtype=np.float64)
