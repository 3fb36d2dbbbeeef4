"""Open a version: verify, load, check the contract, check golden answers, warm up.

Used by the API before a swap and by the retrain daemon for the trial load before a promotion,
so that what passed the trial is what serves. Decides nothing, swaps nothing.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import (
    ContractMismatch,
    HotfitError,
    LoadFailed,
    StorageUnavailable,
    VersionUnusable,
)
from shared.forms.open_form import NeedsTheProcess, open_form
from shared.keys.signing import VerifyKey
from shared.loading.golden_answers import check_goldens, read_goldens
from shared.stored_types import old_names
from shared.versions.manifest import COMPILED_NAME, GOLDEN_NAME, MODEL_NAME, Manifest, read_signed
from shared.versions.version_files import VersionFiles
from shared.workloads import open_workload
from shared.workloads.contract import Answerer

WARM_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each stage took, in milliseconds."""

    verify_ms: float
    load_ms: float
    golden_ms: float
    warm_ms: float


@dataclass(frozen=True, slots=True, weakref_slot=True)
class LoadedModel:
    """A version that may serve. Immutable; any thread may use it.

    cache : what others make once of this version and need at each request, by their own names.
    """

    manifest: Manifest
    answerer: Answerer
    timings: Timings
    generation: int = 0
    cache: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def version(self) -> str:
        return self.manifest.version


def open_version(
    directory: Path,
    key: VerifyKey,
    *,
    model: str,
    version: str,
    generation: int = 0,
    manifest_sha256: str | None = None,
    on_warming: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Open a version so that it may serve.

    Args:
        on_warming: called once when the model is loaded and starts to answer golden requests.

    Raises:
        VersionUnusable: which of them says what is wrong; the sentence says what was expected.
        StorageUnavailable: a file cannot be read now; nothing is known about the version.
    """
    started = time.perf_counter()
    signed = read_signed(
        directory, key, model=model, version=version, manifest_sha256=manifest_sha256
    )
    manifest, files = signed.manifest, signed.files
    # What is opened is proved as it is read; the rest is proved before anything is opened.
    files.check(but=_opened_names(manifest))
    verified = time.perf_counter()
    goldens = read_goldens(files)
    answerer = _load(files, manifest)
    loaded = time.perf_counter()
    on_warming()
    check_goldens(answerer, goldens, manifest.golden_tolerance, version)
    checked = time.perf_counter()
    for _ in range(WARM_ROUNDS):
        for line in goldens:
            answerer.answer(line.golden.question, line.golden.request, line.golden.now)
    warmed = time.perf_counter()
    timings = Timings(
        verify_ms=(verified - started) * 1e3,
        load_ms=(loaded - verified) * 1e3,
        golden_ms=(checked - loaded) * 1e3,
        warm_ms=(warmed - checked) * 1e3,
    )
    return LoadedModel(manifest, answerer, timings, generation)


def _opened_names(manifest: Manifest) -> frozenset[str]:
    names = {name for name in manifest.files if name.startswith(("state.", f"{COMPILED_NAME}/"))}
    return frozenset({*names, GOLDEN_NAME})


def _load(files: VersionFiles, manifest: Manifest) -> Answerer:
    """Only of a signed version: unpickling runs code, and the signature says whose."""
    try:
        workload = open_workload(manifest.workload, manifest.parameters)
    except HotfitError as error:
        raise ContractMismatch(f"{manifest.version}: {error}") from None
    try:
        workload.check_contract(manifest.features)
    except ContractMismatch as error:
        raise ContractMismatch(f"{manifest.version}: {error}") from None
    try:
        return workload.open(_open_estimator(files, manifest), read_state(files))
    except LoadFailed as error:
        raise LoadFailed(f"{manifest.version}: {error}") from error
    except (VersionUnusable, StorageUnavailable):
        raise
    except Exception as error:
        raise LoadFailed(f"{manifest.version}: opening the model failed: {error!r}") from error


def _open_estimator(files: VersionFiles, manifest: Manifest) -> Any:
    """The compiled form; unpickling in this process is for what has no other."""
    try:
        return open_form(files, manifest)
    except NeedsTheProcess:
        return load_estimator(files)


def load_estimator(files: VersionFiles, name: str = MODEL_NAME) -> Any:
    """Unpickle the fitted estimator of a signed version, from the bytes that were hashed.

    name : which of its files; the one that serves, where none is named.

    Raises:
        VersionUnusable, StorageUnavailable: as `VersionFiles.read`.
    """
    import joblib  # heavy, and its import brings numpy's memory maps: only who loads pays

    content = files.read(name)
    with old_names():
        return joblib.load(io.BytesIO(content))


def read_state(files: VersionFiles) -> Mapping[str, bytes]:
    """The version's `state.*` files."""
    return {name: files.read(name) for name in files.entries if name.startswith("state.")}
