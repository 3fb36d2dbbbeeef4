"""Who serves what, by files that the others read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec

from api_service.status.workers import live_reports, remove_stale
from api_service.worker.report import OwnReport
from shared.daemon.liveness import SILENT_ELSEWHERE
from shared.daemon.loop import utc_now
from shared.exchange.json_files import read_struct, write_struct
from shared.exchange.worker_report import WatcherReport, WorkerReport, read_worker_reports

WELL = WatcherReport(is_well=True, sentence="directory events arrive.")


def report_of(pid: int, host: str, directory: Path) -> Path:
    path = directory / f"{host}-{pid}.json"
    now = utc_now()
    write_struct(
        path,
        WorkerReport(host=host, pid=pid, started_at=now, updated_at=now, watcher=WELL, models={}),
    )
    return path


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_report_is_written_and_removed_at_a_clean_exit(tmp_path: Path) -> None:
    """A worker that ended on purpose must not look like one that died."""
    own = OwnReport(tmp_path)

    own.write(utc_now(), WELL, {})
    assert [report.pid for report in live_reports(tmp_path)] == [os.getpid()]

    own.remove()
    own.write(utc_now(), WELL, {})  # a heartbeat that comes a moment late
    assert read_worker_reports(tmp_path) == []


def test_reports_of_dead_processes_of_this_host_are_removed(tmp_path: Path) -> None:
    """kill -9 leaves a report behind; nobody else cleans it."""
    dead = report_of(ended_pid(), socket.gethostname(), tmp_path)
    alive = report_of(os.getpid(), socket.gethostname(), tmp_path)
    elsewhere = report_of(ended_pid(), "another-host", tmp_path)

    assert remove_stale(tmp_path) == [dead]

    assert alive.exists()
    assert elsewhere.exists()


def test_what_left_another_host_long_ago_is_no_worker_any_more(tmp_path: Path) -> None:
    """A container that was killed never comes back under its name; health must not wait for it."""
    path = report_of(1, "container", tmp_path)
    report = read_struct(path, WorkerReport)
    assert report is not None
    silent = report.updated_at - SILENT_ELSEWHERE - timedelta(seconds=1)
    assert live_reports(tmp_path) == [report]

    write_struct(path, msgspec.structs.replace(report, updated_at=silent))

    assert live_reports(tmp_path) == []
    assert remove_stale(tmp_path) == [path]


def test_a_reused_process_number_is_not_the_worker(tmp_path: Path) -> None:
    """Numbers come around again; a report older than the process of its number is stale."""
    path = report_of(os.getpid(), socket.gethostname(), tmp_path)
    report = read_struct(path, WorkerReport)
    assert report is not None
    long_ago = report.started_at - timedelta(days=1)
    write_struct(path, msgspec.structs.replace(report, started_at=long_ago))

    assert live_reports(tmp_path) == []


def test_a_report_that_cannot_be_written_does_not_stop_the_worker(tmp_path: Path) -> None:
    """Serving goes on with a full disk; the report is the lesser loss."""
    (tmp_path / "reports").write_bytes(b"a file where the directory should be")
    own = OwnReport(tmp_path / "reports")

    own.write(utc_now(), WELL, {})
    own.remove()
