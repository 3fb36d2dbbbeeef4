"""Candidate against champion and anchor: open them and score all on the same new rows.

Runs in the training process. Opens versions only after their signature held; gives no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from retrain_service.evaluation.scores import (
    Evaluation,
    FeatureContract,
    Reference,
    metrics_of,
    score_baseline_on,
    score_on,
    unseen,
    varies,
)
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.trainer.libraries import library_versions
from shared.errors import (
    ContractMismatch,
    FixConfiguration,
    LoadFailed,
    StorageUnavailable,
    VersionUnusable,
)
from shared.forms.data_tree import TREE_NAME
from shared.forms.open_form import open_form
from shared.keys.signing import VerifyKey
from shared.loading.open_version import load_estimator, read_state
from shared.versions.manifest import COMPILED_NAME, MODEL_NAME, Manifest, SignedVersion, read_signed
from shared.versions.model_store import ModelStore
from shared.workloads import open_workload
from shared.workloads.contract import Workload
from shared.workloads.training import TrainingSet

__all__ = ["ChampionComparison", "compare_with_champion", "metrics_of", "open_estimator"]


@dataclass(frozen=True, slots=True)
class ChampionComparison:
    """The scores, and the holdout rows they were made on."""

    evaluation: Evaluation
    holdout: TrainingSet


@dataclass(frozen=True, slots=True)
class _Verified:
    """A version that may be a rival. signed : None when it does not verify.

    missing : why it cannot be compared. instead_of : the champion in whose place it stands, and
        why, as a clause.
    """

    version: str
    signed: SignedVersion | None = None
    missing: str | None = None
    instead_of: str | None = None


def compare_with_champion(
    spec: JobSpec,
    workload: Workload,
    candidate: Any,
    train: TrainingSet,
    holdout: TrainingSet,
) -> ChampionComparison:
    """Score everybody on the holdout rows that none of them was fitted on.

    Raises:
        StorageUnavailable: a version is there but cannot be read now; nothing can be decided.
    """
    history_days = train.n_days + holdout.n_days
    champion = _find_champion(spec, workload)
    anchor = _find_anchor(spec, workload, champion)
    trained_until = train.day.max()
    for rival in (champion, anchor):
        if rival is not None and rival.signed is not None and rival.missing is None:
            until = np.datetime64(rival.signed.manifest.watermark.trained_until)
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
        offered=FeatureContract(
            spec.version,
            spec.workload,
            workload.features_of(train),
            library_versions(workload),
            workload.predicts,
        ),
        served=_served(champion),
    )
    return ChampionComparison(evaluation, holdout)


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
    # Where it can be asked without its estimator, the estimator's bytes are proved when opened.
    signed.files.check(but={MODEL_NAME} if _is_compiled(signed) else ())
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


def _find_champion(spec: JobSpec, workload: Workload) -> _Verified | None:
    """What serves; where its files do not verify, the newest version that does: the API falls
    back to it, and nothing better is known of what clients had."""
    if spec.champion is None:
        return None
    champion = _verify(spec, workload, spec.champion)
    if champion.signed is not None:
        return champion
    for version in reversed(ModelStore(Path(spec.models_dir)).versions(spec.model)):
        other = _verify(spec, workload, version)
        if other.signed is not None:
            return replace(other, instead_of=f"{spec.champion}: {champion.missing}")
    return champion


def _verify(spec: JobSpec, workload: Workload, version: str) -> _Verified:
    signed = None
    try:
        signed = _signed(spec, version)
        workload.check_contract(signed.manifest.features)
        _check_purpose(workload, signed.manifest)
        return _Verified(version, signed)
    except VersionUnusable as error:
        return _Verified(version, signed, str(error))


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


def _find_anchor(spec: JobSpec, workload: Workload, champion: _Verified | None) -> _Verified | None:
    """The version that the champion's manifest names; the champion itself where it names none."""
    if champion is None or champion.signed is None:
        return None
    version = champion.signed.manifest.promotion.anchor or champion.version
    return champion if version == champion.version else _verify(spec, workload, version)


def _as_rival(
    spec: JobSpec, workload: Workload, verified: _Verified | None, holdout: TrainingSet
) -> Reference | None:
    if verified is None:
        return None
    signed = verified.signed
    if signed is None:
        return Reference(verified.version, None, verified.missing, lacks="version")
    age_days = (spec.requested_at - signed.manifest.trained_at).total_seconds() / 86_400
    if verified.missing is not None:
        return Reference(verified.version, None, verified.missing, age_days, lacks="contract")
    notes = [f"in place of {verified.instead_of}"] if verified.instead_of else []
    faults: list[str] = []
    for open_it in (_load, partial(_open_compiled, workload)):
        try:
            score = score_on(workload, open_it(signed), holdout)
        except (MemoryError, StorageUnavailable):
            raise
        except VersionUnusable as error:
            faults.append(str(error))
        except Exception as error:  # noqa: BLE001 - an old estimator may raise whatever it likes
            faults.append(f"scoring it failed: {error!r}")
        else:
            if np.isfinite(score.loss).all():
                notes += [f"asked in its compiled form: {fault}" for fault in faults]
                return Reference(verified.version, score, None, age_days, note="; ".join(notes))
            faults.append("its answers on these rows are not finite numbers")
    return Reference(verified.version, None, "; ".join(faults), age_days)


def _open_compiled(workload: Workload, signed: SignedVersion) -> Any:
    """What serves clients, also where the estimator itself cannot be opened any more.

    Raises:
        LoadFailed: it has no form that does without the estimator.
    """
    if not _is_compiled(signed):
        raise LoadFailed("it has no compiled form")
    form = open_form(signed.files, signed.manifest)
    return workload.with_state(form, read_state(signed.files))


def _is_compiled(signed: SignedVersion) -> bool:
    return f"{COMPILED_NAME}/{TREE_NAME}" in signed.manifest.files


def _served(champion: _Verified | None) -> FeatureContract | None:
    """What clients get now; None where this code could not serve it anyway."""
    if champion is None or champion.signed is None:
        return None
    manifest = champion.signed.manifest
    own = _own_workload(manifest)
    if own is None:
        return None
    try:
        own.check_contract(manifest.features)
    except VersionUnusable:
        return None
    return FeatureContract(
        manifest.version,
        manifest.workload,
        tuple(manifest.features),
        manifest.libraries,
        own.predicts,
    )
