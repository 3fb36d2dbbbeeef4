"""The time formats of an `updated_at` column and their comparison inside the database.

A column may be a native timestamp, a text, or seconds to nanoseconds since the epoch, also several
of these at once. Times without a zone are in the zone that the settings name. Where the stored form
sorts like time, the bare column is compared, so that an index serves; only mixed forms are
converted row by row: in SQLite by the one reader of times, elsewhere by the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from retrain_service.sources.sql.mysql import converted_text
from shared.documents.time_policy import TimePolicy
from shared.documents.times import read_time_us
from shared.records import from_epoch_us, to_epoch_us

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, tzinfo=UTC)

Kind = Literal[
    "timestamptz",
    "timestamp",
    "date",
    "text",
    "text_converted",
    "epoch",
    "epoch_mixed",
    "converted",
]
CONVERT = "hotfit_time_us"
"""Function of our SQLite connections: (value, "ZONE" or "ZONE dmy") -> microseconds since the
epoch, or null."""

_ORDERS = {True: "dmy", False: "mdy"}
UNIT_BORDERS = ((1e11, SECOND_US), (1e14, 1000), (1e17, 1))
_NEVER = ((253_370_764_800, 253_402_300_800), (253_370_764_800_000, 253_402_300_800_000))


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """One column's way of keeping times.

    resolution_us : the smallest step the column can tell apart, in microseconds.
    unit_us : of "epoch", what one stands for, in microseconds.
    separator : of "text", what stands between date and time.
    zone : of times that are kept without one; `is_naive` says whether these are.
    day_first : of "converted", how 03/04/2025 is read; None: not at all.
    seen : of "text", the shapes of all texts that were there when the form was learnt.
    """

    kind: Kind
    resolution_us: int = 1
    unit_us: int = 1
    separator: str = "T"
    zone: tzinfo = UTC
    is_naive: bool = False
    day_first: bool | None = None
    seen: tuple[tuple[Any, ...], ...] = ()

    @property
    def name(self) -> str:
        """Cursors written under another name do not fit this form."""
        zone = "" if str(self.zone) == "UTC" else f"/{self.zone}"
        order = "" if self.day_first is None else f"/{_ORDERS[self.day_first]}"
        return f"{self.kind}/{self.unit_us}/{self.separator}{zone}{order}"

    def remark(self, field: str) -> str:
        """What a person should know of a column that is kept in this form; "" for nothing."""
        if self.kind not in ("text_converted", "epoch_mixed", "converted"):
            return ""
        return (
            f"{field} holds times in several forms or units; each is read in its own. No index"
            " serves that: each look goes through the whole table."
        )

    def key(self, column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
        """What to compare and order by."""
        if self.kind == "converted":
            order = "" if self.day_first is None else f" {_ORDERS[self.day_first]}"
            how = f"{self.zone}{order}"
            converted: sa.ColumnElement[Any] = getattr(sa.func, CONVERT)(column, how)
            return converted
        if self.kind == "epoch_mixed":
            return _in_microseconds(column)
        if self.kind != "text_converted":
            return column
        if dialect == "mysql":
            return converted_text(column, text_shapes(column)[3])
        return sa.cast(column, sa.DateTime(timezone=True))

    def bind_type(self, dialect: str) -> sa.types.TypeEngine[Any]:
        del dialect
        if self.kind in ("timestamptz", "text_converted"):
            return sa.DateTime(timezone=True)
        if self.kind == "timestamp":
            return sa.DateTime()
        if self.kind == "epoch_mixed":
            return sa.BigInteger()
        return sa.Date() if self.kind == "date" else sa.types.NullType()

    def bound(self, at: datetime, dialect: str) -> Any:
        """The key of `at`, rounded down to the column's resolution.

        A key less than it is of an earlier step that is wholly over; a key of that step or a
        later one is not less. So text is cut off where the rest is zero: a prefix sorts first.
        """
        at_us = to_epoch_us(at) // self.resolution_us * self.resolution_us
        if self.kind in ("epoch", "epoch_mixed", "converted"):
            is_whole = at_us % self.unit_us == 0
            return at_us // self.unit_us if is_whole else at_us / self.unit_us
        floored = from_epoch_us(at_us)
        if self.is_naive and self.zone is not UTC:
            floored = _in_zone(at, self.zone, self.resolution_us)
        if self.kind in ("timestamptz", "text_converted"):
            return floored
        if self.kind == "timestamp":
            return floored.replace(tzinfo=None)
        if self.kind == "date":
            return floored.date()
        text = floored.replace(tzinfo=None).isoformat(self.separator, timespec="microseconds")
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
        kind: Kind = "converted" if dialect == "sqlite" else "text_converted"
        return TimeFormat(kind, is_naive=dialect == "sqlite")
    return TimeFormat(
        "text",
        resolution_us=min(shape.resolution_us for shape in timed),
        separator=separators.pop() or "T",
        is_naive=zones == {""},
    )


def epoch_form(least: float, greatest: float, has_fractions: bool, dialect: str) -> TimeFormat:
    """The unit that puts the values into our century; the mixed form where they differ in it.

    least, greatest : of the values above 0 that do not mean never.
    """
    units = [
        next((unit for limit, unit in UNIT_BORDERS if number < limit), 0)
        for number in (least, greatest)
    ]
    if units[0] != units[1] or 0 in units:
        kind: Kind = "converted" if dialect == "sqlite" else "epoch_mixed"
        return TimeFormat(kind, is_naive=dialect == "sqlite")
    return TimeFormat("epoch", resolution_us=1 if has_fractions else units[0], unit_us=units[0])


def is_below(column: sa.ColumnElement[Any], border: float) -> sa.ColumnElement[bool]:
    """Whether numbers are below a border of UNIT_BORDERS."""
    return column < _big(border)


def telling_epochs(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Which numbers tell in which unit a column is kept: those that are times."""
    return sa.and_(column > 0, ~_is_never(column))


def _is_never(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.or_(*(column.between(_big(first), _big(last)) for first, last in _NEVER))


def _big(number: float) -> sa.ColumnElement[Any]:
    """A number in the statement itself: a bound one would be taken for four bytes."""
    return sa.literal_column(f"{number:.0f}")


def _in_microseconds(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    in_microseconds = sa.case(
        (sa.or_(column <= 0, _is_never(column)), None),
        (is_below(column, 1e11), column * _big(SECOND_US)),
        (is_below(column, 1e14), column * _big(1000)),
        (is_below(column, 1e17), column),
        else_=column / _big(1000),
    )
    return sa.cast(in_microseconds, sa.BigInteger)


def convert(value: object, how: str) -> int | None:
    """CONVERT: any value of an SQLite column as microseconds since the epoch."""
    return read_time_us(value, _policy(how))


def is_odd_time(text: str) -> bool:
    """Whether a text is a time, but not one in ISO form, which sorts as it is."""
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return convert(text, "UTC dmy") is not None or convert(text, "UTC mdy") is not None
    return text[4:5] != "-"


@lru_cache
def _policy(how: str) -> TimePolicy:
    zone, _, order = how.partition(" ")
    day_first = None if not order else order == _ORDERS[True]
    return TimePolicy(
        ZoneInfo(zone), day_first, first_year=1971, last_year=9999, shifts_skipped=True
    )


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
