"""Limit attempts to sign in, over all workers of the host. Knows no key.

The attempts of the last minute are in one small file under a lock, so the limit is the same with
one worker and with sixteen. An attempt counts before its key is checked, and is removed when the
key was valid: workers that check at the same moment cannot let more through.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import filelock
import msgspec
import structlog

from shared.atomic_file import write_atomic
from shared.errors import AnswerClient, StorageUnavailable

log = structlog.get_logger()

WINDOW = timedelta(minutes=1)
LIMIT_PER_ADDRESS = 5
LIMIT_IN_ALL = 30
_LONGEST_WAIT_S = 1.0

LoginAttempt = tuple[float, str]
"""When, in seconds since 1970, and from which address."""


class TooManyAttempts(AnswerClient):
    """Wait, then try again. retry_after_s : whole seconds."""

    status = 429
    title = "too many attempts to sign in"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"too many attempts to sign in with a wrong key; try again in {retry_after_s} s."
        )
        self.retry_after_s = retry_after_s


class LoginLimit:
    """Guesses of the last minute, by address and in all. Any thread of any worker may call it.

    Where the file cannot be written or locked, this worker counts on its own from what it knew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: list[LoginAttempt] = []
        self._alone_until_s = 0.0

    def count(self, address: str, now: datetime, *, is_local: bool = False) -> None:
        """Count one guess.

        Args:
            is_local: from this machine, where what strangers do from elsewhere locks nobody out.

        Raises:
            TooManyAttempts: the limit is reached; this one is not counted.
        """
        with self._attempts(now) as attempts:
            of_address = [at_s for at_s, who in attempts if who == address]
            limits = [(of_address, LIMIT_PER_ADDRESS)]
            if not is_local:
                limits.append(([at_s for at_s, _ in attempts], LIMIT_IN_ALL))
            for times, most in limits:
                if len(times) >= most:
                    left_s = times[-most] + WINDOW.total_seconds() - now.timestamp()
                    raise TooManyAttempts(max(1, round(left_s)))
            attempts.append((now.timestamp(), address))

    def remove_valid(self, address: str, now: datetime) -> None:
        """The guess that was counted at `now` was a valid key."""
        with self._attempts(now) as attempts, contextlib.suppress(ValueError):
            attempts.remove((now.timestamp(), address))

    @contextlib.contextmanager
    def _attempts(self, now: datetime) -> Iterator[list[LoginAttempt]]:
        """The guesses of the window, oldest first; written back when the block changed them."""
        now_s, window_s = now.timestamp(), WINDOW.total_seconds()
        with self._lock, self._file_lock() as is_locked:
            is_shared = is_locked and now_s >= self._alone_until_s
            stored = self._read() if is_shared else self._known
            attempts = [one for one in stored if abs(now_s - one[0]) < window_s]
            before = attempts.copy()
            yield attempts
            self._known = attempts
            if is_shared and attempts != before:
                try:
                    write_atomic(self._path, msgspec.json.encode(attempts), mode=0o600)
                except StorageUnavailable as error:
                    log.warning(
                        "login_limit_per_worker",
                        sentence="Attempts to sign in are counted by each worker for itself.",
                        reason=str(error),
                    )
                    self._alone_until_s = now_s + window_s  # until the file is as good again

    @contextlib.contextmanager
    def _file_lock(self) -> Iterator[bool]:
        """Whether the other workers are kept out of the file while the block runs."""
        lock = filelock.FileLock(self._path.with_suffix(".lock"), timeout=_LONGEST_WAIT_S)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, filelock.Timeout):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _read(self) -> list[LoginAttempt]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[LoginAttempt])
        except (OSError, msgspec.DecodeError):
            return self._known
