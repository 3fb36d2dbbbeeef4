"""The report of one API worker: served versions, watcher state, receipts of the last swaps."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from shared.exchange.json_files import SignalUnreadable, read_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What one swap took in one worker. Times in milliseconds, memory in bytes (RSS).

    wait_ms : from warm until every other worker was, too.
    """

    version: str
    generation: int
    previous: str | None
    detect_ms: float
    verify_ms: float
    load_ms: float
    golden_ms: float
    warm_ms: float
    wait_ms: float = 0.0
    switch_ms: float
    drain_ms: float | None
    rss_before_bytes: int
    rss_after_bytes: int | None
    requests_failed: int
    swapped_at: datetime


class ServingReport(msgspec.Struct, frozen=True, kw_only=True):
    """One model as one worker sees it.

    state, generation : of the wanted version (a VersionState's value).
    version : the version that serves now, None when none does.
    degraded : why what serves is not what is wanted; None when it is.
    degraded_code : the same as one of the problem codes of docs/operations.md.
    quarantined : "<version> generation <n>" -> reason.
    prepared : a generation that is warm here and waits for the other workers.
    """

    state: str
    generation: int
    wanted: str | None
    version: str | None
    serving_generation: int | None
    degraded: str | None = None
    degraded_code: str | None = None
    error: str | None = None
    quarantined: dict[str, str] = {}
    receipt: Receipt | None = None
    prepared: int | None = None


class WatcherReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether directory events arrive; without them the slow timer still sees every change.

    is_stuck : the reload loop itself no longer looks; only a restart helps.
    """

    is_well: bool
    sentence: str
    is_stuck: bool = False


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """`reports/<host>-<pid>.json`: written by one API worker on every change and heartbeat.

    models : those that it has opened, or has something to say of.
    n_idle : others that it opens when somebody asks for them.
    problems : what is wrong with the worker itself and with what it needs, as sentences.
    """

    host: str
    pid: int
    started_at: datetime
    updated_at: datetime
    watcher: WatcherReport
    models: dict[str, ServingReport]
    n_idle: int = 0
    problems: list[str] = []


def read_worker_reports(reports_dir: Path) -> list[WorkerReport]:
    """Every worker report that parses, ordered by pid; the retrain report is not among them."""
    reports = []
    for path in sorted(reports_dir.glob("*.json")):
        if path.name == RETRAIN_REPORT_NAME:
            continue
        try:
            report = read_struct(path, WorkerReport)
        except SignalUnreadable:
            continue
        if report is not None:
            reports.append(report)
    return sorted(reports, key=lambda report: report.pid)
