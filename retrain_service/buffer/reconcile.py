"""Daily reconciliation of a stream: read the last hours again for late commits, compare counts per
day for deletions and the whole history where totals differ, count records without a time, and prune
records past their retention.

Each chore has its own state and back-off, and none is a reason to call the stream unwell: reading
goes on whether or not a count comes in time. Each is a generator step, so that the loop stays
responsive. Never deletes on a guess: an id goes only when the source, asked for that id, says that
it is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from retrain_service.backoff import Pause, pause_s
from retrain_service.buffer.history_comparison import HistoryComparison
from retrain_service.buffer.store import Buffer, RejectReason, UpsertCounts
from retrain_service.buffer.upsert import EntityOf
from retrain_service.buffer.withheld import DeletionPolicy
from retrain_service.sources.base import ReadInterrupted, Source
from shared.errors import SourceMisconfigured, SourceUnavailable, StorageUnavailable
from shared.settings.sections import SourceSettings

PERIOD = timedelta(days=1)
_ASKED_A_STEP = 500
FIRST_PAUSE = timedelta(minutes=10)
"""After a chore that failed; doubled each time, up to a day."""


@dataclass(slots=True)
class _Chore:
    """One thing to do daily.

    done_at : in this process; what is kept over restarts is in the buffer.
    pause : before the next try; None: it has not failed.
    """

    name: str
    steps: Callable[[datetime], Iterator[UpsertCounts]]
    done_at: datetime | None = None
    n_failures: int = 0
    pause: Pause | None = None


class Reconciler:
    """The reconciliation of one stream; when it was last done is in the buffer, not here."""

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
        deletions: DeletionPolicy,
    ) -> None:
        self._source, self._source_name = source, source_name
        self._stream, self._settings = stream, settings
        self._oldest_kept = oldest_kept
        self._buffer, self._reject_reason = buffer, reject_reason
        self._entity_of = entity_of
        self._deletions = deletions
        self._gone: list[str] = []
        """Ids that the source was asked for in this chore and has no more."""
        self._withheld = _Chore("the second look for deleted records", self._look_again)
        self._inspection = _Chore("the count of records without a time", self._inspect)
        self._second_look = (
            _Chore("the second look for late commits", self._read_overlap),
            _Chore("the comparison of days", self._reconcile),
            _Chore("forgetting old records", self._prune),
        )
        self._findings: list[str] = []
        self._history = HistoryComparison(
            source,
            stream,
            buffer,
            add_reads=self._add_reads,
            reconcile_day=self._reconcile_day,
            end=self._delete_gone,
            say=lambda sentence: self._findings.append(sentence),
        )

    def is_due(self, now: datetime) -> bool:
        return bool(self._due(now))

    def take_findings(self) -> tuple[str, ...]:
        """What a person may want to know: which chore failed, and that it works again."""
        findings, self._findings = self._findings, []
        return tuple(findings)

    def steps(self, now: datetime) -> Iterator[UpsertCounts]:
        """Everything that is due at `now`; each step asks the source a bounded question.

        A chore that fails is tried again after a pause of its own; the others go on.
        """
        for chore in self._due(now):
            self._gone.clear()
            try:
                yield from chore.steps(now)
                self._enter_done(chore, now)
            except (SourceUnavailable, SourceMisconfigured, StorageUnavailable) as error:
                self._enter_failure(chore, error, now)

    # -- what is due -----------------------------------------------------------------------------

    def _due(self, now: datetime) -> list[_Chore]:
        state = self._buffer.state(self._stream)
        due = [self._inspection] if _is_over(state.inspected_at, now, PERIOD) else []
        # Not right after the first load, which has just read everything.
        last = state.chores_at or state.caught_up_at
        if last is not None and _is_over(last, now, PERIOD):
            due += [each for each in self._second_look if _is_over(each.done_at, now, PERIOD)]
        if self._buffer.missing_since(self._stream, now - self._deletions.wait, 1):
            due.append(self._withheld)
        return [each for each in due if each.pause is None or each.pause.is_over(now)]

    def _enter_done(self, chore: _Chore, now: datetime) -> None:
        if chore.n_failures:
            self._findings.append(f"{chore.name} works again.")
        chore.done_at, chore.n_failures, chore.pause = now, 0, None
        state = self._buffer.state(self._stream)
        if chore is self._inspection:
            self._buffer.set_state(self._stream, replace(state, inspected_at=now))
        elif not any(_is_over(each.done_at, now, PERIOD) for each in self._second_look):
            self._buffer.set_state(self._stream, replace(state, chores_at=now))

    def _enter_failure(self, chore: _Chore, error: Exception, now: datetime) -> None:
        chore.n_failures += 1
        first_s, longest_s = FIRST_PAUSE.total_seconds(), PERIOD.total_seconds()
        pause = timedelta(seconds=pause_s(chore.n_failures, first_s, longest_s))
        chore.pause = Pause(now, pause)
        if chore.n_failures == 1:  # one line for an outage, however long
            self._findings.append(
                f"{chore.name} failed: {error} Reading goes on; tried again in"
                f" {pause.total_seconds() / 60:.0f} min, then less and less often."
            )
        if isinstance(error, ReadInterrupted):
            self._add_reads(error.billed_reads, now)

    # -- the chores ------------------------------------------------------------------------------

    def _inspect(self, now: datetime) -> Iterator[UpsertCounts]:
        found = self._source.inspect()
        self._add_reads(found.billed_reads, now)
        state = self._buffer.state(self._stream)
        without = found.n_without_cursor_field
        self._buffer.set_state(self._stream, replace(state, n_without_cursor_field=without))
        yield UpsertCounts()
        days = self._days(now)
        if days and self._oldest_kept(now) is None:  # what is forgotten here is not missing there
            yield from self._history.steps(found, days, now)

    def _prune(self, now: datetime) -> Iterator[UpsertCounts]:
        oldest = self._oldest_kept(now)
        if oldest is not None:
            self._buffer.prune(self._stream, oldest)
        yield UpsertCounts()

    def _read_overlap(self, now: datetime) -> Iterator[UpsertCounts]:
        newest = self._buffer.newest(self._stream)
        if newest is not None:
            yield from self._read_again(newest - self._settings.overlap, newest, now)

    def _read_again(self, begin: datetime, end: datetime, now: datetime) -> Iterator[UpsertCounts]:
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
                sets_deletions_aside=True,
            )
            if batch.is_last or (batch.records and batch.records[-1].updated_at > end):
                return
            cursor = batch.cursor

    def _reconcile(self, now: datetime) -> Iterator[UpsertCounts]:
        """Compare whole UTC days with the source; today is still being written."""
        days = self._days(now)
        if not days:
            return
        theirs = self._source.count_by_day(days)
        self._add_reads(theirs.billed_reads, now)
        yield UpsertCounts()
        ours = self._buffer.count_by_day(self._stream, days)
        for day in days:
            if ours[day] != theirs.by_day[day]:
                yield from self._reconcile_day(day, theirs.by_day[day], now)
        yield self._delete_gone(now)

    def _delete_gone(self, now: datetime) -> UpsertCounts:
        """What the days together lack; it is held back when it is too much to be believed."""
        self._buffer.withhold(self._stream, sorted(self._gone), now)
        self._gone.clear()
        return self._buffer.settle_deletions(self._stream, self._deletions, self._source_name, now)

    def _look_again(self, now: datetime) -> Iterator[UpsertCounts]:
        """Ask once more for what was missing a while ago."""
        until = now - self._deletions.wait
        while ids := self._buffer.missing_since(self._stream, until, _ASKED_A_STEP):
            gone = self._source.missing(ids)
            self._add_reads(gone.billed_reads, now)
            n_deleted = self._buffer.delete_ids(self._stream, sorted(gone.ids))
            self._buffer.end_waiting(self._stream, ids)
            yield UpsertCounts(n_deleted=n_deleted)

    def _reconcile_day(self, day: date, n_expected: int, now: datetime) -> Iterator[UpsertCounts]:
        found = self._source.ids_of_day(day)
        self._add_reads(found.billed_reads, now)
        yield UpsertCounts()
        if len(found.ids) != n_expected:
            return  # it changed meanwhile, or the answer broke off: tomorrow again
        ours = self._buffer.ids_of_day(self._stream, day)
        suspects = ours - found.ids
        if suspects:
            # A record that was changed since has only moved to another day.
            gone = self._source.missing(suspects)
            self._add_reads(gone.billed_reads, now)
            self._gone += gone.ids
            yield UpsertCounts()
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


def _is_over(since: datetime | None, now: datetime, span: timedelta) -> bool:
    return since is None or Pause(since, span).is_over(now)
