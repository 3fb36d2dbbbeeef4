"""Compute a token that changes when a console page would show something new.

A digest of the state without values that change all the time, such as ages.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from api_service.console.data import read_reports
from api_service.web.yield_lock import yield_lock

if TYPE_CHECKING:
    from api_service.context import Context

_COARSE_S = 30


def digest_of(context: Context, environ: dict[str, Any]) -> str:
    """Changes with every event, run, swap, report of trouble or step of a training; and every
    half minute in which sources are read, so that ages and counts stay true."""
    reports = read_reports(context, environ)
    digest = hashlib.sha256()
    for worker in reports.workers:
        digest.update(msgspec.json.encode((worker.pid, worker.watcher, worker.models)))
    digest.update(reports.retrain.state.encode())
    if reports.retrain.report is not None:
        for name, training in reports.retrain.report.models.items():
            digest.update(msgspec.json.encode((name, _without_ticks(training))))
    with yield_lock(environ):
        digest.update(_log_state(context))
    digest.update(str(int(reports.now.timestamp()) // _COARSE_S).encode())
    return digest.hexdigest()[:24]


def _without_ticks(training: Any) -> Any:
    sources = [
        (one.stream, one.state, one.sentence, one.billed_reads_today) for one in training.sources
    ]
    return (
        *(training.new_records, training.next_due, training.running_run_id, training.stage),
        *(training.progress, training.error, training.hold, sources),
    )


def _log_state(context: Context) -> bytes:
    """Number of the newest event, and how many runs there are in which state."""
    path = context.config.run_log_path
    if not path.exists():
        return b"none"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            newest = connection.execute("SELECT max(seq) FROM events").fetchone()
            runs = connection.execute("SELECT count(*), max(finished_at) FROM runs").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return b"not readable"
    return repr((newest, runs)).encode()
