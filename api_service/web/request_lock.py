"""Let one of the server's threads compute at a time, without waiting for slow clients.

Threads that run Python at once compete for the interpreter lock: the slowest answers become many
times slower, and throughput halves. A single thread would stand still while one client sends its
body slowly. So there are many threads, of which one, the leader, answers the requests of all. A
thread that meets a leader leaves its request to it and sleeps. A watcher thread checks every few
milliseconds whether the leader is still busy with the same body, and makes another thread the
leader when it is. The reader computes in its turn once its body has arrived.

While requests are cheap, a thread whose request was answered goes on sleeping as a follower,
because it would only interrupt the leader. Once a request costs more than a switch between
threads, the thread goes back to the server at once. Then every request that has arrived is known
here: urgent ones are answered next, and what cannot be answered in time is refused.

Knows neither HTTP nor WSGI: a request is a pair of arguments for `answer`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from api_service.connections.body_deadline import Body, BodyDeadline
from shared.daemon.background import run_in_background

CHECK_INTERVAL_S = 0.003
_SHORT_CHECK_INTERVAL_S = 0.0005
"""While many bodies come slowly: each keeps the others waiting for one or two of these."""

_QUEUE_LIMIT = 96
"""The others of the server's threads are for bodies that come slowly, and for health."""

_DELAYED_REFUSALS = 32
_REFUSAL_DELAY_S = 0.1
_QUEUE_TIME_LIMIT_S = 0.1
_EXPENSIVE_S = 0.00075
_MEAN_WEIGHT = 1 / 64
_MEAN_CAP_S = 0.02
_MANY_SLOW_BODIES = 8
_DEADLINE_CHECK_INTERVAL_S = 0.1
_IDLE_CHECKS = 300
_CLOSE_TIMEOUT_S = 1.0

Answer = Callable[[Any, Any], None]


