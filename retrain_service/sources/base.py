"""The source contract: read one stream of records from an application's database.

A source must:
- return rows strictly after the cursor, ordered by (updated_at, id), at most `limit`;
- return the same rows for the same cursor as long as the data has not changed;
- lose nothing among equal times: the cursor is (updated_at, id), never the time alone;
- leave out rows newer than the server's own time minus the configured lag, so that a
  transaction that commits late is still met by a later read;
- raise SourceUnavailable when a later try can help, SourceMisconfigured when a person must act;
- give aware UTC times and JSON values;
- leave no connection and no thread behind after `close()`.
A source must never: return part of a page as if it were all of it without the cursor saying so,
sleep, retry for longer than `timeout_s`, or write to the application's data.

A read that breaks in the middle returns what it has with `is_last=False` and the cursor of the
last record it brought: those records are paid for, and the next read begins behind them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from shared.errors import SourceUnavailable
from shared.records import Batch, Cursor, Record

SET_BACK_LOOK = timedelta(days=1)
"""Read again where the server's clock was set back: what is written now has older times than the
cursor, and some of it was written before the next look. What comes twice changes nothing."""


def how_to_install(extra: str) -> str:
    """What to type for a driver that does not come with Hotfit."""
    return f"in the project's folder, .venv/bin/python -m pip install -e '.[{extra}]'"


def ids_repeat(n_rows: int, n_ids: int) -> bool:
    """Whether so many rows share an id that it is no accident: the id field is a wrong one."""
    return n_rows - n_ids > max(3, n_rows // 50)


class ReadInterrupted(SourceUnavailable):
    """The source went away in the middle of a call whose part result is of no use.

    billed_reads : what the provider bills for the part that was read; the ledger must have it.
    """

    def __init__(self, message: str, billed_reads: int) -> None:
        super().__init__(message)
        self.billed_reads = billed_reads


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Number of records by the UTC day of their `updated_at`, and what counting them cost.

    by_day : every day asked for, 0 where there is nothing.
    """

    by_day: Mapping[date, int]
    billed_reads: int = 0


@dataclass(frozen=True, slots=True)
class IdSet:
    """Ids, and what it cost to learn them."""

    ids: frozenset[str]
    billed_reads: int = 0


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `check` tells a person about a stream.

    The figures may be estimates where no sample was asked for: that is the daily count, which
    must not cost a large table a scan.

    n_records : all records there, with or without the cursor field.
    n_without_cursor_field : records that no read will ever bring, because the order-by field
        is missing from them or holds no time.
    newest_updated_at : None when there is no record, or when no sample was asked for.
    sample : a few of the newest records, newest first.
    ids : (rows looked at, different ids among them), where a sample was asked for and ids may
        repeat; None where the database itself keeps them apart.
    is_exact : False where the figures are the server's own estimates.
    remark : what is read and yet worth a look, such as times in two units; "" for nothing.
    """

    n_records: int
    n_without_cursor_field: int
    newest_updated_at: datetime | None
    sample: Sequence[Record] = field(default_factory=tuple)
    billed_reads: int = 0
    ids: tuple[int, int] | None = None
    is_exact: bool = True
    remark: str = ""


class Source(ABC):
    """One stream. Used by one thread at a time."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Which database and collection this is, without credentials: ids and cursors of one
        origin mean nothing in another."""

    @property
    def remark(self) -> str:
        """What a person may want to know about the last read; part of the stream's health."""
        return ""

    @abstractmethod
    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        """Read at most `limit` records strictly after `cursor` (None: from the beginning)."""

    @abstractmethod
    def cursor_at(self, at: datetime) -> Cursor:
        """A cursor just before every record whose `updated_at` is `at` or later. No I/O."""

    @abstractmethod
    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        """How many records each UTC day of `updated_at` holds now, for delete reconciliation."""

    @abstractmethod
    def ids_of_day(self, day: date) -> IdSet:
        """The ids whose `updated_at` falls on that UTC day.

        A stream that ended early looks like fewer ids: compare with `count_by_day` before
        anything is deleted on the strength of it.
        """

    @abstractmethod
    def missing(self, ids: Collection[str]) -> IdSet:
        """Which of these ids do not exist in the source now, whatever their `updated_at`."""

    @abstractmethod
    def inspect(self, n_sample: int = 0) -> Inspection:
        """Look at the stream for `check` and the daily report."""

    def cancel(self) -> None:
        """Break off a call that another thread is in; the source is only closed after that.

        Any thread. It may not wait for the server: that is the one that does not answer.
        """
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Leave no connection behind. May be called twice."""
