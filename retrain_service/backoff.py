"""Exponential back-off with jitter: how long to wait before the next try. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

JITTER = 0.25
"""Share of a pause that chance may take away: whoever failed together does not come together."""


def pause_s(
    n_failures: int,
    first_s: float,
    longest_s: float,
    *,
    chance: Callable[[], float] = random.random,
) -> float:
    """Seconds to wait after the n-th failure in a row, doubled each time up to `longest_s`.

    chance : a number from 0 to 1, anew at each call.
    """
    return jittered(min(longest_s, first_s * 2.0 ** min(n_failures - 1, 30)), chance)


def jittered(span_s: float, chance: Callable[[], float] = random.random) -> float:
    """`span_s`, or up to a quarter less."""
    return span_s * (1 - JITTER * chance())


@dataclass(frozen=True, slots=True)
class Pause:
    """A span of time that begins at `since`.

    It is over as well when now is before it began: then the clock was set back, and nobody is to
    wait until it has caught up.
    """

    since: datetime
    span: timedelta

    @property
    def until(self) -> datetime:
        return self.since + self.span

    def is_over(self, now: datetime) -> bool:
        return not self.since <= now < self.until
