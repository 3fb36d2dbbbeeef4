"""What an answer foretold, and what the records say came of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that an answer said of the future.

    series : what it is about: a device's power, a metric of a server, a part, a person; as
        outcomes name it.
    at_us : the moment it is about, microseconds since 1970, UTC.
    from_us, until_us : outcomes from here, and before there, can tell what came.
    value : the number that was answered; 0 where a choice was.
    slice : what live errors are told apart by.
    how : what came is the outcome nearest to `at_us`, their mean, or their texts (`choice`).
    low, high : the interval that was answered; None where there was none.
    losses : of a choice, the loss by the text of an outcome, 1 for any other; of several outcomes
        the least counts.
    """

    series: str
    at_us: int
    from_us: int
    until_us: int
    value: float
    slice: str
    how: Literal["nearest", "mean", "choice"] = "nearest"
    low: float | None = None
    high: float | None = None
    losses: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a record says was so; `at_us` as in `Expectation`.

    value : a number, text : what was chosen; an expectation asks for one of them.
    """

    series: str
    at_us: int
    value: float = 0.0
    text: str = ""
