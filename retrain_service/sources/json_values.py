"""Convert database values to the JSON values of a record. Knows no driver."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any

from shared.documents.json_texts import read_json_text
from shared.documents.times import means_never

_NOT_SET = frozenset((
    "f", "false", "n", "no", "off", "none", "null", "nil", "nan", "undefined", "n/a", "-",
    "active", "alive", "live", "existing", "undeleted", "not_deleted", "not-deleted", "nein",
    "non", "falsch", "faux", "falso", "aktiv", "actif", "activo",
))  # fmt: skip

DEEPEST = 100
"""Objects and lists in each other, as MongoDB allows them: what is deeper ends every reader."""

_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1


def to_json(
    value: Any, otherwise: Callable[[Any], Any] = str, zone: tzinfo = UTC, depth: int = 0
) -> Any:
    """Turn one value into JSON values, down to `DEEPEST`; what lies deeper is None.

    Times become RFC 3339 in UTC, dates "2025-11-26", durations seconds, bytes base64, Decimal a
    float, NaN and infinities None, as is a number that no float can hold.

    Args:
        depth: of this value in its document.
        zone: of times that have none.
        otherwise: turns a type that is not listed here into something that is.
    """
    match value:
        case None | bool():
            return value
        case str():
            return _json_text(value)
        case int():
            return int(value) if _INT64_MIN <= value <= _UINT64_MAX else _finite(value)
        case float() | Decimal():
            return _finite(value)
        case datetime():
            return to_rfc3339(value, zone)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode("ascii")
        case Mapping() | list() | tuple() | set() | frozenset() if depth >= DEEPEST:
            return None
        case Mapping():
            return {
                _json_text(str(key)): to_json(item, otherwise, zone, depth + 1)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [to_json(item, otherwise, zone, depth + 1) for item in value]
        case Enum():
            return to_json(value.value, otherwise, zone, depth)
    found = otherwise(value)
    return found if isinstance(found, str) else to_json(found, depth=depth)


def _finite(number: float | Decimal) -> float | None:
    try:
        found = float(number)
    except (OverflowError, ValueError):  # no float is so large; a signalling NaN is none
        return None
    return found if math.isfinite(found) else None


def _json_text(text: str) -> str:
    """A lone surrogate is legal in a Python text, but not in JSON."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def to_rfc3339(at: datetime, zone: tzinfo = UTC) -> str:
    """An instant as "2025-11-26T10:00:00Z", with microseconds where there are any."""
    try:
        utc = (at.replace(tzinfo=zone) if at.tzinfo is None else at).astimezone(UTC)
    except OverflowError:  # the first or the last day that there is, which means "never"
        utc = at.replace(tzinfo=UTC)
    # Not isoformat() of the value: a driver's subclass may print itself in its own way.
    micros = f".{utc.microsecond:06d}" if utc.microsecond else ""
    return (
        f"{utc.year:04d}-{utc.month:02d}-{utc.day:02d}"
        f"T{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d}{micros}Z"
    )


def decode_json_text(value: Any) -> Any:
    """The object or array that a text holds; every other value as it is."""
    found = read_json_text(value)
    return value if found is value else to_json(found)


def is_set(value: Any) -> bool:
    """Whether a tombstone field says deleted: true, a number but 0, a time, or such a text.

    A time that means never does not: Go, .NET and MySQL write the zero time where there is none.
    Nor does a word that means alive, such as "active".
    """
    if isinstance(value, bool) or value is None:
        return bool(value)
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _NOT_SET or not word.strip("0."):
            return False
    return bool(value) and not means_never(value)
