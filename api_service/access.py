"""Who may call what: host names on loopback, keys and roles elsewhere. Knows no model."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog
from flask import Flask, request

from api_service.serving_config import ServingConfig
from shared.errors import AnswerClient, KeyForbidden, KeyRequired, KeyUnusable
from shared.keys import ApiKeys, Role

log = structlog.get_logger()

View = TypeVar("View", bound=Callable[..., Any])
_ROLE = "needed_role"
_ON_LOOPBACK = "needs_key_on_loopback"
_OPEN = "open"


class HostRefused(AnswerClient):
    """The request names a host that this server does not answer to."""

    status = 421
    title = "not a name of this server"


def open_to_all(view: View) -> View:
    """Mark a view that needs no key on any address: health."""
    setattr(view, _ROLE, _OPEN)
    return view


def needs(role: Role, *, on_loopback: bool = True) -> Callable[[View], View]:
    """Mark a view that needs a key of this role; without `on_loopback` only elsewhere."""

    def mark(view: View) -> View:
        setattr(view, _ROLE, role)
        setattr(view, _ON_LOOPBACK, on_loopback)
        return view

    return mark


class KeyRing:
    """The keys that are valid now. The reload thread calls `refresh`; any thread reads `keys`."""

    def __init__(self, keys_dir: Path) -> None:
        self._keys_dir = keys_dir
        self._error: str | None = None
        self.keys = ApiKeys({})

    def refresh(self) -> None:
        """Read the key files again, so that a new key works without a restart. Never raises."""
        try:
            self.keys = ApiKeys.read(self._keys_dir)
        except KeyUnusable as error:
            # Better the keys of a minute ago than none at all.
            if str(error) != self._error:
                log.warning("keys not read, the old ones stay", reason=str(error))
            self._error = str(error)
        else:
            self._error = None


def register_access(app: Flask, config: ServingConfig, ring: KeyRing) -> None:
    """Check host and key before every request."""
    names = frozenset(
        name.lower() for name in ("localhost", config.address.host, *config.allowed_hosts)
    )
    is_loopback = config.address.is_loopback

    @app.before_request
    def check() -> None:
        if is_loopback:
            _check_host(request.environ.get("HTTP_HOST", ""), names)
        view = app.view_functions.get(request.endpoint or "")
        needed = getattr(view, _ROLE, None)
        if needed == _OPEN or (is_loopback and not getattr(view, _ON_LOOPBACK, False)):
            return
        check_key(ring.keys, needed or Role.PREDICT)


def _check_host(host: str, names: frozenset[str]) -> None:
    """A web page may give its own name our address (DNS rebinding); its requests carry the name."""
    name = _without_port(host).lower()
    if not name or name in names:
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        raise HostRefused(
            f"this server does not answer to {name!r}; if a proxy sends that name on purpose,"
            " add it to api.allowed_hosts."
        ) from None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def check_key(keys: ApiKeys, needed: Role) -> None:
    """Refuse the request unless it carries a key of this role, or the admin's.

    Raises:
        KeyRequired: no key, or none of ours. KeyForbidden: a key of another role.
    """
    presented = presented_key()
    if presented is None:
        raise KeyRequired(
            f"{request.method} {request.path} needs a key with the role {needed}: send"
            ' "Authorization: Bearer <key>" or "X-API-Key: <key>".'
            f"{'' if len(keys) else ' No key exists yet; the retrain daemon makes them.'}"
        )
    role = keys.role_of(presented)
    if role is None:
        raise KeyRequired("the key is not one of this server's.")
    if role not in (needed, Role.ADMIN):
        raise KeyForbidden(
            f"{request.method} {request.path} needs the role {needed}; this key's is {role}."
        )


def presented_key() -> str | None:
    """The key of the request, from either header."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("X-API-Key") or None
