"""Make the server misbehave on purpose, a counted number of times, for a while, or until cleared.

Faults are tried in the order they were set; each request takes at most one of each kind. A method
is named as in the protocol: ``RunQuery``, ``Commit``, ``Listen``; None means every one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType

import grpc

from .messages import RequestPb, ResponsePb, ServicerContext
from .refusal import Refusal
from .timeline import Clock

_STALL_CHECK_S = 0.02


@dataclass(eq=False)
class Fault(AbstractContextManager["Fault"]):
    """One way of misbehaving. Leaving it as a context, or `clear`, ends it; both may repeat."""

    applies: Callable[[str], bool]
    n_left: float
    is_expired: Callable[[], bool]
    code: grpc.StatusCode | None = None
    details: str = ""
    after_documents: int | None = None
    is_stall: bool = False
    n_hits: int = 0
    cleared: threading.Event = field(default_factory=threading.Event)

    def clear(self) -> None:
        self.cleared.set()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clear()


class Faults:
    """Any thread may call. `clock` is the server's own, so a duration follows a fake clock too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def unavailable(
        self,
        times: int | None = None,
        *,
        duration: timedelta | None = None,
        method: str | None = None,
    ) -> Fault:
        """Refuse requests with UNAVAILABLE; until cleared when neither limit is given."""
        return self.fail(grpc.StatusCode.UNAVAILABLE, times=times, duration=duration, method=method)

    def deadline_exceeded(
        self,
        times: int | None = None,
        *,
        duration: timedelta | None = None,
        method: str | None = None,
    ) -> Fault:
        """Refuse requests with DEADLINE_EXCEEDED at once, without the wait."""
        return self.fail(
            grpc.StatusCode.DEADLINE_EXCEEDED, times=times, duration=duration, method=method
        )

    def fail(
        self,
        code: grpc.StatusCode,
        details: str = "refused by an injected fault",
        *,
        times: int | None = None,
        duration: timedelta | None = None,
        method: str | None = None,
    ) -> Fault:
        """Refuse requests with any status, such as a missing index or an exhausted quota."""
        fault = self._fault(times, duration, method)
        fault.code, fault.details = code, details
        return self._add(fault)

    def stall(self, times: int | None = None, *, method: str | None = None) -> Fault:
        """Leave requests without an answer until cleared or until the client gives up."""
        fault = self._fault(times, None, method)
        fault.is_stall = True
        return self._add(fault)

    def break_stream(
        self,
        after_documents: int,
        *,
        times: int | None = 1,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        method: str = "RunQuery",
    ) -> Fault:
        """End a stream with an error once it has sent so many documents."""
        fault = self._fault(times, None, method)
        fault.after_documents, fault.code = after_documents, code
        fault.details = f"stream broken by an injected fault after {after_documents} documents"
        return self._add(fault)

    def shorten_stream(
        self, after_documents: int, *, times: int | None = 1, method: str = "RunQuery"
    ) -> Fault:
        """End a stream after so many documents as if it were complete: a short page, no error."""
        fault = self._fault(times, None, method)
        fault.after_documents = after_documents
        return self._add(fault)

    def clear(self) -> None:
        with self._lock:
            for fault in self._faults:
                fault.clear()
            self._faults.clear()

    def before_request(self, method: str, context: ServicerContext) -> None:
        """Raise or wait as the faults demand. The server calls this first in every request."""
        fault = self._take(method, is_stream_fault=False)
        if fault is None:
            return
        if fault.is_stall:
            while context.is_active() and not fault.cleared.wait(_STALL_CHECK_S):
                pass
            return
        raise Refusal(fault.code, fault.details)

    def along(
        self,
        method: str,
        responses: Iterator[ResponsePb],
        carries_document: Callable[[RequestPb], bool],
    ) -> Iterator[ResponsePb]:
        """Pass `responses` on, cut where a stream fault says so."""
        fault = self._take(method, is_stream_fault=True)
        if fault is None or fault.after_documents is None:
            yield from responses
            return
        n_left = fault.after_documents
        # Looked at before the next response is made, so that none is billed that is not sent.
        while n_left > 0 and (response := next(responses, None)) is not None:
            yield response
            n_left -= carries_document(response)
        if fault.code is not None:
            raise Refusal(fault.code, fault.details)

    def _fault(self, times: int | None, duration: timedelta | None, method: str | None) -> Fault:
        until = None if duration is None else self._clock() + duration
        return Fault(
            applies=lambda requested: method in (None, requested),
            n_left=float("inf") if times is None else times,
            is_expired=lambda: until is not None and self._clock() >= until,
        )

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def _take(self, method: str, *, is_stream_fault: bool) -> Fault | None:
        with self._lock:
            self._faults = [
                fault
                for fault in self._faults
                if fault.n_left > 0 and not fault.cleared.is_set() and not fault.is_expired()
            ]
            for fault in self._faults:
                is_of_kind = (fault.after_documents is not None) == is_stream_fault
                if is_of_kind and fault.applies(method):
                    fault.n_left -= 1
                    fault.n_hits += 1
                    return fault
        return None
