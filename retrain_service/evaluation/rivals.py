"""The versions that a candidate is compared with: the champion and its anchor, verified.

Runs in the training process. Opens no estimator and scores nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.errors import ContractMismatch, FixConfiguration, VersionUnusable
from shared.forms.data_tree import TREE_NAME
from shared.versions.manifest import (
    COMPILED_NAME,
    MODEL_NAME,
    TWIN_NAME,
    Manifest,
    SignedVersion,
)
from shared.versions.verified_versions import VerifiedVersions
from shared.workloads import open_workload
from shared.workloads.contract import Workload


@dataclass(frozen=True, slots=True)
class Rival:
    """A published version. signed : None when it does not verify.

    missing : why it cannot be compared. instead_of : the champion in whose place it stands, and
        why, as a clause.
    """

    version: str
    signed: SignedVersion | None = None
    missing: str | None = None
    instead_of: str | None = None

    @property
    def comparable(self) -> SignedVersion | None:
        """The version, where a candidate can be compared with it."""
        return self.signed if self.missing is None else None


@dataclass(frozen=True, slots=True)
class Rivals:
    """champion : what serves, or stands for it; None when nothing is served. anchor : the best
    version so far; it may be the champion."""

    champion: Rival | None = None
    anchor: Rival | None = None


def find_rivals(
    versions: VerifiedVersions, model: str, champion: str | None, workload: Workload
) -> Rivals:
    """Verify what serves and its anchor.

    Raises:
        StorageUnavailable: a version is there but cannot be read now; nothing can be decided.
    """
    if champion is None:
        return Rivals()
    found = _find_champion(versions, model, champion, workload)
    if found.signed is None:
        return Rivals(found)
    anchor = found.signed.manifest.promotion.anchor or found.version
    if anchor == found.version:
        return Rivals(found, found)
    return Rivals(found, _verify(versions, model, anchor, workload))


def own_workload(manifest: Manifest) -> Workload | None:
    """As it was told when the version was trained; None where this code no longer takes that."""
    try:
        return open_workload(manifest.workload, manifest.parameters)
    except FixConfiguration:
        return None


def is_compiled(signed: SignedVersion) -> bool:
    """Whether it can be asked without its estimator."""
    return f"{COMPILED_NAME}/{TREE_NAME}" in signed.manifest.files


def _find_champion(
    versions: VerifiedVersions, model: str, wanted: str, workload: Workload
) -> Rival:
    """What serves; where its files do not verify, the newest version that does: the API falls
    back to it, and nothing better is known of what clients had."""
    champion = _verify(versions, model, wanted, workload)
    if champion.signed is not None:
        return champion
    for version in reversed(versions.store.versions(model)):
        other = _verify(versions, model, version, workload)
        if other.signed is not None:
            return replace(other, instead_of=f"{wanted}: {champion.missing}")
    return champion


def _verify(versions: VerifiedVersions, model: str, version: str, workload: Workload) -> Rival:
    signed = None
    try:
        found = versions.open(model, version)
        # An estimator's bytes are proved when it is opened, where it can be done without.
        found.files.check(but={MODEL_NAME, TWIN_NAME} if is_compiled(found) else ())
        signed = found
        workload.check_contract(signed.manifest.features)
        _check_purpose(workload, signed.manifest)
        return Rival(version, signed)
    except VersionUnusable as error:
        return Rival(version, signed, str(error))


def _check_purpose(workload: Workload, manifest: Manifest) -> None:
    """Errors in the prediction of different things cannot be compared.

    Raises:
        ContractMismatch: the version predicts something else.
    """
    own = own_workload(manifest)
    if own is not None and own.predicts != workload.predicts:
        raise ContractMismatch(f"it predicts {own.predicts}, the candidate {workload.predicts}")
