"""Check that the champion can still be served: its files, its signature, its key.

Looked up once a generation, for it reads every byte of the version; `recheck` reads anew.
Only the loop's thread calls it.
"""

from __future__ import annotations

from shared.errors import StorageUnavailable, VersionUnusable
from shared.exchange.reload_signal import ReloadSignal
from shared.versions.verified_versions import VerifiedVersions


class Champion:
    """Of one model."""

    def __init__(self, model: str, versions: VerifiedVersions) -> None:
        self._model = model
        self._versions = versions
        self._looked_at: int | None = None
        self.fault: str | None = None
        """Why it cannot be served, as of the last look; None when it can or there is none."""

    def is_there(self, signal: ReloadSignal | None) -> bool:
        """Whether there is a wanted version that can be served."""
        if signal is None:
            return False
        if signal.generation != self._looked_at:
            self.recheck(signal)
        return self.fault is None

    def recheck(self, signal: ReloadSignal) -> None:
        """Read the version anew."""
        self._looked_at = signal.generation
        try:
            self._versions.verify(self._model, signal.version, signal.manifest_sha256)
        except VersionUnusable as error:
            self.fault = str(error)
        except StorageUnavailable:
            self._looked_at = None  # a disk that may come back: no verdict on the version
        else:
            self.fault = None
