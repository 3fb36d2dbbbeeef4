"""Decide which requests need an API key of which role, and refuse the others.

Knows no model and no route; request_origin.py decides where a request comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog
from flask import Flask, request

from api_service.config.serving import ServingConfig
from api_service.web.request_origin import Origin, RequestOrigins, without_port
from shared.errors import AnswerClient, KeyForbidden, KeyRequired, KeyUnusable
from shared.keys.api_keys import ApiKeys, Role

log = structlog.get_logger()

View = TypeVar("View", bound=Callable[..., Any])
_ROLE = "needed_role"
_ON_LOOPBACK = "needs_key_on_loopback"
_OPEN = "open"
_SESSION = "session"
_ORIGIN = "hotfit.origin"
_SENT_BY_BROWSERS = frozenset({"HTTP_ORIGIN", "HTTP_REFERER", "HTTP_COOKIE", "HTTP_SEC_FETCH_SITE"})


class HostRefused(AnswerClient):
    """The request names a host that this server does not answer to."""

    status = 421
    title = "not a name of this server"


def open_to_all(view: View) -> View:
    """Mark a view that needs no key on any address: health."""
    setattr(view, _ROLE, _OPEN)
    return view


def signed_in_or_key(view: View) -> View:
    """Mark a page of the console, which checks the session or key itself (console/session.py).

    No other view ever looks at a session, so what a browser sends by itself opens no JSON route.
    """
    setattr(view, _ROLE, _SESSION)
    return view


def is_for_sessions(view: Callable[..., Any] | None) -> bool:
    """Whether a view is marked with `signed_in_or_key`."""
    return getattr(view, _ROLE, None) == _SESSION


def needs(role: Role, *, on_loopback: bool = True) -> Callable[[View], View]:
    """Mark a view that needs a key of this role; without `on_loopback` only from elsewhere."""

    def mark(view: View) -> View:
        setattr(view, _ROLE, role)
        setattr(view, _ON_LOOPBACK, on_loopback)
        return view

    return mark


def needed_role(view: Callable[..., Any] | None, *, is_local: bool) -> Role | None:
    """Whose key a view asks for of requests from this machine, or of others; None: nobody's."""
    needed = getattr(view, _ROLE, None)
    if needed in (_OPEN, _SESSION) or (is_local and not getattr(view, _ON_LOOPBACK, False)):
        return None
    return needed or Role.PREDICT


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
                log.warning(
                    "keys_not_read",
                    sentence="The API keys could not be read again; the previous ones stay valid.",
                    reason=str(error),
                )
            self._error = str(error)
        else:
            self._error = None


def register_access(app: Flask, config: ServingConfig, ring: KeyRing) -> None:
    """Check origin and key before every request."""
    origins = RequestOrigins(config)

    @app.before_request
    def check() -> None:
        incoming = request._get_current_object()  # type: ignore[attr-defined]  # werkzeug's own way
        origin = origins.of(incoming.environ)
        if origin is Origin.UNKNOWN_HOST:
            host = without_port(incoming.environ.get("HTTP_HOST", "")).lower()
            raise HostRefused(
                f"this server does not answer to {host!r}; if a proxy sends"
                " that name on purpose, add it to api.allowed_hosts."
            )
        incoming.environ[_ORIGIN] = origin
        view = app.view_functions.get(incoming.endpoint or "")
        needed = needed_role(view, is_local=origin is Origin.LOCAL)
        if needed is not None:
            check_key(ring.keys, needed)


def is_local() -> bool:
    """Whether the current request was found to come from this machine, and not through a proxy."""
    return request.environ.get(_ORIGIN) is Origin.LOCAL


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


def must_be_own_program_or_carry(keys: ApiKeys, needed: Role) -> None:
    """Refuse a request without a key unless a program of this machine sent it: no web page did.

    For a view that asks for no key on loopback and yet changes something. A page of any site can
    make a browser here post to us; it cannot keep the browser from saying so, nor send JSON
    without being asked first.

    Raises:
        As `check_key`.
    """
    kind = request.mimetype
    is_of_browser = not _SENT_BY_BROWSERS.isdisjoint(request.environ)
    if (
        presented_key() is not None
        or is_of_browser
        or (kind and kind != "application/json")
        or not is_local()
    ):
        check_key(keys, needed)


def may_call(keys: ApiKeys, environ: Mapping[str, Any], needed: Role) -> bool:
    """Whether a request carries a key of this role, or the admin's; `check_key` says what else."""
    presented = _key_of(environ)
    return presented is not None and keys.role_of(presented) in (needed, Role.ADMIN)


def presented_key() -> str | None:
    """The key of the request, from either header."""
    return _key_of(request.environ)


def _key_of(environ: Mapping[str, Any]) -> str | None:
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return str(value.strip())
    return environ.get("HTTP_X_API_KEY") or None
