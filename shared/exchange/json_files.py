"""The small files the daemons exchange: reload signal, reports, requests, event bursts.

Values and their reading and writing; no decisions. Each file has one writer. A file that does
not parse is treated as absent by the readers here and named to the caller.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import uuid
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from shared.atomic_file import write_atomic
from shared.keys.signature import Signature
from shared.plain_file import FileRefused, read_plain

SIGNAL_NAME = "reload_signal.json"
RETRAIN_REPORT_NAME = "retrain.json"
EVENT_PREFIX = "event-"

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]")
_PROCESS = uuid.uuid4().hex[:12]
_told: dict[str, int] = {}
_MOST_BYTES = 64_000_000
_recording = threading.Lock()  # one process is one writer, however many threads it has

S = TypeVar("S", bound=msgspec.Struct)


class SignalUnreadable(Exception):
    """A file exists but is not what it should be; the sentence says what and where."""


class ReloadSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The wanted version of one model. `generation` only grows; written by the retrain daemon.

    signature : over all the rest and the model's name; None as releases before wrote it.
    """

    generation: int
    version: str
    manifest_sha256: str
    previous: str | None
    reason: str
    hold: bool = False
    promoted_at: datetime
    signature: Signature | None = None


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


class RetrainReport(msgspec.Struct, frozen=True, kw_only=True):
    """`reports/retrain.json`: the retrain daemon's own state, a heartbeat every few seconds."""

    host: str
    pid: int
    started_at: datetime
    updated_at: datetime
    models: dict[str, TrainingReport]
    error: str | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`requests/<id>.json`: what the API asks the retrain daemon to do; consumed once.

    id : unique; for `train` it is also the run id.
    """

    id: str
    kind: Literal["train", "cancel", "rollback", "hold", "release", "reload", "prune", "forget"]
    model: str
    requested_at: datetime
    requested_by: str
    version: str | None = None
    run_id: str | None = None
    reason: str = ""
    options: dict[str, Any] = {}


class EventBurst(msgspec.Struct, frozen=True, kw_only=True):
    """`requests/event-<model>-<host>-<pid>.json`: "the data changed", told `n` times.

    Written by one API worker; taken, file and all, by the retrain daemon.

    writer : the worker's process, by a name that never comes again.
    total : how often that process told it of this model in all.
    """

    model: str
    first_at: datetime
    last_at: datetime
    n: int
    writer: str = ""
    total: int = 0


def record_event(requests_dir: Path, model: str, now: datetime, n: int = 1) -> EventBurst:
    """Write down that the data of a model changed; any thread of a worker may call this.

    The worker's file is replaced whole. Should the daemon take the one before in between, its
    events are told once more; the daemon knows them by the worker's total.

    Raises:
        StorageUnavailable: it could not be written; the event is not recorded.
    """
    path = requests_dir / _event_name(model)
    with _recording:
        try:
            before = read_struct(path, EventBurst)
        except SignalUnreadable:
            before = None
        _told[model] = total = _told.get(model, 0) + n
        burst = EventBurst(
            model=model,
            first_at=min(before.first_at, now) if before is not None else now,
            last_at=max(before.last_at, now) if before is not None else now,
            n=n + (before.n if before is not None else 0),
            writer=f"{os.getpid()}-{_PROCESS}",
            total=total,
        )
        write_struct(path, burst)
    return burst


def _event_name(model: str) -> str:
    name = model.replace("/", "__")
    if "__" in model:  # a__b is not a/b
        name += f"-{zlib.crc32(model.encode()):08x}"
    host = _NOT_IN_A_NAME.sub("_", socket.gethostname())
    return f"{EVENT_PREFIX}{name}-{host}-{os.getpid()}.json"


def write_struct(path: Path, value: msgspec.Struct) -> None:
    """Write one of the structs above so that a reader sees all of it or the one before."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_hastily(path: Path, value: msgspec.Struct) -> None:
    """As `write_struct`, but a power cut may lose it: for what is written many times a second."""
    write_atomic(path, msgspec.json.encode(value), is_synced=False)


def read_struct(path: Path, kind: type[S]) -> S | None:
    """Read one of the structs above; None when the file does not exist.

    Raises:
        SignalUnreadable: it exists but cannot be read as `kind`.
    """
    try:
        return msgspec.json.decode(read_plain(path, _MOST_BYTES), type=kind)
    except FileNotFoundError:
        return None
    except FileRefused as refused:
        raise SignalUnreadable(f"{path.parent}: {refused}") from None
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise SignalUnreadable(f"{path}: not a {kind.__name__}: {error}") from error


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
