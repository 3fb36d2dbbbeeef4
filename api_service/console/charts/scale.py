"""Map values to coordinates, and choose the positions of axis ticks. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * m for m in (1, 2, 5, 10, 15, 30)),
    *(3600 * h for h in (1, 2, 3, 6, 12)),
    *(86_400 * d for d in (1, 2, 7, 14, 28, 91, 182, 364)),
)
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from [low, high] to [start, end] in the picture's units.

    is_log : equal steps are equal factors; low is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = (math.log10(max(each, low)) for each in (low, high, value))
        span = high - low
        share = (value - low) / span if span else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About `n` round values that reach from `low` or below it to `high` or above it."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / max(n - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def factor_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 … from `low` or below it to `high` or above it; whole decades of a wide range.

    low : above 0.
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    steps = (1.0, 2.0, 5.0) if last - first <= 2 else (1.0,)
    ticks = [
        float(f"{step * 10.0**power:.3g}") for power in range(first, last + 2) for step in steps
    ]
    start = max(i for i, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
    end = next(i for i, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
    return ticks[start : max(end, start + 1) + 1]


def time_ticks(first_s: float, last_s: float, n: int = 6) -> list[tuple[float, str]]:
    """(seconds since 1970, label) at round moments of UTC between two moments."""
    rough = max((last_s - first_s) / n, 1.0)
    step = next((one for one in _STEPS_S if one >= rough), _STEPS_S[-1])
    at = math.ceil(first_s / step) * step
    found = []
    while at <= last_s:
        found.append((float(at), _label(at, step)))
        at += step
    return found


def _label(at_s: float, step_s: float) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    if step_s >= _DAY_S or (at.hour, at.minute, at.second) == (0, 0, 0):
        return f"{at.day} {at:%b}"
    return f"{at:%H:%M:%S}" if step_s < 60 else f"{at:%H:%M}"


def extent(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest; (0, 1) of nothing."""
    return (min(values), max(values)) if values else (0.0, 1.0)
