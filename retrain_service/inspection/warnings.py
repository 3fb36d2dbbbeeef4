"""What is odd about a stream as a whole: its ids, its times, and what has not been read of it.

Each finding says what was found, what was expected, and what mends it. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from retrain_service.inspection.buffered import StreamRead
from retrain_service.inspection.sample import StreamSample
from retrain_service.sources.base import ids_repeat
from retrain_service.sources.catalogue import Collection, Column, described
from retrain_service.sources.shown_values import epoch_units
from shared.documents.time_columns import column_times
from shared.documents.times import read_time_us
from shared.settings.streams import StreamSettings

_CLOCK_SLACK = timedelta(minutes=2)
_ZONE_STEP = timedelta(minutes=30)
_FARTHEST_ZONE = timedelta(hours=14)
_DENSE = timedelta(minutes=10)
_EPOCH, _LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=3650)
_KNOWN_ZONES = (
    "Europe/Berlin", "Europe/London", "America/New_York", "America/Chicago", "America/Denver",
    "America/Los_Angeles", "America/Halifax", "America/Sao_Paulo", "Pacific/Honolulu",
    "Europe/Athens", "Europe/Istanbul", "Asia/Tehran", "Asia/Dubai", "Asia/Karachi",
    "Asia/Kolkata", "Asia/Kathmandu", "Asia/Dhaka", "Asia/Bangkok", "Asia/Shanghai", "Asia/Tokyo",
    "Australia/Adelaide", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip
_BY_ANY_TIME = ("files", "http_export")


def repeated_ids(sample: StreamSample, settings: StreamSettings) -> str | None:
    """Rows that share an id, where they are too many to be an accident."""
    if sample.found.ids is None:
        return None
    n_rows, n_ids = sample.found.ids
    if not ids_repeat(n_rows, n_ids):
        return None
    of = "" if n_rows >= sample.found.n_records else f" of the {n_rows:,} looked at"
    name = ", ".join(settings.id_fields)
    return (
        f"{n_rows:,} rows{of} have only {n_ids:,} different ids: id_field {name!r} does not tell"
        " them apart, and of the rows with one id only the last is kept."
    )


def future_records(sample: StreamSample, now: datetime, column: Column | None) -> str | None:
    """A newest record that is later than now: a clock that is wrong, or times of another zone."""
    newest = sample.newest
    if newest is None or newest - now <= _CLOCK_SLACK:
        return None
    ahead = newest - now
    n_ahead = sum(record.updated_at > now + _CLOCK_SLACK for record in sample.records)
    sentence = (
        f"the newest record lies {_hours(ahead)} in the future ({n_ahead:,} of"
        f" {len(sample.records):,} looked at do) and is not read until then"
    )
    if ahead > _FARTHEST_ZONE:
        return f"{sentence}: a wrong clock, or a date that is no time of change."
    if column is not None and column.declared == "timestamp with time zone":
        return f"{sentence}: the clock that wrote it is wrong."
    zone = _zone_of(ahead)
    return (
        f"{sentence}: its times are probably the clock of a place"
        f" {_signed(zone)} from UTC, kept without a zone."
    )


def before_our_time(sample: StreamSample, name: str) -> str | None:
    """A newest record of the first months of 1970: numbers that count something else."""
    newest = sample.newest
    if newest is None or not _EPOCH <= newest < _EPOCH + _LONG_AGO:
        return None
    return (
        f"the newest record is of {newest.date()}: the numbers in {name} are no seconds or"
        " milliseconds since 1970 (days, or hours of a machine?); name another field that orders."
    )


def late_clock(sample: StreamSample, now: datetime, column: Column | None) -> str | None:
    """A newest record that is a whole number of hours old, where records come every minute."""
    times = sorted({record.updated_at for record in sample.records})[-20:]
    if len(times) < 5 or (column is not None and column.declared == "timestamp with time zone"):
        return None
    gaps_s = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    gap = timedelta(seconds=median(gaps_s))
    age = now - times[-1]
    if gap > _DENSE or not timedelta(minutes=50) < age <= _FARTHEST_ZONE:
        return None
    zone = -_zone_of(-age)
    if age - zone > max(2 * gap, timedelta(minutes=3)):
        return None
    return (
        f"the newest record is {_hours(age)} old while records come every"
        f" {_short(gap)}: its times may be the clock of a place {_signed(-zone)} from UTC, kept"
        " without a zone."
    )


def mixed_units(column: Column | None) -> str | None:
    """One column of numbers that are times in two units."""
    units = epoch_units(column.values) if column is not None else {}
    if column is None or len(units) < 2:
        return None
    listed = ", ".join(f"{unit} ({n:,})" for unit, n in units.items())
    return f"{column.path} mixes units of time: {listed}; each is read in its own."


def unread(sample: StreamSample, read: StreamRead | None) -> str | None:
    """Records that are there and were not read: imported later, with old times."""
    if read is None or read.newest is None:
        return None
    n_read = read.n_records
    n_readable = sample.found.n_records - sample.found.n_without_cursor_field
    n_newer = sum(record.updated_at > read.newest for record in sample.records)
    if n_newer and not sample.is_whole:
        return None  # how many have come since the last look is not known
    n_readable -= n_newer
    if n_readable - n_read <= max(5, n_readable // 50):
        return None
    return (
        f"{n_readable:,} records are there, {n_read:,} have been read: the others were probably"
        " imported later with old times; the daily comparison reads them (so does a new home)."
    )


def unordered(
    sample: StreamSample, settings: StreamSettings, column: Column | None, kind: str
) -> str | None:
    """Records without a time to order by, told apart from those with one of another type."""
    n_without = sample.found.n_without_cursor_field
    if not n_without:
        return None
    name = settings.updated_at_field
    never = f"{n_without:,} of {sample.found.n_records:,} records are never read"
    if column is None or not column.values:
        return f"{never}: they have no {name}."
    if problem := column_times(column.values).problem:
        return f"{never}: {name}: {problem} (updated_at_format)."
    if has_no_ids(sample, column, kind):
        return f"{never}: {name} is there, but {' or '.join(settings.id_fields)} is no id in them."
    wanted = "a date" if kind in ("mongodb", "firestore") else "a time"
    return f"{never}: {name} is there, but is {described(column)}, not {wanted} by which to order."


def has_no_ids(sample: StreamSample, column: Column | None, kind: str) -> bool:
    """Whether records are not read although their times are times: they have no usable id."""
    return bool(
        sample.found.n_without_cursor_field
        and kind in _BY_ANY_TIME
        and column is not None
        and column.values
        and not column_times(column.values).problem
        and all(read_time_us(value) is not None for value in column.values)
    )


def foreign_zone(sample: StreamSample, now: datetime, column: Column | None) -> str | None:
    """The IANA zone whose clock the times are probably of; None where they look like UTC."""
    newest = sample.newest
    if newest is None or (column is not None and column.declared == "timestamp with time zone"):
        return None
    ahead = newest - now
    is_future = _CLOCK_SLACK < ahead <= _FARTHEST_ZONE
    return _iana(_zone_of(ahead), now) if is_future or late_clock(sample, now, column) else None


def column_of(collection: Collection | None, path: str) -> Column | None:
    return collection.column(path) if collection is not None else None


def _zone_of(ahead: timedelta) -> timedelta:
    """The offset of a clock whose newest record lies `ahead` of now; it was written before now."""
    return math.ceil(ahead / _ZONE_STEP) * _ZONE_STEP


def _iana(offset: timedelta, now: datetime) -> str:
    """A zone that has this offset now; of the many, one that people know."""
    for name in _KNOWN_ZONES:
        if now.astimezone(ZoneInfo(name)).utcoffset() == offset:
            return name
    return f"Etc/GMT{-round(offset / timedelta(hours=1)):+d}"  # its sign is the other way round


def _signed(span: timedelta) -> str:
    sign = "+" if span >= timedelta(0) else "-"
    minutes = round(abs(span) / timedelta(minutes=1))
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _hours(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _short(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def listed(sentences: Sequence[str | None]) -> list[str]:
    return [sentence for sentence in sentences if sentence]
