"""With few places left, connections on which nothing happens are closed, and no others."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack

import pytest

from api_service.connections.idle import close_idle
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO of Linux")


def test_only_what_waits_for_a_request_is_closed() -> None:
    """A client whose request is being answered, however long that takes, must get its answer."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]

        def connected() -> tuple[socket.socket, socket.socket]:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            accepted, _ = listener.accept()
            return client, stack.enter_context(accepted)

        def exchange(sender: socket.socket, receiver: socket.socket) -> None:
            sender.sendall(b"x")
            assert receiver.recv(1) == b"x"

        silent, _ = connected()
        idle, idle_server = connected()
        asking, asking_server = connected()
        again, again_server = connected()
        # Each step a little later than the one before, as the system counts in milliseconds.
        exchange(idle, idle_server)
        exchange(asking, asking_server)
        exchange(again, again_server)
        assert close_idle(port, 60) == 0, "nothing has been idle for a minute"
        wait_until(lambda: _age_ms(again_server, 52) > 20, 30, "some milliseconds to pass")
        exchange(idle_server, idle)
        exchange(again_server, again)
        wait_until(lambda: _age_ms(again_server, 44) > 20, 30, "some milliseconds to pass")
        exchange(again, again_server)  # its second request
        wait_until(lambda: _age_ms(again_server, 52) > 20, 30, "some milliseconds to pass")

        assert close_idle(port, 0.01) == 2

        assert silent.recv(1) == b""
        assert idle.recv(1) == b""
        for client, server in ((asking, asking_server), (again, again_server)):
            exchange(server, client)


def _age_ms(connection: socket.socket, offset: int) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[offset : offset + 4], sys.byteorder)
