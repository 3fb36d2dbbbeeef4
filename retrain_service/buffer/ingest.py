"""Ingest one stream: poll its source when due and store what it returned, a few pages a call.

Driven by the loop, which passes the time in and writes the log. Never sleeps, starts no thread,
and knows no driver: a source either answers, is unavailable, or is misconfigured.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import msgspec

from retrain_service.backoff import Pause, pause_s
from retrain_service.buffer.reconcile import Reconciler
from retrain_service.buffer.store import Buffer, RejectReason, UpsertCounts
from retrain_service.buffer.stream_health import PollResult, State, StreamHealth
from retrain_service.buffer.upsert import EntityOf
from retrain_service.buffer.withheld import DeletionPolicy, Withheld
from retrain_service.sources import open_source as open_registered_source
from retrain_service.sources.base import ReadInterrupted, Source, ids_repeat
from retrain_service.sources.deadline import DeadlineSource
from shared.errors import (
    CollectionMissing,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from shared.mapping.shapes import suggestion
from shared.records import Batch, Cursor
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

PAGES_A_POLL = 8
"""Full pages read in one call, so that the loop stays responsive during a first load."""

MISCONFIGURED_RETRY = timedelta(minutes=5)
_SUGGESTED_FROM = 50
BACKOFF_CAP = timedelta(minutes=1)


class StreamIngestor:
    """The reading of one stream. One thread; close() leaves no connection."""

    def __init__(
        self,
        *,
        stream: str,
        source_name: str,
        settings: SourceSettings,
        stream_settings: StreamSettings,
        buffer: Buffer,
        reject_reason: RejectReason,
        entity_of: EntityOf = lambda _fields: "",
        is_counted: bool = True,
        is_required: bool = True,
        open_source: Callable[[SourceSettings, StreamSettings], Source] = open_registered_source,
        n_sharing: int = 1,
        spent_elsewhere: Callable[[date], int] = lambda _day: 0,
        stopping: threading.Event | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is opened before the first poll.

        Args:
            stream_settings: with its `collection` filled in.
            reject_reason: the workload's judgement on the fields of this stream's records.
            entity_of: the entity that fields belong to.
            is_counted: whether its records count towards the `new_records` trigger.
            is_required: False: a collection that is not there is an empty one.
            n_sharing: how many intakes share the source, and so its daily budget.
            spent_elsewhere: billed reads of the same source and UTC day in other buffers.
            stopping: set, by any thread, when no answer is to be waited for any more.
            chance: a number from 0 to 1, for the jitter of the back-off.
        """
        self._stream, self._source_name = stream, source_name
        self._settings, self._stream_settings = settings, stream_settings
        self._buffer, self._reject_reason, self._is_counted = buffer, reject_reason, is_counted
        self._entity_of, self._is_required = entity_of, is_required
        self._open_source = open_source
        self._n_sharing, self._spent_elsewhere = n_sharing, spent_elsewhere
        self._stopping, self._chance = stopping or threading.Event(), chance
        self._deletions = DeletionPolicy(settings.max_deleted_share, settings.deletions_wait)
        self._source: Source | None = None
        self._reconciler: Reconciler | None = None
        self._steps: Iterator[UpsertCounts] | None = None
        self._pause: Pause | None = None
        self._suggestion: str | None = None
        self._is_in_backlog = False
        self._is_caught_up = False
        self._slowed_on: date | None = None
        self._health = StreamHealth(
            stream,
            source_name,
            "catching_up",
            None,
            "not read yet",
            daily_read_budget=settings.daily_read_budget,
        )

    @property
    def health(self) -> StreamHealth:
        return self._health

    @property
    def due_at(self) -> datetime | None:
        """When poll() will do something; None: at once."""
        if self._is_in_backlog or self._steps is not None or self._pause is None:
            return None
        return self._pause.until

    def is_due(self, now: datetime) -> bool:
        """Whether poll() would do something now."""
        return self.due_at is None or self._is_time_to_read(now)

    def _is_time_to_read(self, now: datetime) -> bool:
        return self._pause is None or self._pause.is_over(now)

    @property
    def is_caught_up(self) -> bool:
        """The source has had nothing more at least once since this ingestor started."""
        return self._is_caught_up

    def poll_now(self) -> None:
        """Make the next poll due at once, whatever it was waiting for."""
        self._pause = None

    def close(self) -> None:
        self._steps = None
        if self._source is not None:
            self._source.close()
            self._source = None

    def poll(self, now: datetime) -> PollResult:
        """Do what is due: read new records, or one step of the daily reconciliation.

        Failures of the source or the disk are not raised: they are a state, with a back-off.
        """
        if not self.is_due(now):
            return PollResult()
        before, applied = self._health.state, UpsertCounts()
        was_first = self._health.since is None
        try:
            source = self._opened(now)
            if self._is_in_backlog or self._is_time_to_read(now):
                applied = self._read(source, now)
            elif self._steps is not None:
                applied = self._step(now)
        except (SourceUnavailable, StorageUnavailable) as error:
            self._fail(error, now)
        except CollectionMissing as error:
            if self._is_required or self._buffer.newest(self._stream) is not None:
                self._stop(error, now)
            else:
                self._enter_absence(error, now)
        except SourceMisconfigured as error:
            self._stop(error, now)
        except OSError as error:  # no descriptor, no memory, no name server: it passes
            self._fail(SourceUnavailable(f"{type(error).__name__}: {error}."), now)
        self._refresh(applied, now)
        has_changed = was_first or self._health.state != before
        return PollResult(
            applied,
            self._is_in_backlog or self._steps is not None,
            self._health if has_changed else None,
            self._reconciler.take_findings() if self._reconciler is not None else (),
        )

    # -- one look --------------------------------------------------------------------------------

    def _opened(self, now: datetime) -> Source:
        if self._source is None:
            source = DeadlineSource(
                partial(self._open_source, self._settings, self._stream_settings),
                self._settings.timeout_s,
                self._stopping,
            )
            self._buffer.open_stream(self._stream, source.origin, self._is_counted)
            self._source = source
            self._reconciler = Reconciler(
                source=source,
                source_name=self._source_name,
                stream=self._stream,
                settings=self._settings,
                oldest_kept=self._oldest_kept,
                buffer=self._buffer,
                reject_reason=self._reject_reason,
                entity_of=self._entity_of,
                deletions=self._deletions,
            )
        return self._source

    def _oldest_kept(self, now: datetime) -> datetime | None:
        days = self._stream_settings.retention_days
        return now - timedelta(days=days) if days else None

    def _cursor(self, source: Source, now: datetime) -> Cursor:
        cursor = self._buffer.cursor(self._stream)
        oldest = self._oldest_kept(now)
        return source.cursor_at(oldest) if cursor is None and oldest is not None else cursor

    def _read(self, source: Source, now: datetime) -> UpsertCounts:
        applied = UpsertCounts()
        for _ in range(PAGES_A_POLL):
            limit = self._settings.page_size
            left = self._budget_left(now)
            if left is not None:
                if left <= 0:
                    self._pause_until_tomorrow(now)
                    return applied
                limit = min(limit, left)
            batch = source.read_after(self._cursor(source, now), limit)
            self._insist_on_ids(batch)
            if self._suggestion is None and batch.records:
                self._suggestion = suggestion(
                    self._stream,
                    self._stream_settings,
                    [record.fields for record in batch.records[:_SUGGESTED_FROM]],
                )
            applied += self._buffer.apply(
                self._stream,
                batch,
                source=self._source_name,
                now=now,
                reject_reason=self._reject_reason,
                entity_of=self._entity_of,
                sets_deletions_aside=True,
            )
            self._health = msgspec.structs.replace(self._health, last_read_at=now, n_failures=0)
            if batch.is_last:
                applied += self._buffer.settle_deletions(
                    self._stream, self._deletions, self._source_name, now
                )
                self._settle(now)
                return applied
        self._is_in_backlog = True
        self._enter("catching_up", "reading what is there already", now)
        return applied

    def _insist_on_ids(self, batch: Batch) -> None:
        """One look never shows a record twice; rows of one id would silently replace each other.

        Raises:
            SourceMisconfigured: many of the rows share their ids.
        """
        n_rows, n_ids = len(batch.records), len({record.id for record in batch.records})
        if ids_repeat(n_rows, n_ids):
            raise SourceMisconfigured(
                f"{n_rows:,} records that were read have only {n_ids:,} different ids: id_field"
                f" {', '.join(self._stream_settings.id_fields)!r} does not tell them apart."
                " `check` says what would."
            )

    def _settle(self, now: datetime) -> None:
        """A short page: nothing more for now."""
        self._is_in_backlog, self._is_caught_up = False, True
        state = self._buffer.state(self._stream)
        if state.caught_up_at is None:
            self._buffer.set_state(self._stream, replace(state, caught_up_at=now))
        interval = self._interval(now)
        self._pause = Pause(now, interval)
        self._enter_settled(interval, now)
        if self._steps is None and self._reconciler is not None and self._reconciler.is_due(now):
            self._steps = self._reconciler.steps(now)

    @property
    def suggestion(self) -> str:
        """Which shape to set for records that are not mapped; "" where nothing is to be said."""
        return self._suggestion or ""

    def _enter_settled(self, interval: timedelta, now: datetime) -> None:
        withheld = self._buffer.withheld(self._stream)
        if withheld.n:
            self._enter("withheld", self._withheld_sentence(withheld), now)
        elif self._slowed_on == now.astimezone(UTC).date():
            spent = f"{self._spent(now):,} of {self._settings.daily_read_budget:,}"
            self._enter(
                "budget",
                f"{spent} billed reads of this UTC day are used; looking every"
                f" {_spoken(interval)} instead of every {self._settings.poll_interval_s:g} s",
                now,
            )
        else:
            remark = self._source.remark if self._source is not None else ""
            told = filter(None, ("up to date", remark, self._suggestion))
            self._enter("ok", "; ".join(told), now)

    def _withheld_sentence(self, withheld: Withheld) -> str:
        assert withheld.since is not None
        until = withheld.since + self._deletions.wait
        return (
            f"{withheld.n:,} of {withheld.n_records:,} records are gone from the source, more than"
            f" {self._deletions.max_share:.0%} at once (max_deleted_share); they are kept and"
            f" trained on. From {until:%Y-%m-%d %H:%M} UTC they are deleted if they are still"
            " gone; `python -m retrain_service confirm-deletions` deletes them now"
        )

    def confirm_deletions(self, now: datetime) -> int:
        """A person says that what is withheld is gone; how many records were deleted.

        Raises:
            StorageUnavailable: the buffer cannot be written; nothing was deleted.
        """
        if not self._buffer.withheld(self._stream).n:
            return 0
        taken = self._buffer.take_withheld(self._stream, self._source_name, now)
        self.poll_now()
        return taken.n_deleted

    def _step(self, now: datetime) -> UpsertCounts:
        left = self._budget_left(now)
        if left is not None and left <= 0:
            self._pause_until_tomorrow(now)
            return UpsertCounts()
        assert self._steps is not None
        applied = next(self._steps, None)
        if applied is None:
            self._steps = None
            self._enter_settled(self._interval(now), now)
        return applied or UpsertCounts()

    # -- budget ----------------------------------------------------------------------------------

    def _spent(self, now: datetime) -> int:
        day = now.astimezone(UTC).date()
        return self._buffer.billed_reads(self._source_name, day) + self._spent_elsewhere(day)

    def _budget_left(self, now: datetime) -> int | None:
        budget = self._settings.daily_read_budget
        return budget - self._spent(now) if budget else None

    def _interval(self, now: datetime) -> timedelta:
        """The poll interval, stretched so that what is left of the budget lasts the day."""
        usual = timedelta(seconds=self._settings.poll_interval_s)
        left = self._budget_left(now)
        if left is None:
            return usual
        until_midnight = _next_midnight(now) - now
        stretched = until_midnight * self._n_sharing / max(left, 1)
        if stretched > usual:
            # For the rest of the day: a state that comes and goes with each poll says nothing.
            self._slowed_on = now.astimezone(UTC).date()
        return min(max(stretched, usual), max(until_midnight, usual))

    def _pause_until_tomorrow(self, now: datetime) -> None:
        self._steps, self._is_in_backlog = None, False
        tomorrow = _next_midnight(now)
        self._pause = Pause(now, tomorrow - now)
        self._slowed_on = now.astimezone(UTC).date()
        self._enter(
            "budget",
            f"all {self._settings.daily_read_budget:,} billed reads of this UTC day are used;"
            f" the next read is at {tomorrow:%Y-%m-%d %H:%M} UTC",
            now,
        )

    # -- states ----------------------------------------------------------------------------------

    def _fail(self, error: SourceUnavailable | StorageUnavailable, now: datetime) -> None:
        self._steps, self._is_in_backlog = None, False
        n_failures = self._health.n_failures + 1
        poll_s = self._settings.poll_interval_s
        longest_s = max(BACKOFF_CAP.total_seconds(), poll_s)
        delay = timedelta(
            seconds=pause_s(n_failures, min(1.0, poll_s), longest_s, chance=self._chance)
        )
        self._pause = Pause(now, delay)
        self._health = msgspec.structs.replace(self._health, n_failures=n_failures)
        self._enter("unavailable", f"{error} Trying again in {_spoken(delay)}.", now)
        if isinstance(error, ReadInterrupted):
            self._enter_lost_reads(error.billed_reads, now)

    def _enter_lost_reads(self, billed_reads: int, now: datetime) -> None:
        try:
            self._buffer.add_reads(self._source_name, self._stream, now, billed_reads)
        except StorageUnavailable as error:
            self._health = msgspec.structs.replace(self._health, sentence=str(error))

    def _stop(self, error: SourceMisconfigured, now: datetime) -> None:
        self.close()  # credentials and tables are looked up afresh at the next try
        self._is_in_backlog = False
        self._pause = Pause(now, MISCONFIGURED_RETRY)
        self._enter(
            "misconfigured",
            f"{error} Checked again in {_spoken(MISCONFIGURED_RETRY)} or after a restart.",
            now,
        )

    def _enter_absence(self, error: CollectionMissing, now: datetime) -> None:
        """An optional stream that has never been there: empty, and looked for again."""
        self.close()
        self._is_in_backlog, self._is_caught_up = False, True
        self._pause = Pause(now, MISCONFIGURED_RETRY)
        self._health = msgspec.structs.replace(self._health, last_read_at=now, n_failures=0)
        self._enter("ok", f"read as empty, because {self._stream} is optional: {error}", now)

    def _enter(self, state: State, sentence: str, now: datetime) -> None:
        is_same = state == self._health.state and self._health.since is not None
        since = self._health.since if is_same else now
        self._health = msgspec.structs.replace(
            self._health, state=state, sentence=sentence, since=since
        )

    def _refresh(self, applied: UpsertCounts, now: datetime) -> None:
        has_news = applied.n_new or applied.n_changed or applied.n_deleted
        try:
            spent = self._spent(now)
            n_without = self._buffer.state(self._stream).n_without_cursor_field
        except StorageUnavailable:
            spent = self._health.billed_reads_today
            n_without = self._health.n_without_cursor_field
        self._health = msgspec.structs.replace(
            self._health,
            last_change_at=now if has_news else self._health.last_change_at,
            next_poll_at=self._pause.until if self._pause is not None else None,
            billed_reads_today=spent,
            n_without_cursor_field=n_without,
        )


def _next_midnight(now: datetime) -> datetime:
    day = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _spoken(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
