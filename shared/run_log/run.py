"""One training run as the run log stores it. Values only."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class RunStatus(StrEnum):
    """A run goes queued → running → one of the others."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    SKIPPED = "skipped"


UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)
FINISHED = (RunStatus.SUCCEEDED, RunStatus.SKIPPED)
"""Runs that came to a verdict: what they saw need not be counted again."""

SUCCESS: Mapping[str, str] = {
    RunStatus.SUCCEEDED: "success",
    RunStatus.SKIPPED: "success",
    RunStatus.CANCELLED: "failed",
    RunStatus.ABANDONED: "failed",
}
"""An ended run in two words, for readers that know no others; a failed one is one of them."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run as the log has it. Times are UTC.

    high_seq : the buffer's sequence number the run trained up to; None until the snapshot.
    promoted : whether its version was published; `verdict` says why or why not.
    details : rows, days, metrics, parameters, library versions, … as the run reported them.
    """

    run_id: str
    model: str
    trigger: str
    trigger_reason: str
    version: str
    version_number: int
    status: RunStatus
    requested_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    high_seq: int | None = None
    promoted: bool = False
    verdict: str | None = None
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def run_of(row: sqlite3.Row) -> Run:
    """A row of the table `runs`."""
    return Run(
        run_id=row["run_id"],
        model=row["model"],
        trigger=row["trigger"],
        trigger_reason=row["trigger_reason"],
        version=row["version"],
        version_number=row["version_number"],
        status=RunStatus(row["status"]),
        requested_at=datetime.fromisoformat(row["requested_at"]),
        started_at=_time(row["started_at"]),
        finished_at=_time(row["finished_at"]),
        high_seq=row["high_seq"],
        promoted=bool(row["promoted"]),
        verdict=row["verdict"],
        error=row["error"],
        details=msgspec.json.decode(row["details"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
