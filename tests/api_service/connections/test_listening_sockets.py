"""Keep-alive on the listening sockets, and nothing else touched."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from api_service.connections.listening_sockets import keep_alive_on_listeners

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sockets are no descriptors there")


def test_looking_for_the_listener_opens_nothing_that_stays_open(tmp_path: Path) -> None:
    """It looks ten times a second at start; one descriptor a look would end the worker."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc to count descriptors")
    pipe = os.pipe()
    with (tmp_path / "file").open("w"), socket.socket(socket.AF_UNIX):
        before = len(list(descriptors.iterdir()))

        for _ in range(20):
            assert keep_alive_on_listeners(1) == 0

        assert len(list(descriptors.iterdir())) == before
    for end in pipe:
        os.close(end)


def test_only_the_listener_on_that_port_is_changed() -> None:
    """Connections inherit it from there; other sockets of the process are not ours."""
    with (
        socket.create_server(("127.0.0.1", 0)) as ours,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        assert keep_alive_on_listeners(ours.getsockname()[1]) == 1

        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not other.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


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
