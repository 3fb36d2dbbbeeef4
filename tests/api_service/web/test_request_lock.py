"""One thread computes; whoever reads for long, or waits, holds up nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from api_service.connections import body_deadline
from api_service.web.granian_adapter import Limits, make_callback
from api_service.web.request_lock import RequestLock
from api_service.web.yield_lock import yield_lock
from tests.support.waiting import wait_until


class Client:
    """Sends its body when it is told to, and keeps the answer."""

    def __init__(self, *, is_slow: bool = False) -> None:
        self.is_read = threading.Event()
        self.may_arrive = threading.Event()
        self.is_answered = threading.Event()
        self.answer: tuple[int, bytes] | None = None
        self.headers: dict[str, str] = {}
        self.is_begun = False
        if not is_slow:
            self.may_arrive.set()

    def read(self, *_size: int) -> bytes:
        self.is_read.set()
        assert self.may_arrive.wait(10)
        return b"{}"

    # What the server offers to its callback; it takes one answer and ignores others.

    def response_bytes(self, status: int, headers: Any, content: bytes) -> None:
        if not self.is_begun:
            self.is_begun = True
            self._end(status, headers, content)

    def response_iter(self, status: int, headers: Any, parts: Any) -> None:
        if self.is_begun:
            return
        self.is_begun = True
        found = []
        while True:
            try:
                found.append(parts.__next__())
            except StopIteration:
                break
        parts.close()
        self._end(status, headers, b"".join(found))

    def _end(self, status: int, headers: Any, content: bytes) -> None:
        self.headers = dict(headers)
        self.answer = (status, content)
        self.is_answered.set()


class Counting:
    """A WSGI application that reads its body and counts how many requests compute at once."""

    def __init__(self) -> None:
        self.n_now = self.n_most = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self._compute()
        content = environ["wsgi.input"].read()
        self._compute()
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return [content]

    def _compute(self) -> None:
        self.n_now += 1
        self.n_most = max(self.n_most, self.n_now)
        for _ in range(1000):  # long enough that the interpreter would switch threads
            pass
        self.n_now -= 1


Callback = Callable[[Any, dict[str, Any]], None]


def send(callback: Callback, client: Client) -> threading.Thread:
    """As a thread of the server does."""
    scope = {"wsgi.input": client, "PATH_INFO": "/"}
    thread = threading.Thread(target=callback, args=(client, scope), daemon=True)
    thread.start()
    return thread


def test_only_one_request_computes_at_a_time() -> None:
    """Threads that compute at once fight over the interpreter lock; the slowest pay for it."""
    application = Counting()
    callback = make_callback(application, {})

    clients = [Client() for _ in range(300)]
    for client in clients:
        send(callback, client)

    for client in clients:
        assert client.is_answered.wait(10)
        assert client.answer == (200, b"{}")
    assert application.n_most == 1


def test_slow_bodies_hold_up_nobody_and_are_answered_when_they_come() -> None:
    """A client on a bad line, or one that vanished, must not stop a worker."""
    application = Counting()
    callback = make_callback(application, {})
    slow = [Client(is_slow=True) for _ in range(5)]
    for client in slow:
        send(callback, client)
        wait_until(client.is_read.is_set, 30, "the slow request to read its body")

    for _ in range(20):
        quick = Client()
        send(callback, quick)
        assert quick.is_answered.wait(30)

    for client in slow:
        client.may_arrive.set()
        assert client.is_answered.wait(30)
    assert application.n_most == 1


def test_a_body_that_stalls_under_load_is_overtaken_by_whoever_stands_by() -> None:
    """Under load all threads but one stand by: one of them must notice and go on."""
    entered, go_on = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/hold":
            entered.set()
            assert go_on.wait(10)
        content = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [content]

    callback = make_callback(application, {})
    stalled = Client(is_slow=True)
    scope = {"wsgi.input": stalled, "PATH_INFO": "/hold"}
    leader = threading.Thread(target=callback, args=(stalled, scope), daemon=True)
    leader.start()
    assert entered.wait(30)
    behind = [Client() for _ in range(3)]
    threads = [send(callback, client) for client in behind]  # these stand by behind the leader

    go_on.set()

    for client in behind:
        assert client.is_answered.wait(30)
    assert not stalled.is_answered.is_set()
    stalled.may_arrive.set()
    assert stalled.is_answered.wait(30)
    # One of them went back to the server for more; the others sleep until they are needed.
    wait_until(lambda: not all(thread.is_alive() for thread in threads), 30, "one to go back")


def test_a_request_that_waits_lets_others_through_and_goes_on_in_its_turn() -> None:
    """Waiting for the end of a training must not keep a prediction waiting."""
    waits, ended = threading.Event(), threading.Event()
    order = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            with yield_lock(environ):
                waits.set()
                assert ended.wait(10)
        order.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b""]

    callback = make_callback(application, {})
    patient = Client()
    scope = {"wsgi.input": patient, "PATH_INFO": "/wait"}
    threading.Thread(target=callback, args=(patient, scope), daemon=True).start()
    assert waits.wait(30)
    quick = Client()
    send(callback, quick)
    assert quick.is_answered.wait(30)
    ended.set()
    assert patient.is_answered.wait(30)

    assert order == ["/", "/wait"]


def test_an_answer_in_parts_lets_others_through_and_is_closed() -> None:
    """The client of a long download decides how long it takes."""
    quick, closed = Client(), threading.Event()

    class Parts:
        def __iter__(self) -> Any:
            yield b"a"
            assert quick.is_answered.wait(30), "another request is answered in the meantime"
            yield b"b"

        def close(self) -> None:
            closed.set()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return Parts() if environ["PATH_INFO"] == "/long" else [b"", b"quick"]

    callback = make_callback(application, {})
    long = Client()
    scope = {"wsgi.input": long, "PATH_INFO": "/long"}
    threading.Thread(target=callback, args=(long, scope), daemon=True).start()
    send(callback, quick)

    assert long.is_answered.wait(10)
    assert long.answer == (200, b"ab")
    assert quick.answer == (200, b"quick")
    assert closed.is_set()


def test_a_failing_request_is_answered_and_leaves_the_lane_usable() -> None:
    """An exception must neither lock everybody out nor leave its client without an answer."""

    class Broken(Client):
        def read(self, *_size: int) -> bytes:
            raise ConnectionResetError

    callback = make_callback(Counting(), {})
    for _ in range(3):
        broken = Broken()
        send(callback, broken).join(30)
        assert broken.answer is not None
        assert broken.answer[0] == 500

    well = Client()
    send(callback, well).join(30)

    assert well.answer == (200, b"{}")


class Panic(BaseException):
    """As libraries written in Rust raise it: no Exception."""


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit, Panic])
def test_what_would_end_a_thread_ends_neither_the_lane_nor_those_behind(
    raised: type[BaseException],
) -> None:
    """`sys.exit()` in a hook answered once, and then the worker never again."""
    entered, go_on = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/exit":
            entered.set()
            assert go_on.wait(30)
            raise raised
        content = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [content]

    callback = make_callback(application, {})
    leaving = [Client(), Client()]  # one leads, the other is answered by whoever leads
    for client in leaving:
        scope = {"wsgi.input": client, "PATH_INFO": "/exit"}
        threading.Thread(target=callback, args=(client, scope), daemon=True).start()
    assert entered.wait(30)
    behind = [Client() for _ in range(3)]
    threads = [send(callback, client) for client in behind]
    go_on.set()

    for client in leaving:
        assert client.is_answered.wait(30)
        assert client.answer is not None
        assert client.answer[0] == 500
    for client in behind:
        assert client.is_answered.wait(30)
        assert client.answer == (200, b"{}")
    late = Client()
    threads.append(send(callback, late))
    assert late.is_answered.wait(30)


def test_the_environment_variables_of_the_server_are_not_in_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A secret of the process is nobody's request header, and each entry costs time."""
    monkeypatch.setenv("HOTFIT_API_KEY", "secret")
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("204 NO CONTENT", [])
        return []

    callback = make_callback(application, {"url_path_prefix": "/api"})
    client = Client()
    callback(client, {"wsgi.input": client, "PATH_INFO": "/api/livez"})

    assert client.answer == (204, b"")
    assert "HOTFIT_API_KEY" not in seen
    assert seen["PATH_INFO"] == "/livez"
    assert seen["SCRIPT_NAME"] == "/api"


