"""End a run: write its end into the run log, then remove what it used, in this order.

A crash in between is tidied up by the next start.
"""

from __future__ import annotations

import shutil

import structlog

from retrain_service.publish import stage
from retrain_service.training_job.current_run import CurrentRun, Ending
from retrain_service.training_job.job import SNAPSHOT_NAME
from retrain_service.training_job.retry_snapshot import RetrySnapshot
from shared.errors import HotfitError
from shared.run_log.run import FINISHED, RunStatus
from shared.run_log.writer import RunLog
from shared.versions.model_store import ModelStore

log = structlog.get_logger()


def write_end(run_log: RunLog, current: CurrentRun, ending: Ending) -> None:
    """Close the run in the log.

    Raises:
        StorageUnavailable: it could not be written; to be called again.
    """
    run, is_finished = current.run, ending.status in FINISHED
    sentence = f"{run.version}: {ending.reason}"
    for _ in range(2):
        is_written = run_log.finish_run(
            run.run_id,
            ending.at,
            ending.status,
            promoted=ending.promoted,
            verdict=ending.reason if is_finished else None,
            error=None if is_finished else ending.reason,
            details=ending.details,
            event=(ending.kind, sentence),
        )
        if is_written or run_log.has_run(run.run_id):
            break
        run_log.add_run(run)  # the log was removed meanwhile, and made anew
    if is_written:
        log.info(ending.kind, model=run.model, run_id=run.run_id, sentence=sentence)
    else:
        unexpected = f"{sentence} But the run log has an end of this run already, and keeps it."
        log.error("run_ended_before", model=run.model, run_id=run.run_id, sentence=unexpected)


def tidy_up(current: CurrentRun, store: ModelStore, retry_snapshot: RetrySnapshot) -> None:
    """Keep the rows of a run that failed for its retry, and remove everything else.

    What refuses to go is removed by the next start.
    """
    run = current.run
    try:
        if current.ending is not None:
            _save_or_delete_rows(current, current.ending.status, retry_snapshot)
        stage.discard(store.staged_dir(run.model, run.run_id))
        if current.job is not None:
            current.job.close()
    except (HotfitError, OSError) as error:
        log.warning("run_not_tidied_up", model=run.model, run_id=run.run_id, sentence=str(error))
    _remove_work_dir(current)


def _save_or_delete_rows(
    current: CurrentRun, status: RunStatus, retry_snapshot: RetrySnapshot
) -> None:
    if status is RunStatus.FAILED and current.snapshot is not None:
        path = current.work_dir / SNAPSHOT_NAME
        retry_snapshot.save(path, current.snapshot, was_retry=current.is_retry)
    elif status in FINISHED:
        retry_snapshot.delete()


def _remove_work_dir(current: CurrentRun) -> None:
    """Also where the snapshot is still being written by the reader."""

    def remove(_: object = None) -> None:
        shutil.rmtree(current.work_dir, ignore_errors=True)

    if current.freezing is not None and not current.freezing.cancel():
        current.freezing.add_done_callback(remove)
    remove()
