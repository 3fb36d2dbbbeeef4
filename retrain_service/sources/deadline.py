"""Wrap any source so that each call has a deadline of our own. Knows no kind of source.

A driver's time limit is often kept by the server, and a server that is frozen keeps none. So each
call runs on a thread that is given up when its time is over, or when the daemon stops: its
connection is broken off, its answer is dropped, and the next call opens the source anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from datetime import date, datetime
from typing import TypeVar

from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source
from shared.errors import SourceUnavailable
from shared.records import Batch, Cursor

MOST_GIVEN_UP = 3
"""So many calls that were given up may still hang; until one of them ends, none is begun."""

_LOOK_S = 0.2
_LONGEST_GRACE_S = 2.0
_READS_A_CHORE = 3
_CLOSE_TIMEOUT_S = 5.0

_Found = TypeVar("_Found")


class DeadlineSource(Source):
    """One stream of any kind; opened at the first call, and again after one was given up."""

    def __init__(
        self, open_source: Callable[[], Source], timeout_s: float, stopping: threading.Event
    ) -> None:
        """Nothing is opened yet.

        Args:
            timeout_s: limit for one read. The driver is given a little longer than that, because
                its own error says more; a chore, which asks several questions, three times it.
            stopping: set, by any thread, when no call is to be waited for any more.
        """
        self._open_source = open_source
        self._read_s = timeout_s + min(_LONGEST_GRACE_S, timeout_s / 2)
        self._chore_s = _READS_A_CHORE * self._read_s
        self._stopping = stopping
        self._source: Source | None = None
        self._given_up: list[threading.Thread] = []

    @property
    def origin(self) -> str:
        if self._source is not None:
            return self._source.origin
        return self._call(lambda source: source.origin, self._read_s)

    @property
    def remark(self) -> str:
        return self._source.remark if self._source is not None else ""

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        return self._call(lambda source: source.read_after(cursor, limit), self._read_s)

    def cursor_at(self, at: datetime) -> Cursor:
        if self._source is not None:
            return self._source.cursor_at(at)
        return self._call(lambda source: source.cursor_at(at), self._read_s)

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        return self._call(lambda source: source.count_by_day(days), self._chore_s)

    def ids_of_day(self, day: date) -> IdSet:
        return self._call(lambda source: source.ids_of_day(day), self._chore_s)

    def missing(self, ids: Collection[str]) -> IdSet:
        return self._call(lambda source: source.missing(ids), self._chore_s)

    def inspect(self, n_sample: int = 0) -> Inspection:
        return self._call(lambda source: source.inspect(n_sample), self._chore_s)

    def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            closing = threading.Thread(target=_end, args=(source.close,), daemon=True)
            closing.start()
            closing.join(_CLOSE_TIMEOUT_S)

    def _call(self, work: Callable[[Source], _Found], limit_s: float) -> _Found:
        """Do it on a thread of its own, and wait for it as long as is allowed.

        Raises:
            SourceUnavailable: nothing came in time, or the daemon stops.
        """
        self._given_up = [thread for thread in self._given_up if thread.is_alive()]
        if len(self._given_up) >= MOST_GIVEN_UP:
            raise SourceUnavailable(
                f"{len(self._given_up)} calls that were given up still hang; the next one is made"
                " when one of them has ended."
            )
        answer: Future[_Found] = Future()
        opened: list[Source] = [self._source] if self._source is not None else []

        def run() -> None:
            try:
                if not opened:
                    opened.append(self._open_source())
                found = work(opened[0])
            except BaseException as error:  # noqa: BLE001 - handed to who waits, whatever it is
                with suppress(InvalidStateError):
                    answer.set_exception(error)
            else:
                with suppress(InvalidStateError):
                    answer.set_result(found)
            if answer.cancelled() and opened:
                _end(opened[0].close)

        thread = threading.Thread(target=run, name="source-call", daemon=True)
        thread.start()
        began_s = time.monotonic()
        while not self._stopping.is_set() and time.monotonic() - began_s < limit_s:
            with suppress(TimeoutError):
                answer.exception(min(_LOOK_S, limit_s))
                break
        if not answer.cancel():  # it has come
            self._source = opened[0] if opened else None
            return answer.result()
        self._source = None
        self._given_up.append(thread)
        if opened:
            threading.Thread(target=_end, args=(opened[0].cancel,), daemon=True).start()
        waited_s = time.monotonic() - began_s
        why = "the daemon stops" if self._stopping.is_set() else "the connection is broken off"
        raise SourceUnavailable(f"Nothing came for {waited_s:.0f} s; {why}.")


def _end(work: Callable[[], None]) -> None:
    with suppress(Exception):  # of a connection that nobody waits for any more
        work()
