"""stage → version directory → signal; in between, `trial` opens what was staged.

Artefact first, manifest next, signal last. `stage` runs in the training process; `promote`,
`point_back` and `finish_interrupted` only in the daemon, which alone writes the signal.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import joblib
import msgspec

from retrain_service.compiling.compile import compile_estimator
from shared.errors import GoldenMismatch, StateConflict, StorageUnavailable, VersionUnusable
from shared.exchange.json_files import ReloadSignal
from shared.keys.signing import SigningKey, VerifyKey
from shared.loading.open_version import GoldenAnswer, check_goldens
from shared.versions.answer_sample import write_answers
from shared.versions.holdout_sample import HoldoutSample, write_sample
from shared.versions.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    Manifest,
    encode,
    read_signed,
    sign,
)
from shared.versions.model_store import DISCARDED_PREFIX, ModelStore
from shared.versions.staged_files import StagedFiles
from shared.workloads.contract import Answerer, TrainingSet, Workload


def stage(
    staged: Path,
    workload: Workload,
    estimator: Any,
    rows: TrainingSet,
    manifest: Manifest,
    key: SigningKey,
    sample: HoldoutSample | None = None,
) -> str:
    """Write all of a version into its staged directory, which is empty; the signed manifest last.

    rows : everything known, train and holdout; the state is made from it.
    sample : some held-out rows, for looking at.

    Returns:
        The SHA-256 of the manifest.

    Raises:
        StorageUnavailable: the disk is full or not writable.
    """
    files = StagedFiles(staged)
    write_sample(files, sample)
    with files.writing(MODEL_NAME) as file:
        joblib.dump(estimator, file)
    state = workload.state(rows)
    for name, content in state.items():
        files.write(name, content)
    answerer = workload.open(estimator, state)
    goldens = _answer_goldens(workload, answerer, rows)
    files.write(GOLDEN_NAME, msgspec.json.encode(goldens))
    write_answers(files, answerer, workload.asked_lists(rows))
    form = compile_estimator(
        estimator,
        rows.features,
        contract=answerer.rows,
        staged=files,
        check=lambda form: _golden_reason(workload.open(form, state), goldens, manifest),
    )
    # The digests last: they cover the compiled form too.
    complete = msgspec.structs.replace(manifest, serving_form=form, files=dict(files.entries))
    written = files.write(MANIFEST_NAME, encode(sign(complete, key)))
    return written.sha256


def _golden_reason(
    answerer: Answerer, goldens: Sequence[GoldenAnswer], manifest: Manifest
) -> str | None:
    """Why a form must not serve; None when it answers as the estimator did."""
    try:
        check_goldens(answerer, goldens, manifest.golden_tolerance, manifest.version)
    except GoldenMismatch as error:
        return str(error)
    return None


def _answer_goldens(
    workload: Workload, answerer: Answerer, rows: TrainingSet
) -> list[GoldenAnswer]:
    return [
        GoldenAnswer(golden, answerer.answer(golden.question, golden.request, golden.now))
        for golden in workload.golden_requests(rows)
    ]


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
    store.point_at(manifest.model, signal)
    return signal


def point_back(
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
    signed = read_signed(store.version_dir(model, version), key, model=model, version=version)
    signed.files.check()
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
    store.point_at(model, signal)
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
    store.point_at(model, changed)
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
        signed = read_signed(directory, key, model=model, version=version)
        signed.files.check()
        _check_generation(store, signed.manifest)
    except (VersionUnusable, StateConflict):
        discard(directory)
        return None
    reason = signed.manifest.promotion.reason
    _point_at_new(store, signed.manifest, signed.sha256, reason, now)
    return reason


def discard(directory: Path) -> None:
    """Remove a staged or never promoted directory; first its name, so that no reader sees half."""
    gone = directory
    if not directory.name.startswith(DISCARDED_PREFIX):
        gone = directory.with_name(f"{DISCARDED_PREFIX}{directory.name.lstrip('.')}")
        if not directory.exists():
            return
        shutil.rmtree(gone, ignore_errors=True)
        directory.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
