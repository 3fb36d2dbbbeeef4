"""Finish or discard a run that is open in the log although its daemon died.

Called at each tick, so that what could not be done at the start is done as soon as it can.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from retrain_service.publish import serving_pointer, stage
from shared.keys.signing import VerifyKey
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.versions.model_store import ModelStore

log = structlog.get_logger()


def recover(run: Run, store: ModelStore, run_log: RunLog, key: VerifyKey, now: datetime) -> None:
    """Publish it to the end where its version lies in its place, else write it off; a model that is
    held gets no new version by that.

    Raises:
        StorageUnavailable, SignalUnreadable: that cannot be told or written now.
    """
    signal = store.signal(run.model)
    if signal is not None and signal.hold and signal.version != run.version:
        stage.discard(store.version_dir(run.model, run.version))
    verdict = serving_pointer.finish_interrupted(store, run.model, run.version, key, now)
    if verdict is not None:
        kind, sentence = "promote", f"{run.version}: finished after a restart: {verdict}"
        status = RunStatus.SUCCEEDED
    else:
        kind, sentence = "abandon", f"{run.version}: abandoned, the daemon that trained it is gone."
        status = RunStatus.ABANDONED
    run_log.finish_run(
        run.run_id,
        now,
        status,
        promoted=verdict is not None,
        verdict=verdict,
        error=None if verdict is not None else sentence,
        event=(kind, sentence),
    )
    log.info(kind, model=run.model, run_id=run.run_id, sentence=sentence)


def clear_left_over(store: ModelStore, model: str) -> None:
    """Remove the directories of versions that never came to be; while no run is under way."""
    for directory in store.left_over(model):
        try:
            stage.discard(directory)
        except OSError as error:
            log.warning("left_over_not_removed", model=model, sentence=str(error))
