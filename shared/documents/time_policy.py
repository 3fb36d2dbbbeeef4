"""How the times of a column are written, and why a value gives no time. Knows no value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum


class NoTime(StrEnum):
    """Why a value gave no time."""

    MISSING = "no value"
    NEVER = "a time that means never"
    AMBIGUOUS = "a date whose day and month can be read two ways"
    ZONE = "a time in a zone that is not known or not clear"
    SKIPPED = "an hour that the clock skips in spring"
    DAY_ALONE = "a day without an hour"
    OUT_OF_RANGE = "a time outside the years that are read"
    UNREADABLE = "no time that can be read"


@dataclass(frozen=True, slots=True)
class TimePolicy:
    """How the times of one column are written; as configured, or as `column_times` learnt it.

    time_zone : of texts without a zone.
    day_first : how to read 03/04/2025; None: not at all.
    format : as `strptime` takes it; texts of any other form are then refused. "" for all forms.
    unit : of numbers: "s", "ms", "us", "ns", "excel" (days since 1899-12-30); "" for the unit that
        puts each into our time, so that one column may hold several.
    first_year, last_year : anything outside is a broken clock.
    takes_days : whether a day without an hour is a moment, its midnight.
    shifts_skipped : an hour that the clock skips is read with the offset before it, not refused.
    """

    time_zone: tzinfo = UTC
    day_first: bool | None = None
    format: str = ""
    unit: str = ""
    first_year: int = 1990
    last_year: int = 2100
    takes_days: bool = True
    shifts_skipped: bool = False


ANY = TimePolicy()
