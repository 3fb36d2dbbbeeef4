"""Copy the home so that it can be restored, while the daemons run. Knows no command line.

Copied with `cp` or `tar`, the two SQLite files may be torn, and a signal may name a version that
came after its folder was read. Here the order is that of a crash at one moment, which the daemons
recover from at every start: run log first, then signals, then the versions that they name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.atomic_file import open_new, storage_errors, sync_directory
from shared.errors import StateConflict, StorageUnavailable
from shared.plain_file import FileRefused, open_plain
from shared.settings.root import Settings
from shared.versions.model_store import ModelStore
from shared.versions.signal_store import STATE

CONFIG_NAME = "hotfit.toml"
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup holds. n_bytes : of all files."""

    path: Path
    n_models: int
    n_versions: int
    n_bytes: int
    has_buffer: bool


def back_up(settings: Settings, target: Path, *, with_buffer: bool, config: Path | None) -> Copied:
    """Copy the home to `target`, which appears when everything is in it.

    Args:
        with_buffer: copy the buffer too; only while this process holds the retrain lock.
        config: the configuration file that is put beside it.

    Raises:
        StateConflict: something is there already.
        StorageUnavailable: it cannot be written; nothing is left of it.
    """
    if target.exists():
        raise StateConflict(f"{target} exists; expected a folder that is made by this backup.")
    partial = target.with_name(target.name + _PARTIAL)
    with storage_errors(target):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
    try:
        with storage_errors(target):
            _copy_sqlite([settings.run_log_path, settings.feed_path], partial)
            _copy_files(settings.home / STATE, partial / STATE)
            n_models, n_versions = _copy_models(settings.models_dir, partial / "models")
            _copy_files(settings.keys_dir, partial / "keys")
            if with_buffer:
                _copy_files(settings.buffer_dir, partial / "buffer")
            if config is not None and config.is_file():
                _copy(config, partial / CONFIG_NAME)
            partial.rename(target)
            sync_directory(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Copied(target, n_models, n_versions, _size(target), with_buffer)


def _copy_sqlite(paths: Sequence[Path], target: Path) -> None:
    """One moment of each database, whoever writes to it meanwhile."""
    for path in paths:
        if not path.is_file():
            continue
        try:
            with (
                contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
                contextlib.closing(sqlite3.connect(target / path.name)) as copy,
            ):
                source.backup(copy)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"{path}: cannot be copied: {error}.") from error


def _copy_models(models_dir: Path, target: Path) -> tuple[int, int]:
    store, copy = ModelStore(models_dir), ModelStore(target)
    names = store.model_names()
    for name in names:
        copy.signal_path(name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError, FileRefused):  # nothing was promoted yet
            _copy(store.signal_path(name), copy.signal_path(name))
    n_versions = 0
    for name in names:
        for version in store.versions(name):
            made = copy.version_dir(name, version)
            try:
                _copy_files(store.version_dir(name, version), made)
            except (FileNotFoundError, FileRefused):  # forgotten meanwhile, or no version
                shutil.rmtree(made, ignore_errors=True)
            else:
                n_versions += 1
    return len(names), n_versions


def _copy_files(source: Path, target: Path) -> None:
    """A folder with all below it, in their modes.

    Raises:
        FileNotFoundError: a file went while it was copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            (target / path.relative_to(source)).mkdir(parents=True, exist_ok=True)
        elif not path.name.endswith(".tmp"):
            _copy(path, target / path.relative_to(source))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        open_plain(source) as file,
        open_new(target, mode=os.fstat(file.fileno()).st_mode & 0o777) as copy,
    ):
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
