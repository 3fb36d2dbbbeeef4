"""Control one configured model: read its streams on a thread and hand the rows to its trainings.

The loop's thread calls everything here. Reading sources and the buffer happens on one thread
of the controller's own, one task at a time, so that a database that hangs holds up nobody else.
Entities (devices, shops) are discovered from the data; each has a training of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from retrain_service.buffer.stream_health import StreamHealth
from retrain_service.buffer.stream_reader import ReadResult, StreamReader
from retrain_service.live_evaluation.monitor import LiveMonitor
from retrain_service.open_problems import OpenProblems
from retrain_service.training_controller import Decide, TrainingController
from retrain_service.training_job.job_limit import JobLimit
from retrain_service.triggers import decide as triggers
from shared.errors import HotfitError
from shared.exchange.control_request import Request
from shared.exchange.retrain_report import LiveVersion, SourceReport, TrainingReport
from shared.keys.signing import SigningKey
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.model_names import full_name, split_name
from shared.versions.model_store import ModelStore

log = structlog.get_logger()

_Found = TypeVar("_Found")

RETRY_PAUSE_S = 10.0
EVENT_OF_STATE = {
    "ok": "source",
    "catching_up": "source",
    "budget": "budget",
    "withheld": "withheld",
}


class ModelController:
    """Keeps one configured model right. See the module docstring for who may call what."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        reader: StreamReader,
        store: ModelStore,
        run_log: RunLog,
        key: SigningKey,
        slots: JobLimit,
        wake: Callable[[], None],
        decide: Decide = triggers.decide,
    ) -> None:
        """wake : called, by any thread, when the next tick has something to do."""
        self.name = name
        self._settings = settings
        self._reader = reader
        self._store = store
        self._run_log = run_log
        self._key = key
        self._slots = slots
        self._wake = wake
        self._decide = decide
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"reader-{name}")
        self._reading: Future[ReadResult] | None = None
        self._round: ReadResult | None = None
        self._live = LiveMonitor(name, settings, reader)
        self._judging: Future[Mapping[str, list[LiveVersion]]] | None = None
        self._judged: Mapping[str, list[LiveVersion]] = {}
        self._confirming: tuple[str, Future[int]] | None = None
        self.error: str | None = None
        self._retry_at_s = 0.0
        self._problems = OpenProblems()
        self._knows_stored = False
        self.trainings: dict[str, TrainingController] = {}

    def close(self, now: datetime) -> None:
        """Stop runs that are under way; leave no thread, process or connection behind."""
        self._reader.stop()
        for training in self.trainings.values():
            try:
                training.runs.close(now)
            except Exception as error:  # noqa: BLE001 - the others have runs to stop, too
                self._problems.set(training.name, error)
        self._thread.submit(self._live.close)
        self._thread.submit(self._reader.close)
        self._thread.shutdown(wait=True)

    # -- the loop's calls ----------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """One look around: at most one step each of reading, training and deciding."""
        self.add_stored_entities()
        self._collect_round(now)
        ended = [training.tick(now, self._round) for training in self.trainings.values()]
        if any(ended):
            self._reader.request_read()
        self._judge_answers(now)
        is_retry_time = time.monotonic() >= self._retry_at_s
        if self._reading is None and is_retry_time and self._reader.is_due(now):
            watermarks = {entity: t.watermark_seq for entity, t in self.trainings.items()}
            self._reading = self._on_reader(partial(self._reader.read, now, watermarks))

    def handle(self, request: Request, now: datetime) -> bool:
        """Do what was asked through a request file; False when it must wait for a later tick."""
        self.add_stored_entities()
        if request.kind == "confirm_deletions":
            return self._confirm_deletions(request, now)
        training = self.trainings.get(split_name(request.model)[1])
        if training is not None:
            return training.handle(request, now)
        if not self._knows_stored:
            return False
        known = ", ".join(sorted(t.name for t in self.trainings.values())) or "none yet"
        sentence = f"{request.kind} refused: there is no model {request.model}; known: {known}."
        self._say(now, "refusal", sentence, {"request_id": request.id, "kind": request.kind})
        return True

    def _confirm_deletions(self, request: Request, now: datetime) -> bool:
        """Have the reader's thread do it; True once it is done and said."""
        if self._confirming is None or self._confirming[0] != request.id:
            work = partial(self._reader.confirm_deletions, now)
            self._confirming = request.id, self._on_reader(work)
        _, confirming = self._confirming
        if not confirming.done():
            return False
        self._confirming = None
        details = {"request_id": request.id, "kind": request.kind}
        sentence = deletions_sentence(confirming.result(), request.requested_by)
        self._say(now, "deletions", sentence, details)
        self._reader.request_read()
        return True

    def report(self) -> dict[str, TrainingReport]:
        """What the API shows of each training, by full name."""
        sources = self.sources
        error = "; ".join(filter(None, (self.error, self._problems.sentence()))) or None
        return {
            t.name: msgspec.structs.replace(
                t.report(sources, error, self._round), live=list(self._judged.get(t.name, ()))
            )
            for t in self.trainings.values()
        }

    @property
    def sources(self) -> list[SourceReport]:
        """How reading each stream goes, as of the last look."""
        found = self._round
        if found is None:
            return []
        return [_source_report(health, found.n_records) for health in found.health]

    @property
    def is_caught_up(self) -> bool:
        """Everything that is in the source has been read at least once."""
        return self._round is not None and self._round.is_caught_up

    @property
    def shortage(self) -> str:
        """Why none of the records that were read can be used; "" where one can, or none was."""
        return self._round.shortage if self._round is not None else ""

    @property
    def billed_today(self) -> Mapping[str, int]:
        """Billed reads of this UTC day by source, as of the last look."""
        return self._round.billed_today if self._round else {}

    # -- reading -------------------------------------------------------------------------------

    def _collect_round(self, now: datetime) -> None:
        if self._reading is None or not self._reading.done():
            return
        reading, self._reading = self._reading, None
        try:
            found = reading.result()
        except Exception as error:  # noqa: BLE001 - a source may raise what nobody foresaw
            self._set_error(error, now)
            self._reader.request_read()
            self._retry_at_s = time.monotonic() + RETRY_PAUSE_S
            return
        self.error = None
        self._round = found
        for state_change in found.state_changes:
            kind = EVENT_OF_STATE.get(state_change.state, "source_outage")
            self._say(
                now, kind, f"{state_change.source}/{state_change.stream}: {state_change.sentence}"
            )
        for sentence in found.findings:
            self._say(now, "chore", sentence)
        if found.notification:
            self._say(now, "buffer", found.notification)
        if self._reader.per_entity:
            for entity in sorted(found.by_entity.keys() - self.trainings.keys() - {""}):
                if self._add_training(entity):
                    name = full_name(self.name, entity)
                    self._say(now, "entity", f"{name} is new in the data.")
        if any(found.watermarks.get(e, 0) != t.watermark_seq for e, t in self.trainings.items()):
            self._reader.request_read()

    def _judge_answers(self, now: datetime) -> None:
        """Collect how versions do on what came true; look again when it is time."""
        if self._judging is not None and self._judging.done():
            judging, self._judging = self._judging, None
            try:
                self._judged = judging.result()
            except Exception as error:  # noqa: BLE001 - reading and training go on without
                self._problems.set("live errors", error)
            else:
                self._problems.clear("live errors")
        if self._judging is None and self._round is not None and self._live.is_due():
            self._judging = self._on_reader(partial(self._live.step, now))

    def add_stored_entities(self) -> bool:
        """Add the trainings that have versions, or runs that a daemon which died left open.

        False when that cannot be looked up now.
        """
        if self._knows_stored:
            return True
        if not self._reader.per_entity and "" not in self.trainings:
            self._add_training("")
        try:
            known = {*self._store.model_names(), *(run.model for run in self._run_log.unfinished())}
        except (HotfitError, OSError) as error:
            self._problems.set(self.name, error)
            return False
        entities = {entity for model, entity in map(split_name, known) if model == self.name}
        for entity in sorted(entities - self.trainings.keys()):
            self._add_training(entity)
        self._knows_stored = True
        self._problems.clear(self.name)
        return True

    def _add_training(self, entity: str) -> bool:
        """False when it cannot be made: the others go on, and this one is tried with each round."""
        name = full_name(self.name, entity)
        try:
            self.trainings[entity] = self._new_training(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this entity's
            self._problems.set(name, error)
            return False
        self._problems.clear(name)
        return True

    def _new_training(self, name: str) -> TrainingController:
        return TrainingController(
            name,
            self._settings,
            self._store,
            self._run_log,
            self._key,
            self._slots,
            lambda entity, path, at: self._on_reader(
                partial(self._reader.snapshot, path, at, entity)
            ),
            self._wake,
            self._decide,
        )

    def _on_reader(self, work: Callable[[], _Found]) -> Future[_Found]:
        """Do it on the reader's thread, and have the loop look as soon as it is done."""
        future = self._thread.submit(work)
        future.add_done_callback(lambda _: self._wake())
        return future

    def _set_error(self, error: Exception, now: datetime) -> None:
        is_ours = isinstance(error, HotfitError)
        sentence = str(error) if is_ours else f"reading failed: {type(error).__name__}: {error}"
        if sentence != self.error:
            self.error = sentence
            self._say(now, "error", sentence)
            if not is_ours:
                log.error("model_tick_failed", model=self.name, exc_info=error)

    def _say(
        self, now: datetime, kind: str, sentence: str, details: Mapping[str, str] | None = None
    ) -> None:
        self._run_log.add_event(now, self.name, kind, sentence, details=details)
        log.info(kind, model=self.name, sentence=sentence)


def deletions_sentence(n_deleted: int, who: str) -> str:
    """What is told once a person has said that withheld records are gone."""
    return f"{n_deleted:,} records that were withheld are deleted, confirmed by {who}."


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
