"""Read service appointments and catalogue documents in the shapes that real databases hold.

Each reader says why it could not use a document instead of guessing. Knows no calendar, no
model and no database; a document is a mapping of JSON values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from shared.documents.ids import read_id
from shared.documents.json_texts import is_of_a_program, read_json_text
from shared.documents.numbers import NumberPolicy, Unread, parse_number
from shared.documents.texts import comparable, tidy
from shared.documents.time_policy import NoTime, TimePolicy
from shared.documents.times import parse_day

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
_PIECES = NumberPolicy()
_DAYS = TimePolicy(day_first=True, first_year=2000, last_year=2100)


def day_policy(time_zone: ZoneInfo, day_first: bool | None) -> TimePolicy:
    """How the days of appointments are read.

    time_zone : of the garage. day_first : how to read 03/04/2025; None: as most dates show.
    """
    return replace(_DAYS, time_zone=time_zone, day_first=day_first)


@dataclass(frozen=True, slots=True)
class PartLine:
    """One part used on one appointment.

    name : as written, white space tidied; empty when only the sku is known.
    pieces : finite; below 0 for parts that came back.
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


def appointment_day(fields: Mapping[str, Any], policy: TimePolicy) -> date | NoTime:
    """The day of an appointment, from the first of DATE_FIELDS that can be read; else why not."""
    reason = NoTime.MISSING
    for value in appointment_dates(fields):
        found = parse_day(value, policy)
        if not isinstance(found, NoTime):
            return found
        reason = found if found is NoTime.AMBIGUOUS or reason is NoTime.MISSING else reason
    return reason


def appointment_dates(fields: Mapping[str, Any]) -> Iterator[Any]:
    """What an appointment holds in its fields for a date, the best first."""
    for name in DATE_FIELDS:
        value = fields.get(name)
        if value is None and name in _ALIASES:
            value = fields.get(_ALIASES[name])
        if value is not None:
            yield value


def part_lines(fields: Mapping[str, Any]) -> Iterator[PartLine | str]:
    """The parts an appointment used; a line that cannot be used comes as its reason instead.

    Takes a list of objects or names, one object, an object of name -> quantity or of index ->
    line, one name, and any of these as JSON text.
    """
    for name, value in _lines(fields.get("spareParts", fields.get("spare_parts"))):
        yield _part_line(name, value)


def _lines(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, str):
        found = read_json_text(value)
        if found is value:
            if value.strip() and not is_of_a_program(value):
                yield value.strip(), 1
            return
        value = found
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
        return PartLine(tidy(line), "", 1.0) if tidy(line) else BAD_LINE
    if isinstance(line, Mapping):
        name = _text(line.get("name"))
        sku = read_id(line.get("sku")) or ""
        if not name and not sku:
            name = "" if key.isdigit() else tidy(key)
        quantity = line.get("quantity", line.get("qty"))
    else:
        name, sku, quantity = tidy(key), "", line
    if not name and not sku:
        return BAD_LINE
    pieces = _pieces(quantity)
    return PartLine(name, sku, pieces) if pieces is not None else BAD_QUANTITY


def _pieces(quantity: object) -> float | None:
    """Pieces as a number; a line that does not say how many means one."""
    if quantity is None or quantity == "":
        return 1.0
    found = parse_number(quantity, _PIECES)
    return found if not isinstance(found, Unread) and abs(found) <= MAX_PIECES else None


def catalogue_entry(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """A catalogue document as {name, sku, price}; None when it has no name."""
    name = _text(fields.get("name"))
    if not name:
        return None
    return {"name": name, "sku": read_id(fields.get("sku")), "price": _price(fields)}


def _price(fields: Mapping[str, Any]) -> float | None:
    price = parse_number(fields.get("price"))
    return price if not isinstance(price, Unread) and 0 <= price <= _MAX_PRICE else None


def identity(name: str) -> str:
    """What makes two spellings the same part: letter case, white space and characters that
    nobody sees do not count."""
    return comparable(name)


def _text(value: object) -> str:
    if isinstance(value, str):
        return tidy(value)
    return read_id(value) or "" if isinstance(value, (int, float)) else ""
