"""Keep a version that passed its gates while its model was held; promote it on release.

Such a version lies among the others under its name, and no signal names it. It is published when
the hold is released, as long as the version that it was judged against is still the one served.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from retrain_service.publish import serving_pointer, stage
from shared.errors import VersionUnusable
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import VerifyKey
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.versions.manifest import MANIFEST_NAME
from shared.versions.model_store import ModelStore

log = structlog.get_logger()


def reason_held(signal: ReloadSignal) -> str:
    """The verdict on a candidate that passed."""
    return f"held at {signal.version} ({signal.reason}); release it to promote again."


def is_held_back(store: ModelStore, run: Run) -> bool:
    """Whether the version of a run lies there complete and was never promoted by it."""
    is_judged = run.status is RunStatus.SUCCEEDED and not run.promoted
    directory = store.version_dir(run.model, run.version)
    return is_judged and (directory / MANIFEST_NAME).is_file()


def publish_held_back(
    store: ModelStore, run_log: RunLog, key: VerifyKey, signal: ReloadSignal, run: Run, at: datetime
) -> bool:
    """Publish the version of the newest judged run, if it was held back and may go now.

    To be called at each tick: what a crash cut off is done by the next call.

    Returns:
        True when the signal names it from now on.

    Raises:
        StorageUnavailable: it cannot be done now.
    """
    if not is_held_back(store, run):
        return False
    if signal.version != run.version:
        if signal.hold or signal.version != run.details.get("champion"):
            return False
        try:
            serving_pointer.set_serving_version(
                store,
                run.model,
                run.version,
                key=key,
                reason=f"it passed while {signal.version} was held, which is released",
                hold=False,
                now=at,
            )
        except VersionUnusable as error:
            log.warning("held_back_unusable", model=run.model, sentence=str(error))
            stage.discard(store.version_dir(run.model, run.version))
            return False
    sentence = f"{run.version}: passed while the model was held; published on its release."
    run_log.mark_promoted(run.run_id, at, run.model, sentence)
    log.info("promote", model=run.model, run_id=run.run_id, sentence=sentence)
    return True
