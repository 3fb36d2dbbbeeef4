"""Take address, scheme, host and prefix of a request from a trusted proxy's headers.

The headers of a proxy that is not trusted change nothing here; anybody could send them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_FOR, _PREFIX = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PREFIX"
# What is understood, exactly; anything else is as good as not sent.
_UNDERSTOOD = {
    "HTTP_X_FORWARDED_PROTO": re.compile(r"https?", re.IGNORECASE),
    "HTTP_X_FORWARDED_HOST": re.compile(
        r"[\w.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", re.ASCII
    ),
    _PREFIX: re.compile(r"(/[\w.~-]+)+/?", re.ASCII),
}


class TrustedProxies:
    """WSGI middleware around everything that asks who the client is.

    Args:
        proxies: addresses and networks, as `api.trusted_proxies` has them.
    """

    def __init__(self, application: WSGIApplication, proxies: Sequence[str]) -> None:
        self._application = application
        self._networks = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._networks or not self._is_trusted(environ.get("REMOTE_ADDR", "")):
            return self._application(environ, start_response)
        for name, pattern in _UNDERSTOOD.items():
            nearest = str(environ.get(name, "")).rpartition(",")[2].strip()
            if name in environ and not pattern.fullmatch(nearest):
                environ[name] = ""
        fix = ProxyFix(self._application, x_for=0, x_proto=1, x_host=1, x_prefix=1)
        client = self._client(environ.get(_FOR, ""))
        if client is not None:
            environ[_FOR] = client
            fix.x_for = 1
        if environ.get(_PREFIX):
            environ[_PREFIX] = environ[_PREFIX].rstrip("/")
        return fix(environ, start_response)

    def _client(self, forwarded_for: str) -> str | None:
        """The last address that no trusted proxy has; None when it is no address.

        Each proxy adds the address that it sees, so what stands before may be made up.
        """
        client: str | None = None
        for entry in reversed(forwarded_for.split(",")):
            client = _address_of(entry)
            if client is None or not self._is_trusted(client):
                return client
        return client

    def _is_trusted(self, text: str) -> bool:
        address = _address_of(text)
        if address is None:
            return False
        found = ipaddress.ip_address(address)
        return any(found in network for network in self._networks)


def _address_of(text: str) -> str | None:
    """An address without its port, zone and IPv6 wrapping; None when it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    inner = getattr(found, "ipv4_mapped", None)
    return str(inner or found)
