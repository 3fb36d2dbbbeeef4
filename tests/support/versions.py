"""Real signed versions of `TinyWorkload` on disk, made without the retrain daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import msgspec
import pytest

import shared.workloads
from retrain_service.compiling.compile import compile_estimator
from shared.atomic_file import sha256_of
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import SigningKey
from shared.loading.golden_answers import GoldenAnswer
from shared.versions.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    FileEntry,
    Holdout,
    Manifest,
    Promotion,
    Watermark,
    encode,
    read_manifest,
    sign,
)
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion
from shared.versions.staged_files import StagedFiles
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import GoldenRequest
from tests.support.tiny_workload import FEATURES, GOLDEN_NOW

FIRST_AT = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


@contextmanager
def tiny_workload_known() -> Iterator[None]:
    """Make `tiny` and `mixed` known workloads in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            shared.workloads,
            "REGISTRY",
            {
                **shared.workloads.REGISTRY,
                "tiny": "tests.support.tiny_workload:TinyWorkload",
                "mixed": "tests.support.mixed_workload:MixedWorkload",
            },
        )
        yield


def described(directory: Path) -> dict[str, FileEntry]:
    """Every file below a directory as a manifest names it, except the manifest."""
    return {
        path.relative_to(directory).as_posix(): FileEntry(sha256_of(path), path.stat().st_size)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }


def version_name(number: int) -> str:
    return str(ModelVersion(number, FIRST_AT + timedelta(hours=number)))


def make_version(
    store: ModelStore,
    key: SigningKey,
    model: str,
    number: int,
    *,
    features: tuple[FeatureSpec, ...] = FEATURES,
    newest_record_at: datetime | None = None,
    workload: str = "tiny",
    candidate: str = "default",
    golden: GoldenAnswer | None = None,
    **estimator: Any,
) -> str:
    """Write a complete, signed version and return its name.

    Args:
        golden: of another workload than TinyWorkload.
        estimator: what makes the model slow, large or broken: see TinyWorkload.
    """
    version = version_name(number)
    staged = store.stage(model, f"run-{number}")
    content = {"number": number, **estimator}
    files = StagedFiles(staged)
    with files.writing(MODEL_NAME) as file:
        joblib.dump(content, file)
    form = compile_estimator(content, None, contract=None, staged=files)
    golden = golden or GoldenAnswer(
        GoldenRequest("predict", {"instances": [{"x": 1.5}]}, GOLDEN_NOW),
        {"predictions": [number], "number": number},
    )
    files.write(GOLDEN_NAME, msgspec.json.encode([golden]))
    manifest = Manifest(
        model=model,
        version=version,
        run_id=f"run-{number}",
        workload=workload,
        parameters={},
        features=list(features),
        metrics={"candidate": {"mae": 1.0}},
        metric_unit="none",
        holdout=Holdout("2026-10-01", "2026-10-31", 31, 31),
        watermark=Watermark(newest_record_at or FIRST_AT, "2026-10-31", 100, 100, "none"),
        libraries={},
        serving_form=form,
        golden_tolerance=1e-6,
        promotion=Promotion(0, "a test wants it"),
        trained_at=FIRST_AT + timedelta(hours=number),
        candidate=candidate,
        files=files.entries,
    )
    files.write(MANIFEST_NAME, encode(sign(manifest, key)))
    store.commit(model, staged, version)
    return version


def write_signal(
    store: ModelStore,
    model: str,
    version: str,
    *,
    generation: int | None = None,
    hold: bool = False,
    manifest_sha256: str | None = None,
) -> ReloadSignal:
    """State the wanted version, as the retrain daemon does."""
    current = store.signal(model)
    if manifest_sha256 is None:
        manifest_sha256 = read_manifest(store.version_dir(model, version))[1]
    signal = ReloadSignal(
        generation=generation or (current.generation + 1 if current else 1),
        version=version,
        manifest_sha256=manifest_sha256,
        previous=current.version if current else None,
        reason="a test wants it",
        hold=hold,
        promoted_at=datetime.now(UTC),
    )
    store.write_signal(model, signal)
    return signal


def publish(store: ModelStore, key: SigningKey, model: str, number: int, **estimator: Any) -> str:
    """Make a version and point at it."""
    version = make_version(store, key, model, number, **estimator)
    write_signal(store, model, version)
    return version


class ServingHome:
    """A home directory with keys and a store of tiny versions.

    is_signed : signals are signed, as the training daemon does; else as releases before did.
    """

    def __init__(self, directory: Path, *, is_signed: bool = False) -> None:
        self.path = directory / "home"
        self.is_signed = is_signed
        self.key = SigningKey.read_or_create(self.path / "keys")
        self.store = ModelStore(self.path / "models")
        if is_signed:
            self.store = ModelStore(self.path / "models", signing=self.key)
            self.store.signals.sign_found({})

    def reading(self) -> ModelStore:
        """The store of a process that starts now and only reads, as the API does."""
        return ModelStore(self.path / "models", lambda: self.key.verify_key)

    def publish(self, model: str, number: int, **estimator: Any) -> str:
        return publish(self.store, self.key, model, number, **estimator)

    def make(self, model: str, number: int, **estimator: Any) -> str:
        return make_version(self.store, self.key, model, number, **estimator)
