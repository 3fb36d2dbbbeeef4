"""Rate the risk of a server: a score from 0 to 100 and an alert level. Pure.

A metric at its limit scores 100; one that is expected to get there counts for half as much of
the way as one that is there already may be sure of, see `metric_risk`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVELS: tuple[tuple[float, str], ...] = ((80, "critical"), (60, "warning"), (50, "degraded"))
HEALTHY = "healthy"

# Share of the limit that is used -> score. Straight in between.
_USED = (0.0, 0.50, 0.70, 0.80, 0.88, 0.95, 1.0)
_SCORE = (0.0, 15.0, 35.0, 50.0, 60.0, 80.0, 100.0)
SILENT_SCORE = 60.0
"""A server that says nothing may be down: at least a warning."""


def alert_level(score: float) -> str:
    """critical from 80, warning from 60, degraded from 50, healthy below."""
    return next((name for low, name in LEVELS if score >= low), HEALTHY)


def pressure(values: Floats, limit: float) -> Floats:
    """Score of values against the limit that they must stay below."""
    return np.interp(np.asarray(values) / limit, _USED, _SCORE)


def metric_risk(expected: Floats, high: Floats, limit: float) -> float:
    """The worst moment from now to the end of the horizon.

    expected, high : (1 + n_horizons,), beginning with the value now, of which `high` is the same.
    What is expected and what is merely possible (one in ten) count half each.
    """
    return float(np.max((pressure(expected, limit) + pressure(high, limit)) / 2))


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
