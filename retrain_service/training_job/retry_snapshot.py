"""Keep the snapshot of a failed run, so that its retry trains on the same rows.

After MAX_RETRIES the snapshot is deleted: if its rows are the reason of the failure, the next run
trains on fresh ones. Only the loop's thread calls this.
"""

from __future__ import annotations

import contextlib
import shutil
from datetime import datetime
from pathlib import Path

import msgspec

from retrain_service.buffer.snapshot import SnapshotInfo
from shared.atomic_file import storage_errors, write_atomic

MAX_RETRIES = 3
FOLDER = "pinned"
"""Beside the work directories of runs."""


class _SavedRows(msgspec.Struct, frozen=True):
    """model : whose it is; those of the first release do not say, and are not used any more."""

    digest: str
    n_rows: dict[str, int]
    newest: datetime | None
    high_seq: int
    taken_at: datetime
    n_retries: int
    model: str = ""


class RetrySnapshot:
    """At most one snapshot of one model, in a directory of its own."""

    def __init__(self, folder: Path, model: str) -> None:
        self._model = model
        directory = folder / model.replace("/", ".")  # no name of a model has a dot
        self._snapshot = directory / "snapshot.parquet"
        self._info = directory / "snapshot.json"

    def save(self, path: Path, info: SnapshotInfo, *, was_retry: bool) -> None:
        """Move a failed run's snapshot here, unless it was retried often enough."""
        before = self._read()
        n_retries = (before.n_retries + 1) if was_retry and before is not None else 0
        if n_retries >= MAX_RETRIES:
            self.delete()
            return
        saved = _SavedRows(
            info.digest,
            dict(info.n_rows),
            info.newest,
            info.high_seq,
            info.taken_at,
            n_retries,
            self._model,
        )
        with storage_errors(self._snapshot):
            self._snapshot.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, self._snapshot)
        write_atomic(self._info, msgspec.json.encode(saved))

    def load(self, path: Path) -> SnapshotInfo | None:
        """Copy the kept snapshot to `path` for a retry; None when there is none."""
        saved = self._read()
        if saved is None:
            return None
        with storage_errors(path):
            shutil.copyfile(self._snapshot, path)
        return SnapshotInfo(
            saved.digest,
            saved.n_rows,
            saved.newest,
            saved.high_seq,
            saved.taken_at,
        )

    def delete(self) -> None:
        """Forget it."""
        self._info.unlink(missing_ok=True)
        self._snapshot.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._snapshot.parent.rmdir()

    def _read(self) -> _SavedRows | None:
        try:
            saved = msgspec.json.decode(self._info.read_bytes(), type=_SavedRows)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            return None
        return saved if saved.model == self._model and self._snapshot.exists() else None
