"""Fit a forecaster for each metric on its last hour; forecast each horizon with uncertainty.

One ridge regression a metric, for all servers together, on changes measured in the server's own
volatility. It is kept as sums over rows, so that new rows are added exactly. What it says is
mixed with persistence ("it stays as it is"); the share is chosen a metric and horizon on rows
that were not fitted on, and is 0 where the regression does not clearly win there: a forecast is
then persistence itself, never worse. NumPy only; the API unpickles this and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shared.stored_types import reduced
from shared.workloads.server_metrics.features import FIRST_CHANGE, FIRST_HOUR, VALUE, VOLATILITY

Floats = NDArray[np.float64]

SHARES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
"""How much of the regression's change is believed."""

LOW, HIGH = 0.1, 0.9

_NORMAL_HIGH = 1.2816  # of a random walk
_RIDGE = 100.0
_CLIP = 10.0  # in volatilities: one restart of a service must not decide
_VALIDATION_SHARE = 0.25
_MIN_GAIN = 0.01  # of persistence's error
_MIN_WINS = 0.55  # of the blocks of rows
_N_BLOCKS = 20
_MIN_ROWS = 200
_FLOOR_SHARE = 0.05  # of the typical volatility: a still server's own is 0
_OLD_SHARE = 0.9  # what earlier rows and trials still count when new ones are added


@dataclass(frozen=True, slots=True, eq=False)
class MetricForecaster:
    """What is known of one metric.

    gram (p, p), moment (p, n_horizons) : sums over rows, in volatilities.
    trial_error, trial_wins (n_shares, n_horizons) : on rows not fitted on.
    share (n_horizons,) : of SHARES, as chosen. low, high (n_horizons,) : in volatilities.
    """

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

    def change(self, rows: Floats) -> Floats:
        """(n_rows, n_horizons) what the regression alone says, in the metric's unit."""
        x, scale = _scaled(rows, self.floor)
        return np.clip(x @ self.coefficients, -_CLIP, _CLIP) * scale[:, None]

    def forecast(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """(low, expected, high), each (n_rows, n_horizons), in the metric's unit."""
        _, scale = _scaled(rows, self.floor)
        expected = rows[:, VALUE, None] + self.share * self.change(rows)
        return (
            expected + self.low * scale[:, None],
            expected,
            expected + self.high * scale[:, None],
        )


@dataclass(frozen=True, slots=True, eq=False)
class FleetForecaster:
    """The estimator: a MetricForecaster for each metric that there were enough rows of."""

    horizons_min: tuple[int, ...]
    metrics: dict[str, MetricForecaster] = field(default_factory=dict)

    __reduce__ = reduced


def forecast(
    known: MetricForecaster | None, rows: Floats, horizons_min: Sequence[int], limit: float | None
) -> tuple[Floats, Floats, Floats]:
    """(low, expected, high), each (n_rows, n_horizons); persistence where nothing was learnt.

    limit : what the metric cannot pass, unless it is beyond already; None: nobody knows.
    """
    now = rows[:, VALUE, None]
    if known is None:
        expected = np.repeat(now, len(horizons_min), axis=1)
        away = _NORMAL_HIGH * rows[:, VOLATILITY, None] * np.sqrt(np.asarray(horizons_min))
        found = (expected - away, expected, expected + away)
    else:
        found = known.forecast(rows)
    if limit is None:
        return found
    low, expected, high = (
        np.clip(each, np.minimum(now, 0), np.maximum(now, limit)) for each in found
    )
    return low, expected, high


def fit_metric(rows: Floats, later: Floats) -> MetricForecaster | None:
    """Learn from rows, oldest first; None when there are too few.

    later : (n_rows, n_horizons), finite.
    """
    if len(rows) < _MIN_ROWS:
        return None
    floor = max(float(np.median(rows[:, VOLATILITY])) * _FLOOR_SHARE, 1e-6)
    n_fitted = int(len(rows) * (1 - _VALIDATION_SHARE))
    older = _sums(rows[:n_fitted], later[:n_fitted], floor)
    coefficients = _solve(*older)
    trial = _trial(rows[n_fitted:], later[n_fitted:], coefficients, floor)
    newer = _sums(rows[n_fitted:], later[n_fitted:], floor)
    gram, moment = older[0] + newer[0], older[1] + newer[1]
    share = _choose(*trial)
    low, high = _spread(rows[n_fitted:], later[n_fitted:], coefficients, floor, share)
    return MetricForecaster(
        floor, gram, moment, _solve(gram, moment), *trial, share=share, low=low, high=high
    )


def add_to_metric(known: MetricForecaster, rows: Floats, later: Floats) -> MetricForecaster:
    """Continue on rows that were not seen: tried on first, learnt from next."""
    if not len(rows):
        return known
    error, wins, n_blocks = _trial(rows, later, known.coefficients, known.floor)
    # Errors are means: weigh them by how many blocks stand behind them.
    old_blocks = known.n_blocks * _OLD_SHARE
    total = old_blocks + n_blocks
    trial = (
        (known.trial_error * old_blocks + error * n_blocks) / total,
        known.trial_wins * _OLD_SHARE + wins,
        total,
    )
    share = _choose(*trial)
    low, high = _spread(rows, later, known.coefficients, known.floor, share)
    gram, moment = _sums(rows, later, known.floor)
    gram, moment = known.gram * _OLD_SHARE + gram, known.moment * _OLD_SHARE + moment
    return replace(
        known,
        gram=gram,
        moment=moment,
        coefficients=_solve(gram, moment),
        trial_error=trial[0],
        trial_wins=trial[1],
        n_blocks=trial[2],
        share=share,
        low=(known.low * old_blocks + low * n_blocks) / total,
        high=(known.high * old_blocks + high * n_blocks) / total,
    )


def _scaled(rows: Floats, floor: float) -> tuple[Floats, Floats]:
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
        x[:, : FIRST_HOUR - FIRST_CHANGE], -3 * _CLIP, 3 * _CLIP
    )
    return x, scale


