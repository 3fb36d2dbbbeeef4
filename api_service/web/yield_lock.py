"""What lets others through while a request waits: in its environment, and around its body.

A request holds its worker's lock (see request_lock.py) while it computes and lets go of it while
it reads or waits for the disk. Knows WSGI, no route.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from werkzeug.exceptions import ClientDisconnected

from api_service.connections.body_deadline import Body

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment


_HELD_LOCK = "hotfit.passage"
_RELEASED_LOCK = "hotfit.let_go"


class YieldableLock(Protocol):
    """What one request at a time holds: see RequestLock."""

    def acquire(self) -> None: ...
    def release(self) -> None: ...
    def read(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], body: Body | None = None
    ) -> Any: ...


def lock_environ(lock: YieldableLock) -> dict[str, Any]:
    """What the environment of every request has, so that it can let others through."""
    return {_HELD_LOCK: lock}


@contextmanager
def yield_lock(environ: WSGIEnvironment) -> Iterator[None]:
    """Let others through while this request waits for the disk; it must not ask a model in here.

    May be entered again inside; only the outermost lets go.
    """
    lock: YieldableLock | None = environ.get(_HELD_LOCK)
    if lock is None:  # nothing to hold: opened already, a test, or another server
        yield
        return
    lock.release()
    _set_locks(environ, None, lock)
    try:
        yield
    finally:
        lock.acquire()
        _set_locks(environ, lock, None)


@contextmanager
def hold_lock(environ: WSGIEnvironment) -> Iterator[None]:
    """Run alone inside of `yield_lock`: models are asked by one thread at a time."""
    lock: YieldableLock | None = environ.get(_RELEASED_LOCK)
    if lock is None:  # held already
        yield
        return
    lock.acquire()
    _set_locks(environ, lock, None)
    try:
        yield
    finally:
        lock.release()
        _set_locks(environ, None, lock)


def _set_locks(
    environ: WSGIEnvironment, held_lock: YieldableLock | None, released: YieldableLock | None
) -> None:
    """Note what the request holds, and what it has let go of."""
    environ[_HELD_LOCK], environ[_RELEASED_LOCK] = held_lock, released
    body = environ.get("wsgi.input")
    if isinstance(body, LockReleasingInput):
        body.is_released = released is not None


class BodyIncomplete(ClientDisconnected):
    """The client hung up in its body, or was answered 408: nobody hears this request's answer."""


class LockReleasingInput(Body):
    """A request's body; others go through while it is read.

    Never passes less than the whole body off as one: reading raises BodyIncomplete instead.
    """

    __slots__ = ("_body", "_lock", "_n_left", "is_released")

    def __init__(
        self, body: Any, lock: YieldableLock, request: Any = None, length: str | None = None
    ) -> None:
        self.request = request
        self.began_s = time.monotonic()
        self.is_overdue = False
        self.has_ended = None
        self.is_released = False
        self._body = body
        self._lock = lock
        self._n_left = int(length) if length and length.isdecimal() else 0

    def read(self, *size: int) -> Any:
        content = self._read_unlocked(self._body.read, size)
        self._n_left -= len(content)
        if self.is_overdue or (self._n_left > 0 and not (size and len(content) == size[0])):
            raise BodyIncomplete
        return content

    def readline(self, *size: int) -> Any:
        return self._checked(self._read_unlocked(self._body.readline, size))

    def readlines(self, *hint: int) -> Any:
        return self._checked(self._read_unlocked(self._body.readlines, hint))

    def __iter__(self) -> Any:
        return iter(self.readlines())

    def _read_unlocked(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if not self.is_released:
            return self._lock.read(call, arguments, self)
        self._lock.acquire()  # `read` releases it at once, and applies the deadline
        try:
            return self._lock.read(call, arguments, self)
        finally:
            self._lock.release()

    def _checked(self, content: Any) -> Any:
        if self.is_overdue:
            raise BodyIncomplete
        return content
