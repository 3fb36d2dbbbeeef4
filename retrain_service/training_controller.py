"""Control one trained model or entity: triggers, the current run, the serving version.

A configured model has one of these, or one per entity. Only the loop's thread calls it; it
reads no source and opens no buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path

from retrain_service.buffer.snapshot import SnapshotInfo
from retrain_service.buffer.stream_reader import ReadResult
from retrain_service.buffer.stream_statistics import EntityCount
from retrain_service.open_problems import OpenProblems
from retrain_service.publish.champion import Champion
from retrain_service.publish.held_back import publish_held_back
from retrain_service.publish.serving_pointer import apply_request
from retrain_service.trainer.libraries import Environment
from retrain_service.training_job.job_limit import JobLimit
from retrain_service.training_job.run_supervisor import RunSupervisor
from retrain_service.triggers import decide as triggers
from retrain_service.triggers import due
from retrain_service.triggers.decision import Decision, Replace, Train, Wait
from retrain_service.triggers.steady_times import SteadyTimes
from retrain_service.triggers.training_state import (
    RunUnderWay,
    TrainingState,
    rows_read_until,
    training_state,
)
from shared.exchange.control_request import Request
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.retrain_report import SourceReport, TrainingReport
from shared.keys.signing import SigningKey
from shared.run_log.history import History
from shared.run_log.writer import RunLog
from shared.settings.per_model import TriggerSettings
from shared.settings.root import Settings
from shared.versions.model_names import split_name
from shared.versions.model_store import ModelStore
from shared.versions.verified_versions import VerifiedVersions
from shared.workloads import open_workload
from shared.workloads.defaults import triggers_of

FreezeEntity = Callable[[str, Path, datetime], "Future[SnapshotInfo]"]
"""(entity, path, now) -> the snapshot of that entity's rows, made on the reader's thread."""

Decide = Callable[[TrainingState, TriggerSettings, datetime], Decision]


class TrainingController:
    """Keeps one version right. `name` is the full name, `<model>` or `<model>/<entity>`."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        store: ModelStore,
        run_log: RunLog,
        key: SigningKey,
        slots: JobLimit,
        freeze: FreezeEntity,
        wake: Callable[[], None],
        decide: Decide = triggers.decide,
    ) -> None:
        """wake : called, by any thread, when the next tick has something to do."""
        self.name = name
        model_name, self.entity = split_name(name)
        self._triggers = triggers_of(settings.models[model_name])
        self._store = store
        self._run_log = run_log
        self._key = key
        self._slots = slots
        self._freeze = freeze
        self._decide = decide
        configured = settings.models[model_name]
        workload = open_workload(configured.workload, configured.parameters)
        self._environment = Environment(name, store, workload)
        self._champion = Champion(name, VerifiedVersions(store, key.verify_key))
        self.runs = RunSupervisor(name, settings, store, run_log, key, wake)
        self._counted = EntityCount()
        self._history: History | None = None
        self._signal: ReloadSignal | None = None
        self._problems = OpenProblems()
        self.problem: str | None = None
        self._times = SteadyTimes()
        self._waits_for_slot = False
        self._requested: Request | None = None
        self._under_way: RunUnderWay | None = None
        self._decision: Decision = Wait("starting")

    @property
    def watermark_seq(self) -> int:
        """The buffer's number up to which the last finished run saw this model's records, as of
        the last tick."""
        return watermark_of(self._history) if self._history is not None else 0

    def tick(self, now: datetime, found: ReadResult | None) -> bool:
        """One step of the run and one decision; True when a run ended in this call.

        Raises nothing: what goes wrong is this model's problem alone, told in its report, and
        tried again at the next tick.
        """
        run_id = self.runs.running_run_id
        self._waits_for_slot = False
        try:
            self.runs.tick(now, lambda: self._read_signal(now))
            signal = self._read_signal(now)
            self.runs.recover(now)
            if signal is not None and self._publish_held_back(signal, now):
                signal = self._read_signal(now)
            state = self.update_decision(now, found, signal)
            if state is not None and found is not None:
                self._act(state, found, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other models go on
            self.problem = self._problems.set(self.name, error)
        else:
            self.problem = None
            self._problems.clear(self.name)
        finally:
            if not self.runs.is_at_work and not self._waits_for_slot:
                self._slots.release(self.name)
        return run_id is not None and self.runs.running_run_id != run_id

    def update_decision(
        self, now: datetime, found: ReadResult | None, signal: ReloadSignal | None
    ) -> TrainingState | None:
        """Decide, without acting on it; None as long as there is no count to decide on."""
        self._signal, self._history = signal, self.runs.history
        if self._requested is not None and self._run_log.has_run(self._requested.id):
            self._requested = None
        # A run that ended may have moved the watermark: decide only on a count from where it is.
        if found is None or found.watermarks.get(self.entity, 0) != self.watermark_seq:
            return None
        self._counted = found.by_entity.get(self.entity, EntityCount())
        state = self._state(self._history, found, now)
        self._decision = self._decide(state, self._triggers, now)
        return state

    def _read_signal(self, now: datetime) -> ReloadSignal | None:
        """This model's signal; written again as it was where something else lies in its place."""
        if (found := self._store.restore_signal(self.name)) is not None:
            sentence = f"the reload signal is written again as it was: {found}."
            self.runs.say(now, "error", sentence)
        try:
            return self._store.signal(self.name)
        except SignalUnreadable as error:
            if isinstance(error.__cause__, OSError):
                raise  # the disk refuses for now; nothing is known of the file
            raise SignalUnreadable(
                f"{error}. It is not known any more what was wanted: put the file back from a"
                " backup. What is served goes on being served; nothing is promoted meanwhile."
            ) from error

    def _publish_held_back(self, signal: ReloadSignal, now: datetime) -> bool:
        run, key = self.runs.history.last_judged, self._key.verify_key
        if run is None:
            return False
        return publish_held_back(self._store, self._run_log, key, signal, run, now)

    def handle(self, request: Request, now: datetime) -> bool:
        """Do what was asked through a request file; False when it must wait for a later tick."""
        if request.kind == "train":
            if self._run_log.has_run(request.id):
                return True
            if self._requested is None:
                self._requested = request
            return False  # until its run is written down: a crash in between loses nothing
        if request.kind == "forget":
            kind, sentence = self._forget(request.run_id or "")
            self.runs.say(now, kind, sentence, details={"request_id": request.id})
            return True
        if request.kind == "cancel":
            kind, sentence = "refusal", "cancel refused: that run is not under way."
            if self.runs.cancel(now, request.run_id, request.requested_by):
                kind, sentence = "cancel", f"cancel asked for by {request.requested_by}: done."
            self.runs.say(now, kind, sentence, details={"request_id": request.id})
            return True
        kind, sentence = apply_request(self._store, request, self._key.verify_key, now)
        self.runs.say(now, kind, sentence, details={"request_id": request.id})
        return True

    def report(
        self, sources: list[SourceReport], error: str | None, found: ReadResult | None = None
    ) -> TrainingReport:
        """What the API shows of this model's training.

        found : the last look at the streams; None when there was none yet.
        """
        not_ready = self._not_ready(found)
        progress = self.runs.progress
        finished = self._history.last_finished if self._history is not None else None
        return TrainingReport(
            new_records=self._counted.n_new,
            new_records_needed=due.records_needed(self._triggers, self._counted.n_usable),
            next_due=_with_shortage(self._decision.reason, found),
            last_run_id=finished.run_id if finished is not None else None,
            running_run_id=self.runs.running_run_id,
            stage=progress.stage if progress is not None else None,
            progress=progress.fraction if progress is not None else None,
            error="; ".join(filter(None, (error, self.problem))) or None,
            hold=self._signal.hold if self._signal is not None else False,
            n_usable_records=self._counted.n_usable,
            is_ready=not_ready is None,
            ready_reason=not_ready or f"{self._counted.n_usable} usable records",
            buffer=found.buffer if found is not None else None,
            sources=sources,
        )

    def _not_ready(self, found: ReadResult | None) -> str | None:
        """Why a training that is asked for now would not begin at once; None when it would."""
        if self.runs.running_run_id is not None:
            return "a run is under way"
        if found is None:
            return "the records have not been looked at yet"
        if not found.is_caught_up:
            return "the records that are already there are still being read"
        if not self._counted.n_usable:
            return _with_shortage(triggers.NO_USABLE_RECORD, found)
        return None

    def _forget(self, run_id: str) -> tuple[str, str]:
        """Take a run out of the log; not one that the next decision rests on."""
        finished = self.runs.history.last_finished
        if run_id == self.runs.running_run_id:
            return "refusal", f"run {run_id} is under way; cancel it first."
        if finished is not None and run_id == finished.run_id:
            return "refusal", f"run {run_id} is the last finished one; its watermark is needed."
        if self.runs.is_retrying:
            return "refusal", "a run is under way that trains on the rows of one that failed."
        if not self._run_log.delete_run(run_id):
            return "refusal", f"there is no run {run_id}."
        self.runs.use_fresh_rows()  # those kept for a retry may be of that run
        return "forget", f"run {run_id} was taken out of the log."

    # -- deciding ----------------------------------------------------------------------------------

    def _state(self, history: History, found: ReadResult, now: datetime) -> TrainingState:
        signal, request = self._signal, self._requested
        return training_state(
            history,
            now,
            new_records=self._counted.n_new,
            n_usable_records=self._counted.n_usable,
            is_caught_up=found.is_caught_up,
            read_until=found.read_until,
            events=self._run_log.pending_events(self.name),
            has_champion=self._champion_is_there(signal, now),
            champion_libraries=self._environment.of_version(signal.version if signal else None),
            libraries=self._environment.installed(now),
            running=self._under_way if self.runs.running_run_id is not None else None,
            requested=request.requested_by if request is not None else None,
            times=self._times,
        )

    def _champion_is_there(self, signal: ReloadSignal | None, now: datetime) -> bool:
        known = self._champion.fault
        is_there = self._champion.is_there(signal)
        if (fault := self._champion.fault) is not None and fault != known:
            self.runs.say(now, "error", f"the wanted version cannot be served: {fault}")
        return is_there

    def _act(self, state: TrainingState, found: ReadResult, now: datetime) -> None:
        decision = self._decision
        if isinstance(decision, Replace):
            self.runs.cancel(now, None, f"a newer run: {decision.reason}")
            train = Train(decision.trigger, decision.reason)
            self._begin(train, state, found, now, is_replacement=True)
        elif isinstance(decision, Train):
            if self._slots.ask(self.name):
                self._begin(decision, state, found, now)
            else:
                self._waits_for_slot = True
                n_slots = self._slots.n_slots
                are = "is" if n_slots == 1 else "are"
                reason = f"{decision.reason}; waits: {n_slots} of {n_slots} trainings {are} running"
                self._decision = Wait(reason, decision.trigger)

    def _begin(
        self,
        decision: Train,
        state: TrainingState,
        found: ReadResult,
        now: datetime,
        *,
        is_replacement: bool = False,
    ) -> None:
        request = self._requested if decision.trigger == "manual" else None
        self.runs.begin(
            decision,
            request,
            lambda path, at: self._freeze(self.entity, path, at),
            rows_read_until(state, self._run_log.pending_events(self.name), found.read_until),
            now,
        )
        self._under_way = RunUnderWay(decision.trigger, now, self._counted.n_new, is_replacement)


def watermark_of(history: History) -> int:
    """The buffer's number up to which the last finished run saw a model's records."""
    finished = history.last_finished
    return (finished.high_seq or 0) if finished is not None else 0


def _with_shortage(sentence: str, found: ReadResult | None) -> str:
    """Why there is no usable record, where that is what is said."""
    if sentence != triggers.NO_USABLE_RECORD or found is None or not found.shortage:
        return sentence
    return f"{sentence}: {found.shortage.rstrip('.')}"
