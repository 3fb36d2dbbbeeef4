"""Learn how many days go wrong together, so that a bound counts what is independent. Pure.

Too short a block takes errors that last for days for independent ones: models at the limit then
pass two to three times as often as the confidence says.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shared.workloads.training import Score

MOST_BLOCKS = 7
FEWEST_BLOCKS = 5
_HIGHEST_CORRELATION = 0.95
_ROUNDING = 1e-9


def block_length(candidate: Score, rival: Score, set_days: int) -> int:
    """Days that are resampled together in comparing two models on the same rows.

    set_days : as configured; 0: learnt from how the difference of the losses lasts, and at least
        as long as a loss reaches. Learnt blocks are so short that five are left, which a bound
        with 95 % certainty needs.
    """
    if set_days:
        return set_days
    days, nth = np.unique(candidate.day, return_inverse=True)
    total, others = (np.bincount(nth, score.loss, len(days)) for score in (candidate, rival))
    ratio = float(total.sum() / others.sum()) if others.sum() > 0 else 1.0
    learnt = max(learnt_block_days(total - ratio * others), candidate.span_days)
    return max(1, min(learnt, len(days) // FEWEST_BLOCKS))


def learnt_block_days(value: NDArray[np.float64]) -> int:
    """The longest of three lengths for a circular block bootstrap of a mean.

    value : (n_days,), oldest first.

    By the autocovariances: Politis & White, Automatic block-length selection for the dependent
    bootstrap (2004), with the correction of Patton, Politis & White (2009). By an autoregression
    of order one, which few days tell more surely: Carlstein, The use of subseries values (1986),
    its correlation corrected for the bias of few days after Kendall (1954). And a seventh of the
    days: a variance from few long blocks, with Student's t for their number, keeps its level
    where correlation is there and cannot be seen (Kiefer & Vogelsang, fixed-b, 2005).
    """
    n = len(value)
    centred = value - value.mean() if n else value
    variance = float(centred @ centred) / n if n else 0.0
    if n < 4 or variance <= _ROUNDING**2 * float(value @ value):
        return max(1, n // MOST_BLOCKS)
    if _corrected(float(centred[1:] @ centred[:-1]) / n / variance, n) <= 0:
        return 1  # what swings to and fro makes a mean surer, which few days do not show
    longest = min(n - 1, math.ceil(math.sqrt(n)) + _n_in_a_row(n))
    lags = range(longest + 1)
    covariance = np.array([float(centred[lag:] @ centred[: n - lag]) / n for lag in lags])
    found = max(_politis_white(covariance, n), _carlstein(covariance[1] / variance, n))
    return max(math.ceil(found), n // MOST_BLOCKS, 1)


def _n_in_a_row(n: int) -> int:
    return max(5, math.ceil(math.sqrt(math.log10(n))))


def _politis_white(covariance: NDArray[np.float64], n: int) -> float:
    longest = len(covariance) - 1
    is_seen = np.abs(covariance[1:] / covariance[0]) >= 2 * math.sqrt(math.log10(n) / n)
    width = _n_in_a_row(n)
    last = next(m for m in range(longest + 1) if not is_seen[m : m + width].any())
    reach = min(2 * max(last, 1), longest)
    lag = np.arange(1, longest + 1)
    weight = np.clip(2 * (1 - lag / reach), 0.0, 1.0)  # the flat-top window
    bias = 2 * float((weight * lag * covariance[1:]).sum())
    spectrum = float(covariance[0] + 2 * (weight * covariance[1:]).sum())
    if spectrum == 0:
        return 1.0
    length = float((2 * bias**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * n ** (1 / 3))
    return min(length, 3 * math.sqrt(n), n / 3)


def _carlstein(correlation: float, n: int) -> float:
    rho = min(_corrected(correlation, n), _HIGHEST_CORRELATION)
    return float((2 * rho / (1 - rho**2)) ** (2 / 3) * n ** (1 / 3))


def _corrected(correlation: float, n: int) -> float:
    return correlation + (1 + 3 * correlation) / n
