"""Read the reports of workers that run, and remove those of workers that ended."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from shared.daemon.liveness import still_runs
from shared.daemon.loop import utc_now
from shared.exchange.worker_report import (
    WorkerReport,
    read_worker_reports,
)

STALE_AFTER_S = 15.0


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
