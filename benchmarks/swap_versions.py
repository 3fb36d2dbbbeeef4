"""Two versions of a small or a large model, trained through Hotfit, for benchmarks.swap."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.serving.hotfit import N_ROWS, ROOT, configure, environment, write_table
from benchmarks.serving.pipelines import columns_of, make_rows
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import SigningKey
from shared.versions.manifest import MANIFEST_NAME, encode, read_manifest, sign
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion

_PIPELINE = "pipeline.joblib"


def small_model() -> Any:
    """A ridge regression: a few kilobytes."""
    from benchmarks.serving.pipelines import ridge

    return ridge()


def large_model() -> Any:
    """A forest of deep trees: about 200 MB as joblib stores it."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.pipeline import make_pipeline

    from benchmarks.serving.pipelines import _ordinal

    return make_pipeline(
        _ordinal(), RandomForestRegressor(n_estimators=280, max_features=4, random_state=0)
    )


SIZES = ("small", "large")


@dataclass
class Trained:
    """Two versions of one model, and the pipeline for the others."""

    configuration: Path
    store: ModelStore
    versions: tuple[str, str]
    pipeline_file: Path
    body: bytes
    size_mb: float


def train(size: str, directory: Path) -> Trained:
    """One training run; its version twice, under two names; its pipeline as a file.

    Raises:
        RuntimeError: no version was promoted.
    """
    import joblib

    configuration = configure("forest", directory)
    text = configuration.read_text()
    named = f"benchmarks.swap_versions:{size}_model"
    configuration.write_text(text.replace("benchmarks.serving.pipelines:forest", named))
    write_table(directory / "rows.db", "forest", make_rows("forest", N_ROWS, seed=1))
    done = subprocess.run(
        [sys.executable, "-m", "retrain_service", "--config", str(configuration), "once", "--json"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{size}: no version: {done.stdout}{done.stderr}")
    home = directory / "home"
    store = _store(home)
    (first,) = store.versions("bench")
    second = _twin(store, first, SigningKey.read_or_create(home / "keys"))
    stored = store.version_dir("bench", first) / "model.joblib"
    joblib.dump(joblib.load(stored).pipeline, directory / _PIPELINE)
    return _trained(directory, store, (first, second))


def _store(home: Path) -> ModelStore:
    return ModelStore(home / "models", signing=SigningKey.read_or_create(home / "keys"))


def trained_before(directory: Path) -> Trained | None:
    """What an earlier run trained in the same directory."""
    if not (directory / _PIPELINE).exists():
        return None
    store = _store(directory / "home")
    first, second = store.versions("bench")
    return _trained(directory, store, (first, second))


def _trained(directory: Path, store: ModelStore, versions: tuple[str, str]) -> Trained:
    row = make_rows("forest", 1, seed=2)[0]
    instance = {name: row[name] for name in columns_of("forest")}
    pipeline_file = directory / _PIPELINE
    return Trained(
        directory / "hotfit.toml",
        store,
        versions,
        pipeline_file,
        json.dumps({"instances": [instance]}).encode(),
        pipeline_file.stat().st_size / 1e6,
    )


def _twin(store: ModelStore, version: str, key: SigningKey) -> str:
    """The same version under the next number."""
    parsed = ModelVersion.parse(version)
    name = str(ModelVersion(parsed.number + 1, parsed.created_at))
    source, target = store.version_dir("bench", version), store.version_dir("bench", name)
    shutil.copytree(source, target)
    manifest = msgspec.structs.replace(read_manifest(source)[0], version=name)
    (target / MANIFEST_NAME).write_bytes(encode(sign(manifest, key)))
    return name


def point_at_the_other(trained: Trained) -> None:
    """What a promotion does last."""
    current = trained.store.signal("bench")
    assert current is not None
    a, b = trained.versions
    version = b if current.version == a else a
    trained.store.write_signal(
        "bench",
        ReloadSignal(
            generation=current.generation + 1,
            version=version,
            manifest_sha256=read_manifest(trained.store.version_dir("bench", version))[1],
            previous=current.version,
            reason="a benchmark wants it",
            promoted_at=datetime.now(UTC),
        ),
    )
