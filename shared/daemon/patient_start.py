"""Start although the disk refuses for a while: say why, and try again until it does not.

For daemons; a command tells its user at once.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from shared.daemon.systemd import notify
from shared.errors import StorageUnavailable

log = structlog.get_logger()

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
_NO_SUCH_PLACE = {errno.ENOENT, errno.ENOTDIR}


def patiently(start: Callable[[], T], stop: threading.Event) -> T | None:
    """What `start` returns, called again while the disk refuses; None when `stop` was set first.

    Raises:
        StorageUnavailable, OSError: what only a person can mend: there is no such place, or a file
            is not what it should be.
    """
    pause_s, told = FIRST_PAUSE_S, ""
    while not stop.is_set():
        try:
            return start()
        except (StorageUnavailable, OSError, sqlite3.OperationalError) as error:
            if not _may_pass(error):
                raise
            sentence = f"cannot start yet: {error} It is tried again."
            if sentence != told:
                log.warning("start_waits", sentence=sentence)
                notify(f"STATUS={sentence}")
            told = sentence
        stop.wait(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return None


def _may_pass(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, StorageUnavailable) else error
    if isinstance(cause, OSError):
        return cause.errno not in _NO_SUCH_PLACE
    return cause is None or isinstance(cause, sqlite3.OperationalError)
