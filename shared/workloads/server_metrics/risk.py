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
) -> float:
    """0 to 100, by the moment from now to the end of the horizon that is worst.

    low, expected, high : (1 + n_horizons,), all three beginning with the value now; one value in
        ten lies below `low`, one above `high`.
    trend : (1 + n_horizons,), where the metric gets by a steady trend; None where it has none.
    """
    at_limit = AT_LIMIT * limit
    # A forecast ends at the limit, so the lower side shows how far the upper one would go.
    reach = np.where(high >= limit, np.maximum(high - expected, expected - low), high - expected)
    away = np.maximum(reach, 1e-9) / _HIGH_DEVIATIONS
    probability = float(_above((at_limit - expected) / away).max())
    if expected[0] >= at_limit:
        probability = 1.0
    if trend is not None and trend.max() >= at_limit:
        probability = max(probability, _BY_TREND)
    level = _LEVEL_SCORE * min(max(float(expected[0]) / limit, 0.0), 1.0)
    return max(level, float(np.interp(probability, _PROBABILITY, _SCORE)))


def level_risk(expected: Floats, high: Floats, limit: float) -> float:
    """The score of release 0.1.0, for its versions: what share of the limit is used, expected and
    possible (`high`) half each, at the worst moment. Arguments as in `metric_risk`."""
    used, score = (0.0, 0.50, 0.70, 0.80, 0.88, 0.95, 1.0), (0.0, 15.0, 35.0, 50.0, 60.0, 80.0, 100)
    halves = np.interp(expected / limit, used, score) + np.interp(high / limit, used, score)
    return float(halves.max() / 2)


def steady_trend(hour: Floats, ahead_min: Floats) -> Floats | None:
    """Where a metric gets that has risen in each part of its last hour, by the slower of them.

    hour : (n,) its last minutes. ahead_min : (n_ahead,) minutes from now, 0 the first.

    Returns:
        (n_ahead,) in the metric's unit; None where it does not rise steadily, so that neither a
        jump nor a wave is carried on.
    """
    means = np.array([hour[max(end - 7, 0) : end].mean() for end in range(len(hour), 7, -13)])[::-1]
    rises = np.diff(means)
    if len(rises) < 3 or rises.min() <= 0 or rises.min() < 0.3 * rises.max():
        return None
    per_min = float(np.minimum(rises.mean(), rises[-1])) / 13
    return np.asarray(float(means[-1]) + per_min * (ahead_min + 3), dtype=np.float64)


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
