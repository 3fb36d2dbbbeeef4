"""This worker's own report, and who of the others is alive. One writer per file."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import structlog

from shared.daemon.liveness import still_runs
from shared.daemon.loop import utc_now
from shared.errors import StorageUnavailable
from shared.exchange.json_files import (
    ServingReport,
    WatcherReport,
    WorkerReport,
    read_worker_reports,
    write_hastily,
    write_struct,
)

log = structlog.get_logger()

HEARTBEAT_S = 3.0
STALE_AFTER_S = 15.0


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
                (write_hastily if is_hasty else write_struct)(self.path, report)
            except (StorageUnavailable, OSError) as error:
                if str(error) != self.error:
                    log.warning("report cannot be written", reason=str(error))
                self.error = str(error)
            else:
                self.error = None

    def remove(self) -> None:
        """Take the report away at a clean exit; later writes do nothing."""
        with self._lock:
            self._is_removed = True
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def is_alive(report: WorkerReport) -> bool:
    """Whether the process that wrote the report still runs; of another host, by its heartbeat."""
    return still_runs(
        report.host,
        report.pid,
        started_at=report.started_at,
        updated_at=report.updated_at,
        now=utc_now(),
    )


def live_reports(reports_dir: Path) -> list[WorkerReport]:
    """Reports of workers that run."""
    return [report for report in read_worker_reports(reports_dir) if is_alive(report)]


def remove_stale(reports_dir: Path, keep: Collection[WorkerReport] = ()) -> list[Path]:
    """Remove what dead workers left behind; safe in several workers at once."""
    removed = []
    for report in read_worker_reports(reports_dir):
        if report in keep or is_alive(report):
            continue
        path = reports_dir / f"{report.host}-{report.pid}.json"
        try:
            path.unlink()
        except OSError:  # another worker was faster, or the directory is not ours to write
            continue
        removed.append(path)
    return removed
