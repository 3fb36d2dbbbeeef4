"""Correct past times after a change of the system clock, by the monotonic time since then.

Somebody sets the clock, or it is wrong for a while: what was written down by it then lies hours
away from where it belongs. Knows no model and no run; one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

SLACK = timedelta(minutes=1)
"""As far as a clock that is kept right may move in a day; less than this is no jump."""


@dataclass(slots=True)
class _Met:
    """A moment when it was first met.

    age : how long ago it was then; not less than nothing.
    steady_s : the monotonic clock at that time.
    shift : how far from what it says it was placed last.
    """

    age: timedelta
    steady_s: float
    shift: timedelta


class SteadyTimes:
    """Moments that were met, carried along by a monotonic clock."""

    def __init__(self, steady_s: Callable[[], float] = time.monotonic) -> None:
        self._steady_s = steady_s
        self._met: dict[datetime, _Met] = {}
        self._before: dict[datetime, _Met] = {}

    def start_round(self) -> None:
        """What is not placed again until the next call is forgotten by then."""
        self._before, self._met = self._met, {}

    def sink(self, at: datetime, now: datetime) -> datetime:
        """`at`, as long as the clock is not set; else `now` less the time that has passed since.

        What lies after `now` when it is first met counts as `now`. Never later than `now`.
        """
        steady_s = self._steady_s()
        age = max(timedelta(0), now - at)
        met = self._met.get(at) or self._before.get(at) or _Met(age, steady_s, now - age - at)
        self._met[at] = met
        shift = now - met.age - timedelta(seconds=steady_s - met.steady_s) - at
        if abs(shift - met.shift) >= SLACK:
            met.shift = shift
        return min(at + met.shift, now)
