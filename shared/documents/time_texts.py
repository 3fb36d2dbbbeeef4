"""Take apart the texts that programs write for a time: date, clock, zone.

Knows no epoch's unit, no field and no workload; `times` makes moments and days of the parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from shared.documents.texts import comparable, tidy
from shared.documents.time_policy import NoTime


class WrittenTwoWays(ValueError):
    """A text that can be read two ways; `is_zone`: because of its zone, else of day and month."""

    def __init__(self, *, is_zone: bool) -> None:
        super().__init__("written two ways")
        self.is_zone = is_zone


@dataclass(frozen=True, slots=True)
class Written:
    """A time as it is written. at : naive. offset : from UTC, None where the text has no zone.

    has_clock : whether there is more than a day.
    """

    at: datetime
    offset: timedelta | None
    has_clock: bool


def wall_clock(*parts: int) -> datetime:
    """What a clock on a wall shows, in no zone: (year, month, day, hour, …)."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>[A-Za-z]{3,9})\.?"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})(?P<sign>[-/.])(?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)",
        r"(?P<a>\d{1,2})(?P<sign>[-/.])(?P<b>\d{1,2})[-/.](?P<year>\d{4})(?!\d)",
        rf"(?:[A-Za-z]{{3,9}}\.?,?\s+)?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[\s/-]+{_MONTH},?[\s/-]+(?P<year>\d{{4}})\b",
        rf"(?:[A-Za-z]{{3,9}}\.?,?\s+)?{_MONTH}\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})\b",
        rf"(?:[A-Za-z]{{3,9}}\.?,?\s+)?{_MONTH}\s+(?P<d>\d{{1,2}})\s+(?P<clock>\d\d:\d\d:\d\d)\s+"
        r"(?:(?P<zone>[A-Z]{2,5})\s+)?(?P<year>\d{4})\b",
    )
)
_CLOCK = re.compile(
    r"(?P<h>\d{1,2}):(?P<min>\d{1,2})(?::(?P<s>\d{1,2})(?:[.,:](?P<f>\d{1,12}))?)?"
    r"\s*(?:(?P<half>[ap])\.?\s?m\b\.?)?",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[\sT,:;]*(?:at\s+|um\s+)?", re.IGNORECASE)
_OFFSET = re.compile(
    r"(?:(?:GMT|UTC|Z)\s*)?(?P<sign>[+\-\u2212])(?P<h>\d{1,2})(?::?(?P<m>\d{2}))?(?::?\d{2})?"
)
_COMMENT = re.compile(r"\s*\([^()]*\)\s*$")
_NAMED = re.compile(r"\[?(?P<name>[A-Za-z]+(?:/[A-Za-z0-9_+-]+){1,2})\]?")
_DOTNET = re.compile(r"\\?/Date\((-?\d+)([+-]\d{4})?\)\\?/")
_DIGITS = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE]\+?\d+)?")
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_EAST_ASIAN = str.maketrans({"年": "-", "月": "-", "日": " ", "년": "-", "월": "-", "일": " "})
_NEVER = frozenset(
    ("infinity", "-infinity", "never", "inf", "-inf", "epoch", "max", "min", "0", "0000-00-00",
     "0000-00-00 00:00:00", "0000-00-00t00:00:00", "0000-00-00t00:00:00z",
     "0000-00-00 00:00:00.000000", "00:00:00", "-")
)  # fmt: skip
_MISSING = frozenset(("", "null", "none", "nil", "nan", "nat", "n/a", "na", "<na>", "(null)",
                      "undefined", "unknown", "\\n", "invalid date", "false"))  # fmt: skip

_HOURS: Mapping[str, float] = {
    "utc": 0, "gmt": 0, "z": 0, "ut": 0, "zulu": 0, "wet": 0,
    "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "cet": 1, "met": 1, "mez": 1, "cest": 2, "mesz": 2, "west": 1, "eet": 2, "eest": 3, "msk": 3,
    "akst": -9, "akdt": -8, "hst": -10, "jst": 9, "kst": 9, "hkt": 8, "sgt": 8, "wib": 7,
    "aest": 10, "aedt": 11, "awst": 8, "acst": 9.5, "acdt": 10.5, "nzst": 12, "nzdt": 13,
    "sast": 2, "eat": 3, "wat": 1, "pkt": 5, "npt": 5.75, "trt": 3, "brt": -3,
}  # fmt: skip
"""Abbreviations that mean one offset; of those with several meanings the ones of RFC 2822."""


