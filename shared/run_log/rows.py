"""Runs and events as rows of the run log: the statements that insert them, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from shared.run_log.run import Run

EventRow = tuple[str, str, str, str, str | None, str]


INSERT_EVENT = (
    "INSERT INTO events (at, model, kind, sentence, run_id, details) VALUES (?,?,?,?,?,?)"
)


INSERT_RUN = (
    "INSERT INTO runs (run_id, idempotency_key, model, trigger, trigger_reason, version,"
    " version_number, status, requested_at, started_at, finished_at, high_seq, promoted, verdict,"
    " error, details) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


def event_row(
    at: datetime,
    model: str,
    kind: str,
    sentence: str,
    run_id: str | None,
    details: Mapping[str, Any] | None,
) -> EventRow:
    content = msgspec.json.encode(details or {}).decode()
    return (at.isoformat(), model, kind, sentence, run_id, content)


def run_row(run: Run) -> tuple[object, ...]:
    return (
        run.run_id,
        run.run_id,  # the column was the decision's key once, and must be unique
        run.model,
        run.trigger,
        run.trigger_reason,
        run.version,
        run.version_number,
        run.status,
        run.requested_at.isoformat(),
        time_text(run.started_at),
        time_text(run.finished_at),
        run.high_seq,
        run.promoted,
        run.verdict,
        run.error,
        msgspec.json.encode(run.details).decode(),
    )


def time_text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
