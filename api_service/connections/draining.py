"""Close a worker's connections without losing a request, while other processes serve the port.

A server that ends closes connections that wait for their first or next request, and loses a
request that is just being sent. So a worker first accepts no new connection and adds `Connection:
close` to its last answers; the next request reaches a process that still listens on the same
socket. Knows no route and no model.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from api_service.connections.listening_sockets import is_listening, open_sockets

DRAIN_S = 1.5
"""How long it takes: a client that asks more often than this loses nothing for certain."""

_CLOSE = ("Connection", "close")


class ConnectionDrain:
    """The outermost part of a worker's application. One more call a request until it is time."""

    def __init__(self, application: WSGIApplication, port: int) -> None:
        self._application = application
        self._port = port
        self._is_draining = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._is_draining:
            return self._application(environ, start_response)

        def and_close(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, _CLOSE], *rest)

        return self._application(environ, and_close)

    def listen(self) -> None:
        """From now on `drain_connections` in the main process is heard. Main thread only."""
        if sys.platform != "win32":
            signal.signal(signal.SIGUSR1, self._start_draining)

    def _start_draining(self, _number: int, _frame: object) -> None:
        self._is_draining = True
        stop_accepting(self._port)


def stop_accepting(port: int) -> int:
    """Take no further connection on `port` in this process alone; how many descriptors it had.

    Closing them would not do: the server library holds them open and would fail. They are made
    to mean a socket that nobody knows and nobody ever connects to.
    """
    unreachable = socket.socket()
    unreachable.bind(("127.0.0.1", 0))
    unreachable.listen(1)
    unreachable.setblocking(False)
    found = [descriptor for descriptor in open_sockets() if is_listening(descriptor, port)]
    for descriptor in found:
        os.dup2(unreachable.fileno(), descriptor, inheritable=False)
    unreachable.close()
    return len(found)


def drain_connections(workers: Iterable[int]) -> None:
    """In the main process: let the workers say it, and give clients the time to hear it."""
    if sys.platform == "win32":
        return
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)
    time.sleep(DRAIN_S)
