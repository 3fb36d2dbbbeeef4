"""Connect Granian to the application: WSGI calls by one thread at a time, answers in one piece.

Granian calls a callback with a request and takes the answer from any thread. Its own callback
answers in the thread that was called; ours lets the thread that computes answer for the others
(see request_lock.py), joins a complete answer into one piece, and leaves our environment variables
out of the requests' environments. Everything that depends on Granian's private names is here.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from api_service.connections.body_deadline import BodyDeadline, problem_document
from api_service.connections.refusals import Refusals
from api_service.web.request_lock import RequestLock
from api_service.web.yield_lock import BodyIncomplete, LockReleasingInput, lock_environ

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = structlog.get_logger()

ServerCallback = Callable[[Any, dict[str, Any]], None]

URGENT_PATHS = frozenset(
    {"/livez", "/readyz", "/health", "/metrics", "/v2/health/live", "/v2/health/ready"}
)

_BODY_LATE = "the body has not come in time"
_TOO_MANY_BODIES = "too many requests wait for their bodies"
_QUEUE_TOO_LONG = "more requests wait than can be answered in time"
_CLOSE = ("Connection", "close")
_RETRY_AFTER = ("Retry-After", "1")
_JOIN_LIMIT_BYTES = 1 << 20
_ERROR_HEADERS = [("Content-Type", "application/problem+json")]
_ERROR_BODY = (
    b'{"type": "about:blank", "title": "Internal Server Error", "status": 500,'
    b' "detail": "Internal error. The server log has the details."}'
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may ask of one worker.

    body_timeout_s: a body that has not come by then is answered with 408.
    max_wait_s: while a request has waited longer than this for its turn, others get 503.
    most_slow_bodies: threads that may wait for bodies; the server's others are for health and
        short requests.
    is_ending: whether this process ends: then a body has a second, and no more.
    """

    body_timeout_s: float = 10.0
    max_wait_s: float = 2.0
    most_slow_bodies: int = 128
    is_ending: Callable[[], bool] = lambda: False


_DEFAULT_LIMITS = Limits()


def install_adapter(
    server_module: Any,
    on_ready: Callable[[ServerCallback], None] = lambda _callback: None,
    on_answer: Callable[[], None] = lambda: None,
    limits: Limits = _DEFAULT_LIMITS,
    on_refusal: Callable[[int], None] = lambda _status: None,
) -> None:
    """Make the server of this process call its application our way; before it starts.

    Args:
        server_module: `granian.server.mp`.
        on_ready: called with the callback when the server is about to serve.
        on_answer: called after each answer.
        on_refusal: called with the status of an answer that the application was not asked for.
    """

    def wrap(
        application: WSGIApplication, scope_options: dict[str, Any], _access_log: object
    ) -> ServerCallback:
        callback = make_callback(application, scope_options, on_answer, limits, on_refusal)
        on_ready(callback)
        return callback

    server_module._wsgi_call_wrap = wrap  # there: see supervisor/granian_hooks.py


def make_callback(
    application: WSGIApplication,
    scope_options: dict[str, Any],
    on_answer: Callable[[], None] = lambda: None,
    limits: Limits = _DEFAULT_LIMITS,
    on_refusal: Callable[[int], None] = lambda _status: None,
) -> ServerCallback:
    """The server's callback for an application; `on_answer` is called after each answer."""
    refusals = Refusals("requests_refused")

    def count_refusal(status: int, reason: str) -> None:
        refusals.add(reason)
        on_refusal(status)

    deadline = BodyDeadline(
        limits.body_timeout_s,
        limits.most_slow_bodies,
        partial(count_refusal, 408, _BODY_LATE),
        limits.is_ending,
    )
    prefix = scope_options.get("url_path_prefix") or ""
    adapter = GranianAdapter(application, prefix, on_answer, deadline, count_refusal)
    lock = RequestLock(
        adapter.answer,
        refuse=adapter.refuse,
        is_urgent=adapter.is_urgent,
        deadline=deadline,
        max_wait_s=limits.max_wait_s,
    )
    adapter.lock = lock
    adapter.base_environ.update(lock_environ(lock))
    atexit.register(lock.close)
    return lock.run


