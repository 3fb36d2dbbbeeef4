"""Candidate against champion and anchor: open them and score all on the same new rows.

Runs in the training process. Opens versions only after their signature held; gives no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrain_service.evaluation import (
    Contract,
    Evaluation,
    Rival,
    metrics_of,
    score_baseline_on,
    score_on,
    unseen,
    varies,
)
from retrain_service.trainer import library_versions
from retrain_service.training_job import JobSpec
from shared.errors import (
    ContractMismatch,
    FixConfiguration,
    LoadFailed,
    StorageUnavailable,
    VersionUnusable,
)
from shared.keys import VerifyKey
from shared.manifest import MODEL_NAME, Manifest, SignedVersion, read_signed
from shared.model_loader import load_estimator
from shared.model_store import ModelStore
from shared.workloads import open_workload
from shared.workloads.base import TrainingSet, Workload

__all__ = ["Contest", "hold_contest", "metrics_of", "open_estimator"]


@dataclass(frozen=True, slots=True)
class Contest:
    """The scores, and the holdout rows they were made on."""

    evaluation: Evaluation
    holdout: TrainingSet


@dataclass(frozen=True, slots=True)
class _Opened:
    """A version that may be a rival. manifest : None when it does not verify."""

    version: str
    estimator: Any = None
    manifest: Manifest | None = None
    missing: str | None = None


def hold_contest(
    spec: JobSpec,
    workload: Workload,
    candidate: Any,
    train: TrainingSet,
    holdout: TrainingSet,
) -> Contest:
    """Score everybody on the holdout rows that none of them was fitted on.

    Raises:
        StorageUnavailable: a version is there but cannot be read now; nothing can be decided.
    """
    history_days = train.n_days + holdout.n_days
    champion = _open(spec, workload, spec.champion) if spec.champion is not None else None
    anchor = _open_anchor(spec, workload, champion)
    trained_until = train.day.max()
    for opened in (champion, anchor):
        if opened is not None and opened.manifest is not None and opened.missing is None:
            until = np.datetime64(opened.manifest.watermark.trained_until)
            trained_until = max(trained_until, until)
    holdout = unseen(holdout, trained_until)
    evaluation = Evaluation(
        candidate=score_on(workload, candidate, holdout),
        baseline=score_baseline_on(workload, holdout),
        champion=_as_rival(spec, workload, champion, holdout),
        anchor=_as_rival(spec, workload, anchor, holdout),
        version=spec.version,
        history_days=history_days,
        target_varies=varies(holdout.target),
        offered=Contract(
            spec.version,
            spec.workload,
            workload.features_of(train),
            library_versions(workload),
            workload.predicts,
        ),
        served=_served(champion),
    )
    return Contest(evaluation, holdout)


def open_estimator(spec: JobSpec, workload: Workload, version: str) -> tuple[Any, Manifest]:
    """Unpickle a version after its signature, digests and columns were found right.

    Raises:
        VersionUnusable: they were not, or the present libraries cannot open it.
    """
    signed = _signed(spec, version)
    workload.check_contract(signed.manifest.features)
    return _load(signed), signed.manifest


def _signed(spec: JobSpec, version: str) -> SignedVersion:
    key = VerifyKey.read(Path(spec.public_key))
    directory = ModelStore(Path(spec.models_dir)).version_dir(spec.model, version)
    signed = read_signed(directory, key, model=spec.model, version=version)
    signed.files.check(but={MODEL_NAME})
    return signed


def _load(signed: SignedVersion) -> Any:
    try:
        return load_estimator(signed.files)
    except (MemoryError, VersionUnusable, StorageUnavailable):
        raise
    except Exception as error:
        # Unpickling what other libraries stored raises whatever it likes.
        version = signed.manifest.version
        raise LoadFailed(f"{version}: opening the model failed: {error!r}") from error


def _open(spec: JobSpec, workload: Workload, version: str) -> _Opened:
    manifest = None
    try:
        signed = _signed(spec, version)
        manifest = signed.manifest
        workload.check_contract(manifest.features)
        _check_purpose(workload, manifest)
        return _Opened(version, _load(signed), manifest)
    except VersionUnusable as error:
        return _Opened(version, None, manifest, str(error))


def _check_purpose(workload: Workload, manifest: Manifest) -> None:
    """Errors in the prediction of different things cannot be compared.

    Raises:
        ContractMismatch: the version predicts something else.
    """
    own = _own_workload(manifest)
    if own is not None and own.predicts != workload.predicts:
        raise ContractMismatch(f"it predicts {own.predicts}, the candidate {workload.predicts}")


def _own_workload(manifest: Manifest) -> Workload | None:
    """As it was told when the version was trained; None where this code no longer takes that."""
    try:
        return open_workload(manifest.workload, manifest.parameters)
    except FixConfiguration:
        return None


def _open_anchor(spec: JobSpec, workload: Workload, champion: _Opened | None) -> _Opened | None:
    """The version that the champion's manifest names; the champion itself where it names none."""
    if champion is None:
        return None
    if champion.manifest is None:
        return None
    version = champion.manifest.promotion.anchor or champion.version
    return champion if version == champion.version else _open(spec, workload, version)


def _as_rival(
    spec: JobSpec, workload: Workload, opened: _Opened | None, holdout: TrainingSet
) -> Rival | None:
    if opened is None:
        return None
    age_days = 0.0
    if opened.manifest is not None:
        age_days = (spec.requested_at - opened.manifest.trained_at).total_seconds() / 86_400
    if opened.missing is not None:
        return Rival(opened.version, None, opened.missing, age_days)
    try:
        score = score_on(workload, opened.estimator, holdout)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - an old estimator may raise whatever it likes
        return Rival(opened.version, None, f"scoring it failed: {error!r}", age_days)
    if not np.isfinite(score.loss).all():
        missing = "its answers on these rows are not finite numbers"
        return Rival(opened.version, None, missing, age_days)
    return Rival(opened.version, score, None, age_days)


def _served(champion: _Opened | None) -> Contract | None:
    """What clients get now; None where this code could not serve it anyway."""
    if champion is None or champion.manifest is None:
        return None
    manifest = champion.manifest
    own = _own_workload(manifest)
    if own is None:
        return None
    try:
        own.check_contract(manifest.features)
    except VersionUnusable:
        return None
    return Contract(
        manifest.version,
        manifest.workload,
        tuple(manifest.features),
        manifest.libraries,
        own.predicts,
    )