def test_a_bell_that_rings_late_does_not_lose_the_lead() -> None:
    """Many threads that give the lead away and want it back must all get through."""
    done: list[int] = []

    def answer(number: int, _scope: Any) -> None:
        for _ in range(20):
            lock.release()
            lock.acquire()
            lock.read(lambda: None, ())
        done.append(number)

    lock = RequestLock(answer)
    threads = [threading.Thread(target=lock.run, args=(i, None), daemon=True) for i in range(30)]
    for thread in threads:
        thread.start()

    wait_until(lambda: len(done) == 30, 20, "all of them to be answered")


def test_closing_sends_everybody_back_to_the_server() -> None:
    """A thread that sleeps here while the interpreter ends would abort the process."""
    entered, go_on = threading.Event(), threading.Event()

    def answer(number: int, _scope: Any) -> None:
        if number == 0:
            entered.set()
            assert go_on.wait(10)

    lock = RequestLock(answer)
    threads = [threading.Thread(target=lock.run, args=(0, None), daemon=True)]
    threads[0].start()
    assert entered.wait(30)
    for i in range(1, 6):
        threads.append(threading.Thread(target=lock.run, args=(i, None), daemon=True))
        threads[-1].start()
    wait_until(lambda: len(lock._asleep) == 5, 30, "five to stand by")

    lock.close()

    for thread in threads[1:]:
        thread.join(30)
        assert not thread.is_alive()
    go_on.set()
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_no_call_returns_to_the_server_before_its_request_was_answered() -> None:
    """The server lets a body go when the call returns; the leader would then read nothing."""
    answered: set[int] = set()
    early: list[int] = []

    def answer(request: int, _scope: object) -> None:
        if request % 3 == 0:  # it waits for something else, as for a model that is opened
            lock.release()
            threading.Event().wait(0.001)
            lock.acquire()
        answered.add(request)

    lock = RequestLock(answer)

    def call(first: int) -> None:
        for request in range(first, first + 200):
            lock.run(request, None)
            if request not in answered:
                early.append(request)

    threads = [threading.Thread(target=call, args=(1000 * i,), daemon=True) for i in range(6)]
    for thread in threads:
        thread.start()

    wait_until(lambda: len(answered) == 6 * 200, 20, "every answer")
    lock.close()
    assert early == []


