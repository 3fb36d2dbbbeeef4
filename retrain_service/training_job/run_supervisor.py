"""Supervise the current run of one model, from the logged decision to the verdict.

Only the loop's thread calls it. It decides nothing about when to train; `promotion` decides
what may be promoted, and this carries it out.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from retrain_service.buffer.snapshot import SnapshotInfo
from retrain_service.publish import serving_pointer
from retrain_service.publish.champion import Champion
from retrain_service.publish.held_back import reason_held
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.training_job.build_spec import build_spec, late_tries
from retrain_service.training_job.current_run import CurrentRun, Ending, details_of
from retrain_service.training_job.job import SNAPSHOT_NAME, JobProgress, JobResult, TrainingJob
from retrain_service.training_job.recovery import clear_left_over, recover
from retrain_service.training_job.repetition import repeated_run
from retrain_service.training_job.retry_snapshot import FOLDER, RetrySnapshot
from retrain_service.training_job.run_ending import tidy_up, write_end
from retrain_service.triggers.decision import Train
from shared.errors import HotfitError, StateConflict, StorageUnavailable
from shared.exchange.control_request import Request
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import SigningKey
from shared.run_log.history import History
from shared.run_log.run import FINISHED, Run, RunStatus
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.manifest import Manifest
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion, VersionState, transition
from shared.versions.verified_versions import VerifiedVersions

log = structlog.get_logger()

FreezeSnapshot = Callable[[Path, datetime], Future[SnapshotInfo]]
ReadSignal = Callable[[], ReloadSignal | None]
"""The signal of the model, as it is now; raises SignalUnreadable."""


class RunSupervisor:
    """At most one run at a time; every run that was written down gets an end written down."""

    def __init__(
        self,
        model: str,
        settings: Settings,
        store: ModelStore,
        run_log: RunLog,
        key: SigningKey,
        wake: Callable[[], None],
    ) -> None:
        """wake : called, by any thread, when the next tick has something to do."""
        self.model = model
        self._settings = settings
        self._limits = settings.models[model.partition("/")[0]].training
        self._store = store
        self._run_log = run_log
        self._key = key
        self._wake = wake
        self._retry_snapshot = RetrySnapshot(settings.work_dir / FOLDER, model)
        self._current: CurrentRun | None = None
        self._is_clear = False

    @property
    def history(self) -> History:
        """The past of this model, as the run log has it now."""
        return self._run_log.history(self.model)

    @property
    def running_run_id(self) -> str | None:
        return self._current.run.run_id if self._current is not None else None

    @property
    def is_at_work(self) -> bool:
        """A run is under way that uses the machine; not one of which only the end is unwritten."""
        return self._current is not None and self._current.ending is None

    @property
    def is_retrying(self) -> bool:
        return self._current is not None and self._current.is_retry

    @property
    def progress(self) -> JobProgress | None:
        if self._current is None:
            return None
        if self._current.ending is not None:
            return JobProgress("ending", 1.0)
        job = self._current.job
        return job.progress() if job is not None else JobProgress("queued", 0.0)

    def say(
        self,
        now: datetime,
        kind: str,
        sentence: str,
        run_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an event down and log it, once."""
        self._run_log.add_event(now, self.model, kind, sentence, run_id=run_id, details=details)
        log.info(kind, model=self.model, run_id=run_id, sentence=sentence)

    # -- life ------------------------------------------------------------------------------------

    def recover(self, now: datetime) -> None:
        """Give an end to a run that is open in the log and not this one's.

        Raises:
            StorageUnavailable, SignalUnreadable: that cannot be done now; to be called again.
        """
        if not self._is_clear:
            clear_left_over(self._store, self.model)
            self._is_clear = True
        run = self.history.open_run
        if run is not None and run.run_id != self.running_run_id:
            recover(run, self._store, self._run_log, self._key.verify_key, now)

    def close(self, now: datetime) -> None:
        """Stop a run that is under way; nothing of it is left but its line in the log."""
        if self.is_at_work:
            self._stop(now, RunStatus.ABANDONED, "the daemon was stopped")
        elif self._current is not None and self._current.ending is not None:
            with contextlib.suppress(StorageUnavailable):
                self._write_end(self._current, self._current.ending)
        if self._current is not None:  # its end is still unwritten: the next start finds it open
            tidy_up(self._current, self._store, self._retry_snapshot)

    # -- a run's steps ---------------------------------------------------------------------------

    def begin(
        self,
        decision: Train,
        request: Request | None,
        freeze: FreezeSnapshot,
        rows_read_until: datetime | None,
        now: datetime,
    ) -> None:
        """Write the run down first; only then does anything happen.

        rows_read_until : its rows are from before this; later events are kept for the next run.

        Raises:
            StateConflict: the request was carried out before, or another run is open.
            StorageUnavailable: the run log refused; nothing has begun.
        """
        number = self._next_number()
        run = Run(
            run_id=request.id if request is not None else uuid.uuid4().hex[:12],
            model=self.model,
            trigger=decision.trigger,
            trigger_reason=decision.reason,
            version=str(ModelVersion(number, now)),
            version_number=number,
            status=RunStatus.QUEUED,
            requested_at=request.requested_at if request is not None else now,
        )
        sentence = f"training {run.version}: {decision.reason}."
        self._run_log.add_run(run, decided=(now, sentence), rows_read_until=rows_read_until)
        log.info("decision", model=self.model, run_id=run.run_id, sentence=sentence)
        work_dir = self._settings.work_dir / run.run_id
        options = request.options if request is not None else {}
        current = self._current = CurrentRun(run, work_dir, options)
        path = work_dir / SNAPSHOT_NAME
        try:
            work_dir.mkdir(parents=True, exist_ok=True)
            retry_snapshot = self._retry_snapshot.load(path) if request is None else None
            if retry_snapshot is None:
                self._current = replace(current, freezing=freeze(path, now))
            else:
                self._current = replace(current, snapshot=retry_snapshot, is_retry=True)
                self._wake()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has an end
            self._end(now, RunStatus.FAILED, _sentence(error))

    def tick(self, now: datetime, read_signal: ReadSignal) -> None:
        """Take the run one step further.

        Raises:
            StorageUnavailable, SignalUnreadable: that step cannot be taken now; to be called again.
        """
        current = self._current
        if current is None:
            return
        if current.ending is not None:
            self._write_end_again(current, current.ending)
        elif current.job is not None:
            result = current.job.poll()
            if result is not None:
                self._conclude(current.job, result, read_signal, now)
        elif current.snapshot is not None:
            self._start_job(current, current.snapshot, read_signal(), now)
        elif current.freezing is not None and current.freezing.done():
            try:
                snapshot = current.freezing.result()
            except Exception as error:  # noqa: BLE001 - what a source raises is the run's end
                self._end(now, RunStatus.FAILED, _sentence(error))
            else:
                current = self._current = replace(current, snapshot=snapshot)
                self._start_job(current, snapshot, read_signal(), now)

    def cancel(self, now: datetime, run_id: str | None, by: str) -> bool:
        """Stop the run under way, if it is that one; False when there was none to stop."""
        if not self.is_at_work or run_id not in (None, self.running_run_id):
            return False
        self._stop(now, RunStatus.CANCELLED, f"cancelled by {by}")
        return True

    def use_fresh_rows(self) -> None:
        """The next run does not train on the rows of the last one, should that have failed."""
        self._retry_snapshot.delete()

    def _next_number(self) -> int:
        published = [ModelVersion.parse(name).number for name in self._store.versions(self.model)]
        return 1 + max(self._run_log.last_version_number(self.model), *published, 0)

    def _start_job(
        self,
        current: CurrentRun,
        snapshot: SnapshotInfo,
        signal: ReloadSignal | None,
        now: datetime,
    ) -> None:
        run_id = current.run.run_id
        self._run_log.start_run(run_id, now, snapshot.high_seq, details_of(current))
        try:
            spec = build_spec(
                current.run,
                snapshot,
                settings=self._settings,
                options=current.options,
                champion=signal,
                work_dir=current.work_dir,
                staged=self._store.stage(self.model, run_id),
                late_tries=late_tries(self._run_log, current.run.model, self._settings, signal),
            )
            current = self._current = replace(current, spec=spec)
            same = None if current.options.get("force") else self._repeats(spec, signal)
            if same is not None:
                reason = (
                    f"Nothing has changed since run {same} (same rows, settings and code): not"
                    " trained. --force trains anyway."
                )
                self._end(now, RunStatus.SKIPPED, reason)
                return
            job = TrainingJob.start(spec, current.work_dir, self._limits, self._wake)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has an end
            self._end(now, RunStatus.FAILED, _sentence(error))
        else:
            self._current = replace(current, job=job)

    def _repeats(self, spec: JobSpec, signal: ReloadSignal | None) -> str | None:
        # What cannot be served needs a new version, also from the same inputs.
        champion = Champion(self.model, VerifiedVersions(self._store, self._key.verify_key))
        if signal is None or not champion.is_there(signal):
            return None
        return repeated_run(spec, signal, self._run_log)

    # -- the end of a run ------------------------------------------------------------------------

    def _stop(self, now: datetime, status: RunStatus, because: str) -> None:
        assert self._current is not None
        job = self._current.job
        if job is not None:
            job.stop(because)
        self._end(now, status, f"{because}.")

    def _conclude(
        self, job: TrainingJob, result: JobResult, read_signal: ReadSignal, now: datetime
    ) -> None:
        if result.outcome == "failed":
            self._end(now, RunStatus.FAILED, result.reason, result=result)
        elif result.manifest is None:
            self._end(now, RunStatus.SUCCEEDED, result.reason, result=result)
        elif (signal := read_signal()) is not None and signal.hold:
            self._hold_back(job, result, signal, now)
        else:
            self._promote(job, result, result.manifest, now)

    def _hold_back(
        self, job: TrainingJob, result: JobResult, signal: ReloadSignal, now: datetime
    ) -> None:
        try:
            if signal.version == job.spec.champion:  # else it was judged against another one
                self._store.commit(self.model, Path(job.spec.staged), job.spec.version)
        except (HotfitError, OSError) as error:
            self._end(now, RunStatus.FAILED, str(error), result=result)
        else:
            self._end(now, RunStatus.SUCCEEDED, reason_held(signal), result=result)

    def _promote(
        self, job: TrainingJob, result: JobResult, manifest: Manifest, now: datetime
    ) -> None:
        spec = job.spec
        generation = spec.base_generation + 1
        state = VersionState.CANDIDATE
        for following in (VersionState.VALIDATED, VersionState.PROMOTED):
            state = transition(state, following, version=spec.version, generation=generation)
        try:
            serving_pointer.promote(
                self._store,
                Path(spec.staged),
                manifest,
                result.manifest_sha256,
                result.reason,
                now,
            )
        except StateConflict as error:
            # Neither a failure nor a verdict on the model: the count stays and a new run follows.
            self._end(now, RunStatus.ABANDONED, str(error), result=result)
        except (HotfitError, OSError) as error:
            self._end(now, RunStatus.FAILED, str(error), result=result)
        else:
            self._end(now, RunStatus.SUCCEEDED, result.reason, result=result, promoted=True)

    def _end(
        self,
        now: datetime,
        status: RunStatus,
        reason: str,
        *,
        result: JobResult | None = None,
        promoted: bool = False,
    ) -> None:
        """The end is known: write it down; where that is refused, each tick tries again."""
        assert self._current is not None
        is_verdict = result is not None and status in FINISHED
        kind = "promote" if promoted else "reject" if is_verdict else status.value
        if promoted and result is not None and result.manifest and result.manifest.is_baseline:
            kind = "baseline"
        details = details_of(self._current, result)
        ending = Ending(now, status, reason, kind, promoted, details)
        current = self._current = replace(self._current, ending=ending)
        with contextlib.suppress(StorageUnavailable):
            self._write_end(current, ending)

    def _write_end_again(self, current: CurrentRun, ending: Ending) -> None:
        try:
            self._write_end(current, ending)
        except StorageUnavailable as error:
            run = current.run
            raise StorageUnavailable(
                f"run {run.run_id} has ended ({run.version}: {ending.reason}) and waits until"
                f" that can be written down: {error}"
            ) from error

    def _write_end(self, current: CurrentRun, ending: Ending) -> None:
        write_end(self._run_log, current, ending)
        self._current = None
        tidy_up(current, self._store, self._retry_snapshot)


def _sentence(error: Exception) -> str:
    if isinstance(error, HotfitError | OSError):
        return str(error)
    log.error("run_step_failed", exc_info=error)
    return f"internal error: {type(error).__name__}: {error}"
