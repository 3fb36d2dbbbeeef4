"""The time formats of an `updated_at` column and their comparison inside the database.

A column may be a native timestamp, ISO text, or seconds, milliseconds or microseconds since the
epoch. Times without a zone are in the zone that the settings name. Where the stored form sorts like
time, the bare column is compared, so that an index serves; only text in mixed forms is converted
row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from retrain_service.sources.sql.mysql import converted_text
from shared.records import from_epoch_us, to_epoch_us

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)

Kind = Literal["timestamptz", "timestamp", "date", "text", "text_converted", "epoch"]


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """One column's way of keeping times.

    resolution_us : the smallest step the column can tell apart, in microseconds.
    unit_us : of "epoch", what one stands for, in microseconds.
    separator : of "text", what stands between date and time.
    zone : of times that are kept without one; `is_naive` says whether these are.
    """

    kind: Kind
    resolution_us: int = 1
    unit_us: int = 1
    separator: str = "T"
    zone: tzinfo = UTC
    is_naive: bool = False

    @property
    def name(self) -> str:
        """Cursors written under another name do not fit this form."""
        zone = "" if str(self.zone) == "UTC" else f"/{self.zone}"
        return f"{self.kind}/{self.unit_us}/{self.separator}{zone}"

    def key(self, column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
        """What to compare and order by."""
        if self.kind != "text_converted":
            return column
        if dialect == "sqlite":
            return sa.func.strftime("%Y-%m-%dT%H:%M:%f", column)
        if dialect == "mysql":
            return converted_text(column, text_shapes(column)[3])
        return sa.cast(column, sa.DateTime(timezone=True))

    def bind_type(self, dialect: str) -> sa.types.TypeEngine[Any]:
        if self.kind == "timestamptz" or (self.kind == "text_converted" and dialect != "sqlite"):
            return sa.DateTime(timezone=True)
        if self.kind == "timestamp":
            return sa.DateTime()
        return sa.Date() if self.kind == "date" else sa.types.NullType()

    def bound(self, at: datetime, dialect: str) -> Any:
        """The key of `at`, rounded down to the column's resolution.

        A key less than it is of an earlier step that is wholly over; a key of that step or a
        later one is not less. So text is cut off where the rest is zero: a prefix sorts first.
        """
        at_us = to_epoch_us(at) // self.resolution_us * self.resolution_us
        if self.kind == "epoch":
            is_whole = at_us % self.unit_us == 0
            return at_us // self.unit_us if is_whole else at_us / self.unit_us
        floored = from_epoch_us(at_us)
        if self.is_naive and self.zone is not UTC:
            floored = _in_zone(at, self.zone, self.resolution_us)
        if self.kind == "timestamptz" or (self.kind == "text_converted" and dialect != "sqlite"):
            return floored
        if self.kind == "timestamp":
            return floored.replace(tzinfo=None)
        if self.kind == "date":
            return floored.date()
        text = floored.replace(tzinfo=None).isoformat(self.separator, timespec="microseconds")
        if self.kind == "text_converted":
            return text[:23]
        if text.endswith("00:00:00.000000"):
            return text[:10]
        return text[:19] if text.endswith(".000000") else text.rstrip("0")

    def decode(self, key: Any) -> datetime | None:
        """The time of a stored key; None when it is not a time."""
        try:
            if isinstance(key, datetime):
                return (key.replace(tzinfo=self.zone) if key.tzinfo is None else key).astimezone(
                    UTC
                )
            if isinstance(key, date):
                return self.decode(datetime.combine(key, time.min))
            if isinstance(key, str):
                return self.decode(datetime.fromisoformat(key.strip()))
            if isinstance(key, (int, float, Decimal)):
                return from_epoch_us(round(key * self.unit_us))
        except (ValueError, OverflowError, ArithmeticError, OSError):
            return None
        return None


@dataclass(frozen=True, slots=True)
class TextFormat:
    """A group of texts that look alike: their length, separator and zone, and how many."""

    length: int
    separator: str
    zone: str
    n_rows: int

    @property
    def resolution_us(self) -> int:
        n_digits = self.length - len(self.zone) - 20
        if self.length - len(self.zone) < 19:
            return DAY_US if self.length <= 10 else 60 * SECOND_US
        return int(10 ** max(0, 6 - max(0, n_digits)))


def text_shapes(column: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[Any], ...]:
    """What to group by in order to learn the shapes: is a time, length, separator, zone."""
    length = sa.func.length(column)
    last = sa.func.substr(column, length, 1)
    sign = sa.func.substr(column, length - 5, 1)
    zone = sa.case(
        (last == "Z", "Z"),
        (sa.and_(length > 19, sign.in_(["+", "-"])), sa.func.substr(column, length - 5, 6)),
        else_="",
    )
    return (
        sa.func.substr(column, 5, 1) == "-",
        length,
        sa.func.substr(column, 11, 1),
        zone,
    )


def text_form(shapes: Sequence[TextFormat], dialect: str) -> TimeFormat:
    """Whether texts of these shapes sort like time as they are, or must be converted.

    They do when separator and zone are all the same and UTC; with a Z also only when the number
    of digits is, because "00Z" sorts after "00.5Z". PostgreSQL's collations are trusted with one
    shape only.
    """
    timed = [shape for shape in shapes if shape.length > 10] or list(shapes)
    separators = {shape.separator for shape in timed}
    zones = {shape.zone for shape in timed}
    lengths = {shape.length for shape in timed}
    is_sorted = (
        len(separators) == 1
        and len(zones) == 1
        and zones <= {"", "Z", "+00:00"}
        and (len(lengths) == 1 or (zones != {"Z"} and dialect == "sqlite"))
        and (len(timed) == len(shapes) or dialect == "sqlite")
    )
    if not is_sorted:
        return TimeFormat("text_converted", resolution_us=1000 if dialect == "sqlite" else 1)
    return TimeFormat(
        "text",
        resolution_us=min(shape.resolution_us for shape in timed),
        separator=separators.pop() or "T",
        is_naive=zones == {""},
    )


def epoch_form(greatest: float, has_fractions: bool) -> TimeFormat:
    """The unit that puts the greatest value into our century."""
    units = ((1e11, SECOND_US), (1e14, 1000), (float("inf"), 1))
    unit_us = next(unit for limit, unit in units if abs(greatest) < limit)
    return TimeFormat("epoch", resolution_us=1 if has_fractions else unit_us, unit_us=unit_us)


def settled(at: datetime, zone: tzinfo) -> datetime:
    """The last instant up to `at` whose local time comes no more.

    In the hour before a clock is set back it is the beginning of the times that come twice.
    """
    mark_us = 15 * 60 * SECOND_US  # clocks are set at a quarter
    quarter = from_epoch_us(to_epoch_us(at) // mark_us * mark_us)
    later = (quarter + timedelta(minutes=15 * n) for n in range(1, 13))
    local = min(each.astimezone(zone).replace(tzinfo=None) for each in (at, *later))
    is_past = local == at.astimezone(zone).replace(tzinfo=None)
    return at if is_past else local.replace(tzinfo=zone).astimezone(UTC)


def _in_zone(at: datetime, zone: tzinfo, resolution_us: int) -> datetime:
    """The local time of an instant, rounded down to the resolution."""
    try:
        local = at.astimezone(zone).replace(tzinfo=UTC)
    except OverflowError:  # the first and the last day that there are
        local = at
    return from_epoch_us(to_epoch_us(local) // resolution_us * resolution_us)


def day_begin(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_end(day: date) -> datetime:
    return day_begin(day) + timedelta(days=1)