def test_whoever_cannot_be_answered_in_time_is_refused_and_health_goes_first() -> None:
    """A queue that only grows makes everybody late; who asks for health must hear of it now."""
    entered, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        order.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/hold":
            entered.set()
            assert go_on.wait(30)
        start_response("200 OK", [])
        return [b""]

    callback = make_callback(application, {}, limits=Limits(max_wait_s=0.01))

    def ask(path: str) -> Client:
        client = Client()
        scope = {"wsgi.input": client, "PATH_INFO": path}
        threading.Thread(target=callback, args=(client, scope), daemon=True).start()
        return client

    ask("/hold")
    assert entered.wait(30)
    first = ask("/first")  # nobody has waited before it
    refused: list[Client] = []

    def is_refused() -> bool:
        refused.append(ask("/more"))
        return refused[-1].is_answered.wait(1)

    wait_until(is_refused, 30, "a request to be refused")
    health = ask("/livez")
    wait_until(lambda: len(callback.__self__._priority) == 1, 30, "it to wait")  # type: ignore[attr-defined]
    go_on.set()

    for client in (health, first):
        assert client.is_answered.wait(30)
        assert client.answer == (200, b"")
    assert order[:3] == ["/hold", "/livez", "/first"]
    assert refused[-1].answer is not None
    assert refused[-1].answer[0] == 503
    assert refused[-1].headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    "limits",
    [Limits(body_timeout_s=0.05), Limits(body_timeout_s=600, is_ending=lambda: True)],
    ids=["overdue", "at the end of the process"],
)
def test_a_body_that_is_overdue_is_answered_408_and_never_taken_for_a_whole_one(
    limits: Limits,
) -> None:
    """What was half sent must not be acted on, as an empty body of a training's request would."""
    seen: list[bytes] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b""]

    callback = make_callback(application, {}, limits=limits)
    slow = Client(is_slow=True)
    thread = send(callback, slow)
    assert slow.is_answered.wait(30)

    assert slow.answer is not None
    status, content = slow.answer
    assert status == 408
    assert slow.headers["Connection"] == "close"
    # The server closes a connection whose answer is too short, and ends the read with that.
    assert len(content) == int(slow.headers["Content-Length"]) - 1
    slow.may_arrive.set()
    thread.join(30)
    assert not thread.is_alive()
    assert seen == []


