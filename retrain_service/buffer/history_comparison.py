"""Compare a stream's whole history with its source, where the totals say that they differ.

Records that were imported later with old times, and old ones that were deleted, lie behind the
cursor and before the days that are compared daily. Reads and deletes nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from retrain_service.buffer.store import Buffer, UpsertCounts
from retrain_service.sources.base import Inspection, Source

_DAYS_A_STEP = 10

AddReads = Callable[[int, datetime], None]
ReconcileDay = Callable[[date, int, datetime], Iterator[UpsertCounts]]

_Value = TypeVar("_Value")
Steps = Generator[UpsertCounts, None, _Value]


class HistoryComparison:
    """One stream's.

    `reconcile_day` puts one day right, given the source's count of it; `end` is told when all are.
    """

    def __init__(
        self,
        source: Source,
        stream: str,
        buffer: Buffer,
        *,
        add_reads: AddReads,
        reconcile_day: ReconcileDay,
        end: Callable[[datetime], UpsertCounts],
        say: Callable[[str], None],
    ) -> None:
        self._source, self._stream, self._buffer = source, stream, buffer
        self._add_reads, self._reconcile_day, self._say = add_reads, reconcile_day, say
        self._end = end
        self._settled_gap: int | None = None
        """Difference of the totals that the last comparison of all days could not put right."""

    def steps(self, found: Inspection, recent: list[date], now: datetime) -> Iterator[UpsertCounts]:
        """Each step asks the source a bounded question.

        found : what the source has been found to hold just now.
        recent : days that are compared daily, in any order; only older ones are looked at.
        """
        gap = yield from self._measure_gap(found, recent, now)
        if gap in (0, self._settled_gap):
            return
        n_found = 0
        for applied in self._compare_days(min(recent), now):
            n_found += applied.n_new
            yield applied
        yield self._end(now)
        found = yield from self._inspect(now)
        self._settled_gap = yield from self._measure_gap(found, recent, now)
        if n_found:
            self._say(
                f"{n_found:,} older records, added since with old times, were found and read."
            )

    def _measure_gap(self, found: Inspection, recent: list[date], now: datetime) -> Steps[int]:
        """How many older records the source has beyond ours; negative: fewer.

        The newest days, which are being written, are counted between two totals.
        """
        if _n_readable(found) == self._buffer.count(self._stream):
            return 0
        newest = [*recent, *_days_from(max(recent) + timedelta(days=1), 3)]
        counts = self._source.count_by_day(newest)
        self._add_reads(counts.billed_reads, now)
        yield UpsertCounts()
        again = yield from self._inspect(now)
        n_newest = sum(counts.by_day.values())
        lower, upper = sorted((_n_readable(found) - n_newest, _n_readable(again) - n_newest))
        if not (found.is_exact and again.is_exact):
            lower, upper = lower - upper // 10, upper + upper // 10
        ours = sum(self._buffer.count_by_day(self._stream, newest).values())
        n_old = self._buffer.count(self._stream) - ours
        return lower - n_old if n_old < lower else min(0, upper - n_old)

    def _inspect(self, now: datetime) -> Steps[Inspection]:
        found = self._source.inspect()
        self._add_reads(found.billed_reads, now)
        yield UpsertCounts()
        return found

    def _compare_days(self, end: date, now: datetime) -> Iterator[UpsertCounts]:
        """Every day before `end` on which either side has a record; gaps cost one read."""
        ours = self._buffer.days(self._stream)
        day = self._next_day(None, now)
        while day is not None and day < end:
            until = min(day + timedelta(days=_DAYS_A_STEP), end)
            days = _days_from(day, (until - day).days)
            yield from self._compare(days, now)
            ours -= {one for one in ours if one < until}
            day = self._next_day(until, now)
            gone = sorted(one for one in ours if one < (end if day is None else min(day, end)))
            for begin in range(0, len(gone), _DAYS_A_STEP):
                yield from self._compare(gone[begin : begin + _DAYS_A_STEP], now)

    def _compare(self, days: list[date], now: datetime) -> Iterator[UpsertCounts]:
        theirs = self._source.count_by_day(days)
        self._add_reads(theirs.billed_reads, now)
        yield UpsertCounts()
        ours = self._buffer.count_by_day(self._stream, days)
        for day in days:
            if ours[day] != theirs.by_day[day]:
                yield from self._reconcile_day(day, theirs.by_day[day], now)

    def _next_day(self, day: date | None, now: datetime) -> date | None:
        """The day of the source's first record on `day` or later; None: there is none."""
        at = None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
        cursor = None if at is None else self._source.cursor_at(at)
        batch = self._source.read_after(cursor, 1)
        self._add_reads(batch.billed_reads, now)
        return batch.records[0].updated_at.date() if batch.records else None


def _days_from(day: date, n: int) -> list[date]:
    return [day + timedelta(days=i) for i in range(n)]


def _n_readable(found: Inspection) -> int:
    return found.n_records - found.n_without_cursor_field
