"""Stage a version: write estimator, form, golden requests and signed manifest.

Artefact first, manifest next, signal last. `stage` runs in the training process; `promote`,
`set_serving_version` and `finish_interrupted` only in the daemon, which alone writes the signal.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import joblib
import msgspec

from retrain_service.compiling.compile import compile_estimator
from shared.errors import GoldenMismatch
from shared.keys.signing import SigningKey
from shared.loading.golden_answers import GoldenAnswer, check_goldens
from shared.versions.answer_sample import write_answers
from shared.versions.holdout_sample import HoldoutSample, write_sample
from shared.versions.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    TWIN_NAME,
    Manifest,
    encode,
    sign,
)
from shared.versions.model_store import DISCARDED_PREFIX
from shared.versions.staged_files import StagedFiles
from shared.versions.version_files import FileEntry
from shared.workloads.contract import Answerer, Workload
from shared.workloads.training import TrainingSet


def stage_twin(staged: Path, estimator: Any) -> FileEntry:
    """Write the judged estimator into a staged directory, which is empty, before the one that will
    serve is fitted: the two are never in memory together.

    Raises:
        StorageUnavailable: the disk is full or not writable.
    """
    files = StagedFiles(staged)
    with files.writing(TWIN_NAME) as file:
        joblib.dump(estimator, file)
    return files.entries[TWIN_NAME]


def stage(
    staged: Path,
    workload: Workload,
    estimator: Any,
    rows: TrainingSet,
    manifest: Manifest,
    key: SigningKey,
    sample: HoldoutSample | None = None,
    twin: FileEntry | None = None,
    errors: Mapping[str, bytes] = MappingProxyType({}),
) -> str:
    """Write all of a version into its staged directory, where nothing lies but its twin; the
    signed manifest last.

    rows : everything known, train and holdout; the state is made from it.
    sample : some held-out rows, for looking at. twin : as `stage_twin` wrote it.
    errors : state files of `Workload.state_of_errors`.

    Returns:
        The SHA-256 of the manifest.

    Raises:
        StorageUnavailable: the disk is full or not writable.
    """
    files = StagedFiles(staged)
    if twin is not None:
        files.entries[TWIN_NAME] = twin
    write_sample(files, sample)
    with files.writing(MODEL_NAME) as file:
        joblib.dump(estimator, file)
    state = {**workload.state(rows), **errors}
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
