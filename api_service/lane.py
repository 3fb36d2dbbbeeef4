"""One lane: of the server's threads one computes at a time, and nobody waits for a slow client.

Threads that run Python at once fight over the interpreter lock: the slowest answers become many
times slower, and all of them half as fast. A single thread would stand still while one client
sends its body slowly, or has vanished in the middle of it. So there are some threads, of which
one, the leader, takes every request. A thread that meets a leader leaves its request to it and
stands by, asleep; the first in that line looks every few milliseconds whether the leader is still
busy with the same body, and takes the lead over when it is. The reader computes in its turn once
its body has come.

Knows neither HTTP nor WSGI: a request is a pair of arguments for `answer`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

LOOK_EVERY_S = 0.003
_QUIET_LOOKS = 300
_LONGEST_CLOSE_S = 1.0

Answer = Callable[[Any, Any], None]


class Lane:
    """Who computes now.

    Args:
        answer: answers one request; must not raise. Called by one thread at a time.

    Any thread of the server may call `run`; what runs inside `answer` may call the other methods,
    in the thread that runs it.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._lead = threading.Lock()  # held by whoever computes
        # Requests to answer, and bells of threads that wait for their turn to go on.
        self._waiting: deque[list[Any] | _Bell] = deque()
        self._line = threading.Lock()  # whoever stands by first holds it and watches
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._is_watcher_asleep = False
        self._is_another_wanted = False
        # The newest body that was read: a list that is empty once the reading has ended, or once
        # somebody else has taken the lead. Whoever pops its item has the lead.
        self._reading: list[None] = []
        self._standing_by: set[int] = set()
        self._is_closed = False

    def run(self, request: Any, scope: Any) -> None:
        """Answer a request, or leave it to the leader and stand by."""
        if self._lead.acquire(False):
            self._answer(request, scope)
            self._finish()
            return
        left = [request, scope]  # emptied once it is answered
        self._waiting.append(left)
        if self._lead.acquire(False):  # the leader went in between and may not have seen it
            self._finish()
        else:
            self._stand_by()
        # The server lets the body of a request go when its call returns: not before it was read.
        while left and not self._is_closed:
            self._stand_by()

    def read(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Read from a client; whoever stands by takes the lead over when that takes long."""
        reading: list[None] = [None]
        self._reading = reading
        if self._is_watcher_asleep:
            self._is_watcher_asleep = False
            self._ring()
        try:
            return call(*arguments)
        finally:
            try:
                reading.pop()
            except IndexError:  # another leads by now
                self.acquire()

    def release(self) -> None:
        """Give the lead away: this thread is going to wait for something else than a body."""
        self._is_another_wanted = True
        self._lead.release()
        self._ring()

    def acquire(self) -> None:
        """Take the lead again, after those that have waited longer."""
        if self._lead.acquire(False):
            return
        bell = _Bell()
        self._waiting.append(bell)
        if self._lead.acquire(False):
            self._waiting.remove(bell)  # only the leader takes from the line
        else:
            bell.wait()

    def close(self) -> None:
        """Before the interpreter ends: a thread that wakes up after that would take it down."""
        self._is_closed = True
        deadline = time.monotonic() + _LONGEST_CLOSE_S
        while self._standing_by and time.monotonic() < deadline:
            self._ring()
            time.sleep(0.001)
        time.sleep(0.01)  # the last one is on its way back to the server

    # -- the leader --------------------------------------------------------------------------------

    def _finish(self) -> None:
        """As the leader: answer what others left, then give the lead away."""
        while True:
            while self._waiting:
                next_one = self._waiting.popleft()
                if isinstance(next_one, _Bell):
                    next_one.ring()  # the lead is theirs
                    return
                self._answer(*next_one)
                next_one.clear()
            self._lead.release()
            # What was left after the look and before the release would wait for nobody.
            if not self._waiting or not self._lead.acquire(False):
                return

    # -- those that stand by -----------------------------------------------------------------------

    def _stand_by(self) -> None:
        """Sleep until a leader is needed; then lead, and go back to the server for more."""
        own = threading.get_ident()
        self._standing_by.add(own)
        with self._line:
            leads = self._watch()
        self._standing_by.discard(own)
        if leads or (self._waiting and self._lead.acquire(False)):
            self._finish()

    def _watch(self) -> bool:
        """Return when this thread is needed: True when it has the lead. The first in line only."""
        n_quiet, seen = 0, self._reading
        while not self._is_closed:
            timeout_s = LOOK_EVERY_S
            if n_quiet >= _QUIET_LOOKS:
                # Set before looking once more: a reader looks at it after it has begun.
                self._is_watcher_asleep = True
                if self._reading is seen and not seen:
                    timeout_s = -1
            self._alarm.acquire(timeout=timeout_s)
            self._is_watcher_asleep = False
            if self._is_another_wanted:
                self._is_another_wanted = False
                return False
            if self._waiting and not self._lead.locked():
                return False
            reading = self._reading
            if reading is not seen:
                n_quiet, seen = 0, reading
            elif not reading:
                n_quiet += 1
            elif self._has_taken_over(reading):
                return True
        return False

    def _has_taken_over(self, reading: list[None]) -> bool:
        try:
            reading.pop()
        except IndexError:
            return False
        return True

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # rung already
            self._alarm.release()


class _Bell:
    """Wakes one thread, once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        self._lock.release()

    def wait(self) -> None:
        self._lock.acquire()
