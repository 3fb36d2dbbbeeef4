"""The current run of one model, from the decision that is written down to the verdict.

Only the loop's thread calls it. It decides nothing about when to train; `promotion` decides
what may be promoted, and this carries it out.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from retrain_service import publish
from retrain_service.champion import Champion
from retrain_service.current_run import CurrentRun, details_of
from retrain_service.job_spec import build_spec
from retrain_service.pinned_snapshot import FOLDER, PinnedSnapshot
from retrain_service.snapshot import SnapshotInfo
from retrain_service.training_job import SNAPSHOT_NAME, JobProgress, JobResult, TrainingJob
from retrain_service.triggers import Train
from shared.errors import HotfitError, StateConflict, StorageUnavailable
from shared.keys import SigningKey
from shared.model_store import ModelStore
from shared.model_version import ModelVersion, VersionState, transition
from shared.run_history import History
from shared.run_log import RunLog
from shared.runs import FINISHED, Run, RunStatus
from shared.settings import Settings
from shared.signals import Request

log = structlog.get_logger()

FreezeSnapshot = Callable[[Path, datetime], Future[SnapshotInfo]]


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
        self._pinned = PinnedSnapshot(settings.work_dir / FOLDER / model.replace("/", "__"))
        self._current: CurrentRun | None = None

    @property
    def history(self) -> History:
        return self._run_log.history(self.model)

    @property
    def running_run_id(self) -> str | None:
        return self._current.run.run_id if self._current is not None else None

    @property
    def progress(self) -> JobProgress | None:
        if self._current is None:
            return None
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
        """Finish or discard what a daemon that died left of this model's runs."""
        for run in self._run_log.unfinished():
            if run.model == self.model:
                self._recover_run(run, now)
        for left_over in self._store.left_over(self.model):
            publish.discard(left_over)

    def _recover_run(self, run: Run, now: datetime) -> None:
        verdict = publish.finish_interrupted(
            self._store, self.model, run.version, self._key.verify_key, now
        )
        if verdict is not None:
            self._run_log.finish_run(
                run.run_id, now, RunStatus.SUCCEEDED, promoted=True, verdict=verdict
            )
            sentence = f"{run.version}: finished after a restart: {verdict}"
            self.say(now, "promote", sentence, run.run_id)
        else:
            sentence = f"{run.version}: abandoned, the daemon that trained it is gone."
            self._run_log.finish_run(run.run_id, now, RunStatus.ABANDONED, error=sentence)
            self.say(now, "abandon", sentence, run.run_id)

    def close(self, now: datetime) -> None:
        """Stop a run that is under way; nothing of it is left but its line in the log."""
        if self._current is not None:
            self._stop(now, RunStatus.ABANDONED, "the daemon was stopped")

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
        work_dir.mkdir(parents=True, exist_ok=True)
        path = work_dir / SNAPSHOT_NAME
        pinned = self._pinned.take(path) if request is None else None
        self._current = CurrentRun(
            run,
            work_dir,
            options=request.options if request is not None else {},
            is_retry=pinned is not None,
            freezing=freeze(path, now) if pinned is None else None,
            snapshot=pinned,
        )
        if pinned is not None:
            self._wake()

    def tick(self, now: datetime) -> bool:
        """Take the run one step further; True when a run ended in this call."""
        current = self._current
        if current is None:
            return False
        if current.job is not None:
            result = current.job.poll()
            if result is not None:
                self._conclude(current.job, result, now)
            return self._current is None
        if current.freezing is not None and current.freezing.done():
            try:
                current = self._current = replace(current, snapshot=current.freezing.result())
            except (HotfitError, OSError) as error:
                self._end(now, RunStatus.FAILED, str(error))
                return True
        if current.snapshot is not None:
            self._start_job(current, current.snapshot, now)
        return self._current is None

    def cancel(self, now: datetime, run_id: str | None, by: str) -> bool:
        """Stop the run under way, if it is that one; False when there was none to stop."""
        if self._current is None or run_id not in (None, self._current.run.run_id):
            return False
        self._stop(now, RunStatus.CANCELLED, f"cancelled by {by}")
        return True

    def _next_number(self) -> int:
        published = [ModelVersion.parse(name).number for name in self._store.versions(self.model)]
        return 1 + max(self._run_log.last_version_number(self.model), *published, 0)

    def _start_job(self, current: CurrentRun, snapshot: SnapshotInfo, now: datetime) -> None:
        run_id = current.run.run_id
        self._run_log.start_run(run_id, now, snapshot.high_seq, details_of(current, None, None))
        try:
            spec = build_spec(
                current.run,
                snapshot,
                settings=self._settings,
                options=current.options,
                champion=self._store.signal(self.model),
                work_dir=current.work_dir,
                staged=self._store.stage(self.model, run_id),
            )
            last = self.history.last_finished
            is_same = last is not None and last.details.get("inputs_digest") == spec.inputs_digest
            if is_same and last is not None and self._may_skip(current):
                reason = f"skipped: identical inputs as run {last.run_id}."
                self._end(now, RunStatus.SKIPPED, reason, inputs_digest=spec.inputs_digest)
                return
            job = TrainingJob.start(spec, current.work_dir, self._limits, self._wake)
        except (HotfitError, OSError) as error:
            self._end(now, RunStatus.FAILED, str(error))
        else:
            self._current = replace(current, job=job)

    def _may_skip(self, current: CurrentRun) -> bool:
        """Not when a person insists, nor while what came of the same inputs cannot be served."""
        signal = self._store.signal(self.model)
        champion = Champion(self.model, self._store, self._key.verify_key)
        return not current.options.get("force") and champion.is_there(signal)

    # -- the end of a run ------------------------------------------------------------------------

    def _stop(self, now: datetime, status: RunStatus, because: str) -> None:
        assert self._current is not None
        job = self._current.job
        if job is not None:
            job.stop(because)
        self._end(now, status, f"{because}.")

    def _conclude(self, job: TrainingJob, result: JobResult, now: datetime) -> None:
        if result.outcome == "failed":
            self._end(now, RunStatus.FAILED, result.reason, result=result)
        elif result.manifest is None:
            self._end(now, RunStatus.SUCCEEDED, result.reason, result=result)
        else:
            self._promote(job, result, now)

    def _promote(self, job: TrainingJob, result: JobResult, now: datetime) -> None:
        assert result.manifest is not None
        spec = job.spec
        wanted = self._store.signal(self.model)
        if wanted is not None and wanted.hold:
            reason = f"held at {wanted.version} ({wanted.reason}); release it to promote again."
            self._end(now, RunStatus.SUCCEEDED, reason, result=result)
            return
        generation = spec.base_generation + 1
        state = VersionState.CANDIDATE
        for following in (VersionState.VALIDATED, VersionState.PROMOTED):
            state = transition(state, following, version=spec.version, generation=generation)
        try:
            publish.promote(self._store, Path(spec.staged), result.manifest, result.reason, now)
        except StateConflict as error:
            # Neither a failure nor a verdict on the model: the count stays and a new run follows.
            self._end(now, RunStatus.ABANDONED, str(error), result=result)
        except StorageUnavailable as error:
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
        inputs_digest: str | None = None,
    ) -> None:
        """Write the end down first, then tidy up: a crash in between is tidied up at the start."""
        assert self._current is not None
        current, self._current = self._current, None
        run = current.run
        is_finished = status in FINISHED
        self._run_log.finish_run(
            run.run_id,
            now,
            status,
            promoted=promoted,
            verdict=reason if is_finished else None,
            error=None if is_finished else reason,
            details=details_of(current, result, inputs_digest),
        )
        kind = "promote" if promoted else "reject" if result and is_finished else status.value
        self.say(now, kind, f"{run.version}: {reason}", run.run_id)
        self._keep_or_let_go(current, status)
        publish.discard(self._store.staged_dir(self.model, run.run_id))
        if current.job is not None:
            current.job.close()
        _remove(current)

    def _keep_or_let_go(self, current: CurrentRun, status: RunStatus) -> None:
        """The retry of a run that failed trains on the same rows."""
        try:
            if status is RunStatus.FAILED and current.snapshot is not None:
                path = current.work_dir / SNAPSHOT_NAME
                self._pinned.keep(path, current.snapshot, was_retry=current.is_retry)
            elif status in FINISHED:
                self._pinned.let_go()
        except StorageUnavailable as error:
            log.warning("snapshot_not_kept", model=self.model, sentence=str(error))


def _remove(current: CurrentRun) -> None:
    """The run's work directory, also where its snapshot is still being written by the reader."""

    def remove(_: object = None) -> None:
        shutil.rmtree(current.work_dir, ignore_errors=True)

    if current.freezing is not None and not current.freezing.cancel():
        current.freezing.add_done_callback(remove)
    remove()
