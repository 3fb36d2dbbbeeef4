"""The source contract: one stream of records out of an application's own database.

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
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from shared.records import Batch, Cursor, Record


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Number of records by the UTC day of their `updated_at`, and what counting them cost."""

    by_day: Mapping[date, int]
    billed_reads: int = 0


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `check` tells a person about a stream.

    n_records : all records there, with or without the cursor field.
    n_without_cursor_field : records that no read will ever bring, because the order-by field
        is missing from them.
    sample : a few of the newest records.
    """

    n_records: int
    n_without_cursor_field: int
    newest_updated_at: datetime | None
    sample: Sequence[Record] = field(default_factory=tuple)
    billed_reads: int = 0


class Source(ABC):
    """One stream. Used by one thread at a time."""

    @abstractmethod
    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        """Read at most `limit` records strictly after `cursor` (None: from the beginning)."""

    @abstractmethod
    def rewind(self, cursor: Cursor, by: timedelta) -> Cursor:
        """A cursor that is earlier by `by`, for the daily re-read of a wider overlap."""

    @abstractmethod
    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        """How many records each UTC day of `updated_at` holds now, for delete reconciliation."""

    @abstractmethod
    def ids_of_day(self, day: date) -> tuple[frozenset[str], int]:
        """The ids whose `updated_at` falls on that UTC day, and the billed reads."""

    @abstractmethod
    def inspect(self) -> Inspection:
        """Look at the stream for `check` and the daily report."""

    @abstractmethod
    def close(self) -> None:
        """Leave no connection behind. May be called twice."""
