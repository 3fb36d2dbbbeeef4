"""Clients that send half, nothing, or too much: the others are served, and everything ends."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.api_process import ApiHome
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PREDICTION = {"instances": [{"x": 1.0}]}


@contextmanager
def sockets(port: int, number: int, content: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections, on each of which `content` was sent."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            opened.append(stack.enter_context(connection))
            connection.sendall(content)
        yield opened


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    content = b""
    try:
        while part := connection.recv(4096):
            content += part
    except ConnectionResetError:  # closed with something of ours unread
        pass
    return content


def statuses(connections: list[socket.socket]) -> Counter[bytes]:
    """Status of each connection's answer once it is closed; b"" where there was none."""
    return Counter(received(connection)[9:12] for connection in connections)


def n_refused(home: ApiHome, status: int) -> float:
    """As the metrics count them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{home.port}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("hotfit_requests_total{")
        and 'route="refused"' in line
        and f'status="{status}"' in line
    )


def others_are_served(home: ApiHome) -> bool:
    return [
        home.get("/livez")[0],
        home.ask("POST", "/models/m/predict", PREDICTION)[0],
        home.get("/health")[0],
    ] == [200, 200, 200]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHome]:
    """One worker, so that every connection meets it."""
    home = ApiHome(
        tmp_path_factory.mktemp("home"), workers=1, api="body_timeout_s = 4\nidle_timeout_s = 4"
    )
    version = home.publish("m", 1)
    with home.running():
        home.wait_until_served(version, workers=1)
        yield home


def test_half_sent_bodies_and_headers_hold_up_nobody_and_end(home: ApiHome) -> None:
    """Nobody needs a key for this: the sign-in form is read for everybody."""
    half = b"Host: 127.0.0.1\r\nContent-Length: 100\r\n\r\nx"
    form = b"Content-Type: application/x-www-form-urlencoded\r\n" + half
    with (
        sockets(home.port, 40, b"POST /models/m/predict HTTP/1.1\r\n" + half) as bodies,
        sockets(home.port, 40, b"POST /console/sign-in HTTP/1.1\r\n" + form) as forms,
        sockets(home.port, 40, b"GET /livez HTTP/1.1\r\nHost: 127.") as headers,
    ):
        assert others_are_served(home)

        assert statuses(bodies + forms) == {b"408": 80}
        assert statuses(headers) == {b"": 40}  # nobody has asked anything yet

    assert others_are_served(home)
    assert n_refused(home, 408) == 80
    log = home.log.read_text(encoding="utf-8")
    assert "Traceback" not in log


def test_more_half_sent_bodies_than_threads_are_refused_and_leave_health_alone(
    home: ApiHome,
) -> None:
    """A thousand of them must cost those who send them, and not health."""
    half = b"POST /models/m/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx"
    with sockets(home.port, 400, half) as bodies:
        assert home.get("/livez")[0] == 200
        assert home.get("/health")[0] == 200

        found = statuses(bodies)

    # Which of the two depends on how many have ended before the next came.
    assert set(found) <= {b"408", b"503"}
    wait_until(lambda: others_are_served(home), 30, "predictions to be answered again")


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are counted otherwise there")
def test_connections_that_send_nothing_or_nothing_more_take_nobodys_place(home: ApiHome) -> None:
    """The server library used to accept 1,024 connections and to close none of them."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this machine allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        with (
            sockets(home.port, 1100) as silent,
            sockets(home.port, 50, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as idle,
        ):
            assert others_are_served(home)

            assert statuses(silent) == {b"": 1100}
            assert statuses(idle) == {b"200": 50}
        assert others_are_served(home)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_cannot_be_answered_in_time_is_refused_and_health_is_answered(tmp_path: Path) -> None:
    """A queue that only grows makes everybody late; afterwards all is as before, by itself."""
    home = ApiHome(tmp_path, workers=1, api="max_wait_s = 0.5")
    version = home.publish("m", 1)
    answers: list[tuple[int, str | None]] = []
    is_refused = threading.Event()

    def ask() -> None:
        body = json.dumps(PREDICTION | {"sleep_s": 0.05})
        connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=60)
        while not is_refused.is_set():
            connection.request("POST", "/models/m/predict", body)
            answer = connection.getresponse()
            answer.read()
            answers.append((answer.status, answer.getheader("Retry-After")))
            if answer.status == 503:
                is_refused.set()
        connection.close()

    with home.running():
        home.wait_until_served(version, workers=1)
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(40)]
        for thread in threads:
            thread.start()
        assert is_refused.wait(60)
        assert home.get("/livez")[0] == 200
        for thread in threads:
            thread.join(60)
        wait_until(lambda: others_are_served(home), 30, "all to be as before")

    assert set(answers) == {(200, None), (503, "1")}
    assert "requests_refused" in home.log.read_text(encoding="utf-8")


def test_a_stop_answers_those_who_have_sent_half_a_body(tmp_path: Path) -> None:
    """Before, the workers waited for the bodies until they were killed, and no client was told."""
    home = ApiHome(tmp_path, workers=2, api="body_timeout_s = 60")
    version = home.publish("m", 1)
    half = b"POST /models/m/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx"
    with home.running() as process:
        home.wait_until_served(version, workers=2)
        with sockets(home.port, 60, half) as bodies:
            assert others_are_served(home)  # so that each worker has begun to read

            assert process.stop(60) == 0

            assert statuses(bodies) == {b"408": 60}
