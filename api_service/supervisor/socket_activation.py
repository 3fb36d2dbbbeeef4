"""Take over the listening socket that systemd passes, and hand it to the workers.

The port then outlives every process of ours: while one instance ends and the next one starts, or
two of them run beside each other, connections wait in one queue that nobody closes. Knows how the
server library takes a socket, no request and no model.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from granian import net

from api_service.config.listen_address import Address
from shared.errors import FixConfiguration

_FIRST_DESCRIPTOR = 3
_BACKLOG = 1024


class InheritedSocket:
    """What the main process hands to each worker in place of an address."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def is_uds(self) -> bool:
        """False: it is TCP. The server library asks."""
        return False

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        # Only while a process is being spawned: its descriptor travels with it.
        from multiprocessing.reduction import DupFd

        return _take_over, (DupFd(self._listener.fileno()),)


def _take_over(descriptor: Any) -> Any:
    """In the worker: the form in which the server library takes a socket that is there already."""
    # Its stub does not name what it takes: descriptor, is it a Unix socket, queue length.
    holder: Any = net.SocketHolder  # type: ignore[attr-defined]
    return holder(descriptor.detach(), False, _BACKLOG)


def inherited_socket_of_systemd(address: Address) -> InheritedSocket | None:
    """The socket that systemd gave to this very process, None when it gave none.

    Its variables are taken out of the environment: children must not believe that they are meant.

    Raises:
        FixConfiguration: it listens elsewhere than the configuration says, or is not one socket.
    """
    listen_pid = os.environ.pop("LISTEN_PID", None)
    count = os.environ.pop("LISTEN_FDS", None)
    os.environ.pop("LISTEN_FDNAMES", None)
    if listen_pid != str(os.getpid()) or count is None:
        return None
    if count != "1":
        raise FixConfiguration(f"systemd: expected one socket handed over, found {count}.")
    listener = socket.socket(fileno=_FIRST_DESCRIPTOR)
    listener.set_inheritable(False)
    # Several processes wait on it and one is faster: the others must not hang in accept().
    listener.setblocking(False)
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise FixConfiguration(
            f"systemd: expected a TCP socket handed over, found {listener.family.name}."
        )
    found = listener.getsockname()[:2]
    if found != (address.ip, address.port):
        raise FixConfiguration(
            f"api.host, api.port: the configuration says {address.ip}:{address.port}, systemd"
            f" listens on {found[0]}:{found[1]} (hotfit-api.socket). Run"
            " scripts/services/install.sh again, which brings it to the configuration."
        )
    return InheritedSocket(listener)
