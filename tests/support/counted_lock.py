"""A WSGI server's place for one request at a time, for tests that have no server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from api_service.connections.body_deadline import Body
from api_service.web.yield_lock import LockReleasingInput, lock_environ

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class CountedLock:
    """What a request holds while it computes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> None:
        self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def is_taken(self) -> bool:
        return self._lock.locked()

    def read(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], body: Body | None = None
    ) -> Any:
        """Read from a client while others go through."""
        self.release()
        try:
            return call(*arguments)
        finally:
            self.acquire()


class LockedApplication:
    """Outermost, so that everything inside may count on running alone."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self.lock = CountedLock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.update(lock_environ(self.lock))
        environ["wsgi.input"] = LockReleasingInput(
            environ["wsgi.input"], self.lock, length=environ.get("CONTENT_LENGTH")
        )
        self.lock.acquire()
        try:
            return self._application(environ, start_response)
        finally:
            self.lock.release()
