"""Read service appointments and catalogue documents in the shapes that real databases hold.

Each reader says why it could not use a document instead of guessing. Knows no calendar, no
model and no database; a document is a mapping of JSON values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DATE_FIELDS = ("date", "appointmentDate", "completedDate", "timestamp", "createdAt")
"""Where an appointment may carry its day; the first that can be read counts."""

NOT_COMPLETE = "status does not say complete"
NO_DATE = "no date that can be read"
NO_PARTS = "no spare parts"
NO_NAME = "catalogue document without a name"
BAD_LINE = "part line without a name"
BAD_QUANTITY = "part line with an impossible quantity"

MAX_PIECES = 10_000.0
"""More of one part on one appointment is a typing error, not a demand."""

_MAX_PRICE = 1e9
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_ALIASES = {
    "appointmentDate": "appointment_date",
    "completedDate": "completed_date",
    "createdAt": "created_at",
}

_COMPLETE = re.compile(r"(?<!in)(?<!un)(?<!in-)complete", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(not|never|to[\s_-]+be|will[\s_-]+be)[\s_-]+((yet|been|fully)[\s_-]+)*complete",
    re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"\s*([-+]?\d+(?:[.,]\d+)?)\s*(?:x|pcs?\.?|pieces?|units?)?\s*", re.IGNORECASE
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)")
_DAY_MONTH_NAME = re.compile(
    r"\b(\d{1,2})(?:st|nd|rd|th)?[\s-]+([A-Za-z]{3,9})\.?,?[\s-]+(\d{4})\b"
)
_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})(?::\d{2})?(?:\.\d+)?\s*(?:([ap])\.?m\b)?", re.IGNORECASE)
_IN_UTC = re.compile(r"\b(?:GMT|UTC)(?![+-]\d*:?\d*[1-9])|[+-]0000$")
_MONTH_NAME_DAY = re.compile(r"\b([A-Za-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})\b")


@dataclass(frozen=True, slots=True)
class PartLine:
    """One part used on one appointment.

    name : as written, white space tidied; empty when only the sku is known.
    pieces : finite, 0 or more.
    """

    name: str
    sku: str
    pieces: float


def says_complete(status: object) -> bool:
    """Whether a status text says that the work is done.

    >>> [says_complete(s) for s in ("Service COMPLETED", "incomplete", "not yet completed", None)]
    [True, False, False, False]
    """
    if not isinstance(status, str) or not _COMPLETE.search(status):
        return False
    return not _DENIED.search(status)


def appointment_day(fields: Mapping[str, Any], time_zone: ZoneInfo, day_first: bool) -> date | None:
    """The day of an appointment, from the first of DATE_FIELDS that can be read."""
    for name in DATE_FIELDS:
        value = fields.get(name)
        if value is None and name in _ALIASES:
            value = fields.get(_ALIASES[name])
        day = read_day(value, time_zone, day_first)
        if day is not None:
            return day
    return None


def read_day(value: object, time_zone: ZoneInfo, day_first: bool = True) -> date | None:
    """The calendar day that a date in any known shape means; None when it means none.

    A moment in UTC (Z, an epoch, a timestamp object) becomes the day in `time_zone`. A text with
    another offset, or none, means the day as it is written: that is what the writer saw.

    day_first : how to read 03/04/2025, where both orders are possible.
    """
    try:
        day = _read_day(value, time_zone, day_first)
    except (ValueError, OverflowError, OSError):
        return None
    return day if day is not None and _FIRST_YEAR <= day.year <= _LAST_YEAR else None


def _read_day(value: object, time_zone: ZoneInfo, day_first: bool) -> date | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, datetime):
        return _day_of_moment(value, time_zone)
    if isinstance(value, date):
        return value
    if isinstance(value, (int, float)):
        return _day_of_epoch(float(value), time_zone)
    if isinstance(value, Mapping):
        return _day_of_object(value, time_zone, day_first)
    if isinstance(value, str):
        return _day_of_text(value.strip(), time_zone, day_first)
    return None


def _day_of_moment(moment: datetime, time_zone: ZoneInfo) -> date:
    offset = moment.utcoffset()
    if offset is None or offset != timedelta(0):
        return moment.date()
    return moment.astimezone(time_zone).date()


def _day_of_epoch(epoch: float, time_zone: ZoneInfo) -> date | None:
    if not math.isfinite(epoch) or epoch <= 0:
        return None
    while epoch >= 1e11:  # milli-, micro- or nanoseconds; 1e11 s would be the year 5138
        epoch /= 1000
    return datetime.fromtimestamp(epoch, UTC).astimezone(time_zone).date()


def _day_of_object(value: Mapping[str, Any], time_zone: ZoneInfo, day_first: bool) -> date | None:
    for key in ("seconds", "_seconds"):
        seconds = value.get(key)
        if isinstance(seconds, (int, float, str)) and not isinstance(seconds, bool):
            return _day_of_epoch(float(seconds), time_zone)
    for key in ("$date", "$numberLong", "value"):
        if key in value and not isinstance(value[key], (bool, date)):
            inner = value[key]
            if key == "$numberLong" and isinstance(inner, str):
                inner = float(inner)
            return _read_day(inner, time_zone, day_first)
    return None


def _day_of_text(text: str, time_zone: ZoneInfo, day_first: bool) -> date | None:
    if re.fullmatch(r"\d{9,19}(\.\d+)?", text):
        return _day_of_epoch(float(text), time_zone)
    try:
        return _day_of_moment(datetime.fromisoformat(text), time_zone)
    except ValueError:
        pass
    if match := _YEAR_FIRST.match(text):
        return date(int(match[1]), int(match[2]), int(match[3]))
    if match := _YEAR_LAST.match(text):
        first, second, year = int(match[1]), int(match[2]), int(match[3])
        is_day_first = first > 12 or (day_first and second <= 12)
        return date(year, second, first) if is_day_first else date(year, first, second)
    if match := _DAY_MONTH_NAME.search(text):
        day_text, month, year_text = match.groups()
    elif match := _MONTH_NAME_DAY.search(text):
        month, day_text, year_text = match.groups()
    else:
        return None
    written = date(int(year_text), _MONTHS.index(month[:3].lower()) + 1, int(day_text))
    clock = _CLOCK.search(text)
    if not clock or not _IN_UTC.search(text):
        return written
    hour = int(clock[1]) % 12 + 12 * (clock[3].lower() == "p") if clock[3] else int(clock[1])
    moment = datetime.combine(written, time(hour, int(clock[2])), UTC)
    return _day_of_moment(moment, time_zone)


def part_lines(fields: Mapping[str, Any]) -> Iterator[PartLine | str]:
    """The parts an appointment used; a line that cannot be used comes as its reason instead.

    Takes a list of objects or names, one object, an object of name -> quantity or of index ->
    line, one name, and any of these as JSON text.
    """
    for name, value in _lines(fields.get("spareParts", fields.get("spare_parts"))):
        yield _part_line(name, value)


def _lines(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in ("[", "{"):
            try:
                value = json.loads(text)
            except ValueError:
                return
        elif text:
            yield text, 1
            return
    if isinstance(value, (list, tuple)):
        for line in value:
            yield "", line
    elif isinstance(value, Mapping):
        if any(key in value for key in ("name", "sku", "quantity")):
            yield "", value
        else:
            yield from ((str(key), line) for key, line in value.items())


def _part_line(key: str, line: object) -> PartLine | str:
    if isinstance(line, str) and (not key or key.isdigit()):
        return PartLine(_tidy(line), "", 1.0) if _tidy(line) else BAD_LINE
    if isinstance(line, Mapping):
        name = _text(line.get("name"))
        sku = _text(line.get("sku"))
        if not name and not sku:
            name = "" if key.isdigit() else _tidy(key)
        quantity = line.get("quantity", line.get("qty"))
    else:
        name, sku, quantity = _tidy(key), "", line
    if not name and not sku:
        return BAD_LINE
    pieces = _pieces(quantity)
    return PartLine(name, sku, pieces) if pieces is not None else BAD_QUANTITY


def _pieces(quantity: object) -> float | None:
    """Pieces as a number; a line that does not say how many means one."""
    if quantity is None or quantity == "":
        return 1.0
    if isinstance(quantity, str):
        match = _QUANTITY.fullmatch(quantity)
        if not match:
            return None
        quantity = float(match[1].replace(",", "."))
    if isinstance(quantity, bool) or not isinstance(quantity, (int, float)):
        return None
    return float(quantity) if 0 <= quantity <= MAX_PIECES else None  # NaN fails both


def catalogue_entry(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """A catalogue document as {name, sku, price}; None when it has no name."""
    name = _text(fields.get("name"))
    if not name:
        return None
    return {"name": name, "sku": _text(fields.get("sku")) or None, "price": _price(fields)}


def _price(fields: Mapping[str, Any]) -> float | None:
    price = fields.get("price")
    if isinstance(price, bool) or not isinstance(price, (int, float)):
        return None
    return float(price) if 0 <= price <= _MAX_PRICE else None  # NaN fails both


def identity(name: str) -> str:
    """What makes two spellings the same part: letter case and white space do not count."""
    return _tidy(name).casefold()


def _text(value: object) -> str:
    if isinstance(value, str):
        return _tidy(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def _tidy(text: str) -> str:
    return " ".join(text.split())
