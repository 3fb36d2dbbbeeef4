"""rollback, reload, hold and release: all name a version under a new generation.

Only in the process that holds the retrain lock: the daemon, or a command while none runs.
"""

from __future__ import annotations

from datetime import datetime

from retrain_service.publish import stage
from shared.errors import NotFound, StorageUnavailable, VersionUnusable
from shared.exchange.json_files import Request, SignalUnreadable
from shared.keys.signing import VerifyKey
from shared.versions.model_store import ModelStore

HOLD_AFTER = {"rollback": True, "hold": True, "release": False}


def point(store: ModelStore, request: Request, key: VerifyKey, now: datetime) -> tuple[str, str]:
    """Do what was asked.

    Returns:
        The kind of the event to write down and its sentence; "refusal" when nothing was changed.
    """
    reason = request.reason or f"{request.kind} asked for by {request.requested_by}"
    try:
        signal = store.signal(request.model)
        version = request.version or (signal.version if signal is not None else None)
        is_held = signal.hold if signal is not None else False
        if version is None:
            raise NotFound(f"model {request.model} has no version yet.")
        if request.kind in ("hold", "release") and signal is not None and version == signal.version:
            # Also where the version does not verify any more: a hold must never be a trap.
            hold = request.kind == "hold"
            stage.set_hold(store, signal, request.model, hold=hold, reason=reason, now=now)
        else:
            stage.point_back(
                store,
                request.model,
                version,
                key=key,
                reason=reason,
                hold=HOLD_AFTER.get(request.kind, is_held),
                now=now,
            )
    except (NotFound, VersionUnusable, StorageUnavailable, SignalUnreadable) as error:
        return "refusal", f"{request.kind} refused: {error}"
    done = {"hold": "is held", "release": "is released"}.get(request.kind, "is wanted now")
    return request.kind, f"{version} {done}: {reason}."
