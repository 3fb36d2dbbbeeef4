"""The process of one run: snapshot → fit → evaluate → decide → stage → trial → result.

It has the run's work directory and the staged directory to itself and writes nowhere else.
It ends at once when the daemon that started it is gone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from retrain_service.buffer.snapshot import read_snapshot
from retrain_service.evaluation.champion_challenger import hold_contest, metrics_of, open_estimator
from retrain_service.evaluation.scores import Evaluation
from retrain_service.promotion.decide import (
    Promote,
    Verdict,
    anchor_after,
    check_data,
    check_trial,
    decide,
    reason,
)
from retrain_service.publish.stage import stage
from retrain_service.publish.trial_load import Trial
from retrain_service.trainer.fit import Candidate, Fitted, fit_candidate, library_versions
from retrain_service.training_job.job import (
    HEARTBEAT_NAME,
    JOB_NAME,
    RESULT_NAME,
    JobResult,
    JobSpec,
)
from retrain_service.training_job.progress import RunProgress
from shared.atomic_file import write_atomic
from shared.daemon.background import run_in_background, run_once_in_background
from shared.errors import HotfitError, VersionUnusable
from shared.keys.signing import SigningKey
from shared.records import Table
from shared.versions.holdout_sample import HoldoutSample, sample_of
from shared.versions.manifest import Holdout, Manifest, Promotion, ServingForm, Watermark
from shared.workloads import open_workload
from shared.workloads.contract import TrainingSet, Workload

GOLDEN_TOLERANCE = 1e-6
PARENT_GONE_EXIT = 75
PARENT_LOOK_S = 0.5
HEARTBEAT_PERIOD_S = 1.0


def main(work_dir: Path) -> int:
    """Run one job and leave its result; 0 when a result was left."""
    run_once_in_background("parent-watch", _end_with_parent)
    run_in_background("heartbeat", partial(_beat, work_dir))
    spec = msgspec.json.decode((work_dir / JOB_NAME).read_bytes(), type=JobSpec)
    if hasattr(os, "nice"):
        os.nice(spec.nice)
    _limit_memory(spec.memory_limit_mb)
    try:
        result = _run(spec, work_dir)
    except HotfitError as error:
        result = JobResult(outcome="failed", reason=str(error))
    except MemoryError:
        limit = (
            f"memory_limit_mb = {spec.memory_limit_mb}" if spec.memory_limit_mb else "the machine"
        )
        result = JobResult(outcome="failed", reason=f"out of memory: more was needed than {limit}.")
    except Exception as error:  # noqa: BLE001 - whatever a fit raises is the run's result
        traceback.print_exc()
        result = JobResult(outcome="failed", reason=f"{type(error).__name__}: {error}")
    write_atomic(work_dir / RESULT_NAME, msgspec.json.encode(result))
    return 0


def _end_with_parent() -> None:
    # The daemon holds the other end of this pipe and never writes: end of file is its death.
    if sys.platform == "win32":
        _wait_for_end_of_pipe()
    else:
        # Not through sys.stdin: whoever reads there holds a lock that the interpreter's end wants.
        os.read(0, 1)
    os._exit(PARENT_GONE_EXIT)


def _wait_for_end_of_pipe() -> None:
    # While a thread reads a pipe on Windows, everyone else who as much as asks what standard input
    # is waits for it: among them the runtimes of numerical libraries that are being loaded.
    if sys.platform == "win32":
        import _winapi
        import msvcrt

        pipe = msvcrt.get_osfhandle(sys.stdin.fileno())
        with contextlib.suppress(OSError):  # the other end is closed
            while True:
                _winapi.PeekNamedPipe(pipe, 0)
                time.sleep(PARENT_LOOK_S)


def _beat(work_dir: Path) -> None:
    """Show that the process lives, whatever the fit is doing."""
    with contextlib.suppress(OSError):  # a disk that is full is no reason to beat less often
        (work_dir / HEARTBEAT_NAME).touch()
    time.sleep(HEARTBEAT_PERIOD_S)


def _limit_memory(limit_mb: int) -> None:
    """Where the system can, make an allocation beyond the limit fail here, with a MemoryError."""
    if limit_mb and importlib.util.find_spec("resource"):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 1_000_000, limit_mb * 1_000_000))


def _run(spec: JobSpec, work_dir: Path) -> JobResult:
    progress = RunProgress(work_dir)
    policy = spec.policy()
    progress("reading")
    workload = open_workload(spec.workload, spec.parameters)
    tables = read_snapshot(Path(spec.snapshot))
    entity_id = _entity_id(workload, tables)
    rows = workload.training_set(tables)
    if spec.days is not None and rows.n_rows:
        rows = rows.where(rows.day > rows.day.max() - np.timedelta64(spec.days, "D"))
    rows, verdict = check_data(
        rows,
        policy,
        features=workload.features_of(rows),
        n_records=spec.n_records,
        now=spec.requested_at,
    )
    if not isinstance(verdict, Promote):
        return _not_promoted(verdict, _row_details(workload, rows, entity_id))
    train, holdout = workload.split(rows)
    progress("fitting")
    candidate = fit_candidate(
        workload,
        train,
        spec.seed,
        lambda share, _stage: progress("fitting", share),
        continue_from=_continuable(spec, workload),
    )
    progress("evaluating")
    contest = hold_contest(spec, workload, candidate.estimator, train, holdout)
    evaluation, holdout = contest.evaluation, contest.holdout
    details = {
        **_row_details(workload, rows, entity_id),
        **_details(train, holdout, candidate, evaluation),
    }
    verdict = decide(evaluation, policy, before=verdict.gates, seed=spec.seed)
    if not isinstance(verdict, Promote):
        return _not_promoted(verdict, {**details, "stage_s": progress.stage_s})
    progress("staging")
    promotion = Promotion(
        spec.base_generation, reason(verdict), anchor_after(evaluation, policy, spec.seed)
    )
    manifest = _manifest(spec, workload, train, holdout, candidate, evaluation, promotion)
    key = SigningKey.read(Path(spec.keys_dir))
    staged, public_key = Path(spec.staged), Path(spec.public_key)
    sample = _sample(workload, evaluation, holdout)
    with Trial() as trial:
        digest = stage(staged, workload, candidate.estimator, rows, manifest, key, sample)
        progress("trial")
        tried = trial.open(staged, public_key, spec.model, spec.version, policy.max_load_s)
    verdict = check_trial(tried, policy, before=verdict.gates)
    details["stage_s"] = progress.stage_s
    if not isinstance(verdict, Promote):
        return _not_promoted(verdict, details)
    return JobResult(
        outcome="promote",
        reason=reason(verdict),
        gates=list(verdict.gates),
        details={**details, "trial_ms": tried.timings_ms},
        manifest=manifest,
        manifest_sha256=digest,
    )


def _continuable(spec: JobSpec, workload: Workload) -> Fitted | None:
    """The champion, where it may be continued instead of trained from scratch."""
    if spec.full_every is None or spec.champion is None:
        return None
    try:
        champion, manifest = open_estimator(spec, workload, spec.champion)
    except VersionUnusable:
        return None
    if manifest.parameters != spec.parameters or manifest.runs_since_full + 1 >= spec.full_every:
        return None
    return Fitted(
        champion, np.datetime64(manifest.watermark.trained_until), manifest.runs_since_full
    )


def _not_promoted(verdict: Verdict, details: dict[str, Any]) -> JobResult:
    outcome = {"Reject": "reject", "InsufficientData": "insufficient_data"}
    return JobResult(
        outcome=outcome.get(type(verdict).__name__, "reject"),
        reason=reason(verdict),
        gates=list(verdict.gates),
        details=details,
    )


def _entity_id(workload: Workload, tables: Mapping[str, Table]) -> str | None:
    """The entity as the application names it, which the model's name may not be able to."""
    if not workload.per_entity:
        return None
    names = (
        workload.entity_of(name, each.fields) for name, table in tables.items() for each in table
    )
    return next((found for found in names if found is not None), None)