class RequestLock:
    """Who computes now.

    Args:
        answer: answers one request; must not raise. Called by one thread at a time.
        refuse: answers a request that cannot be answered in time; must not raise, and may be
            called while another request is answered.
        is_urgent: whether a request, by its second argument, goes before all others and is never
            refused.
        deadline: of the bodies that are read.
        max_wait_s: while a request has waited longer than this for its turn, others are refused.

    Any thread of the server may call `run`; what runs inside `answer` may call the other methods,
    in the thread that runs it.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        refuse: Answer | None = None,
        is_urgent: Callable[[Any], bool] = lambda _scope: False,
        deadline: BodyDeadline | None = None,
        max_wait_s: float = 2.0,
    ) -> None:
        self._answer = answer
        self._refuse = refuse
        self._is_urgent = is_urgent
        self._deadline = deadline or BodyDeadline()
        self._max_wait_s = max_wait_s
        self._leader_lock = threading.Lock()  # held by whoever computes
        # Urgent requests, and threads that wait for their turn to go on with theirs.
        self._priority: deque[_Waiter] = deque()
        # Requests that nobody has begun to answer.
        self._waiting: deque[_Waiter] = deque()
        self._refusing = threading.Semaphore(_DELAYED_REFUSALS)
        # Threads whose request was answered, asleep until somebody has to fetch requests.
        self._followers: deque[_Waiter] = deque()
        self._asleep: set[_Waiter] = set()
        # Seconds that the leader needs for one request, without the time in which others led.
        self._mean_s = 0.0
        self._n_passed = 0
        # Token of the newest body that was read: its item is the body while the reader still has
        # the lead. Whoever pops the item has the lead.
        self._reading: list[Body | None] = []
        self._wakeup = threading.Lock()
        self._wakeup.acquire()
        self._is_watcher_asleep = False
        self._closed = threading.Event()
        run_in_background("request-lock", self._watch, self._closed)

    def run(self, request: Any, scope: Any) -> None:
        """Answer a request, or leave it to the leader and sleep."""
        if self._leader_lock.acquire(False):
            self._answer_timed(request, scope)
            self._run_as_leader()
            return
        waiter = _Waiter(request, scope)
        if self._is_urgent(scope):
            waiter.is_urgent = True
            self._priority.append(waiter)
        elif self._refuse is not None and self._is_overloaded():
            self._refuse_late(request, scope)
            return
        else:
            self._waiting.append(waiter)
        if self._leader_lock.acquire(False):  # the leader went in between and may not have seen it
            self._run_as_leader(waiter)
        # The server lets the body of a request go when its call returns: not before it was read.
        self._asleep.add(waiter)
        while not waiter.is_done and not self._closed.is_set():
            waiter.sleep()
            if waiter.is_leader:
                waiter.is_leader = False
                if not waiter.is_answered:
                    self._answer_timed(request, scope)
                    waiter.is_answered = True
                waiter.is_done = True
                self._run_as_leader()
        self._asleep.discard(waiter)

    def read(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], body: Body | None = None
    ) -> Any:
        """Read from a client; another gets the lead when that takes long."""
        reading: list[Body | None] = [body]
        self._reading = reading
        if self._is_watcher_asleep:
            self._is_watcher_asleep = False
            self._notify()
        try:
            return call(*arguments)
        finally:
            try:
                reading.pop()
            except IndexError:  # another leads by now
                if body is not None:
                    self._deadline.stop(body)
                self.acquire()

    def release(self) -> None:
        """Give the lead away: this thread is going to wait for something else than a body."""
        self._pass_lead()

    def acquire(self) -> None:
        """Take the lead again, before requests that nobody has begun to answer."""
        if self._leader_lock.acquire(False):
            return
        waiter = _Waiter(None, None, is_answered=True)
        self._priority.append(waiter)
        if self._leader_lock.acquire(False):
            self._priority.remove(waiter)  # only the leader takes from the line
        else:
            waiter.sleep()

    def close(self) -> None:
        """Before the interpreter ends: a thread that wakes up after that would take it down."""
        self._closed.set()
        self._notify()
        deadline = time.monotonic() + _CLOSE_TIMEOUT_S
        while self._asleep and time.monotonic() < deadline:
            for waiter in list(self._asleep):
                waiter.wake()
            time.sleep(0.001)
        time.sleep(0.01)  # the last one is on its way back to the server

    # -- the leader --------------------------------------------------------------------------------

    def _run_as_leader(self, own: _Waiter | None = None) -> None:
        """As the leader: answer what others left, then give the lead away.

        Args:
            own: what this thread itself has left.
        """
        while True:
            while (waiter := self._next()) is not None:
                # Of many slow bodies each must cost one thread and not two.
                if waiter is not own and (
                    waiter.is_answered or self._deadline.n_slow > _MANY_SLOW_BODIES
                ):
                    self._make_leader(waiter)
                    return
                self._answer_timed(waiter.request, waiter.scope)
                waiter.is_answered = True
                if waiter is own or waiter.is_urgent or self._mean_s > _EXPENSIVE_S:
                    waiter.is_done = True
                    waiter.wake()
                else:
                    self._followers.append(waiter)
            self._leader_lock.release()
            # What was left after the look and before the release would wait for nobody.
            if not (self._priority or self._waiting) or not self._leader_lock.acquire(False):
                return

    def _next(self) -> _Waiter | None:
        if self._priority:
            return self._priority.popleft()
        return self._waiting.popleft() if self._waiting else None

    def _answer_timed(self, request: Any, scope: Any) -> None:
        started_s, n_passed = time.perf_counter(), self._n_passed
        self._answer(request, scope)
        if self._n_passed == n_passed:
            took_s = min(time.perf_counter() - started_s, _MEAN_CAP_S)
            self._mean_s += (took_s - self._mean_s) * _MEAN_WEIGHT
            if self._followers and self._mean_s > _EXPENSIVE_S:
                while self._release_follower():
                    pass

    def _pass_lead(self) -> None:
        """Let the next one lead; without any, let somebody fetch requests from the server."""
        self._n_passed += 1
        while True:
            if (waiter := self._next()) is not None:
                self._make_leader(waiter)
                return
            self._leader_lock.release()
            if not (self._priority or self._waiting) or not self._leader_lock.acquire(False):
                self._release_follower()
                return

    @staticmethod
    def _make_leader(waiter: _Waiter) -> None:
        waiter.is_leader = True
        waiter.wake()

    def _release_follower(self) -> bool:
        """Send one thread back to the server; False when all are there or busy."""
        try:
            waiter = self._followers.popleft()
        except IndexError:
            return False
        waiter.is_done = True
        waiter.wake()
        return True

    def _refuse_late(self, request: Any, scope: Any) -> None:
        """After a moment: a client that asks again at once would keep the leader from its work."""
        assert self._refuse is not None
        if self._refusing.acquire(False):
            time.sleep(_REFUSAL_DELAY_S)
            self._refusing.release()
        self._refuse(request, scope)

    def _is_overloaded(self) -> bool:
        n_waiting = len(self._waiting)
        if n_waiting > _QUEUE_LIMIT and n_waiting * self._mean_s > _QUEUE_TIME_LIMIT_S:
            return True
        try:
            return time.monotonic() - self._waiting[0].since_s > self._max_wait_s
        except IndexError:
            return False

    # -- the watcher -------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Give the lead of whoever reads for long to another; end what is overdue."""
        n_idle_checks, seen = 0, self._reading
        checked_s = 0.0
        while not self._closed.is_set():
            timeout_s = CHECK_INTERVAL_S
            if self._deadline.n_slow > _MANY_SLOW_BODIES:
                timeout_s = _SHORT_CHECK_INTERVAL_S
            if n_idle_checks >= _IDLE_CHECKS:
                # Set before looking once more: a reader looks at it after it has begun.
                self._is_watcher_asleep = True
                if self._reading is seen and not seen:
                    timeout_s = _DEADLINE_CHECK_INTERVAL_S if self._deadline.n_slow else -1
            self._wakeup.acquire(timeout=timeout_s)
            self._is_watcher_asleep = False
            reading = self._reading
            if reading is not seen:
                n_idle_checks, seen = 0, reading
            elif not reading:
                n_idle_checks += 1
            else:
                self._take_lead_from_reader(reading)
            now_s = time.monotonic()
            if self._deadline.n_slow and now_s > checked_s + _DEADLINE_CHECK_INTERVAL_S:
                checked_s = now_s
                self._deadline.answer_overdue(now_s)

    def _take_lead_from_reader(self, reading: list[Body | None]) -> None:
        try:
            body = reading.pop()
        except IndexError:
            return
        if body is not None:
            self._deadline.start(body)
        # So long did everybody wait for it: many of them make a queue as costly requests do.
        self._mean_s += (2 * CHECK_INTERVAL_S - self._mean_s) * _MEAN_WEIGHT
        self._pass_lead()

    def _notify(self) -> None:
        with contextlib.suppress(RuntimeError):  # rung already
            self._wakeup.release()


class _Waiter:
    """A thread that sleeps here: its request is not answered yet, or it waits for the lead.

    is_done: the request was answered and the thread goes back to the server.
    is_leader: it was given the lead.
    """

    __slots__ = (
        "_lock",
        "is_answered",
        "is_done",
        "is_leader",
        "is_urgent",
        "request",
        "scope",
        "since_s",
    )

    def __init__(self, request: Any, scope: Any, *, is_answered: bool = False) -> None:
        self.request = request
        self.scope = scope
        self.is_answered = is_answered
        self.is_urgent = self.is_leader = self.is_done = False
        self.since_s = time.monotonic()
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # woken already
            self._lock.release()

    def sleep(self) -> None:
        self._lock.acquire()
