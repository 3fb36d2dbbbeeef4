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
    how : what came is the outcome nearest to `at_us`, their mean, their sum and at least 0, or
        their texts (`choice`).
    low, high : the interval that was answered; None where there was none.
    losses, other : of a choice, the loss by the text of an outcome, and of any other text; of
        several outcomes the least counts.
    empty : what came where no outcome did once all were read: a number, of a choice its loss;
        None: that is not known then.
    due_us : what came is final from here on; None: from `until_us` on.
    is_headline : whether the version's one error holds it, and not the slice's alone.
    """

    series: str
    at_us: int
    from_us: int
    until_us: int
    value: float
    slice: str
    how: Literal["nearest", "mean", "sum", "choice"] = "nearest"
    low: float | None = None
    high: float | None = None
    losses: Mapping[str, float] | None = None
    other: float = 1.0
    empty: float | None = None
    due_us: int | None = None
    is_headline: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a record says was so; `at_us` as in `Expectation`.

    value : a number, text : what was chosen; an expectation asks for one of them.
    """

    series: str
    at_us: int
    value: float = 0.0
    text: str = ""
