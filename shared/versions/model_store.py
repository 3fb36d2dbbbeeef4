"""The directory of versions: stage, commit, list, write the signal. Knows paths, opens no model.

Only the retrain daemon calls `clear_staged`, `stage`, `commit` and `write_signal`; any process
may read.
Versions are staged outside the directory of models, where nobody but the daemon can write.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from shared.atomic_file import commit_directory, make_directories, storage_errors, write_atomic
from shared.errors import NotFound, StorageUnavailable
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import SigningKey, VerifyKey
from shared.plain_file import Stamp, stamp_of
from shared.versions.manifest import MANIFEST_NAME, Manifest, read_manifest
from shared.versions.model_version import ModelVersion
from shared.versions.signal_store import SignalStore

VERSIONS = "versions"
STAGING = "staging"
WAKE_FILE = ".changed"
STAGED_PREFIX = ".staged-"
DISCARDED_PREFIX = ".discarded-"
_NEVER: Stamp = (0, 0, 0, 0)


class ModelStore:
    """Versions of every model below one directory.

    signals : what is wanted of each. read_key, signing : as `SignalStore` takes them.
    """

    def __init__(
        self,
        models_dir: Path,
        read_key: Callable[[], VerifyKey] | None = None,
        signing: SigningKey | None = None,
    ) -> None:
        self.models_dir = models_dir
        self.signals = SignalStore(models_dir, read_key, signing)
        self._staging_dir = models_dir.parent / STAGING
        self._looked_at: dict[str, Stamp | None] = {}

    def model_names(self) -> list[str]:
        """Models with a signal or a version, `<model>` or `<model>/<entity>`, sorted."""
        return sorted(
            path.parent.relative_to(self.models_dir).as_posix()
            for pattern in (f"*/{VERSIONS}", f"*/*/{VERSIONS}")
            for path in self.models_dir.glob(pattern)
            if path.is_dir()
        )

    def signal_path(self, model: str) -> Path:
        return self.signals.path(model)

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
            SignalUnreadable: what lies there is not a signal that can be believed.
        """
        return self.signals.read(model)

    # -- the retrain daemon's half ---------------------------------------------------------------

    def stage(self, model: str, run_id: str) -> Path:
        """An empty private directory for one run to fill."""
        path = self.staged_dir(model, run_id)
        with storage_errors(path):
            shutil.rmtree(path, ignore_errors=True)
            make_directories(self._staging_dir, 0o700)
            make_directories(path, 0o700)
        return path

    def staged_dir(self, model: str, run_id: str) -> Path:
        """Where a run stages its version; no name of a model has a dot."""
        return self._staging_dir / model.replace("/", ".") / run_id

    def clear_staged(self) -> None:
        """Remove what runs left behind that are over; while none is under way."""
        shutil.rmtree(self._staging_dir, ignore_errors=True)

    def left_over(self, model: str) -> list[Path]:
        """Directories beside the versions that a run left behind: half there, or half removed."""
        versions = self.models_dir / model / VERSIONS
        return sorted([*versions.glob(f"{STAGED_PREFIX}*"), *versions.glob(f"{DISCARDED_PREFIX}*")])

    def commit(self, model: str, staged: Path, version: str) -> Path:
        """Give a staged version its name. Afterwards it is there, whole, also after a power cut."""
        final = self.version_dir(model, version)
        with storage_errors(final):
            make_directories(final.parent)
            # As open as the directory that it goes to, but never for writing.
            staged.chmod(final.parent.stat().st_mode & 0o755)
        commit_directory(staged, final)
        return final

    def restore_signal(self, model: str) -> str | None:
        """Put what is wanted back where something else lies in the signal's place.

        Cheap while the file is the one of the last look.

        Returns:
            What was found there, when it was replaced.

        Raises:
            StorageUnavailable: it cannot be written now.
        """
        stamp = stamp_of(self.signal_path(model))
        if stamp == self._looked_at.get(model, _NEVER):
            return None
        found = self.signals.restore(model, self.versions(model))
        self._looked_at[model] = stamp  # of before: what came since is looked at next
        return found

    def write_signal(self, model: str, signal: ReloadSignal) -> None:
        """State the wanted version. The rename inside is the commit of a promotion.

        Raises:
            ValueError: the generation does not grow; a defect of the caller.
            StorageUnavailable: the disk refused; the signal before stands.
        """
        current = self.signal(model)
        if current is not None and signal.generation <= current.generation:
            raise ValueError(
                f"generation must grow: {model} is at {current.generation},"
                f" asked for {signal.generation}"
            )
        self.signals.write(model, signal, self.versions(model))
        # Who watches thousands of models watches this file instead; lost, it costs seconds.
        with contextlib.suppress(OSError, StorageUnavailable):
            write_atomic(self.models_dir / WAKE_FILE, model.encode(), is_synced=False)
