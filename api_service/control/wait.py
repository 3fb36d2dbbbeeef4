"""Wait for a requested run to end, without blocking other requests.

At most a few requests of a worker wait at a time; clients poll the URL of a longer run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from api_service.status.runs import show_run_or_refusal
from shared.errors import NotFound, StorageUnavailable
from shared.run_log.run import UNFINISHED

_MOST_AT_A_TIME = 2
_LOOK_EVERY_S = 0.2
_places = threading.BoundedSemaphore(_MOST_AT_A_TIME)

T = TypeVar("T")


def wait_for_run(path: Path, run_id: str, timeout_s: float) -> dict[str, Any] | None:
    """The run once it has ended; None when it has not within `timeout_s`, or no place is free."""
    return wait_for(partial(_ended, path, run_id), timeout_s)


def wait_for(look: Callable[[], T | None], timeout_s: float) -> T | None:
    """What `look` finds; None when it finds nothing within `timeout_s`, or no place is free."""
    if not _places.acquire(blocking=False):
        return None
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(_LOOK_EVERY_S)
        return None
    finally:
        _places.release()


def _ended(path: Path, run_id: str) -> dict[str, Any] | None:
    try:
        found = show_run_or_refusal(path, run_id)
    except (NotFound, StorageUnavailable):
        return None
    return None if found["status"] in UNFINISHED else found
