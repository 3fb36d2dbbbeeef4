"""Student's t distribution for whole degrees of freedom. Pure arithmetic; knows no gate."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray


def cdf(t: ArrayLike, df: int) -> NDArray[np.float64]:
    """P(T <= t), exact.

    t : any shape; infinite values are allowed. df : degrees of freedom, 1 or more.

    The finite series for whole degrees of freedom: Abramowitz & Stegun, Handbook of Mathematical
    Functions (1964), 26.7.3 and 26.7.4.
    """
    if df < 1:
        raise ValueError(f"degrees of freedom: expected 1 or more, found {df}")
    theta = np.arctan(np.asarray(t, dtype=np.float64) / math.sqrt(df))
    sine, squared = np.sin(theta), np.cos(theta) ** 2
    is_odd = df % 2 == 1
    term = np.cos(theta) if is_odd else np.ones_like(theta)
    total = np.zeros_like(theta)
    for k in range((df - 1) // 2 if is_odd else df // 2):
        total += term
        term = term * squared * ((2 * k + 2) / (2 * k + 3) if is_odd else (2 * k + 1) / (2 * k + 2))
    inside = 2 / math.pi * (theta + sine * total) if is_odd else sine * total
    return np.asarray(0.5 * (1.0 + inside), dtype=np.float64)


@lru_cache(maxsize=256)
def quantile(probability: float, df: int) -> float:
    """t with P(T <= t) = probability, for probabilities strictly between 0 and 1."""
    if not 0 < probability < 1:
        raise ValueError(f"probability: expected between 0 and 1, found {probability}")
    low, high = -1.0, 1.0
    while cdf(low, df) > probability:
        low *= 2
    while cdf(high, df) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle, df) < probability else (low, middle)
    return (low + high) / 2
