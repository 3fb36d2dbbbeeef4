"""Find the models of the store, and the ones whose signal file has changed.

Two `stat` calls per model, so that thousands can be checked every few seconds. Reads no signal,
decides nothing. Only the reload thread calls.
"""

from __future__ import annotations

import os
from pathlib import Path

from shared.exchange.reload_signal import SIGNAL_NAME
from shared.versions.manifest import MANIFEST_NAME
from shared.versions.model_names import SAFE
from shared.versions.model_store import VERSIONS

Stamp = tuple[int, int, int]
"""Differs when a file was written or replaced: time in ns, inode, size."""

NO_SIGNAL: Stamp = (0, 0, 0)


_is_name = SAFE.fullmatch


class SignalScan:
    """Remembers which directories hold models, so that only changed ones are listed again."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = str(models_dir)
        self._below: dict[str, tuple[Stamp, list[str]]] = {}
        self._have_versions: dict[str, tuple[Stamp, bool]] = {}

    def scan(self) -> dict[str, Stamp]:
        """Each model with a signal or a version -> its signal's stamp, NO_SIGNAL without one.

        Directories whose names no model can have, and those that hold neither, are left out:
        anybody may lay down what is no model.

        Raises:
            OSError: the directory cannot be read; it not being there is no error.
        """
        found: dict[str, Stamp] = {}
        for top in _directories(self._models_dir):
            for name in (top, *self._entities(top)):
                directory = f"{self._models_dir}/{name}"
                stamp = _stamp(f"{directory}/{SIGNAL_NAME}")
                if stamp is not None:
                    found[name] = stamp
                elif self._has_versions(name, f"{directory}/{VERSIONS}"):
                    found[name] = NO_SIGNAL
        return found

    def _has_versions(self, name: str, directory: str) -> bool:
        """Whether there is a whole version; looked for again when the directory has changed."""
        stamp = _stamp(directory)
        if stamp is None:
            self._have_versions.pop(name, None)
            return False
        known = self._have_versions.get(name)
        if known is None or known[0] != stamp:
            known = self._have_versions[name] = (stamp, _holds_a_version(directory))
        return known[1]

    def _entities(self, top: str) -> list[str]:
        """Directories that may be models below another; listed again when one came or went."""
        directory = f"{self._models_dir}/{top}"
        stamp = _stamp(directory)
        if stamp is None:
            return []
        known = self._below.get(top)
        if known is None or known[0] != stamp:
            names = [f"{top}/{name}" for name in _directories(directory) if name != VERSIONS]
            known = self._below[top] = (stamp, names)
        return known[1]


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if _is_name(entry.name) and entry.is_dir()]
    except FileNotFoundError:
        return []


def _holds_a_version(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(
                entry.name[0] == "v" and _stamp(f"{entry.path}/{MANIFEST_NAME}") is not None
                for entry in entries
            )
    except OSError:
        return False


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
