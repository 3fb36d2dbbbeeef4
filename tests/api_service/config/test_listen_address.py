"""A taken port is found before anything starts."""

from __future__ import annotations

import socket

import pytest

from api_service.config.listen_address import Address
from shared.errors import FixConfiguration, PortTaken


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
def test_a_port_that_another_server_would_share_is_taken() -> None:
    """With SO_REUSEPORT on both sides the system would hand our clients to the other one."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Address.resolve("127.0.0.1", other.getsockname()[1])

        with pytest.raises(PortTaken, match=f"listens on 127.0.0.1:{address.port}"):
            address.check_free()

    address.check_free()


def test_a_host_name_is_resolved_to_an_address() -> None:
    """The server itself takes only numbers."""
    address = Address.resolve("localhost", 5000)

    assert address.ip == "127.0.0.1"
    assert address.is_loopback
    assert address.url == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("host", "is_loopback", "url"),
    [
        ("0.0.0.0", False, "http://127.0.0.1:5000"),
        ("::1", True, "http://[::1]:5000"),
        ("127.8.8.8", True, "http://127.8.8.8:5000"),
    ],
)
def test_loopback_and_url_follow_from_the_address(host: str, is_loopback: bool, url: str) -> None:
    """What decides whether keys are needed, and what is printed to be opened."""
    address = Address(host, host, 5000)

    assert (address.is_loopback, address.url) == (is_loopback, url)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_a_fault_of_the_configuration(host: str) -> None:
    """One line that names the setting."""
    with pytest.raises(FixConfiguration, match=r"api\.host"):
        Address.resolve(host, 5000).check_free()
