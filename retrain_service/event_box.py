"""Takes the files in which the API says "the data changed" and keeps them in the run log.

Taken by rename, kept, and only then deleted: a crash at any point tells an event once more
rather than not at all. Knows no trigger. Only the loop's thread calls this.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

import structlog

from shared.atomic_file import replace, storage_errors
from shared.run_log import RunLog
from shared.signals import EVENT_PREFIX, EventBurst, SignalUnreadable, read_struct

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
    for taken in sorted(requests_dir.glob(f"{EVENT_PREFIX}*{TAKEN}")):
        _keep(taken, run_log, models, now)


def _keep(
    taken: Path, run_log: RunLog, models: Mapping[str, Collection[str]], now: datetime
) -> None:
    try:
        burst = read_struct(taken, EventBurst)
    except SignalUnreadable as error:
        log.warning("event_unreadable", sentence=f"{error}; set aside.")
        taken.replace(taken.with_name(f"{taken.name}.unreadable"))
        return
    if burst is None:
        return
    if burst.model in models:
        # A clock that was set back in between must not put an event off into the future.
        first_at, last_at = min(burst.first_at, now), min(burst.last_at, now)
        for name in models[burst.model]:
            run_log.add_pending_events(name, first_at, last_at, burst.n)
    else:
        log.warning("event_refused", sentence=f"no model {burst.model!r} is configured")
    taken.unlink(missing_ok=True)
