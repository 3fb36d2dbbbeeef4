"""Find the listening sockets of this process, and switch TCP keep-alive on for their connections.

A client whose network failed in the middle of a request sends nothing any more, and the thread
that reads its body would wait for ever. The server library has no time-out for that; the operating
system has, and accepted connections inherit it from the listening socket. The same holds for a
client that does not read its answer, where the system can notice that.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from shared.daemon.background import run_once_in_background

if TYPE_CHECKING:
    pass


_IDLE_S = 15
_INTERVAL_S = 5
_PROBES = 3
_UNREAD_MS = 30_000
_CHECK_INTERVAL_S = 0.1
_LISTEN_TIMEOUT_S = 60.0
_HIGHEST_DESCRIPTOR = 256


def enable_tcp_keepalive(port: int) -> None:
    """Start a thread that waits until this process listens on `port` and switches it on there."""
    if sys.platform == "win32":
        return  # sockets are no file descriptors there

    def look() -> None:
        deadline = time.monotonic() + _LISTEN_TIMEOUT_S
        while not keep_alive_on_listeners(port) and time.monotonic() < deadline:
            time.sleep(_CHECK_INTERVAL_S)

    run_once_in_background("dead-peers", look)


def keep_alive_on_listeners(port: int) -> int:
    """Switch it on for every listening socket on `port`; return how many there are."""
    return sum(_keep_alive(descriptor, port) for descriptor in range(3, _HIGHEST_DESCRIPTOR))


def _keep_alive(descriptor: int, port: int) -> bool:
    """Switch it on if the descriptor is a socket that listens on `port`; True when it is."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        # A second descriptor of the same socket: closing it leaves the server's own open.
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if not is_listening or sock.getsockname()[1] != port:
                return False
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (
                ("TCP_KEEPIDLE", _IDLE_S),
                ("TCP_KEEPINTVL", _INTERVAL_S),
                ("TCP_KEEPCNT", _PROBES),
                ("TCP_USER_TIMEOUT", _UNREAD_MS),
            ):
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError:  # closed in the meantime
        return False
    return True


def open_sockets() -> list[int]:
    """Every descriptor of this process that is a socket."""
    found = []
    for path in Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd").iterdir():
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(path.name)).st_mode):
                found.append(int(path.name))
    return found


def is_listening(descriptor: int, port: int) -> bool:
    """Whether it is a TCP socket that listens on `port`."""
    try:
        # A second descriptor of the same socket: closing it leaves the first one open.
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return (
                sock.family in (socket.AF_INET, socket.AF_INET6)
                and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                and sock.getsockname()[1] == port
            )
    except OSError:
        return False