def _sums(rows: Floats, later: Floats, floor: float) -> tuple[Floats, Floats]:
    x, scale = _scaled(rows, floor)
    y = np.clip((later - rows[:, VALUE, None]) / scale[:, None], -_CLIP, _CLIP)
    return x.T @ x, x.T @ y


def _solve(gram: Floats, moment: Floats) -> Floats:
    return np.asarray(np.linalg.solve(gram + _RIDGE * np.eye(len(gram)), moment), dtype=np.float64)


def _trial(
    rows: Floats, later: Floats, coefficients: Floats, floor: float
) -> tuple[Floats, Floats, float]:
    """Mean absolute error of each share and horizon, in how many blocks it beat persistence."""
    x, scale = _scaled(rows, floor)
    change = np.clip(x @ coefficients, -_CLIP, _CLIP) * scale[:, None]
    moved = later - rows[:, VALUE, None]
    error = np.abs(moved[None] - SHARES[:, None, None] * change[None])  # (shares, rows, horizons)
    blocks = [part for part in np.array_split(np.arange(len(rows)), _N_BLOCKS) if len(part)]
    by_block = np.stack([error[:, part].mean(axis=1) for part in blocks])
    wins = (by_block < by_block[:, :1]).sum(axis=0).astype(np.float64)
    return error.mean(axis=1), wins, float(len(blocks))


def _choose(error: Floats, wins: Floats, n_blocks: float) -> Floats:
    """The best share of each horizon; 0, persistence, unless it clearly wins."""
    best = np.argmin(error, axis=0)
    columns = np.arange(error.shape[1])
    gain = 1 - error[best, columns] / np.maximum(error[0], 1e-12)
    is_clear = (gain >= _MIN_GAIN) & (wins[best, columns] >= _MIN_WINS * n_blocks)
    return np.where(is_clear, SHARES[best], 0.0)


def _spread(
    rows: Floats, later: Floats, coefficients: Floats, floor: float, share: Floats
) -> tuple[Floats, Floats]:
    """How far below and above the forecast the truth lay, in volatilities; never the wrong side."""
    x, scale = _scaled(rows, floor)
    change = np.clip(x @ coefficients, -_CLIP, _CLIP) * scale[:, None]
    missed = (later - rows[:, VALUE, None] - share * change) / scale[:, None]
    low, high = np.quantile(missed, [LOW, HIGH], axis=0)
    return np.minimum(low, 0.0), np.maximum(high, 0.0)
