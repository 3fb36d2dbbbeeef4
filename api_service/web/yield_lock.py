"""What lets others through while a request waits: in its environment, and around its body.

The worker's own lock is a lane (see lane.py). `Turnstile` does the same for any other WSGI
server, with a lock: a request holds it while it computes and lets go of it while it reads. First
come, first served; more switches between threads. Knows WSGI, no route.
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


_PASSAGE = "hotfit.passage"
_LET_GO = "hotfit.let_go"


class YieldableLock(Protocol):
    """What one request at a time holds: a FairLock, or a lane."""

    def acquire(self) -> None: ...
    def release(self) -> None: ...
    def read(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], body: Body | None = None
    ) -> Any: ...


def opens_for_others(passage: YieldableLock) -> dict[str, Any]:
    """What the environment of every request has, so that it can let others through."""
    return {_PASSAGE: passage}


@contextmanager
def opened(environ: WSGIEnvironment) -> Iterator[None]:
    """Let others through while this request waits for the disk; it must not ask a model in here.

    May be entered again inside; only the outermost lets go.
    """
    passage: YieldableLock | None = environ.get(_PASSAGE)
    if passage is None:  # nothing to hold: opened already, a test, or another server
        yield
        return
    passage.release()
    _change(environ, None, passage)
    try:
        yield
    finally:
        passage.acquire()
        _change(environ, passage, None)


@contextmanager
def held(environ: WSGIEnvironment) -> Iterator[None]:
    """Run alone inside of `opened`: models are asked by one thread at a time."""
    passage: YieldableLock | None = environ.get(_LET_GO)
    if passage is None:  # held already
        yield
        return
    passage.acquire()
    _change(environ, passage, None)
    try:
        yield
    finally:
        passage.release()
        _change(environ, None, passage)


def _change(
    environ: WSGIEnvironment, holds: YieldableLock | None, let_go: YieldableLock | None
) -> None:
    """Note what the request holds, and what it has let go of."""
    environ[_PASSAGE], environ[_LET_GO] = holds, let_go
    body = environ.get("wsgi.input")
    if isinstance(body, LockReleasingInput):
        body.is_let_go = let_go is not None


class BodyIncomplete(ClientDisconnected):
    """The client hung up in its body, or was answered 408: nobody hears this request's answer."""


class LockReleasingInput(Body):
    """A request's body; others go through while it is read.

    Never passes less than the whole body off as one: reading raises BodyIncomplete instead.
    """

    __slots__ = ("_body", "_n_left", "_passage", "is_let_go")

    def __init__(
        self, body: Any, passage: YieldableLock, request: Any = None, length: str | None = None
    ) -> None:
        self.request = request
        self.began_s = time.monotonic()
        self.is_overdue = False
        self.has_ended = None
        self.is_let_go = False
        self._body = body
        self._passage = passage
        self._n_left = int(length) if length and length.isdecimal() else 0

    def read(self, *size: int) -> Any:
        content = self._take(self._body.read, size)
        self._n_left -= len(content)
        if self.is_overdue or (self._n_left > 0 and not (size and len(content) == size[0])):
            raise BodyIncomplete
        return content

    def readline(self, *size: int) -> Any:
        return self._whole(self._take(self._body.readline, size))

    def readlines(self, *hint: int) -> Any:
        return self._whole(self._take(self._body.readlines, hint))

    def __iter__(self) -> Any:
        return iter(self.readlines())

    def _take(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if not self.is_let_go:
            return self._passage.read(call, arguments, self)
        self._passage.acquire()  # it is let go of at once, and the deadline counts
        try:
            return self._passage.read(call, arguments, self)
        finally:
            self._passage.release()

    def _whole(self, content: Any) -> Any:
        if self.is_overdue:
            raise BodyIncomplete
        return content
