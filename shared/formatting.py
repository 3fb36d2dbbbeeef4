"""Format durations, counts and times for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def format_span(span: timedelta) -> str:
    """A setting's length of time, in the unit in which a person would write it: "6 h", "90 s"."""
    seconds = span.total_seconds()
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s and seconds % unit_s == 0 and (unit != "d" or seconds > unit_s):
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:g} s"


def format_count(n: int, what: str) -> str:
    """ "1 record", "1,250 records"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def format_moment(at: datetime, time_zone: str) -> str:
    """A time to the second in an IANA time zone, which is named."""
    zone = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S} {time_zone}"
