"""verify → load → contract → golden answers → warm: one way to open a version.

Used by the API before a swap and by the retrain daemon for the trial load before a promotion,
so that what passed the trial is what serves. Decides nothing, swaps nothing.
`python -m shared.loading.open_version` does it in a process of its own: it reads a JSON list from standard
input, [directory, public key, model, version], and prints one JSON line: what was measured, or
the error.
"""

from __future__ import annotations

import dataclasses
import io
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import (
    ContractMismatch,
    GoldenMismatch,
    HotfitError,
    LoadFailed,
    StorageUnavailable,
    VersionUnusable,
)
from shared.forms.open_form import NeedsTheProcess, open_form
from shared.keys.signing import VerifyKey
from shared.stored_types import old_names
from shared.versions.manifest import COMPILED_NAME, GOLDEN_NAME, MODEL_NAME, Manifest, read_signed
from shared.versions.version_files import VersionFiles
from shared.workloads import open_workload
from shared.workloads.contract import Answerer, GoldenRequest

WARM_ROUNDS = 3
LATENCY_ROUNDS = 5


class GoldenAnswer(msgspec.Struct, frozen=True):
    """One line of `golden.json`: a request and what the trainer answered."""

    golden: GoldenRequest
    answer: dict[str, Any]


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

    kept : what others make once of this version and need at each request, by their own names.
    """

    manifest: Manifest
    answerer: Answerer
    timings: Timings
    generation: int = 0
    kept: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

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


def load_estimator(files: VersionFiles) -> Any:
    """Unpickle the fitted estimator of a signed version, from the bytes that were hashed.

    Raises:
        VersionUnusable, StorageUnavailable: as `VersionFiles.read`.
    """
    import joblib  # heavy, and its import brings numpy's memory maps: only who loads pays

    content = files.read(MODEL_NAME)
    with old_names():
        return joblib.load(io.BytesIO(content))


def read_state(files: VersionFiles) -> Mapping[str, bytes]:
    """The version's `state.*` files."""
    return {name: files.read(name) for name in files.entries if name.startswith("state.")}


def read_goldens(files: VersionFiles) -> Sequence[GoldenAnswer]:
    """The golden requests with the trainer's answers.

    Raises:
        LoadFailed: the file is not what it should be.
        VersionUnusable, StorageUnavailable: as `VersionFiles.read`.
    """
    try:
        return msgspec.json.decode(files.read(GOLDEN_NAME), type=list[GoldenAnswer])
    except msgspec.DecodeError as error:
        raise LoadFailed(f"{files.version}: {GOLDEN_NAME} cannot be read: {error}") from None


def check_goldens(
    answerer: Answerer, goldens: Sequence[GoldenAnswer], tolerance: float, version: str
) -> None:
    """Ask every golden request again.

    Raises:
        GoldenMismatch: an answer differs by more than the relative `tolerance`, or asking failed.
    """
    if not goldens:
        raise GoldenMismatch(f"{version}: {GOLDEN_NAME} holds no request; nothing could be checked")
    for i, line in enumerate(goldens):
        question = line.golden.question
        try:
            answer = answerer.answer(question, line.golden.request, line.golden.now)
        except Exception as error:
            raise GoldenMismatch(
                f"{version}: golden request {i} ({question}) failed: {error!r}"
            ) from error
        # What a client would get: through JSON and back, so that types compare as types there.
        difference = _difference(
            line.answer, msgspec.json.decode(msgspec.json.encode(answer)), tolerance, question
        )
        if difference is not None:
            raise GoldenMismatch(f"{version}: golden request {i}: {difference}")


def _difference(expected: Any, found: Any, tolerance: float, where: str) -> str | None:
    """The first difference between two JSON values as a sentence, or None."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            changed = sorted(expected.keys() ^ found.keys())
            return f"{where}: fields differ: {changed}"
        pairs = ((f"{where}.{name}", expected[name], found[name]) for name in expected)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{where}: expected {len(expected)} items, found {len(found)}"
        pairs = (
            (f"{where}[{i}]", one, other)
            for i, (one, other) in enumerate(zip(expected, found, strict=True))
        )
    elif _is_number(expected) and _is_number(found):
        close = math.isclose(expected, found, rel_tol=tolerance, abs_tol=tolerance)
        return None if close else f"{where}: expected {expected!r}, found {found!r}"
    else:
        return None if expected == found else f"{where}: expected {expected!r}, found {found!r}"
    for place, one, other in pairs:
        difference = _difference(one, other, tolerance, place)
        if difference is not None:
            return difference
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class TrialResult(msgspec.Struct, frozen=True):
    """What a trial load printed: `error` is None when the version may serve.

    memory_mb : resident memory of the process with nothing but this version in it.
    size_mb : all files that the manifest names. latency_ms : of the slowest golden request, warm;
        the median of several rounds.
    """

    error: str | None
    timings_ms: dict[str, float] = {}
    n_goldens: int = 0
    memory_mb: float | None = None
    size_mb: float | None = None
    latency_ms: float | None = None


def _resident_mb() -> float:
    import psutil  # only the trial measures

    return float(psutil.Process().memory_info().rss) / 1e6


def _latency_ms(answerer: Answerer, golden: GoldenRequest) -> float:
    """The median over a few rounds, so that one interruption does not decide."""
    took_ms = []
    for _ in range(LATENCY_ROUNDS):
        started = time.perf_counter()
        answerer.answer(golden.question, golden.request, golden.now)
        took_ms.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took_ms)


def main(told: bytes) -> int:
    """The trial: open a version as the API would, in this process."""
    directory, public_key, model, version = msgspec.json.decode(told, type=list[str])
    try:
        key = VerifyKey.read(Path(public_key))
        loaded = open_version(Path(directory), key, model=model, version=version)
    except HotfitError as error:
        result = TrialResult(str(error))
    else:
        goldens = read_goldens(VersionFiles(Path(directory), version, loaded.manifest.files))
        result = TrialResult(
            None,
            dataclasses.asdict(loaded.timings),
            len(goldens),
            _resident_mb(),
            sum(entry.size_bytes for entry in loaded.manifest.files.values()) / 1e6,
            max(_latency_ms(loaded.answerer, line.golden) for line in goldens),
        )
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return 0 if result.error is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer.read()))
