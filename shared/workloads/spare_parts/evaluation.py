"""Judge forecasts of demand as they are used: by sums of seven days from rolling origins.

Knows no document and no request.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shared.workloads.losses import score_regressor
from shared.workloads.spare_parts.history import DemandHistory, Floats
from shared.workloads.spare_parts.rows import Predictor, forecast
from shared.workloads.training import Score, TrainingSet

HORIZON_DAYS = 7
_LEAST_PER_DAY = 0.05

Paths = Callable[[DemandHistory, int], Floats]
"""(history, days) -> (days, n_parts) forecast from its end."""


def score_weeks(
    holdout: TrainingSet, one_day: Floats, path: Paths, history: DemandHistory, unit: str
) -> Score:
    """Score forecasts of the week that begins on each held-out day.

    one_day : (n_rows,) what was answered for the row's own day, for looking at.

    The loss of a row is the squared error of its part's sum over the seven days from its day on,
    over what is usual for the part, for counts vary as their mean does: the mean is what makes it
    least, so a forecast is not rewarded for being too low. The last days of the holdout, after
    which no whole week lies, stand for the last week that does.
    """
    score = score_regressor(one_day, holdout, unit)
    if not holdout.n_rows:
        return score
    first, last = holdout.day.min(), holdout.day.max()
    n_days = min(HORIZON_DAYS, int((last - first).astype(np.int64)) + 1)
    start = np.minimum(holdout.day, last - np.timedelta64(n_days - 1, "D"))
    column_of = {name: i for i, name in enumerate(history.parts)}
    part = np.array([column_of[name] for name in holdout.slices.tolist()], dtype=np.int64)
    expected, came = np.empty(holdout.n_rows), np.empty(holdout.n_rows)
    for day in np.unique(start):
        rows = start == day
        known = history.before(day)
        number = int((day - history.first_day).astype(np.int64))
        expected[rows] = path(known, n_days).sum(axis=0)[part[rows]]
        came[rows] = history.pieces[number : number + n_days].sum(axis=0)[part[rows]]
    # Of the past alone, so that it is the same for whoever is scored on these rows.
    usual = history.before(first).pieces.mean(axis=0) + _LEAST_PER_DAY
    off = expected - came
    loss = off**2 * (usual.mean() / usual)[part] / HORIZON_DAYS
    metrics = {
        **score.metrics,
        "mae_7_days": float(np.abs(off).mean()),
        "bias_7_days": float(off.sum() / max(came.sum(), 1.0)),
    }
    return Score(
        loss,
        holdout.day,
        holdout.slices,
        metrics,
        unit,
        one_day,
        scale=score.scale,
        order=2,
        span_days=HORIZON_DAYS,
    )


def score_model(estimator: Predictor, holdout: TrainingSet, unit: str) -> Score:
    """Score an estimator by its rolled forecasts."""
    one_day = np.maximum(estimator.predict(holdout.features), 0.0)
    history: DemandHistory = holdout.context.history

    def path(known: DemandHistory, n_days: int) -> Floats:
        return forecast(known, estimator, n_days)

    return score_weeks(holdout, one_day, path, history, unit)
