"""Move event bursts ("the data changed"), which the API writes as files, into the run log.

Taken by rename, kept, and only then deleted: a crash at any point has a file kept once more
rather than not at all, and the run log knows what it has. Knows no trigger; only the loop's
thread calls it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

import structlog

from shared.atomic_file import replace, storage_errors
from shared.errors import StorageUnavailable
from shared.exchange.event_burst import EVENT_PREFIX, EventBurst
from shared.exchange.json_files import SignalUnreadable, read_struct
from shared.run_log.writer import RunLog

log = structlog.get_logger()

TAKEN = ".taken"


def collect_events(
    requests_dir: Path, run_log: RunLog, models: Mapping[str, Collection[str]], now: datetime
) -> None:
    """Move every recorded event into the run log; what a daemon that died had taken, too.

    models : a name that events may carry -> the full names of the trainings that it concerns.

    Raises:
        StorageUnavailable: an event could not be kept; its file is still there.
    """
    for path in sorted(requests_dir.glob(f"{EVENT_PREFIX}*.json")):
        # From here on the worker writes a new file: nothing it adds can be deleted unread.
        with storage_errors(path), contextlib.suppress(FileNotFoundError):
            replace(path, path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{TAKEN}"))
    found = [
        (burst, taken)
        for taken in requests_dir.glob(f"{EVENT_PREFIX}*{TAKEN}")
        if (burst := _read(taken)) is not None
    ]
    # In the order in which each worker wrote them: by its total it is known what is new.
    for burst, taken in sorted(found, key=lambda one: one[0].total):
        _keep(burst, run_log, models, now)
        taken.unlink(missing_ok=True)


def _read(taken: Path) -> EventBurst | None:
    try:
        return read_struct(taken, EventBurst)
    except SignalUnreadable as error:
        if isinstance(error.__cause__, OSError):
            raise StorageUnavailable(str(error)) from error  # for now: the file waits
        log.warning("event_unreadable", sentence=f"{error}; set aside.")
        taken.replace(taken.with_name(f"{taken.name}.unreadable"))
        return None


def _keep(
    burst: EventBurst, run_log: RunLog, models: Mapping[str, Collection[str]], now: datetime
) -> None:
    if burst.model not in models:
        log.warning("event_refused", sentence=f"no model {burst.model!r} is configured")
        return
    # A clock that was set back in between must not put an event off into the future.
    first_at, last_at = min(burst.first_at, now), min(burst.last_at, now)
    # A worker counts by the name that it was told: a model, or one of its entities.
    writer = f"{burst.writer} {burst.model}" if burst.writer else ""
    for name in models[burst.model]:
        run_log.add_pending_events(name, first_at, last_at, burst.n, writer, burst.total)
