"""Rebuilds a model's reload signal that is damaged or gone, from the copy in the run log.

The copy is made whenever the signal is seen to have changed. It is used only while the manifest
of the version that it names holds: its signature, and the digest by which the signal knew it.
"""

from __future__ import annotations

from shared.errors import VersionUnusable
from shared.keys import VerifyKey
from shared.manifest import read_signed
from shared.model_store import ModelStore
from shared.run_log import RunLog
from shared.signals import ReloadSignal


def rebuild_signal(
    model: str, store: ModelStore, run_log: RunLog, key: VerifyKey
) -> ReloadSignal | None:
    """Write the signal as it was, under its own generation: for who serves nothing changes.

    Returns:
        The signal; None when there is no copy, or when its manifest does not hold.

    Raises:
        StorageUnavailable: it cannot be written or read now; to be called again.
    """
    copy = run_log.recorded_signal(model)
    if copy is None:
        return None
    try:
        read_signed(
            store.version_dir(model, copy.version),
            key,
            model=model,
            version=copy.version,
            manifest_sha256=copy.manifest_sha256,
        )
    except VersionUnusable:
        return None
    store.write_signal(model, copy)
    return copy
