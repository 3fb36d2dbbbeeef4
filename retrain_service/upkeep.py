"""The daily second look at a stream: what a cursor alone cannot see.

Records without the cursor field, transactions that committed late, and deletions. Each is a
generator step, so that the loop stays responsive. Never deletes on a guess: an id goes only when
the source, asked for that id, says that it is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from retrain_service.buffer import Applied, Buffer, RejectReason
from retrain_service.sources.base import Source
from retrain_service.upsert import EntityOf
from shared.settings_sections import SourceSettings

PERIOD = timedelta(days=1)


class Upkeep:
    """The upkeep of one stream; when it was last done is in the buffer, not here."""

    def __init__(
        self,
        *,
        source: Source,
        source_name: str,
        stream: str,
        settings: SourceSettings,
        oldest_kept: Callable[[datetime], datetime | None],
        buffer: Buffer,
        reject_reason: RejectReason,
        entity_of: EntityOf,
    ) -> None:
        self._source, self._source_name = source, source_name
        self._stream, self._settings = stream, settings
        self._oldest_kept = oldest_kept
        self._buffer, self._reject_reason = buffer, reject_reason
        self._entity_of = entity_of

    def is_due(self, now: datetime) -> bool:
        return self._is_inspection_due(now) or self._is_second_look_due(now)

    def steps(self, now: datetime) -> Iterator[Applied]:
        """Everything that is due at `now`; each step asks the source a bounded question.

        An error ends it; what was not finished is due again at the next look.
        """
        if self._is_inspection_due(now):
            yield self._inspect(now)
        if self._is_second_look_due(now):
            yield from self._read_overlap(now)
            yield from self._reconcile(now)
            oldest = self._oldest_kept(now)
            if oldest is not None:
                self._buffer.prune(self._stream, oldest)
            state = self._buffer.state(self._stream)
            self._buffer.set_state(self._stream, replace(state, chores_at=now))

    def _is_inspection_due(self, now: datetime) -> bool:
        inspected_at = self._buffer.state(self._stream).inspected_at
        return inspected_at is None or now - inspected_at >= PERIOD

    def _is_second_look_due(self, now: datetime) -> bool:
        # Not right after the first load, which has just read everything.
        state = self._buffer.state(self._stream)
        last = state.chores_at or state.caught_up_at
        return last is not None and now - last >= PERIOD

    def _inspect(self, now: datetime) -> Applied:
        found = self._source.inspect()
        self._add_reads(found.billed_reads, now)
        state = self._buffer.state(self._stream)
        self._buffer.set_state(
            self._stream,
            replace(state, inspected_at=now, n_without_cursor_field=found.n_without_cursor_field),
        )
        return Applied()

    def _read_overlap(self, now: datetime) -> Iterator[Applied]:
        newest = self._buffer.newest(self._stream)
        if newest is not None:
            yield from self._read_again(newest - self._settings.overlap, newest, now)

    def _read_again(self, begin: datetime, end: datetime, now: datetime) -> Iterator[Applied]:
        """Read from `begin` to `end`, both included, without moving the stream's cursor."""
        oldest = self._oldest_kept(now)
        cursor = self._source.cursor_at(begin if oldest is None else max(begin, oldest))
        while True:
            batch = self._source.read_after(cursor, self._settings.page_size)
            yield self._buffer.apply(
                self._stream,
                batch,
                source=self._source_name,
                now=now,
                reject_reason=self._reject_reason,
                entity_of=self._entity_of,
                moves_cursor=False,
            )
            if batch.is_last or (batch.records and batch.records[-1].updated_at > end):
                return
            cursor = batch.cursor

    def _reconcile(self, now: datetime) -> Iterator[Applied]:
        """Compare whole UTC days with the source; today is still being written."""
        days = self._days(now)
        if not days:
            return
        theirs = self._source.count_by_day(days)
        self._add_reads(theirs.billed_reads, now)
        yield Applied()
        ours = self._buffer.count_by_day(self._stream, days)
        for day in days:
            if ours[day] != theirs.by_day[day]:
                yield from self._reconcile_day(day, theirs.by_day[day], now)

    def _reconcile_day(self, day: date, n_expected: int, now: datetime) -> Iterator[Applied]:
        found = self._source.ids_of_day(day)
        self._add_reads(found.billed_reads, now)
        yield Applied()
        if len(found.ids) != n_expected:
            return  # it changed meanwhile, or the answer broke off: tomorrow again
        ours = self._buffer.ids_of_day(self._stream, day)
        suspects = ours - found.ids
        if suspects:
            # A record that was changed since has only moved to another day.
            gone = self._source.missing(suspects)
            self._add_reads(gone.billed_reads, now)
            yield Applied(n_deleted=self._buffer.delete_ids(self._stream, sorted(gone.ids)))
        if found.ids - ours:
            begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
            yield from self._read_again(begin, begin + PERIOD, now)

    def _days(self, now: datetime) -> list[date]:
        today = now.astimezone(UTC).date()
        days = [today - timedelta(days=n) for n in range(1, self._settings.reconcile_days + 1)]
        oldest = self._oldest_kept(now)
        return [day for day in days if oldest is None or day > oldest.astimezone(UTC).date()]

    def _add_reads(self, billed_reads: int, now: datetime) -> None:
        self._buffer.add_reads(self._source_name, self._stream, now, billed_reads)
