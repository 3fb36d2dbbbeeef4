"""Read single values of records: numbers, texts, times; one rule for each.

Knows no column and no model. What cannot be read is told apart from what is not there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from zoneinfo import ZoneInfo

from shared.documents.number_columns import ColumnNumbers, column_policy
from shared.documents.numbers import (
    NumberPolicy,
    Unread,
    Written,
    parse_number,
    take_apart,
)
from shared.documents.time_policy import TimePolicy
from shared.documents.units import kind_of

UNREADABLE = None
"""What the readers give for a value that is there and says nothing to them."""

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")
_CODE = re.compile(r"[+-]?0\d")
PLAIN = NumberPolicy(takes_bool=True)


def looks_like_number(text: str) -> bool:
    """Whether a text is a number as programs write it; "007" is a code, not seven.

    >>> [looks_like_number(each) for each in ("12", "-.5", "1e3", "007", "1,5", "e5", "")]
    [True, True, True, False, False, False, False]
    """
    return _NUMBER.fullmatch(text.strip()) is not None


def looks_like_date(text: str) -> bool:
    """Whether a text is a date or a time in ISO 8601."""
    return _DATE.fullmatch(text.strip()) is not None


def read_number(value: object, policy: NumberPolicy = PLAIN) -> float | None:
    """A number, also written as a text or a bool; NaN for no value, UNREADABLE for the rest.

    >>> [read_number(each) for each in (2, True, " 2,5 ", None, "", "n/a", "many", [1])]
    [2.0, 1.0, 2.5, nan, nan, nan, None, None]
    """
    found = parse_number(value, policy)
    if isinstance(found, Unread):
        return math.nan if found is Unread.MISSING else UNREADABLE
    return found


def number_column(values: Iterable[object]) -> ColumnNumbers:
    """How the number texts of a column are written; learnt once from all of them."""
    return column_policy(values, PLAIN)


def are_numbers(texts: Iterable[str]) -> Callable[[str], bool]:
    """Whether a text of this column is a number: none is where their units tell kinds of things
    apart ("12A", "12B"), and a code such as "007" never is."""
    parts = [written for text in texts if isinstance(written := take_apart(text), Written)]
    units = {written.unit for written in parts if written.unit}
    kinds = {kind_of(unit) for unit in units}
    if len(kinds) > 1 or (len(units) > 1 and kinds & units):
        return looks_like_number
    return lambda text: (
        (
            _CODE.match(text.strip()) is None
            and not looks_like_date(text)
            and not isinstance(parse_number(text, PLAIN), Unread)
        )
        or parse_number(text, PLAIN) is Unread.AMBIGUOUS
    )


def is_missing(text: str) -> bool:
    """Whether a text is a way to write that there is no value."""
    return parse_number(text, PLAIN) is Unread.MISSING


def read_text(value: object) -> str | None:
    """The text of a category; numbers and bools as they are written in JSON, 7.0 as 7.

    Returns:
        UNREADABLE for a list, an object and null, which the caller looks for first.

    >>> [read_text(each) for each in ("red", 7, 7.0, 7.5, True, ["red"])]
    ['red', '7', '7', '7.5', 'true', None]
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return UNREADABLE


def time_policy(time_zone: ZoneInfo) -> TimePolicy:
    """Of a column of times; a text without an offset is in `time_zone`."""
    return TimePolicy(time_zone, first_year=1900, last_year=2200)
