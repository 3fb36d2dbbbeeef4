"""Decide whether a request comes from this machine, from elsewhere, or under a foreign host name.

On loopback most routes need no key, so a request that a proxy passed on must not look like a local
one. Reads a WSGI environment; knows no key and no route.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from api_service.config.serving import ServingConfig

_CACHED_HOSTS = 1000
_FORWARDED = frozenset(
    {
        *("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP"),
        *("HTTP_X_CLUSTER_CLIENT_IP", "HTTP_X_ORIGINAL_FORWARDED_FOR", "HTTP_TRUE_CLIENT_IP"),
        *("HTTP_CF_CONNECTING_IP", "HTTP_FASTLY_CLIENT_IP", "HTTP_X_ENVOY_EXTERNAL_ADDRESS"),
        *("HTTP_X_ORIGINAL_HOST", "HTTP_X_ORIGINAL_URL", "HTTP_X_HOST"),
    }
)
_HTTP_1_0 = ("HTTP/1", "HTTP/1.0")  # Granian writes the first
_FORWARDED_PREFIX = "HTTP_X_FORWARDED"


class Origin(Enum):
    """LOCAL: from this machine. REMOTE: from elsewhere, or it counts so. UNKNOWN_HOST: a local
    request under a name that is not ours."""

    LOCAL = auto()
    REMOTE = auto()
    UNKNOWN_HOST = auto()


class RequestOrigins:
    """Tells the origin of requests to one server. Any thread may ask.

    A web page may give its own name our address (DNS rebinding); its requests carry the name.
    """

    def __init__(self, config: ServingConfig) -> None:
        self._are_all_remote = config.needs_keys
        self._own_names = frozenset({"localhost", config.address.host.lower()})
        self._foreign_names = frozenset(name.lower() for name in config.allowed_hosts)
        self._cached: dict[str, Origin] = {}

    def of(self, environ: Mapping[str, Any]) -> Origin:
        """The origin of the request with this environment."""
        if self._are_all_remote or is_forwarded(environ):
            return Origin.REMOTE
        host = environ.get("HTTP_HOST", "")
        origin = self._cached.get(host)
        if origin is None:
            origin = self._of_host(without_port(host).lower())
            if len(self._cached) < _CACHED_HOSTS:  # clients could make up any number of names
                self._cached[host] = origin
        return origin

    def _of_host(self, name: str) -> Origin:
        if not name or name in self._own_names:
            return Origin.LOCAL
        if name in self._foreign_names:
            return Origin.REMOTE
        try:
            # Nobody on this machine calls a server on loopback by another address.
            is_loopback = ipaddress.ip_address(name.partition("%")[0]).is_loopback
        except ValueError:
            return Origin.UNKNOWN_HOST
        return Origin.LOCAL if is_loopback else Origin.REMOTE


def is_forwarded(environ: Mapping[str, Any]) -> bool:
    """Whether a proxy has passed the request on, as far as one can see.

    HTTP/1.0 counts: nginx speaks it to the servers behind it unless told otherwise, also where it
    adds no header; browsers, curl and client libraries speak 1.1.
    """
    return (
        environ.get("SERVER_PROTOCOL") in _HTTP_1_0
        or not _FORWARDED.isdisjoint(environ)
        or _FORWARDED_PREFIX in " ".join(environ)
    )


def without_port(host: str) -> str:
    """The name or address of a host header."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
