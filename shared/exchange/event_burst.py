"""An event burst: "the data changed", counted by one API worker."""

from __future__ import annotations

import os
import re
import socket
import threading
import uuid
import zlib
from datetime import datetime
from pathlib import Path

import msgspec

from shared.exchange.json_files import SignalUnreadable, read_struct, write_struct

EVENT_PREFIX = "event-"

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]")
_PROCESS = uuid.uuid4().hex[:12]
_counts: dict[str, int] = {}
_recording = threading.Lock()  # one process is one writer, however many threads it has


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
        _counts[model] = total = _counts.get(model, 0) + n
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
