"""A fair request lock for WSGI servers other than Granian."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from api_service.connections.body_deadline import Body

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from api_service.web.yield_lock import LockReleasingInput, lock_environ


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
            wakeup = self._own_wakeup()
            self._waiting.append(wakeup)
        wakeup.acquire()  # rung by release(), which leaves the lock taken for us

    def release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False

    def read(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], _body: Body | None = None
    ) -> Any:
        """Read from a client while others go through."""
        self.release()
        try:
            return call(*arguments)
        finally:
            self.acquire()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _own_wakeup(self) -> threading.Lock:
        """This thread's own lock, always held except for the moment in which it is rung."""
        wakeup: threading.Lock | None = getattr(self._own, "bell", None)
        if wakeup is None:
            wakeup = self._own.wakeup = threading.Lock()
            wakeup.acquire()
        return wakeup


class Turnstile:
    """WSGI middleware; outermost, so that everything inside may count on running alone."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._lock = FairLock()
        self._base_environ = lock_environ(self._lock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.update(self._base_environ)
        environ["wsgi.input"] = LockReleasingInput(
            environ["wsgi.input"], self._lock, length=environ.get("CONTENT_LENGTH")
        )
        with self._lock:
            return self._application(environ, start_response)
