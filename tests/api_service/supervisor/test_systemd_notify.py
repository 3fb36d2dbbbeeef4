"""The socket that the service manager hands over."""

from __future__ import annotations

import os
import sys

import pytest

from api_service.config.listen_address import Address
from api_service.supervisor.socket_activation import inherited_socket_of_systemd
from shared.errors import FixConfiguration


@pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")
@pytest.mark.parametrize("meant_for", [None, "1"])
def test_a_socket_that_is_meant_for_another_process_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, meant_for: str | None
) -> None:
    """The variables are inherited by every child of a shell that was started by a socket."""
    monkeypatch.setenv("LISTEN_FDS", "1")
    if meant_for is None:
        monkeypatch.delenv("LISTEN_PID", raising=False)
    else:
        monkeypatch.setenv("LISTEN_PID", meant_for)

    assert inherited_socket_of_systemd(Address.resolve("127.0.0.1", 5000)) is None
    assert "LISTEN_FDS" not in os.environ, "no child of ours must believe in it"


@pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")
def test_more_than_one_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one to serve on would be a guess."""
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))

    with pytest.raises(FixConfiguration, match="expected one socket handed over, found 2"):
        inherited_socket_of_systemd(Address.resolve("127.0.0.1", 5000))
