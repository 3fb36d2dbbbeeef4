"""Clients that are slow, silent, half-closed, deaf or too many: the others are served.

While they stay, health is answered; when they have gone, all is as before by itself.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.campaigns.tally import Tally
from tests.support.api_process import ApiHome
from tests.support.waiting import wait_until

CAMPAIGN = "hostile clients"
ANSWERED_WITHIN_S = 20.0
"""Health, while they are there; for a machine that does much else as well."""
BACK_WITHIN_S = 60.0
MOST = 250
_HOST = b"Host: 127.0.0.1\r\n"
_ROWS = 20_000


def clients(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    dice = random.Random(seed)
    home = ApiHome(
        folder, workers=1, api="body_timeout_s = 3\nidle_timeout_s = 3\nmax_wait_s = 0.5"
    )
    version = home.publish("m", 1)
    kinds = sorted(KINDS)
    with home.running() as process:
        home.wait_until_served(version, workers=1)
        (pid,) = home.worker_pids()
        for number in range(rounds):
            kind = kinds[number % len(kinds)]
            wrong = _round(home, kind, dice)
            if not process.is_running:
                wrong.append("the daemon ended")
            elif home.worker_pids() != {pid}:
                wrong.append("its worker was replaced")
                wait_until(home.worker_pids, BACK_WITHIN_S, "another worker")
                pid = min(home.worker_pids())
            tally.add(CAMPAIGN, kind, "broken" if wrong else "survived", "; ".join(wrong))
        code = process.stop(60)
    wrong = [f"exit code {code}"] if code else []
    wrong += [line for line in home.log.read_text(errors="replace").splitlines() if "Trace" in line]
    tally.add(CAMPAIGN, "at the end", "broken" if wrong else "survived", "; ".join(wrong)[:2000])


def _round(home: ApiHome, kind: str, dice: random.Random) -> list[str]:
    wrong = []
    try:
        with KINDS[kind](home, dice):
            wrong = [*_health(home, "/livez"), *_health(home, "/health")]
    except AssertionError as error:
        wrong.append(str(error))
    try:
        wait_until(lambda: _is_as_before(home), BACK_WITHIN_S, "predictions as before")
    except AssertionError as error:
        wrong.append(str(error))
    return wrong


def _health(home: ApiHome, path: str) -> list[str]:
    at = time.monotonic()
    try:
        status = home.get(path)[0]
    except (OSError, http.client.HTTPException, ValueError) as error:
        return [f"{path}: {error!r}"]
    took_s = time.monotonic() - at
    is_good = status == 200 and took_s < ANSWERED_WITHIN_S
    return [] if is_good else [f"{path}: {status} after {took_s:.1f} s"]


def _is_as_before(home: ApiHome) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        return home.ask("POST", "/models/m/predict", {"instances": [{"x": 1.0}]})[0] == 200
    return False


@contextlib.contextmanager
def _sockets(home: ApiHome, dice: random.Random, content: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = []
        for _ in range(dice.randint(10, MOST)):
            opened.append(stack.enter_context(socket.socket()))
            opened[-1].settimeout(60)
            opened[-1].connect(("127.0.0.1", home.port))
            with contextlib.suppress(ConnectionError):  # it was refused, which is an answer
                opened[-1].sendall(content)
        yield opened


@contextlib.contextmanager
def _silent(home: ApiHome, dice: random.Random) -> Iterator[None]:
    with _sockets(home, dice, b""):
        yield


@contextlib.contextmanager
def _half_header(home: ApiHome, dice: random.Random) -> Iterator[None]:
    with _sockets(home, dice, b"GET /livez HTTP/1.1\r\nHost: 127."):
        yield


@contextlib.contextmanager
def _half_body(home: ApiHome, dice: random.Random) -> Iterator[None]:
    path = dice.choice((b"/models/m/predict", b"/console/sign-in"))
    head = b"POST %b HTTP/1.1\r\n%bContent-Type: application/json\r\n" % (path, _HOST)
    with _sockets(home, dice, head + b"Content-Length: 100\r\n\r\n{"):
        yield


@contextlib.contextmanager
def _byte_by_byte(home: ApiHome, dice: random.Random) -> Iterator[None]:
    """Each second a byte of a body that is never whole."""
    head = b"POST /models/m/predict HTTP/1.1\r\n" + _HOST + b"Content-Length: 100000\r\n\r\n"
    over = threading.Event()
    with _sockets(home, dice, head) as opened:

        def drip() -> None:
            while not over.wait(1):
                for one in opened:
                    with contextlib.suppress(OSError):
                        one.send(b" ")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            time.sleep(dice.uniform(0, 3))
            yield
        finally:
            over.set()
            thread.join(60)


@contextlib.contextmanager
def _half_closed(home: ApiHome, dice: random.Random) -> Iterator[None]:
    """A whole question and then no more from us: the server library may take that for the end."""
    body = json.dumps({"instances": [{"x": 1.0}]}).encode()
    question = b"POST /models/m/predict HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b"
    with _sockets(home, dice, question % (_HOST, len(body), body)) as opened:
        for one in opened:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_WR)
        yield
        for one in opened:
            with contextlib.suppress(ConnectionError):
                status = one.recv(12)[9:12]  # a timeout: it was neither answered nor closed
                assert status in (b"", b"200", b"503"), f"a half-closed question got {status!r}"


@contextlib.contextmanager
def _deaf(home: ApiHome, dice: random.Random) -> Iterator[None]:
    """They ask for long answers and read none of it."""
    body = json.dumps({"instances": [{"x": 1.0}] * _ROWS}).encode()
    question = b"POST /models/m/predict HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b"
    content = question % (_HOST, len(body), body)
    with ExitStack() as stack:
        for _ in range(dice.randint(5, 25)):
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(60)
            one.connect(("127.0.0.1", home.port))
            with contextlib.suppress(ConnectionError):
                one.sendall(content)
        yield


@contextlib.contextmanager
def _reset(home: ApiHome, dice: random.Random) -> Iterator[None]:
    """They ask and are gone before the answer comes."""
    body = json.dumps({"instances": [{"x": 1.0}], "sleep_s": 0.01}).encode()
    question = b"POST /models/m/predict HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b"
    with _sockets(home, dice, question % (_HOST, len(body), body)) as opened:
        for one in opened:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()
        yield


@contextlib.contextmanager
def _too_many(home: ApiHome, dice: random.Random) -> Iterator[None]:
    """More work than the worker can do, from clients that ask again whatever they are told."""
    over, found = threading.Event(), set[int]()

    def ask() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                question = {"instances": [{"x": 1.0}], "sleep_s": 0.05}
                found.add(home.ask("POST", "/models/m/predict", question)[0])

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(dice.randint(20, 60))]
    for thread in threads:
        thread.start()
    try:
        time.sleep(dice.uniform(1, 3))
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert found <= {200, 503}, found


KINDS: dict[str, Callable[[ApiHome, random.Random], contextlib.AbstractContextManager[None]]] = {
    "silent": _silent,
    "half a header": _half_header,
    "half a body": _half_body,
    "byte by byte": _byte_by_byte,
    "half-closed": _half_closed,
    "reads nothing": _deaf,
    "gone before the answer": _reset,
    "overload": _too_many,
}