def written_time(
    text: str, day_first: bool | None, time_zone: tzinfo
) -> Written | int | float | NoTime | None:
    """The parts of a time text; a number where it is an epoch; why there is no time where the
    text says so ("infinity", "null"); None where it is no time.

    day_first : how to read 03/04/2025; None raises.
    time_zone : says which "IST" or "BST" is meant, when its own clock bears that name.

    Raises:
        WrittenTwoWays: day and month, or the zone, can be read two ways.
        ValueError: impossible parts, such as a 13th month.
    """
    plain = text.strip()
    if not plain.isascii():
        plain = tidy(comparable(plain)).upper().translate(_EAST_ASIAN).strip()
    word = plain.casefold()
    if word in _MISSING:
        return NoTime.MISSING
    if word in _NEVER:
        return NoTime.NEVER
    if _DIGITS.fullmatch(plain):
        compact = of_compact(plain)
        if compact is not None:
            return compact
        return int(plain) if plain.lstrip("+-").isdecimal() else float(plain)
    iso = _of_iso(plain)
    if iso is not None:
        return iso
    dotnet = _DOTNET.fullmatch(plain)
    if dotnet:
        return int(dotnet[1])
    return _of_parts(plain, day_first, time_zone)


def of_compact(digits: str) -> Written | None:
    """20251126, 202511261000 or 20251126100000; None for any other number.

    As an epoch it would be in the year 1970, or beyond 2286.
    """
    if len(digits) not in _COMPACT or digits[:2] not in ("19", "20"):
        return None
    try:
        at = datetime.strptime(digits, _COMPACT[len(digits)]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Written(at.replace(tzinfo=None), None, len(digits) > 8)


def _of_iso(plain: str) -> Written | None:
    if len(plain) < 8 or not plain[:4].isdecimal():
        return None
    try:
        at = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return Written(at.replace(tzinfo=None), at.utcoffset(), len(plain) > 10)


def _of_parts(plain: str, day_first: bool | None, time_zone: tzinfo) -> Written | None:
    match = next((found for date in _DATES if (found := date.match(plain))), None)
    if match is None:
        return None
    parts = match.groupdict()
    year, month, day = _date_of(parts, day_first)
    rest = plain[match.end() :]
    between = _BETWEEN.match(rest)
    clock = _CLOCK.match(rest, between.end() if between else 0)
    zone_text = rest.strip()
    if parts.get("clock"):
        clock, zone_text = _CLOCK.match(str(parts["clock"])), str(parts.get("zone") or "") + rest
    elif clock:
        zone_text = rest[clock.end() :].strip()
    at = wall_clock(year, month, day)
    if clock:
        at += _clock_of(clock)
    elif zone_text.casefold() not in ("", "z"):
        return None
    return Written(at, _offset_of(zone_text, at, time_zone), clock is not None)


def _date_of(parts: Mapping[str, str | None], day_first: bool | None) -> tuple[int, int, int]:
    year = int(str(parts["year"]))
    if parts.get("month"):
        return year, _MONTHS.index(str(parts["month"])[:3].lower()) + 1, int(str(parts["d"]))
    if parts.get("m"):
        return year, int(str(parts["m"])), int(str(parts["d"]))
    first, second = int(str(parts["a"])), int(str(parts["b"]))
    if parts["sign"] == ".":
        day_first = True  # who writes points writes the day first
    if first <= 12 and second <= 12 and first != second and day_first is None:
        raise WrittenTwoWays(is_zone=False)
    is_day_first = first > 12 or (second <= 12 and bool(day_first))
    return (year, second, first) if is_day_first else (year, first, second)


def _clock_of(clock: re.Match[str]) -> timedelta:
    hour, minute, second = int(clock["h"]), int(clock["min"]), int(clock["s"] or 0)
    if clock["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("hour")
        hour = hour % 12 + 12 * (clock["half"].lower() == "p")
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        raise ValueError("clock")
    micros = int((clock["f"] or "0")[:6].ljust(6, "0"))
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micros)


def _offset_of(text: str, at: datetime, time_zone: tzinfo) -> timedelta | None:
    zone = _COMMENT.sub("", text).strip()
    if not zone:
        return None
    match = _OFFSET.match(zone)
    if match:
        hours, minutes = int(match["h"]), int(match["m"] or 0)
        if hours <= 15 and minutes < 60:
            span = timedelta(hours=hours, minutes=minutes)
            return span if match["sign"] == "+" else -span
        raise WrittenTwoWays(is_zone=True)
    word = zone.strip("[]").casefold()
    if at.replace(tzinfo=time_zone).tzname() == zone.upper():
        return at.replace(tzinfo=time_zone).utcoffset()
    if word in _HOURS:
        return timedelta(hours=_HOURS[word])
    named = _NAMED.fullmatch(zone)
    if named:
        try:
            return at.replace(tzinfo=ZoneInfo(named["name"])).utcoffset()
        except (KeyError, ValueError, OSError):
            pass
    raise WrittenTwoWays(is_zone=True)