def test_a_client_that_finishes_late_gets_the_whole_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was slow and not hostile; its library must be able to read what is wrong."""
    monkeypatch.setattr(body_deadline, "LINGER_S", 30)
    callback = make_callback(Counting(), {}, limits=Limits(body_timeout_s=0.05))
    slow = Client(is_slow=True)

    thread = send(callback, slow)
    wait_until(lambda: slow.is_begun, 30, "the answer to begin")
    slow.may_arrive.set()
    thread.join(30)

    assert slow.is_answered.wait(30)
    assert slow.answer is not None
    assert len(slow.answer[1]) == int(slow.headers["Content-Length"])


def test_a_client_that_hangs_up_in_its_body_has_sent_nothing() -> None:
    """The server passes an interrupted body off as an empty one."""
    seen: list[bytes] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b""]

    class Gone(Client):
        def read(self, *_size: int) -> bytes:
            return b""

    callback = make_callback(application, {})
    client = Gone()
    callback(client, {"wsgi.input": client, "PATH_INFO": "/", "CONTENT_LENGTH": "100"})

    assert seen == []
    assert client.answer == (400, b"")


def test_bodies_are_refused_unread_when_threads_run_low() -> None:
    """Each slow body costs a thread; the last ones are for who needs none for long."""
    callback = make_callback(Counting(), {}, limits=Limits(most_slow_bodies=3))
    slow = [Client(is_slow=True) for _ in range(3)]
    threads = [send(callback, client) for client in slow]

    def is_full() -> bool:
        return callback.__self__._deadline.is_full  # type: ignore[attr-defined,no-any-return]

    wait_until(is_full, 30, "all places to be taken")
    with_body, without = Client(), Client()
    callback(with_body, {"wsgi.input": with_body, "PATH_INFO": "/", "CONTENT_LENGTH": "2"})
    callback(without, {"wsgi.input": without, "PATH_INFO": "/"})

    assert with_body.answer is not None
    assert with_body.answer[0] == 503
    assert with_body.headers["Connection"] == "close"
    assert not with_body.is_read.is_set()
    assert without.answer == (200, b"{}")
    for client in slow:
        client.may_arrive.set()
    for thread in threads:
        thread.join(30)
    later = Client()
    callback(later, {"wsgi.input": later, "PATH_INFO": "/", "CONTENT_LENGTH": "2"})
    assert later.answer == (200, b"{}")