def _row_details(workload: Workload, rows: TrainingSet, entity_id: str | None) -> dict[str, Any]:
    return {
        "entity_id": entity_id,
        "rows": rows.n_rows,
        "days": rows.n_days,
        "rejected_records": dict(rows.rejected),
        "libraries": library_versions(workload),
    }


def _details(
    train: TrainingSet,
    holdout: TrainingSet,
    candidate: Candidate,
    evaluation: Evaluation,
) -> dict[str, Any]:
    return {
        "train_rows": train.n_rows,
        "test_rows": holdout.n_rows,
        "fit_s": round(candidate.fit_s, 3),
        "incremental": candidate.runs_since_full > 0,
        "metrics": metrics_of(evaluation),
        "metric_unit": evaluation.candidate.unit,
    }


def _sample(
    workload: Workload, evaluation: Evaluation, holdout: TrainingSet
) -> HoldoutSample | None:
    champion = evaluation.champion
    name, score = (champion.version, champion.score) if champion is not None else (None, None)
    vocabulary = workload.vocabulary_of(holdout)
    return sample_of(holdout, evaluation.candidate, name, score, vocabulary)


def _manifest(
    spec: JobSpec,
    workload: Workload,
    train: TrainingSet,
    holdout: TrainingSet,
    candidate: Candidate,
    evaluation: Evaluation,
    promotion: Promotion,
) -> Manifest:
    return Manifest(
        model=spec.model,
        version=spec.version,
        run_id=spec.run_id,
        workload=spec.workload,
        parameters=spec.parameters,
        features=list(workload.features_of(train)),
        metrics=metrics_of(evaluation),
        metric_unit=evaluation.candidate.unit,
        holdout=Holdout(
            first_day=str(holdout.day.min()),
            last_day=str(holdout.day.max()),
            n_rows=holdout.n_rows,
            n_days=holdout.n_days,
        ),
        watermark=Watermark(
            newest_record_at=spec.newest_record_at,
            trained_until=str(train.day.max()),
            n_records=spec.n_records,
            high_seq=spec.high_seq,
            snapshot_digest=spec.snapshot_digest,
        ),
        libraries=library_versions(workload),
        serving_form=ServingForm("scikit-learn"),
        golden_tolerance=GOLDEN_TOLERANCE,
        promotion=promotion,
        trained_at=datetime.now(UTC),
        runs_since_full=candidate.runs_since_full,
        files={},
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
