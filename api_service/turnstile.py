"""One request runs at a time in a worker, but nobody waits for a slow client's body.

Several threads that run Python at once fight over the interpreter lock and make the slowest
answers many times slower; a single thread would stand still while one client sends its body
slowly, or has vanished in the middle of it. So there are a few threads and one turnstile: a
request holds it while it computes and lets go of it while it reads. First come, first served.
Knows WSGI, no route.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_OWN_LOCK = "hotfit.turnstile"


class FairLock:
    """A lock that is handed to whoever waited longest; threading.Lock lets the newest barge in."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False
        self._own = threading.local()

    def acquire(self) -> None:
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return
            bell = self._bell()
            self._waiting.append(bell)
        bell.acquire()  # rung by release(), which leaves the lock taken for us

    def release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _bell(self) -> threading.Lock:
        """This thread's own lock, always held except for the moment in which it is rung."""
        bell: threading.Lock | None = getattr(self._own, "bell", None)
        if bell is None:
            bell = self._own.bell = threading.Lock()
            bell.acquire()
        return bell


LET_OTHERS_THROUGH = "hotfit.others_pass"
"""Environ key of a context manager: while it is held, other requests go through."""


class Turnstile:
    """WSGI middleware; outermost, so that everything inside may count on running alone."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._lock = FairLock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[LET_OTHERS_THROUGH] = _Open(self._lock)
        environ["wsgi.input"] = _OpenWhileReading(environ["wsgi.input"], self._lock)
        environ[_OWN_LOCK] = self._lock
        with self._lock:
            return self._application(environ, start_response)


@contextmanager
def opened(environ: WSGIEnvironment) -> Iterator[None]:
    """Let others through while this request waits for the disk; it must not compute in here."""
    lock: FairLock | None = environ.get(_OWN_LOCK)
    if lock is None:  # not behind a turnstile: a test, or another server
        yield
        return
    lock.release()
    try:
        yield
    finally:
        lock.acquire()


class _Open:
    """The turnstile is open to others inside the block."""

    def __init__(self, lock: FairLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.release()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._lock.acquire()


class _OpenWhileReading:
    """A request's body; the turnstile is open to others while it is read."""

    def __init__(self, body: Any, lock: FairLock) -> None:
        self._body = body
        self._others_pass = _Open(lock)

    def read(self, *size: int) -> Any:
        return self._while_open(self._body.read, size)

    def readline(self, *size: int) -> Any:
        return self._while_open(self._body.readline, size)

    def readlines(self, *hint: int) -> Any:
        return self._while_open(self._body.readlines, hint)

    def __iter__(self) -> Any:
        return iter(self.readlines())

    def _while_open(self, call: Any, arguments: tuple[int, ...]) -> Any:
        with self._others_pass:
            return call(*arguments)
