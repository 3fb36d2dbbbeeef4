"""Answer 408 to a request whose body does not arrive in time, and free the thread that reads it.

The server library cannot end a read. It does close the connection, and end the read, when an
answer is shorter than its Content-Length. So the 408 promises one byte more than it sends and
holds that byte back for a moment. A client that finishes its body or disconnects meanwhile gets
the byte; every other connection is closed. Knows no route and no model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

LINGER_S = 1.0
"""How long a client that was answered 408 may still finish."""

SHORT_TIMEOUT_S = 1.0
"""The time that a body has while many others come slowly as well, or while this process ends."""


class Body:
    """What is known of a body that a thread reads; made by the server's adapter.

    request: answers the request, also while its body is read.
    began_s: when the first part of it was asked for, on the monotonic clock.
    """

    __slots__ = ("began_s", "has_ended", "is_overdue", "request")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.began_s = time.monotonic()
        self.is_overdue = False
        self.has_ended: threading.Event | None = None


class BodyDeadline:
    """The bodies that come slowly, each with a thread that waits for it.

    Args:
        timeout_s: the time that a whole body has.
        limit: so many at once; what comes beyond that must be refused unread.
        on_overdue: called when one is answered 408.
        is_ending: whether this process ends, so that no body may keep it for long.

    Any thread may call `stop`; `start` and `answer_overdue` are called by one thread only.
    """

    def __init__(
        self,
        timeout_s: float = 10.0,
        limit: int = 128,
        on_overdue: Callable[[], None] = lambda: None,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self.timeout_s = timeout_s
        self._is_ending = is_ending
        self._on_overdue = on_overdue
        self.limit = limit
        self._slow: set[Body] = set()

    @property
    def n_slow(self) -> int:
        """How many threads wait for a body."""
        return len(self._slow)

    @property
    def is_full(self) -> bool:
        """Whether a body must not be read now."""
        return len(self._slow) >= self.limit

    def start(self, body: Body) -> None:
        """A body does not come at once."""
        self._slow.add(body)

    def stop(self, body: Body) -> None:
        """It has come, or comes no more."""
        self._slow.discard(body)
        if body.has_ended is not None:
            body.has_ended.set()

    def answer_overdue(self, now_s: float) -> None:
        """Answer what is overdue; with less patience while threads run low, or at the end."""
        timeout_s = self.timeout_s
        if 2 * len(self._slow) > self.limit or self._is_ending():
            timeout_s = min(timeout_s, SHORT_TIMEOUT_S)
        for body in list(self._slow):
            if not body.is_overdue and now_s - body.began_s > timeout_s:
                body.has_ended = threading.Event()
                body.is_overdue = True
                try:
                    threading.Thread(
                        target=_answer_overdue, args=(body, timeout_s), name="overdue", daemon=True
                    ).start()
                except RuntimeError:  # no more threads for now: it is looked at again
                    body.is_overdue = False
                    raise
                self._on_overdue()


def _answer_overdue(body: Body, timeout_s: float) -> None:
    assert body.has_ended is not None
    detail = f"the body has not come within {timeout_s:g} s (api.body_timeout_s)."
    content = problem_document("request-timeout", "request timeout", 408, detail)
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(content))),
        ("Connection", "close"),
    ]
    body.request.response_iter(408, headers, _DelayedAnswer(content, body.has_ended))


def problem_document(kind: str, title: str, status: int, detail: str) -> bytes:
    """A problem document for what is answered before the application is asked."""
    return (
        msgspec.json.encode(
            {
                "type": f"urn:hotfit:problem:{kind}",
                "title": title,
                "status": status,
                "detail": detail,
            }
        )
        + b"\n"
    )


class _DelayedAnswer:
    """An answer whose last byte comes only when the client is done in time."""

    def __init__(self, content: bytes, has_ended: threading.Event) -> None:
        self._parts = [content[-1:], content[:-1]]
        self._has_ended = has_ended

    def __next__(self) -> bytes:
        if len(self._parts) == 2:
            return self._parts.pop()
        if self._parts and self._has_ended.wait(LINGER_S):
            return self._parts.pop()
        raise StopIteration

    def close(self) -> None:
        """Part of what the server expects of an answer."""
