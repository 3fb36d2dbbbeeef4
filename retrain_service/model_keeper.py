"""One model on the training side: its streams are read, its triggers asked, its run supervised.

The loop's thread calls everything here. Reading sources and the buffer happens on one thread
of the keeper's own, one task at a time, so that a database that hangs holds up nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import structlog

from retrain_service import publish, triggers
from retrain_service.intake import StreamHealth
from retrain_service.run_supervisor import RunSupervisor
from retrain_service.stream_reader import Round, StreamReader
from shared.errors import HotfitError, NotFound, StorageUnavailable, VersionUnusable
from shared.keys import SigningKey
from shared.model_store import ModelStore
from shared.run_log import RunLog
from shared.settings import Settings
from shared.signals import Request, SourceReport, TrainingReport

log = structlog.get_logger()

RETRY_PAUSE = timedelta(seconds=10)
HOLD_AFTER = {"rollback": True, "hold": True, "release": False}


class ModelKeeper:
    """Keeps one model right. See the module docstring for who may call what."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        reader: StreamReader,
        store: ModelStore,
        run_log: RunLog,
        key: SigningKey,
    ) -> None:
        self.name = name
        self._triggers = settings.models[name].triggers
        self._reader = reader
        self._store = store
        self._run_log = run_log
        self._key = key
        self._runs = RunSupervisor(name, settings, store, run_log, key)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"reader-{name}")
        self._reading: Future[Round] | None = None
        self._round: Round | None = None
        self._requested: Request | None = None
        self._decision: triggers.Decision = triggers.Wait("starting")
        self._error: str | None = None
        self._retry_at = datetime.min.replace(tzinfo=UTC)

    def recover(self, now: datetime) -> None:
        """Finish or discard what a daemon that died left behind."""
        self._runs.recover(now)

    def close(self, now: datetime) -> None:
        """Stop a run that is under way; leave no thread, process or connection behind."""
        self._runs.close(now)
        self._thread.submit(self._reader.close)
        self._thread.shutdown(wait=True)

    # -- the loop's calls --------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """One look around: at most one step each of reading, training and deciding."""
        self._collect_round(now)
        if self._runs.tick(now):
            self._reader.look_now()
        # A run that ended may have moved the watermark: decide only on a count from where it is.
        if self._round is not None and self._round.watermark_seq == self._watermark_seq:
            self._decision = triggers.decide(self._state(self._round), self._triggers, now)
            if isinstance(self._decision, triggers.Train):
                self._begin(self._decision, now)
        if self._reading is None and now >= self._retry_at and self._reader.is_due(now):
            self._reading = self._thread.submit(self._reader.read, now, self._watermark_seq)

    def handle(self, request: Request, now: datetime) -> bool:
        """Do what was asked through a request file; False when it must wait for a later tick."""
        if request.kind == "train":
            if self._run_log.has_run(request.id):
                return True
            if self._requested is None:
                self._requested = request
            return False  # until its run is written down: a crash in between loses nothing
        if request.kind == "cancel":
            self._runs.cancel(now, request.run_id, request.requested_by)
            return True
        self._point(request, now)
        return True

    def report(self) -> TrainingReport:
        """What the API shows of this model's training."""
        found = self._round
        progress = self._runs.progress
        signal = self._store.signal(self.name)
        finished = self._runs.history.last_finished
        return TrainingReport(
            new_records=found.new_records if found else 0,
            new_records_needed=self._triggers.new_records,
            next_due=self._decision.reason,
            last_run_id=finished.run_id if finished is not None else None,
            running_run_id=self._runs.running_run_id,
            stage=progress.stage if progress is not None else None,
            progress=progress.fraction if progress is not None else None,
            error=self._error,
            hold=signal.hold if signal is not None else False,
            n_usable_records=found.n_usable if found else 0,
            sources=[_source_report(health, found.n_records) for health in found.health]
            if found
            else [],
        )

    @property
    def billed_today(self) -> Mapping[str, int]:
        """Billed reads of this UTC day by source, as of the last look."""
        return self._round.billed_today if self._round else {}

    # -- reading and deciding --------------------------------------------------------------------

    def _collect_round(self, now: datetime) -> None:
        if self._reading is None or not self._reading.done():
            return
        reading, self._reading = self._reading, None
        try:
            found = reading.result()
        except Exception as error:  # noqa: BLE001 - a source may raise what nobody foresaw
            self._set_error(error, now)
            self._reader.look_now()
            self._retry_at = now + RETRY_PAUSE
            return
        self._error = None
        for change in found.changes:
            kind = "source" if change.state in ("ok", "catching_up") else "source_outage"
            self._runs.say(now, kind, f"{change.source}/{change.stream}: {change.sentence}")
        if found.notice:
            self._runs.say(now, "buffer", found.notice)
        self._round = found
        if found.watermark_seq != self._watermark_seq:
            self._reader.look_now()

    def _set_error(self, error: Exception, now: datetime) -> None:
        is_ours = isinstance(error, HotfitError)
        sentence = str(error) if is_ours else f"reading failed: {type(error).__name__}: {error}"
        if sentence != self._error:
            self._error = sentence
            self._runs.say(now, "error", sentence)
            if not is_ours:
                log.error("unexpected", model=self.name, exc_info=error)

    @property
    def _watermark_seq(self) -> int:
        finished = self._runs.history.last_finished
        return (finished.high_seq or 0) if finished is not None else 0

    def _state(self, found: Round) -> triggers.TrainingState:
        history = self._runs.history
        finished = history.last_finished
        request = self._requested
        return triggers.TrainingState(
            new_records=found.new_records,
            watermark_seq=self._watermark_seq,
            runs_since_finished=history.runs_since,
            last_finished_at=finished.finished_at if finished is not None else None,
            last_ended_at=history.last_ended_at,
            failures_in_a_row=history.failures_in_a_row,
            has_champion=self._store.signal(self.name) is not None,
            is_running=self._runs.running_run_id is not None,
            is_catching_up=not found.is_caught_up,
            n_usable_records=found.n_usable,
            requested=(request.id, request.requested_by) if request is not None else None,
        )

    def _begin(self, decision: triggers.Train, now: datetime) -> None:
        request = self._requested if decision.trigger == "manual" else None
        if request is not None:
            self._requested = None
        self._runs.begin(
            decision,
            request,
            lambda path, at: self._thread.submit(self._reader.snapshot, path, at),
            now,
        )

    # -- pointing at versions ---------------------------------------------------------------------

    def _point(self, request: Request, now: datetime) -> None:
        """rollback, reload, hold and release all name a version under a new generation."""
        signal = self._store.signal(self.name)
        version = request.version or (signal.version if signal is not None else None)
        is_held = signal.hold if signal is not None else False
        reason = request.reason or f"{request.kind} asked for by {request.requested_by}"
        try:
            if version is None:
                raise NotFound(f"model {self.name} has no version yet.")
            publish.point_back(
                self._store,
                self.name,
                version,
                key=self._key.verify_key,
                reason=reason,
                hold=HOLD_AFTER.get(request.kind, is_held),
                now=now,
            )
        except (NotFound, VersionUnusable, StorageUnavailable) as error:
            self._runs.say(now, "refusal", f"{request.kind} refused: {error}")
        else:
            self._runs.say(now, request.kind, f"{version} is wanted now: {reason}.")


def _source_report(health: StreamHealth, n_records: Mapping[str, int]) -> SourceReport:
    return SourceReport(
        source=health.source,
        stream=health.stream,
        state=health.state,
        sentence=health.sentence,
        since=health.since,
        last_read_at=health.last_read_at,
        billed_reads_today=health.billed_reads_today,
        daily_read_budget=health.daily_read_budget,
        n_records=n_records.get(health.stream, 0),
        n_without_cursor_field=health.n_without_cursor_field,
    )
