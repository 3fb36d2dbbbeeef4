"""Write this worker's own report file. One writer per file."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import structlog

from shared.daemon.loop import utc_now
from shared.errors import StorageUnavailable
from shared.exchange.json_files import write_struct, write_without_fsync
from shared.exchange.worker_report import (
    ServingReport,
    WatcherReport,
    WorkerReport,
)

log = structlog.get_logger()

HEARTBEAT_S = 3.0


class OwnReport:
    """`reports/<host>-<pid>.json` of this process. The reload and the heartbeat thread write."""

    def __init__(self, reports_dir: Path) -> None:
        self._host = socket.gethostname()
        self._pid = os.getpid()
        self.path = reports_dir / f"{self._host}-{self._pid}.json"
        self._started_at = utc_now()
        self._lock = threading.Lock()
        self.error: str | None = None
        """Why it was not written the last time; None when it was."""
        self._is_removed = False

    def write(
        self,
        now: datetime,
        watcher: WatcherReport,
        models: Mapping[str, ServingReport],
        n_idle: int = 0,
        problems: Sequence[str] = (),
        *,
        is_hasty: bool = False,
    ) -> None:
        """Replace the report. A full disk is told once and never stops the caller.

        Args:
            is_hasty: it outlives this process, but not a power cut; many times faster.
        """
        report = WorkerReport(
            host=self._host,
            pid=self._pid,
            started_at=self._started_at,
            updated_at=now,
            watcher=watcher,
            models=dict(models),
            n_idle=n_idle,
            problems=list(problems),
        )
        with self._lock:
            if self._is_removed:
                return
            try:
                (write_without_fsync if is_hasty else write_struct)(self.path, report)
            except (StorageUnavailable, OSError) as error:
                if str(error) != self.error:
                    log.warning("report_not_written", reason=str(error))
                self.error = str(error)
            else:
                self.error = None

    def remove(self) -> None:
        """Take the report away at a clean exit; later writes do nothing."""
        with self._lock:
            self._is_removed = True
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
