"""Read single values of records: numbers, texts, times; one rule for each.

Knows no column and no model. What cannot be read is told apart from what is not there.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

UNREADABLE = None
"""What the readers give for a value that is there and says nothing to them."""

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")
_MILLISECONDS_FROM = 1e11  # in seconds the year 5138
_MICROSECONDS_FROM = 1e14
_FIRST_YEAR, _LAST_YEAR = 1900, 2200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def looks_like_number(text: str) -> bool:
    """Whether a text is a number as programs write it; "007" is a code, not seven.

    >>> [looks_like_number(each) for each in ("12", "-.5", "1e3", "007", "1,5", "e5", "")]
    [True, True, True, False, False, False, False]
    """
    return _NUMBER.fullmatch(text.strip()) is not None


def looks_like_date(text: str) -> bool:
    """Whether a text is a date or a time in ISO 8601."""
    return _DATE.fullmatch(text.strip()) is not None


def read_number(value: object) -> float | None:
    """A number, also written as a text or a bool; NaN for null and "", UNREADABLE for the rest.

    >>> [read_number(each) for each in (2, True, " 2.5 ", None, "", "n/a", [1])]
    [2.0, 1.0, 2.5, nan, nan, None, None]
    """
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:  # an integer of three hundred digits
            return UNREADABLE
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return math.nan
        return float(text) if looks_like_number(text) else UNREADABLE
    return UNREADABLE


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


def read_time_us(value: object, time_zone: ZoneInfo) -> int | None:
    """Microseconds since the epoch, UTC; UNREADABLE where there is no time.

    ISO 8601 text (without an offset it is in `time_zone`), or seconds, milliseconds or
    microseconds since 1970.
    """
    if isinstance(value, str) and looks_like_date(value):
        try:
            at = datetime.fromisoformat(value.strip())
        except ValueError:
            return UNREADABLE
        aware = at if at.tzinfo is not None else at.replace(tzinfo=time_zone)
        if not _FIRST_YEAR <= aware.year <= _LAST_YEAR:
            return UNREADABLE
        span = aware - _EPOCH
        return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    number = None if isinstance(value, bool) else read_number(value)
    if number is None or not math.isfinite(number) or number <= 0:
        return UNREADABLE
    unit_us = 1_000_000.0
    if number >= _MICROSECONDS_FROM:
        unit_us = 1.0
    elif number >= _MILLISECONDS_FROM:
        unit_us = 1000.0
    at_us = round(number * unit_us)
    return at_us if at_us < (_LAST_YEAR - 1970) * 31_557_600 * 1_000_000 else UNREADABLE
