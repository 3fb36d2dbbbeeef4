"""Read times of foreign documents: which moment or which day a value means, or why none.

Takes texts, epochs, and the objects of document databases. A policy says what a value alone does
not. Knows no field and no workload.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.documents.time_policy import ANY, NoTime, TimePolicy
from shared.documents.time_texts import (
    Written,
    WrittenTwoWays,
    of_compact,
    wall_clock,
    written_time,
)
from shared.records import to_epoch_us

_EPOCH = wall_clock(1970, 1, 1)
_SECOND_US = 1_000_000
_UNITS_US: Mapping[str, float] = {
    "s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3, "min": 6e7, "h": 3.6e9, "days": 8.64e10,
}  # fmt: skip
_YEAR_9999 = ((253_370_764_800, 253_402_300_800, 1_000_000),
              (253_370_764_800_000, 253_402_300_800_000, 1000))  # fmt: skip
_EXCEL_ZERO = wall_clock(1899, 12, 30)


def read_time_us(value: object, policy: TimePolicy = ANY) -> int | None:
    """Microseconds since the epoch, UTC; None where there is none. `why_no_time` says why.

    A text without a zone is the clock of the policy's zone. An hour that the clock shows twice in
    autumn means the first time.

    >>> [read_time_us(v) for v in ("2025-11-26T11:00:00+01:00", 1764151200, "0001-01-01",
    ...                            "infinity", "03/04/2025", True)]
    [1764151200000000, 1764151200000000, None, None, None, None]
    """
    found = parse_time(value, policy)
    return None if isinstance(found, NoTime) else found


def read_moment(value: object, policy: TimePolicy = ANY) -> datetime | None:
    """The same as an aware time in UTC."""
    at_us = read_time_us(value, policy)
    return None if at_us is None else (_EPOCH + timedelta(microseconds=at_us)).replace(tzinfo=UTC)


def why_no_time(value: object, policy: TimePolicy = ANY) -> NoTime | None:
    """Why `read_time_us` gives None; None where it gives a time."""
    found = parse_time(value, policy)
    return found if isinstance(found, NoTime) else None


def parse_time(value: object, policy: TimePolicy = ANY) -> int | NoTime:
    """Microseconds since the epoch, UTC, or why there are none."""
    found = _parse(value, policy)
    if isinstance(found, Written):
        if not found.has_clock and not policy.takes_days:
            return NoTime.DAY_ALONE
        if _means_never(found.at):
            return NoTime.NEVER
        found = _to_utc_us(found, policy)
    if isinstance(found, NoTime):
        return found
    return found if _is_in_range(found, policy) else NoTime.OUT_OF_RANGE


def parse_day(value: object, policy: TimePolicy = ANY) -> date | NoTime:
    """The calendar day that a value means, in the policy's zone, or why there is none.

    A moment in UTC (Z, an epoch, a timestamp object) becomes the day in the zone. A text with
    another offset, or none, means the day as it is written: that is what the writer saw.
    """
    found = _parse(value, policy)
    if isinstance(found, NoTime):
        return found
    if isinstance(found, Written):
        if _means_never(found.at):
            return NoTime.NEVER
        if found.offset is None or found.offset:
            day = found.at.date()
            in_range = policy.first_year <= day.year < policy.last_year
            return day if in_range else NoTime.OUT_OF_RANGE
        found = _to_utc_us(found, policy)
        if isinstance(found, NoTime):
            return found
    if not _is_in_range(found, policy):
        return NoTime.OUT_OF_RANGE
    moment = (_EPOCH + timedelta(microseconds=found)).replace(tzinfo=UTC)
    return moment.astimezone(policy.time_zone).date()


def read_day(value: object, policy: TimePolicy = ANY) -> date | None:
    """`parse_day`, None where there is none."""
    found = parse_day(value, policy)
    return None if isinstance(found, NoTime) else found


def means_never(value: object) -> bool:
    """Whether a value is a program's way to write "no time": zero, the year 1 or 9999, infinity.

    >>> [means_never(v) for v in ("0001-01-01T00:00:00Z", 0, "0000-00-00 00:00:00", 253402300799,
    ...                           "infinity", "2026-01-01", "yes")]
    [True, True, True, True, True, False, False]
    """
    found = _parse(value, ANY)
    if isinstance(found, Written):
        return _means_never(found.at)
    return found in (NoTime.NEVER, NoTime.MISSING)


# -- values ----------------------------------------------------------------------------------------


def _parse(value: object, policy: TimePolicy, depth: int = 0) -> int | Written | NoTime:
    if value is None:
        return NoTime.MISSING
    if isinstance(value, str):
        return _of_text(value, policy)
    if isinstance(value, bool):
        return NoTime.UNREADABLE
    if isinstance(value, (int, float)):
        return _of_number(value, policy)
    if isinstance(value, datetime):
        return Written(value.replace(tzinfo=None), value.utcoffset(), True)
    if isinstance(value, date):
        return Written(wall_clock(value.year, value.month, value.day), None, False)
    if isinstance(value, Mapping) and depth < 4:
        return _of_object(value, policy, depth)
    if isinstance(value, list):
        return _of_parts(value)
    return NoTime.UNREADABLE


def _of_text(text: str, policy: TimePolicy) -> int | Written | NoTime:
    if policy.format:
        try:
            at = datetime.strptime(text.strip(), policy.format)  # noqa: DTZ007 - as it is written
        except ValueError:
            return NoTime.MISSING if not text.strip() else NoTime.UNREADABLE
        has_clock = any(sign in policy.format for sign in ("%H", "%I", "%X", "%c", "%T"))
        return Written(at.replace(tzinfo=None), at.utcoffset(), has_clock)
    try:
        found = written_time(text, policy.day_first, policy.time_zone)
    except WrittenTwoWays as unclear:
        return NoTime.ZONE if unclear.is_zone else NoTime.AMBIGUOUS
    except (ValueError, OverflowError):
        return NoTime.UNREADABLE
    if found is None or isinstance(found, NoTime):
        return found or NoTime.UNREADABLE
    return found if isinstance(found, Written) else _of_number(found, policy)


def _of_number(number: int | float, policy: TimePolicy) -> int | Written | NoTime:
    if isinstance(number, float) and not math.isfinite(number):
        return NoTime.NEVER if number == number else NoTime.MISSING
    if policy.unit in ("excel", "days since 1899-12-30"):
        if not 1 <= number < 200_000:
            return NoTime.UNREADABLE
        at = _EXCEL_ZERO + timedelta(microseconds=round(number * 86_400e6, -3))
        return Written(at, None, number != int(number))
    if policy.unit:
        at_us = number * _UNITS_US[policy.unit]
    elif number == int(number) and (written := of_compact(str(int(number)))) is not None:
        return written
    else:
        unit_us = unit_of_epoch_us(number)
        at_us = number * unit_us if unit_us >= 1 else number // 1000
    if number <= 0 or abs(at_us) > 1e18:
        is_zero = number == 0 or at_us <= -62_135_596_800e6
        return NoTime.NEVER if is_zero or abs(at_us) > 1e18 else NoTime.OUT_OF_RANGE
    if at_us >= 253_370_764_800e6:  # the year 9999
        return NoTime.NEVER
    return round(at_us)


def unit_of_epoch_us(number: float) -> float:
    """The unit that puts an epoch into our time, in microseconds: 1e11 s is the year 5138.

    >>> [unit_of_epoch_us(n) for n in (1764151200, 1764151200000, 1764151200000000)]
    [1000000, 1000, 1]
    """
    size = abs(number)
    for last_year_from, last_year_to, unit_us in _YEAR_9999:
        # The last second of the year 9999 means never; in milliseconds it is an hour of 1978.
        if last_year_from <= size <= last_year_to:
            return unit_us
    return 1_000_000 if size < 1e11 else 1000 if size < 1e14 else 1 if size < 1e17 else 0.001


def _of_object(value: Mapping[Any, Any], policy: TimePolicy, depth: int) -> int | Written | NoTime:
    for seconds_name, rest_names in (
        ("seconds", ("nanoseconds", "nanos")), ("_seconds", ("_nanoseconds",)),
        ("epochSecond", ("nano",)), ("t", ("i",)),
    ):  # fmt: skip
        if seconds_name in value:
            seconds = _whole(value[seconds_name])
            if seconds is None:
                return NoTime.UNREADABLE
            rest = next((value[name] for name in rest_names if name in value), 0)
            rest_us = rest // 1000 if isinstance(rest, int) and seconds_name != "t" else 0
            return _of_seconds(seconds, rest_us)
    if "timezone_type" in value and "timezone" in value:  # a DateTime of PHP as JSON
        return _parse(f"{value.get('date')} {value['timezone']}", policy, depth + 1)
    for name in (
        "$date", "$timestamp", "$numberLong", "$numberInt", "$numberDouble", "timestampValue",
        "integerValue", "stringValue", "doubleValue", "__time__", "iso", "value", "date",
        "dateTime",
    ):  # fmt: skip
        if name in value:
            return _parse(value[name], policy, depth + 1)
    return NoTime.UNREADABLE


def _of_seconds(seconds: float, rest_us: int) -> int | NoTime:
    if seconds <= -62_135_596_800 or seconds >= 253_370_764_800 or (seconds == 0 and rest_us == 0):
        return NoTime.NEVER
    return round(seconds * _SECOND_US) + rest_us


def _whole(value: object) -> float | None:
    if isinstance(value, Mapping):
        value = value.get("$numberLong", value.get("low"))
    if isinstance(value, bool):
        return None
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return value if isinstance(value, int) else seconds if math.isfinite(seconds) else None


def _of_parts(parts: list[Any]) -> Written | NoTime:
    """[2025, 11, 26, 10, 0], as Java's JSON writers put a local time."""
    if not 3 <= len(parts) <= 7 or not all(type(part) is int for part in parts):
        return NoTime.UNREADABLE
    rest = [*parts[:6], *([parts[6] // 1000] if len(parts) == 7 else [])]
    try:
        return Written(wall_clock(*rest), None, len(parts) > 3)
    except (ValueError, OverflowError):
        return NoTime.UNREADABLE


# -- moments ---------------------------------------------------------------------------------------

_ZERO_TIMES = frozenset(
    wall_clock(*zero)
    for zero in ((1970, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1), (1753, 1, 1),
                 (1601, 1, 1))
)  # fmt: skip


def _means_never(at: datetime) -> bool:
    return at.year <= 1 or at.year >= 9999 or at in _ZERO_TIMES


def _to_utc_us(written: Written, policy: TimePolicy) -> int | NoTime:
    if written.offset is not None:
        span = written.at - written.offset - _EPOCH
        return (span.days * 86_400 + span.seconds) * _SECOND_US + span.microseconds
    before = written.at.replace(tzinfo=policy.time_zone)
    first, second = before.utcoffset(), before.replace(fold=1).utcoffset()
    if first is not None and second is not None and first < second and not policy.shifts_skipped:
        return NoTime.SKIPPED
    try:
        return to_epoch_us(before)
    except OverflowError:
        return NoTime.OUT_OF_RANGE


def _is_in_range(at_us: int, policy: TimePolicy) -> bool:
    day = at_us // 86_400_000_000
    return _first_day(policy.first_year) <= day < _first_day(policy.last_year)


def _first_day(year: int) -> int:
    return date(year, 1, 1).toordinal() - 719_163
