"""Learn from many values how the times of a column are written, and what is odd about them.

Knows no field and no workload; `times` reads the values with what is learnt here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.documents.time_policy import ANY, NoTime, TimePolicy
from shared.documents.times import unit_of_epoch_us, why_no_time

_TWO_WAYS = re.compile(r"\s*(\d{1,2})[-/](\d{1,2})[-/]\d{4}(?!\d)")
_EXCEL_FROM, _EXCEL_TO = 25_569, 73_415  # 1970 to 2100, in days since 1899-12-30
_FEW = 10
_UNIT_NAMES = {1_000_000: "seconds", 1_000: "milliseconds", 1: "microseconds", 0.001: "nanoseconds"}


@dataclass(frozen=True, slots=True)
class ColumnTimes:
    """How a column is written.

    policy : for `times`. problem : why some of its values cannot be read, "" where all can.
    n_ambiguous : dates whose day and month stay unclear.
    remark : what is read and yet worth a look, such as two units in one column; "" for nothing.
    """

    policy: TimePolicy
    problem: str = ""
    n_ambiguous: int = 0
    remark: str = ""


def column_times(values: Iterable[object], policy: TimePolicy = ANY) -> ColumnTimes:
    """What the values of one column say about the order of day and month, and about units.

    13/04/2025 proves that the day comes first; 03/04/2025 alone proves nothing and is not read.

    >>> column_times(["03/04/2025", "13/04/2025"]).policy.day_first
    True
    >>> print(column_times(["03/04/2025"]).problem)
    '03/04/2025' may be a day of March or of April; say which: format = "%d/%m/%Y" or "%m/%d/%Y"
    """
    n_day_first = n_month_first = n_unclear = n_serials = n_numbers = 0
    example = ""
    units: Counter[float] = Counter()
    for value in values:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            n_numbers += 1
            n_serials += _EXCEL_FROM <= value < _EXCEL_TO
            if why_no_time(value, policy) is None:
                units[unit_of_epoch_us(value)] += 1
        elif isinstance(value, str):
            match = _TWO_WAYS.match(value)
            if match is None:
                continue
            first, second = int(match[1]), int(match[2])
            n_day_first += first > 12 >= second
            n_month_first += second > 12 >= first
            if first <= 12 and second <= 12 and first != second:
                n_unclear += 1
                example = example or value.strip()
    found = policy
    if n_numbers >= _FEW and n_serials == n_numbers and not policy.unit:
        found = replace(found, unit="excel")
    if policy.day_first is None and not policy.format and bool(n_day_first) != bool(n_month_first):
        found = replace(found, day_first=bool(n_day_first))
    problem = ""
    if found.day_first is None and n_unclear and not policy.format:
        problem = _which_first(example)
        if n_day_first:
            problem = (
                f"days first ({n_day_first:,}) and months first ({n_month_first:,}): {problem}"
            )
    else:
        n_unclear = 0
    remark = ""
    if len(units) > 1 and not policy.unit:
        listed = ", ".join(f"{_UNIT_NAMES[unit]} ({n:,})" for unit, n in units.most_common())
        remark = f"epochs in several units in one column: {listed}; each is read in its own"
    return ColumnTimes(found, problem, n_unclear, remark)


def _which_first(example: str) -> str:
    names = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
             "October", "November", "December")  # fmt: skip
    match = _TWO_WAYS.match(example)
    assert match is not None, "an example is a date that can be read two ways"
    sign = example[match.end(1)]
    return (
        f"{example!r} may be a day of {names[int(match[1]) - 1]} or of {names[int(match[2]) - 1]};"
        f' say which: format = "%d{sign}%m{sign}%Y" or "%m{sign}%d{sign}%Y"'
    )


def is_ambiguous(value: object, policy: TimePolicy) -> bool:
    """Whether a value is a date whose day and month can be read two ways."""
    return why_no_time(value, policy) is NoTime.AMBIGUOUS
