"""What an answer foretold, and what the records say came of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LONGEST_WINDOW_US = 3 * 3_600_000_000
"""No expectation looks at more of a series than this."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One number that an answer gave of the future.

    series : what it is a number of: a device's power, a metric of a server; as outcomes name it.
    at_us : the moment it is about, microseconds since 1970, UTC.
    from_us, until_us : outcomes from here, and before there, can tell what came.
    how : of several outcomes, the one nearest to `at_us`, or their mean.
    low, high : the interval that was answered; None where there was none.
    slice : what live errors are told apart by.
    """

    series: str
    at_us: int
    from_us: int
    until_us: int
    value: float
    slice: str
    how: Literal["nearest", "mean"] = "nearest"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One number that a record says was so; `at_us` as in `Expectation`."""

    series: str
    at_us: int
    value: float
