"""Change which version serves: write the reload signal under a new generation.

Only in the process that holds the retrain lock: the daemon, or a command while none runs.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

import msgspec

from retrain_service.publish.stage import discard
from shared.errors import (
    NotFound,
    StateConflict,
    StorageUnavailable,
    VersionUnusable,
)
from shared.exchange.control_request import Request
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import VerifyKey
from shared.versions.manifest import Manifest
from shared.versions.model_store import ModelStore
from shared.versions.verified_versions import VerifiedVersions

HOLD_AFTER = {"rollback": True, "hold": True, "release": False}


def apply_request(
    store: ModelStore, request: Request, key: VerifyKey, now: datetime
) -> tuple[str, str]:
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
            set_hold(store, signal, request.model, hold=hold, reason=reason, now=now)
        else:
            set_serving_version(
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


def promote(
    store: ModelStore,
    staged: Path,
    manifest: Manifest,
    manifest_sha256: str,
    reason: str,
    now: datetime,
) -> ReloadSignal:
    """Make a staged version the wanted one, if the generation it was judged against still stands.

    manifest_sha256 : of what was staged; nothing is read back that others may have changed.

    Raises:
        StateConflict: the generation moved on since; nothing was changed.
        StorageUnavailable: the disk refused; the old signal stands, and no version is left.
    """
    _check_generation(store, manifest)
    try:
        store.commit(manifest.model, staged, manifest.version)
        return _point_at_new(store, manifest, manifest_sha256, reason, now)
    except StorageUnavailable:
        with contextlib.suppress(OSError):
            discard(store.version_dir(manifest.model, manifest.version))
        raise


def _check_generation(store: ModelStore, manifest: Manifest) -> None:
    current = store.signal(manifest.model)
    generation = current.generation if current is not None else 0
    base = manifest.promotion.base_generation
    if generation != base:
        raise StateConflict(
            f"{manifest.version} was judged against generation {base}, now it is {generation}."
        )


def _point_at_new(
    store: ModelStore, manifest: Manifest, manifest_sha256: str, reason: str, now: datetime
) -> ReloadSignal:
    current = store.signal(manifest.model)
    signal = ReloadSignal(
        generation=manifest.promotion.base_generation + 1,
        version=manifest.version,
        manifest_sha256=manifest_sha256,
        previous=current.version if current is not None else None,
        reason=reason,
        promoted_at=now,
    )
    # Signal last: its rename is the commit.
    store.write_signal(manifest.model, signal)
    return signal


def set_serving_version(
    store: ModelStore,
    model: str,
    version: str,
    *,
    key: VerifyKey,
    reason: str,
    hold: bool,
    now: datetime,
) -> ReloadSignal:
    """Name an existing version under a new generation: rollback, reload, hold and release.

    Raises:
        VersionUnusable: the version does not verify; nothing was changed.
        StorageUnavailable: the disk refused; the old signal stands.
    """
    signed = VerifiedVersions(store, key).verify(model, version)
    current = store.signal(model)
    previous = current.version if current is not None else None
    if current is not None and previous == version:
        previous = current.previous
    signal = ReloadSignal(
        generation=(current.generation if current is not None else 0) + 1,
        version=version,
        manifest_sha256=signed.sha256,
        previous=previous,
        reason=reason,
        hold=hold,
        promoted_at=now,
    )
    store.write_signal(model, signal)
    return signal


def set_hold(
    store: ModelStore, signal: ReloadSignal, model: str, *, hold: bool, reason: str, now: datetime
) -> ReloadSignal:
    """Hold or release what is wanted now, under a new generation; the version stays as it is.

    Raises:
        StorageUnavailable: the disk refused; the old signal stands.
    """
    changed = msgspec.structs.replace(
        signal, generation=signal.generation + 1, hold=hold, reason=reason, promoted_at=now
    )
    store.write_signal(model, changed)
    return changed


def finish_interrupted(
    store: ModelStore, model: str, version: str, key: VerifyKey, now: datetime
) -> str | None:
    """Finish or discard what a daemon that died left of one run.

    Returns:
        The promotion's reason when the version is the wanted one afterwards, else None.
    """
    current = store.signal(model)
    directory = store.version_dir(model, version)
    if not directory.exists():
        return None
    if current is not None and current.version == version:
        return current.reason
    try:
        signed = VerifiedVersions(store, key).verify(model, version)
        _check_generation(store, signed.manifest)
    except (VersionUnusable, StateConflict):
        discard(directory)
        return None
    reason = signed.manifest.promotion.reason
    _point_at_new(store, signed.manifest, signed.sha256, reason, now)
    return reason
