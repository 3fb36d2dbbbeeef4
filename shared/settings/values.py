"""Parse settings that people write as text: durations, cron expressions, time zones, networks.

Knows no section and no daemon. A wrong value is a ValueError that says what was expected.
"""

from __future__ import annotations

import codecs
import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> object:
    """Turn "90s", "15m", "24h" or "7d" into a timedelta; anything else is left to pydantic."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        try:
            return timedelta(seconds=float(match[1]) * _UNIT_S[match[2]])
        except OverflowError:
            raise ValueError(f"expected at most {LONGEST.days} days") from None
    if isinstance(value, str):
        raise ValueError('expected a duration such as "90s", "15m", "24h" or "7d"')
    return value


def _as_network(value: object) -> object:
    """An IP address or network as text, such as "10.0.0.0/8"."""
    try:
        return str(ipaddress.ip_network(str(value), strict=False))
    except ValueError:
        raise ValueError(
            f'expected an IP address or a network such as "10.0.0.0/8", found {value!r}'
        ) from None


Network = Annotated[str, BeforeValidator(_as_network)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
LONGEST = timedelta(days=3660)

# Bounds of settings that nobody should meet, but beyond which the arithmetic of dates, of waiting
# and of the databases would fail long after the file was read.
LONGEST_DAYS = 36_600
MONTH_S = 31 * 86_400
LARGEST_MB = 100_000_000
LARGEST_NUMBER = 10**12


def _as_cron_expressions(value: object) -> object:
    """One expression or a list of them; each must name at least one moment to come."""
    expressions = (value,) if isinstance(value, str) else value
    if not isinstance(expressions, list | tuple):
        return value
    for expression in expressions:
        if not isinstance(expression, str) or len(expression.split()) != 5:
            raise ValueError(
                "expected minute, hour, day of the month, month and day of the week, such as"
                f' "0 2 * * *", found {expression!r}'
            )
        try:
            next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise ValueError(f"{expression!r}: {str(error).lower()}") from None
        except StopIteration:
            raise ValueError(f"{expression!r}: there is no such day") from None
    return tuple(expressions)


def _as_time_zone(value: object) -> object:
    try:
        ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f'expected an IANA time zone such as "Europe/Istanbul" or "UTC", found {value!r}'
        ) from None
    return value


_HOURS = re.compile(r"(\d{1,2}):([0-5]\d)-(\d{1,2}):([0-5]\d)")


def parse_hours(text: str) -> tuple[timedelta, timedelta]:
    """When hours of a day begin and end, from midnight; an end on the next day is beyond a day.

    Raises:
        ValueError: not of the form 22:00-06:00, or nothing or a whole day.

    >>> [str(at) for at in parse_hours("22:00-06:00")]
    ['22:00:00', '1 day, 6:00:00']
    """
    day = timedelta(days=1)
    match = _HOURS.fullmatch("".join(text.split()))
    if match is not None:
        first, last = (timedelta(hours=int(match[i]), minutes=int(match[i + 1])) for i in (1, 3))
        if first < day and last <= day and first != last and last - first != day:
            return first, last if last > first else last + day
    raise ValueError(f'expected hours of a day such as "22:00-06:00", found {text!r}')


def _as_hours(value: object) -> object:
    """Hours of a day or a list of them; an empty text is none."""
    found = ([value] if value else []) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        return value
    for text in found:
        parse_hours(str(text))
    return tuple(str(text) for text in found)


HoursOfDay = Annotated[tuple[str, ...], BeforeValidator(_as_hours)]
CronExpressions = Annotated[tuple[str, ...], BeforeValidator(_as_cron_expressions)]
TimeZone = Annotated[str, BeforeValidator(_as_time_zone)]


def _as_encoding(value: object) -> object:
    try:
        codecs.lookup(str(value) or "utf-8")
    except LookupError:
        raise ValueError(f"expected an encoding such as utf-8 or cp1252, found {value!r}") from None
    return value


Encoding = Annotated[str, BeforeValidator(_as_encoding)]
