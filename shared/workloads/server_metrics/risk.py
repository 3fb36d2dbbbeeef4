"""Rate the risk of a server: a score from 0 to 100 and an alert level. Pure.

The score is about what is coming: how probable it is that a metric is at its limit within the
horizon. A level alone, however high, is no alert while there is headroom that nothing eats up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVELS: tuple[tuple[float, str], ...] = ((80, "critical"), (60, "warning"), (50, "degraded"))
HEALTHY = "healthy"

AT_LIMIT = 0.985
"""Share of its limit from which on a metric is at it: a percentage seldom reads 100."""

# Probability of being at the limit within the horizon -> score. Straight in between.
_PROBABILITY = (0.0, 0.1, 0.2, 0.5, 1.0)
_SCORE = (0.0, 50.0, 60.0, 80.0, 100.0)
_LEVEL_SCORE = 45.0  # of a metric at its limit that is sure to leave it; below every alert

SILENT_SCORE = 60.0
"""A server that says nothing may be down: at least a warning."""


def alert_level(score: float) -> str:
    """critical from 80, warning from 60, degraded from 50, healthy below."""
    return next((name for low, name in LEVELS if score >= low), HEALTHY)


def metric_risk(
    low: Floats, expected: Floats, high: Floats, limit: float, trend: Floats | None = None
) -> Floats:
    """(n_servers,), 0 to 100, by the moment from now to the end of the horizon that is worst.

    low, expected, high : (n_servers, 1 + n_horizons), all three beginning with the value now; one
        value in ten lies below `low`, one above `high`.
    trend : the same shape, where the metric gets by a steady trend; NaN where it has none.
    """
    at_limit = AT_LIMIT * limit
    # A forecast ends at the limit, so the lower side shows how far the upper one would go.
    reach = np.where(high >= limit, np.maximum(high - expected, expected - low), high - expected)
    away = np.maximum(reach, 1e-9) / _HIGH_DEVIATIONS
    probability = _above((at_limit - expected) / away).max(axis=1)
    probability[expected[:, 0] >= at_limit] = 1.0
    if trend is not None:
        gets_there = (trend >= at_limit).any(axis=1)
        probability[gets_there] = np.maximum(probability[gets_there], _BY_TREND)
    level = _LEVEL_SCORE * np.clip(expected[:, 0] / limit, 0.0, 1.0)
    by_probability = np.interp(probability, _PROBABILITY, _SCORE)
    return np.asarray(np.maximum(level, by_probability), dtype=np.float64)


def level_risk(expected: Floats, high: Floats, limit: float) -> Floats:
    """The score of release 0.1.0, for its versions: what share of the limit is used, expected and
    possible (`high`) half each, at the worst moment. Arguments as in `metric_risk`."""
    used, score = (0.0, 0.50, 0.70, 0.80, 0.88, 0.95, 1.0), (0.0, 15.0, 35.0, 50.0, 60.0, 80.0, 100)
    halves = np.interp(expected / limit, used, score) + np.interp(high / limit, used, score)
    return np.asarray(halves.max(axis=1) / 2, dtype=np.float64)


def steady_trends(hours: Floats, ahead_min: Floats) -> Floats:
    """Where metrics get that have risen in each part of their last hour, by the slower of them.

    hours : (n_servers, n) their last minutes. ahead_min : (n_ahead,) minutes from now, 0 the first.

    Returns:
        (n_servers, n_ahead) in the metric's unit; NaN where one does not rise steadily, so that
        neither a jump nor a wave is carried on.
    """
    ends = range(hours.shape[1], 7, -13)
    means = np.stack([hours[:, max(end - 7, 0) : end].mean(axis=1) for end in ends][::-1], axis=1)
    trends = np.full((len(hours), len(ahead_min)), np.nan)
    rises = np.diff(means, axis=1)
    if rises.shape[1] < 3:
        return trends
    slowest, fastest = rises.min(axis=1), rises.max(axis=1)
    steady = (slowest > 0) & (slowest >= 0.3 * fastest)
    per_min = np.minimum(rises.mean(axis=1), rises[:, -1])[steady] / 13
    trends[steady] = means[steady, -1:] + per_min[:, None] * (ahead_min + 3)
    return trends


_HIGH_DEVIATIONS = 1.2816  # of a normal distribution, up to nine of ten
_BY_TREND = 0.6


def _above(deviations: Floats) -> Floats:
    """Probability above so many standard deviations (logistic approximation, within 0.01)."""
    return np.asarray(1 / (1 + np.exp(np.clip(1.702 * deviations, -50, 50))), dtype=np.float64)


def fleet_summary(levels: Sequence[str], scores: Sequence[float]) -> Mapping[str, object]:
    """Numbers of servers by level, and the worst and mean score."""
    names = [*(name for _, name in LEVELS), HEALTHY]
    return {
        "total_servers": len(levels),
        **{name: levels.count(name) for name in names},
        "worst_risk_score": max(scores, default=0.0),
        "mean_risk_score": round(sum(scores) / len(scores), 1) if scores else 0.0,
        "status": next((name for name in names if name in levels), HEALTHY),
    }
