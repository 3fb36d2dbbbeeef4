"""Steady requests as a process of its own: run on a machine's network, counted at the end.

Half of the clients open a connection for each request, half keep theirs and, as every client
library does, open a new one when the server has closed it between two requests. One line of JSON
on standard output when its standard input is closed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import threading
import time
from typing import Any

PAUSE_S = 0.01
TIMEOUT_S = 60.0


class Client(threading.Thread):
    """One client after another request until told to stop."""

    def __init__(
        self, port: int, path: str, body: bytes, stop: threading.Event, *, keeps: bool
    ) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self._body = port, path, body
        self._stop_asked = stop
        self._keeps = keeps
        self.latencies_s: list[float] = []
        self.failures: list[str] = []
        self.n_reconnected = 0
        self.versions: set[str] = set()

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop_asked.is_set():
            if connection is None or not self._keeps:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
            is_used = connection.sock is not None
            began = time.monotonic()
            try:
                try:
                    self._ask(connection)
                except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                    if not is_used:
                        raise
                    # Closed while idle: HTTP lets the client try once more, on a new connection.
                    self.n_reconnected += 1
                    connection.close()
                    self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
                connection = None
            else:
                self.latencies_s.append(time.monotonic() - began)
            if not self._keeps and connection is not None:
                connection.close()
            time.sleep(PAUSE_S)

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"{answer.status}: {content[:200]!r}")
        self.versions.add(json.loads(content)["version"])


def main(port: int, path: str, body: str) -> dict[str, Any]:
    stop = threading.Event()
    clients = [Client(port, path, body.encode(), stop, keeps=n % 2 == 0) for n in range(4)]
    for client in clients:
        client.start()
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
    stop.set()
    for client in clients:
        client.join(TIMEOUT_S + 5)
    latencies = sorted(each for client in clients for each in client.latencies_s)
    return {
        "answered": len(latencies),
        "failures": [failure for client in clients for failure in client.failures],
        "reconnected": sum(client.n_reconnected for client in clients),
        "stuck": sum(client.is_alive() for client in clients),
        "longest_ms": round(latencies[-1] * 1000) if latencies else None,
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000) if latencies else None,
        "versions": sorted({each for client in clients for each in client.versions}),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), sys.argv[2], sys.argv[3])) + "\n")
