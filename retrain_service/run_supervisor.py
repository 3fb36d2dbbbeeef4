"""The current run of one model, from the decision that is written down to the verdict.

Only the loop's thread calls it. It decides nothing about when to train; `promotion` decides
what may be promoted, and this carries it out.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from retrain_service import publish
from retrain_service.buffer import SnapshotInfo
from retrain_service.training_job import (
    SNAPSHOT_NAME,
    JobProgress,
    JobResult,
    JobSpec,
    TrainingJob,
)
from retrain_service.triggers import Train
from shared.errors import HotfitError, StateConflict, StorageUnavailable
from shared.keys import SigningKey
from shared.model_store import ModelStore
from shared.model_version import ModelVersion, VersionState, transition
from shared.run_log import History, Run, RunLog, RunStatus
from shared.settings import Settings
from shared.signals import Request

log = structlog.get_logger()

FreezeSnapshot = Callable[[Path, datetime], Future[SnapshotInfo]]


@dataclass(frozen=True, slots=True)
class Preparation:
    """A run that is written down and waits for its snapshot."""

    run: Run
    work_dir: Path
    snapshot: Future[SnapshotInfo]


class RunSupervisor:
    """At most one run at a time; every run that was written down gets an end written down."""

    def __init__(
        self,
        model: str,
        settings: Settings,
        store: ModelStore,
        run_log: RunLog,
        key: SigningKey,
    ) -> None:
        self.model = model
        self._settings = settings
        self._model_settings = settings.models[model]
        self._store = store
        self._run_log = run_log
        self._key = key
        self._preparation: Preparation | None = None
        self._job: TrainingJob | None = None
        self.history: History = run_log.history(model)

    @property
    def running_run_id(self) -> str | None:
        if self._job is not None:
            return self._job.spec.run_id
        return self._preparation.run.run_id if self._preparation is not None else None

    @property
    def progress(self) -> JobProgress | None:
        if self._job is not None:
            return self._job.progress()
        return JobProgress("queued", 0.0) if self._preparation is not None else None

    def say(self, now: datetime, kind: str, sentence: str, run_id: str | None = None) -> None:
        """Write an event down and log it, once."""
        self._run_log.add_event(now, self.model, kind, sentence, run_id=run_id)
        log.info(kind, model=self.model, run_id=run_id, sentence=sentence)

    # -- life ------------------------------------------------------------------------------------

    def recover(self, now: datetime) -> None:
        """Finish or discard what a daemon that died left of this model's runs."""
        for run in self._run_log.unfinished():
            if run.model == self.model:
                self._recover_run(run, now)
        for left_over in self._store.left_over(self.model):
            publish.discard(left_over)
        self.history = self._run_log.history(self.model)

    def _recover_run(self, run: Run, now: datetime) -> None:
        shutil.rmtree(self._settings.work_dir / run.run_id, ignore_errors=True)
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
        because = "the daemon was stopped."
        if self._job is not None:
            self._end(now, RunStatus.ABANDONED, because, stop=True)
        elif self._preparation is not None:
            self._give_up(now, RunStatus.ABANDONED, because)

    # -- a run's steps ---------------------------------------------------------------------------

    def begin(
        self, decision: Train, request: Request | None, freeze: FreezeSnapshot, now: datetime
    ) -> None:
        """Write the run down first; only then does anything happen.

        A decision that was carried out before (same key) is not carried out again.
        """
        number = self._next_number()
        run = Run(
            run_id=request.id if request is not None else uuid.uuid4().hex[:12],
            idempotency_key=f"{self.model}:{decision.key}",
            model=self.model,
            trigger=decision.trigger,
            trigger_reason=decision.reason,
            version=str(ModelVersion(number, now)),
            version_number=number,
            status=RunStatus.QUEUED,
            requested_at=request.requested_at if request is not None else now,
            started_at=None,
            finished_at=None,
            high_seq=None,
            promoted=False,
            verdict=None,
            error=None,
            details={},
        )
        if not self._run_log.add_run(run):
            return
        self.say(now, "decision", f"training {run.version}: {decision.reason}.", run.run_id)
        work_dir = self._settings.work_dir / run.run_id
        work_dir.mkdir(parents=True, exist_ok=True)
        self._preparation = Preparation(run, work_dir, freeze(work_dir / SNAPSHOT_NAME, now))

    def tick(self, now: datetime) -> bool:
        """Take the run one step further; True when a run ended in this call."""
        if self._preparation is not None and self._preparation.snapshot.done():
            return self._start_job(now)
        if self._job is not None and (result := self._job.poll()) is not None:
            self._conclude(result, now)
            return True
        return False

    def cancel(self, now: datetime, run_id: str | None, by: str) -> bool:
        """Stop the run under way, if it is that one; False when there was none to stop."""
        if self.running_run_id is None or run_id not in (None, self.running_run_id):
            return False
        if self._job is not None:
            self._end(now, RunStatus.CANCELLED, f"cancelled by {by}.", stop=True)
        else:
            self._give_up(now, RunStatus.CANCELLED, f"cancelled by {by}.")
        return True

    def _next_number(self) -> int:
        published = [ModelVersion.parse(name).number for name in self._store.versions(self.model)]
        return 1 + max(self._run_log.last_version_number(self.model), *published, 0)

    def _start_job(self, now: datetime) -> bool:
        assert self._preparation is not None
        preparation = self._preparation
        try:
            snapshot = preparation.snapshot.result()
            self._job = TrainingJob.start(
                self._spec(preparation, snapshot),
                preparation.work_dir,
                self._model_settings.training.max_run_time_s,
            )
        except (HotfitError, OSError) as error:
            self._give_up(now, RunStatus.FAILED, str(error))
            return True
        self._preparation = None
        self._run_log.start_run(preparation.run.run_id, now, snapshot.high_seq)
        return False

    def _give_up(self, now: datetime, status: RunStatus, error: str) -> None:
        assert self._preparation is not None
        run, work_dir = self._preparation.run, self._preparation.work_dir
        self._preparation = None
        self._run_log.finish_run(run.run_id, now, status, error=error)
        self.history = self._run_log.history(self.model)
        self.say(now, status.value, f"{run.version} was not trained: {error}", run.run_id)
        shutil.rmtree(work_dir, ignore_errors=True)

    def _spec(self, preparation: Preparation, snapshot: SnapshotInfo) -> JobSpec:
        run = preparation.run
        signal = self._store.signal(self.model)
        return JobSpec(
            run_id=run.run_id,
            model=self.model,
            version=run.version,
            requested_at=run.requested_at,
            workload=self._model_settings.workload,
            parameters=self._model_settings.parameters,
            gate=self._model_settings.gate.model_dump(),
            seed=self._model_settings.training.seed,
            nice=self._settings.retrain.nice,
            base_generation=signal.generation if signal is not None else 0,
            champion=signal.version if signal is not None else None,
            models_dir=str(self._store.models_dir),
            keys_dir=str(self._settings.keys_dir),
            public_key=str(self._settings.keys_dir / "signing.pub"),
            staged=str(self._store.stage(self.model, run.run_id)),
            snapshot=str(preparation.work_dir / SNAPSHOT_NAME),
            snapshot_digest=snapshot.digest,
            newest_record_at=snapshot.newest,
            n_records=snapshot.n_total,
            high_seq=snapshot.high_seq,
        )

    # -- the end of a run --------------------------------------------------------------------------

    def _conclude(self, result: JobResult, now: datetime) -> None:
        if result.outcome == "failed":
            self._end(now, RunStatus.FAILED, result.reason, result=result)
        elif result.manifest is None:
            self._end(now, RunStatus.SUCCEEDED, result.reason, result=result)
        else:
            self._promote(result, now)

    def _promote(self, result: JobResult, now: datetime) -> None:
        assert self._job is not None
        assert result.manifest is not None
        spec = self._job.spec
        current = self._store.signal(self.model)
        if current is not None and current.hold:
            reason = f"held at {current.version} ({current.reason}); release it to promote again."
            self._end(now, RunStatus.SUCCEEDED, reason, result=result)
            return
        generation = spec.base_generation + 1
        state = transition(
            VersionState.CANDIDATE,
            VersionState.VALIDATED,
            version=spec.version,
            generation=generation,
        )
        transition(state, VersionState.PROMOTED, version=spec.version, generation=generation)
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
        stop: bool = False,
    ) -> None:
        assert self._job is not None
        job, self._job = self._job, None
        if stop:
            job.stop(reason)
        spec = job.spec
        succeeded = status is RunStatus.SUCCEEDED
        self._run_log.finish_run(
            spec.run_id,
            now,
            status,
            promoted=promoted,
            verdict=reason if succeeded else None,
            error=None if succeeded else reason,
            details={
                **(result.details if result is not None else {}),
                "gates": result.gates if result is not None else [],
                "parameters": spec.parameters,
                "snapshot_digest": spec.snapshot_digest,
            },
        )
        self.history = self._run_log.history(self.model)
        kind = "promote" if promoted else "reject" if succeeded else status.value
        self.say(now, kind, f"{spec.version}: {reason}", spec.run_id)
        publish.discard(Path(spec.staged))
        job.clear()
