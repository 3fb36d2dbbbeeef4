"""Versions of libraries: those installed now, and those a version was trained with.

Looked up seldom, for it is asked at each tick. Compares nothing; decides nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

from shared.errors import NotFound, SettingsInvalid, VersionUnusable
from shared.versions.model_store import ModelStore
from shared.workloads import open_workload
from shared.workloads.contract import Workload

LOOK_AGAIN_AFTER = timedelta(minutes=1)


class Environment:
    """Of one model. Only the loop's thread calls it."""

    def __init__(self, model: str, store: ModelStore, workload: Workload | None = None) -> None:
        self._model = model
        self._workload = workload
        self._store = store
        self._installed: Mapping[str, str] = {}
        self._looked_at: datetime | None = None
        self._recorded: tuple[str, Mapping[str, str] | None] | None = None

    def installed(self, now: datetime) -> Mapping[str, str]:
        """What the next training process will find: an upgrade needs no restart to be seen."""
        if self._looked_at is None or abs(now - self._looked_at) >= LOOK_AGAIN_AFTER:
            self._installed, self._looked_at = library_versions(self._workload), now
        return self._installed

    def of_version(self, version: str | None) -> Mapping[str, str] | None:
        """What a version was trained with; None when there is no such version to read."""
        if version is None:
            return None
        if self._recorded is None or self._recorded[0] != version:
            try:
                libraries = self._store.manifest(self._model, version).libraries
            except (NotFound, VersionUnusable):
                return None
            self._recorded = (version, libraries)
        return self._recorded[1]


RECORDED_LIBRARIES = ("scikit-learn", "numpy", "joblib")


def library_versions(workload: Workload | None = None) -> dict[str, str]:
    """What a stored estimator depends on; of a workload, also what its own are made of."""
    found = {name: version(name) for name in RECORDED_LIBRARIES}
    own = workload.libraries() if workload is not None else {}
    return {"python": platform.python_version(), **found, **own}


def libraries_for(workload: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """The same, for parameters that the training process may still refuse."""
    try:
        return library_versions(open_workload(workload, parameters))
    except SettingsInvalid:
        return library_versions()
