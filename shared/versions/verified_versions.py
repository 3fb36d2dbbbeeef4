"""Versions of a store, each opened only after its signature was found to hold under one key."""

from __future__ import annotations

from dataclasses import dataclass

from shared.keys.signing import VerifyKey
from shared.versions.manifest import SignedVersion, read_signed, verify
from shared.versions.model_store import ModelStore


@dataclass(frozen=True, slots=True)
class VerifiedVersions:
    """Any thread may read."""

    store: ModelStore
    key: VerifyKey

    def open(self, model: str, version: str) -> SignedVersion:
        """A version whose manifest is proved now, and each of its files when it is read.

        Raises: as `read_signed`.
        """
        directory = self.store.version_dir(model, version)
        return read_signed(directory, self.key, model=model, version=version)

    def verify(self, model: str, version: str, manifest_sha256: str | None = None) -> SignedVersion:
        """A version that is, at this moment, what the retrain daemon wrote: each file is proved.

        manifest_sha256 : what the reload signal says; None where no signal names this version.

        Raises: as `read_signed`, also for each file.
        """
        directory = self.store.version_dir(model, version)
        return verify(
            directory, self.key, model=model, version=version, manifest_sha256=manifest_sha256
        )