class _Started:
    """The application's `start_response`, and what it was called with."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[str, str]] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], _exc_info: object = None
    ) -> Callable[[bytes], object]:
        self.status = int(status[:3])
        self.headers = headers
        return _no_write


def _no_write(_content: bytes) -> object:
    raise NotImplementedError("return the answer's body instead of calling write().")


class GranianAdapter:
    """Answers one request after the other."""

    lock: RequestLock

    def __init__(
        self,
        application: WSGIApplication,
        prefix: str,
        on_answer: Callable[[], None],
        deadline: BodyDeadline,
        count_refusal: Callable[[int, str], None],
    ) -> None:
        self._application = application
        self._on_answer = on_answer
        self._prefix = prefix
        self._deadline = deadline
        self._count_refusal = count_refusal
        self.base_environ: dict[str, Any] = {
            "SCRIPT_NAME": prefix,
            "SERVER_SOFTWARE": "Granian",
            "wsgi.errors": sys.stderr,
            # The server ends the input where the body ends, whether its length was said or not.
            "wsgi.input_terminated": True,
            "wsgi.multiprocess": True,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
        }

    def answer(self, request: Any, scope: dict[str, Any]) -> None:
        """Never raises; whatever happens, the client gets an answer and the lock is given back."""
        started = _Started()
        try:
            scope.update(self.base_environ)
            if self._deadline.is_full and _has_body(scope):
                self._refuse(request, _TOO_MANY_BODIES, [_CLOSE])
                return
            scope["wsgi.input"] = LockReleasingInput(
                scope["wsgi.input"], self.lock, request, scope.get("CONTENT_LENGTH")
            )
            if self._prefix:
                scope["PATH_INFO"] = scope["PATH_INFO"].removeprefix(self._prefix) or "/"
            parts = self._application(scope, started)
            if type(parts) is list and len(parts) == 1:
                request.response_bytes(started.status, started.headers, parts[0])
            elif type(parts) is list or _has_small_length(started.headers):
                request.response_bytes(started.status, started.headers, _join(parts))
            else:
                self._stream(request, started, parts)
        except BodyIncomplete:
            with contextlib.suppress(BaseException):
                request.response_bytes(400, [_CLOSE], b"")
        except BaseException:  # also SystemExit, and the panic of a library written in Rust
            # Neither may leave: the thread would end while it holds the lock.
            with contextlib.suppress(BaseException):
                log.exception(
                    "request_failed",
                    sentence="A request failed outside of the application's error handlers.",
                )
            with contextlib.suppress(BaseException):  # answered in part already
                request.response_bytes(500, _ERROR_HEADERS, _ERROR_BODY)
        self._on_answer()

    def is_urgent(self, scope: dict[str, Any]) -> bool:
        """Whether a request goes before all others and is never refused."""
        return scope["PATH_INFO"].removeprefix(self._prefix) in URGENT_PATHS

    def refuse(self, request: Any, _scope: dict[str, Any]) -> None:
        """Answer a request that cannot be answered in time. Never raises."""
        with contextlib.suppress(BaseException):
            self._refuse(request, _QUEUE_TOO_LONG, [])

    def _refuse(self, request: Any, reason: str, headers: list[tuple[str, str]]) -> None:
        self._count_refusal(503, reason)
        content = problem_document("overloaded", "overloaded", 503, f"{reason}; try again later.")
        headers = [("Content-Type", "application/problem+json"), _RETRY_AFTER, *headers]
        request.response_bytes(503, headers, content)

    def _stream(self, request: Any, started: _Started, parts: Iterable[bytes]) -> None:
        """An answer in parts: the client decides how long that takes, and others go on."""
        self.lock.release()
        try:
            request.response_iter(started.status, started.headers, _Parts(parts))
        finally:
            self.lock.acquire()


def _has_body(scope: dict[str, Any]) -> bool:
    return scope.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in scope


class _Parts:
    """An answer's parts, as the server takes them."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts
        self._next = iter(parts).__next__

    def __next__(self) -> bytes:
        return self._next()

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


def _has_small_length(headers: list[tuple[str, str]]) -> bool:
    """Whether the answer's length is known and small, so that it is no stream."""
    for name, value in headers:
        if name.lower() == "content-length":
            return value.isdecimal() and int(value) <= _JOIN_LIMIT_BYTES
    return False


def _join(parts: Iterable[bytes]) -> bytes:
    try:
        return b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
