"""Resolve the address to listen on, and check that its port is free.

Knows sockets, no keys and no server.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from dataclasses import dataclass

from shared.errors import FixConfiguration, PortTaken


@dataclass(frozen=True, slots=True)
class Address:
    """One address to listen on. `host` as configured, `ip` as resolved."""

    host: str
    ip: str
    port: int

    @classmethod
    def resolve(cls, host: str, port: int) -> Address:
        """Turn a host name into an address; the server takes only numbers.

        Raises:
            FixConfiguration: there is no such host.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise FixConfiguration(
                f"api.host: {host!r} is not an address of this machine: {error.strerror}."
            ) from None
        # "localhost" names two addresses; IPv4 first is what curl and people expect.
        found.sort(key=lambda entry: entry[0] != socket.AF_INET)
        return cls(host, str(found[0][4][0]), port)

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.ip.partition("%")[0]).is_loopback

    @property
    def url(self) -> str:
        """The address as something to open: any-address becomes loopback."""
        ip = ipaddress.ip_address(self.ip.partition("%")[0])
        if ip.is_unspecified:
            return f"http://{'127.0.0.1' if ip.version == 4 else '[::1]'}:{self.port}"
        return f"http://{f'[{self.ip}]' if ip.version == 6 else self.ip}:{self.port}"

    def check_free(self) -> None:
        """Bind once and let go.

        The server's workers bind with SO_REUSEPORT, which would silently share the port with
        another server of the same user; binding without it is how the other one is found.

        Raises:
            PortTaken: something listens there.
            FixConfiguration: not an address of this machine, or no right to this port.
        """
        family = socket.AF_INET6 if ":" in self.ip else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            if sys.platform == "win32":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                # Connections of an earlier run that still wait to be forgotten are no server.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((self.ip, self.port))
            except PermissionError:
                if sys.platform == "win32":  # how an exclusive socket of another says no
                    raise self._taken() from None
                raise FixConfiguration(
                    f"api.port: this user may not listen on port {self.port};"
                    " choose one above 1023."
                ) from None
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, 10048):  # 10048: WSAEADDRINUSE
                    raise self._taken() from None
                raise FixConfiguration(
                    f"api.host: cannot listen on {self.ip}:{self.port}: {error.strerror}."
                ) from None

    def _taken(self) -> PortTaken:
        return PortTaken(
            f"api.port: another process listens on {self.ip}:{self.port}; stop it or choose"
            " another port (api.port or HOTFIT_API__PORT)."
        )
