"""The directory of versions: stage, publish, list, point at. Knows paths, opens no model.

Only the retrain daemon calls `stage`, `commit`, `point_at` and `discard_staged`;
anybody may read.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from shared.atomic_file import commit_directory, storage_errors
from shared.errors import NotFound
from shared.manifest import MANIFEST_NAME, Manifest, read_manifest
from shared.model_version import ModelVersion
from shared.signals import SIGNAL_NAME, ReloadSignal, read_struct, write_struct

VERSIONS = "versions"
BELL_NAME = ".changed"
STAGED_PREFIX = ".staged-"
DISCARDED_PREFIX = ".discarded-"


class ModelStore:
    """Versions of every model below one directory."""

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir

    def model_names(self) -> list[str]:
        """Models with a signal or a version, `<model>` or `<model>/<entity>`, sorted."""
        return sorted(
            path.parent.relative_to(self.models_dir).as_posix()
            for pattern in (f"*/{VERSIONS}", f"*/*/{VERSIONS}")
            for path in self.models_dir.glob(pattern)
            if path.is_dir()
        )

    def signal_path(self, model: str) -> Path:
        return self.models_dir / model / SIGNAL_NAME

    def version_dir(self, model: str, version: str) -> Path:
        return self.models_dir / model / VERSIONS / version

    def versions(self, model: str) -> list[str]:
        """Names of complete versions, oldest first; what is staged or half there is not listed."""
        found = []
        for path in (self.models_dir / model / VERSIONS).glob("v*"):
            try:
                found.append(ModelVersion.parse(path.name))
            except ValueError:
                continue
        return [
            str(version)
            for version in sorted(found)
            if (self.version_dir(model, str(version)) / MANIFEST_NAME).is_file()
        ]

    def manifest(self, model: str, version: str) -> Manifest:
        """The manifest of a version, unverified: for showing, never for loading.

        Raises:
            NotFound: there is no such version.
            ManifestInvalid: its manifest cannot be read.
        """
        if version not in self.versions(model):
            raise NotFound(f"model {model} has no version {version}.")
        return read_manifest(self.version_dir(model, version))[0]

    def signal(self, model: str) -> ReloadSignal | None:
        """What is wanted now; None before the first promotion.

        Raises:
            SignalUnreadable: the file exists but is not a signal.
        """
        return read_struct(self.signal_path(model), ReloadSignal)

    # -- the retrain daemon's half ---------------------------------------------------------------

    def stage(self, model: str, run_id: str) -> Path:
        """An empty directory in the versions' own file system for one run to fill."""
        path = self.staged_dir(model, run_id)
        with storage_errors(path):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        return path

    def staged_dir(self, model: str, run_id: str) -> Path:
        """Where a run stages its version."""
        return self.models_dir / model / VERSIONS / f"{STAGED_PREFIX}{run_id}"

    def left_over(self, model: str) -> list[Path]:
        """Directories that a run left behind: staged, or half removed."""
        versions = self.models_dir / model / VERSIONS
        return sorted([*versions.glob(f"{STAGED_PREFIX}*"), *versions.glob(f"{DISCARDED_PREFIX}*")])

    def commit(self, model: str, staged: Path, version: str) -> Path:
        """Give a staged version its name. Afterwards it is there, whole, also after a power cut."""
        final = self.version_dir(model, version)
        commit_directory(staged, final)
        return final

    def point_at(self, model: str, signal: ReloadSignal) -> None:
        """State the wanted version. The rename inside is the commit of a promotion.

        Raises:
            ValueError: the generation does not grow; a defect of the caller.
        """
        current = self.signal(model)
        if current is not None and signal.generation <= current.generation:
            raise ValueError(
                f"generation must grow: {model} is at {current.generation},"
                f" asked for {signal.generation}"
            )
        self.write_signal(model, signal)

    def write_signal(self, model: str, signal: ReloadSignal) -> None:
        """Write a signal whatever is there; for one that is damaged. Others use `point_at`."""
        write_struct(self.signal_path(model), signal)
        # Who watches thousands of models watches this file instead; lost, it costs seconds.
        with contextlib.suppress(OSError):
            (self.models_dir / BELL_NAME).write_text(model)
