"""From a staged version to the signal: who may interfere, and what a disk that refuses leaves."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from retrain_service.home import make_home
from retrain_service.publish import serving_pointer, stage
from shared import atomic_file
from shared.errors import StateConflict, StorageUnavailable
from shared.keys.signing import SigningKey
from shared.records import Table
from shared.settings.root import Settings
from shared.versions.manifest import MODEL_NAME, Manifest, Promotion, read_manifest, verify
from shared.workloads.training import AskedLists, TrainingSet
from tests.support.mean_workload import MeanWorkload
from tests.support.versions import ServingHome, write_signal

NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
on_posix = pytest.mark.skipif(os.name == "nt", reason="rights and links are others there")


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    return ServingHome(tmp_path)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _rows(workload: MeanWorkload) -> TrainingSet:
    bodies = [f'{{"day": "2026-01-{day:02}", "value": {day % 3}}}'.encode() for day in range(1, 21)]
    at = list(range(len(bodies)))
    return workload.training_set({"rows": Table("rows", [str(i) for i in at], at, bodies)})


def _staged(
    home: ServingHome, workload: MeanWorkload | None = None, base_generation: int = 0
) -> tuple[Path, Manifest, str]:
    """A version of number 2, in its staged directory."""
    workload = workload or MeanWorkload({})
    other = ServingHome(home.path / "elsewhere")
    made = other.make("m", 2)
    manifest = msgspec.structs.replace(
        read_manifest(other.store.version_dir("m", made))[0],
        workload="mean",
        files={},
        signature=None,
        promotion=Promotion(base_generation, "a test wants it"),
    )
    shutil.rmtree(other.path)
    rows = _rows(workload)
    staged = home.store.stage("m", "run1")
    estimator = workload.fit(rows, 0, lambda _share, _stage: None)
    return staged, manifest, stage.stage(staged, workload, estimator, rows, manifest, home.key)


def _promote(home: ServingHome, staged: Path, manifest: Manifest, digest: str) -> Any:
    return serving_pointer.promote(home.store, staged, manifest, digest, "better", NOW)


class _Exchanging(MeanWorkload):
    """What somebody does to a staged file after it was written and before it is signed."""

    def asked_lists(self, rows: TrainingSet) -> AskedLists | None:
        assert self.written is not None
        self.before = hashlib.sha256(self.written.read_bytes()).hexdigest()
        self.written.write_bytes(b"somebody else's code")
        return super().asked_lists(rows)

    written: Path | None = None
    before: str = ""


def test_what_is_signed_is_what_was_written_and_not_what_lies_there(home: ServingHome) -> None:
    """Files were hashed by path afterwards: whoever exchanged one in time had it signed."""
    workload = _Exchanging({})
    workload.written = home.store.staged_dir("m", "run1") / MODEL_NAME

    staged, _, _ = _staged(home, workload)

    assert read_manifest(staged)[0].files[MODEL_NAME].sha256 == workload.before


@on_posix
def test_nobody_who_may_write_versions_reaches_one_that_is_being_made(
    home: ServingHome, open_umask: None
) -> None:
    """A link at the staged name let the daemon overwrite any file that it may write."""
    victim = home.path / "victim"
    victim.write_text("precious")
    versions = home.store.models_dir / "m" / "versions"
    versions.mkdir(parents=True)
    (versions / ".staged-run1").symlink_to(victim)

    staged, _, _ = _staged(home)

    assert not staged.is_relative_to(home.store.models_dir)
    for directory in (staged, staged.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert victim.read_text() == "precious"


@on_posix
@pytest.mark.usefixtures("open_umask")
def test_nothing_of_the_home_can_be_written_by_others_whatever_the_umask(
    home: ServingHome,
) -> None:
    """With umask 0 the models and the keys were open to everybody; so may be those of before."""
    before = home.path / "models" / "old" / "versions"
    before.mkdir(parents=True)  # as an earlier release made it
    fresh = Settings(home=home.path.parent / "fresh")
    make_home(fresh)
    SigningKey.read_or_create(fresh.keys_dir)
    make_home(Settings(home=home.path))
    _promote(home, *_staged(home))

    places = [*home.path.rglob("*"), *fresh.home.rglob("*"), fresh.home]
    opened = [path for path in places if not path.is_symlink() and path.stat().st_mode & 0o022]

    assert opened == []
    assert stat.S_IMODE(fresh.keys_dir.stat().st_mode) == 0o700
    assert {path.name for path in places} >= {"versions", "reload_signal.json", "signing.key"}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_version_whose_signal_cannot_be_written_is_not_left_to_be_served(
    home: ServingHome, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Later, without a signal that can be read, it would be the newest that verifies.

    Where only the last step fails, the signal is there: then the version is the wanted one.
    """
    first = home.publish("m", 1)
    staged, manifest, digest = _staged(home, base_generation=1)
    replace, sync = atomic_file.replace, atomic_file.sync_directory

    def refused(source: Path, target: Path) -> None:
        if target.name == "reload_signal.json" and moment == "before":
            raise OSError(28, "No space left on device")
        replace(source, target)

    def not_synced(path: Path) -> None:
        if path == home.store.signal_path("m").parent and moment == "after":
            raise OSError(5, "Input/output error")
        sync(path)

    with monkeypatch.context() as fault:
        fault.setattr(atomic_file, "replace", refused)
        fault.setattr(atomic_file, "sync_directory", not_synced)
        if moment == "before":
            with pytest.raises(StorageUnavailable):
                _promote(home, staged, manifest, digest)
        else:
            _promote(home, staged, manifest, digest)

    signal = home.store.signal("m")
    assert signal is not None
    expected = [first] if moment == "before" else [first, manifest.version]
    assert home.store.versions("m") == expected
    assert signal.version == expected[-1]


def test_a_version_that_was_judged_against_another_generation_is_not_promoted(
    home: ServingHome,
) -> None:
    """Somebody rolled back meanwhile: what was better then may not be better now."""
    first = home.publish("m", 1)
    staged, manifest, digest = _staged(home)

    with pytest.raises(StateConflict, match="judged against generation 0, now it is 1"):
        _promote(home, staged, manifest, digest)

    assert home.store.versions("m") == [first]


@pytest.mark.parametrize("generation", [1, 2])
def test_a_generation_is_written_once(home: ServingHome, generation: int) -> None:
    """Workers follow a generation once; another version under the same number is never served."""
    home.publish("m", 1)
    second = home.publish("m", 2)
    third = home.make("m", 3)

    with pytest.raises(ValueError, match="generation must grow"):
        write_signal(home.store, "m", third, generation=generation)

    signal = home.store.signal("m")
    assert signal is not None
    assert (signal.version, signal.generation) == (second, 2)


@on_posix
def test_models_may_lie_in_another_file_system(tmp_path: Path) -> None:
    """Somebody's models are large and lie on a disk of their own; a rename does not go there."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    with tempfile.TemporaryDirectory(dir=shared_memory) as elsewhere:
        home = ServingHome(tmp_path)
        home.store.models_dir.symlink_to(elsewhere)
        staged, manifest, digest = _staged(home)

        signal = _promote(home, staged, manifest, digest)

        directory = home.store.version_dir("m", signal.version)
        verify(directory, home.key.verify_key, model="m", version=signal.version)
        assert not staged.exists()
        assert home.store.left_over("m") == []
