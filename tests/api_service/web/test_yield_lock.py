"""One request computes at a time; a slow body holds up nobody."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Iterable
from typing import Any

from api_service.connections.listening_sockets import keep_alive_on_listeners
from api_service.web.fair_lock import FairLock, Turnstile
from tests.support.waiting import wait_until


class SlowBody(io.BytesIO):
    """A body whose client sends nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__(b"{}")
        self.is_read = threading.Event()
        self.may_arrive = threading.Event()

    def read(self, *size: int | None) -> bytes:
        self.is_read.set()
        assert self.may_arrive.wait(10)
        return super().read(*size)


class Application:
    """Counts how many requests compute at once."""

    def __init__(self) -> None:
        self.n_now = 0
        self.n_most = 0
        self.n_answered = 0

    def __call__(self, environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        self.n_now += 1
        self.n_most = max(self.n_most, self.n_now)
        for _ in range(1000):  # long enough that the interpreter would switch threads
            pass
        self.n_now -= 1
        content = environ["wsgi.input"].read()
        self.n_answered += 1
        return [content]


def ask(turnstile: Turnstile, body: io.BytesIO) -> threading.Thread:
    def run() -> None:
        turnstile({"wsgi.input": body}, lambda *_: lambda _content: None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_slow_body_does_not_hold_up_the_others() -> None:
    """One client on a bad line must not stop a worker."""
    application = Application()
    turnstile = Turnstile(application)
    slow = SlowBody()
    waiting = ask(turnstile, slow)
    wait_until(slow.is_read.is_set, 30, "the slow request to read its body")

    ask(turnstile, io.BytesIO(b"{}")).join(30)

    assert application.n_answered == 1
    slow.may_arrive.set()
    waiting.join(30)
    assert application.n_answered == 2


def test_only_one_request_computes_at_a_time() -> None:
    """Threads that compute at once fight over the interpreter lock; the slowest pay for it."""
    application = Application()
    turnstile = Turnstile(application)

    threads = [ask(turnstile, io.BytesIO(b"{}")) for _ in range(200)]
    for thread in threads:
        thread.join(30)

    assert application.n_answered == 200
    assert application.n_most == 1


def test_a_failing_request_leaves_the_turnstile_usable() -> None:
    """An exception must not lock everybody out."""

    class BrokenBody(io.BytesIO):
        def read(self, *_size: int | None) -> bytes:
            raise ConnectionResetError

    application = Application()
    turnstile = Turnstile(application)
    for _ in range(3):
        with contextlib.suppress(ConnectionResetError):
            turnstile({"wsgi.input": BrokenBody()}, lambda *_: lambda _content: None)

    ask(turnstile, io.BytesIO(b"{}")).join(30)

    assert application.n_answered == 1


def test_whoever_waited_longest_comes_next() -> None:
    """Barging would make the unlucky wait many times longer than the average."""
    lock, order = FairLock(), []
    lock.acquire()
    threads = []
    for i in range(5):

        def take(number: int = i) -> None:
            with lock:
                order.append(number)

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        threads.append(thread)
        wait_until(lambda n=i: len(lock._waiting) == n + 1, 30, "the thread to wait")  # type: ignore[misc]

    lock.release()
    for thread in threads:
        thread.join(30)

    assert order == [0, 1, 2, 3, 4]


def test_accepted_connections_notice_that_their_peer_is_gone_or_does_not_read() -> None:
    """A client whose network died in mid-request must not hold a thread for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        assert keep_alive_on_listeners(port) == 1

        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: it does not read its answer
                    option = socket.TCP_USER_TIMEOUT
                    assert accepted.getsockopt(socket.IPPROTO_TCP, option) == 30_000
