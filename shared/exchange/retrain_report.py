"""The report of the retrain daemon: sources, buffer and training of each model."""

from __future__ import annotations

from datetime import datetime

import msgspec

RETRAIN_REPORT_NAME = "retrain.json"


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """Health of one stream of one model.

    state : ok, catching_up, unavailable, misconfigured or budget.
    n_without_cursor_field : records that no read will ever bring; None when not looked at yet.
    """

    source: str
    stream: str
    state: str
    sentence: str
    since: datetime | None
    last_read_at: datetime | None
    billed_reads_today: int
    daily_read_budget: int
    n_records: int
    n_without_cursor_field: int | None


class BufferReport(msgspec.Struct, frozen=True, kw_only=True):
    """The local copy of a model's streams. Times are of the records' `updated_at`, UTC."""

    n_records: int
    n_files: int
    oldest: datetime | None
    newest: datetime | None
    size_bytes: int
    rejected: dict[str, int] = {}


class LiveSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Live errors of one part of the answers: a device, a metric at a horizon."""

    slice: str
    n: int
    error: float
    coverage: float | None


class LiveVersion(msgspec.Struct, frozen=True, kw_only=True):
    """How far a version's answers were from what came.

    n : answers whose truth is known. error : their mean absolute error; None where slices have
    different units. low, high : between these it lies, whenever one looks; None in the first days.
    coverage : share of the answered intervals that hold the truth. since : the first answer.
    """

    version: str
    n: int
    error: float | None
    low: float | None
    high: float | None
    coverage: float | None
    n_days: int
    since: datetime
    slices: list[LiveSlice]


class TrainingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where the training of one model stands.

    is_ready, ready_reason : whether a training that is asked for now would begin at once.
    next_due : what will start the next run, as a sentence.
    """

    new_records: int
    new_records_needed: int
    next_due: str
    last_run_id: str | None
    running_run_id: str | None
    stage: str | None
    progress: float | None
    error: str | None
    hold: bool
    n_usable_records: int
    is_ready: bool = False
    ready_reason: str = ""
    buffer: BufferReport | None = None
    sources: list[SourceReport]
    live: list[LiveVersion] = []


class RetrainReport(msgspec.Struct, frozen=True, kw_only=True):
    """`reports/retrain.json`: the retrain daemon's own state, a heartbeat every few seconds."""

    host: str
    pid: int
    started_at: datetime
    updated_at: datetime
    models: dict[str, TrainingReport]
    error: str | None = None
