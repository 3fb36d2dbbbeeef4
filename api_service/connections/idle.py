"""Close idle connections when a worker has few places for connections left.

A client that opens thousands of connections and sends nothing must not keep health checks out.
Linux says which connections are idle (`TCP_INFO`); elsewhere only `api.idle_timeout_s` ends them.
A connection whose request is being answered is never closed here.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from api_service.connections.limits import most_connections
from api_service.connections.listening_sockets import open_sockets
from api_service.connections.refusals import Refusals
from shared.daemon.background import run_in_background

IDLE_S = 1.0
"""With few places left, a connection may be idle for so long."""

_CHECK_INTERVAL_S = 0.5
_FULL = 0.75
_INFO_BYTES = 136
# struct tcp_info: how long ago the last data was sent and received (ms), and bytes received.
_SENT_AGO, _RECEIVED_AGO, _RECEIVED = 44, 52, 128


def keep_places_free(port: int) -> None:
    """Start a thread that looks after the connections that this process has accepted on `port`."""
    if sys.platform != "linux":
        return
    limit, closed = most_connections(), Refusals("idle_connections_closed")

    def turn() -> None:
        time.sleep(_CHECK_INTERVAL_S)
        # Nearly all descriptors are connections when there are so many.
        if sum(1 for _ in Path("/proc/self/fd").iterdir()) > _FULL * limit:
            closed.add("too many connections", close_idle(port, IDLE_S))

    run_in_background("connections", turn)


def close_idle(port: int, idle_s: float) -> int:
    """Close connections on `port` that wait for a request for `idle_s`; return how many."""
    n_closed = 0
    for descriptor in open_sockets():
        # A second descriptor: it goes on meaning this connection when the server closes its own.
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
            if _is_ours(connection, port) and _is_idle(connection, idle_s):
                connection.shutdown(socket.SHUT_RDWR)
                n_closed += 1
    return n_closed


def _is_ours(connection: socket.socket, port: int) -> bool:
    return (
        connection.family in (socket.AF_INET, socket.AF_INET6)
        and connection.type == socket.SOCK_STREAM
        and not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        and connection.getsockname()[1] == port
    )


def _is_idle(connection: socket.socket, idle_s: float) -> bool:
    """Whether nothing was ever received, or an answer was the last thing that happened."""
    if sys.platform != "linux":
        return False
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    (sent_ms,) = struct.unpack_from("I", info, _SENT_AGO)
    (received_ms,) = struct.unpack_from("I", info, _RECEIVED_AGO)
    (n_received,) = struct.unpack_from("Q", info, _RECEIVED)
    if min(sent_ms, received_ms) < idle_s * 1000:
        return False
    return bool(n_received == 0 or sent_ms < received_ms)
