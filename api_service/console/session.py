"""Authenticate users of the console: signed session cookies, and tokens against forged forms.

A session proves that its browser once sent a valid key. It names the key by its id, never the key
itself, and ends with the key. Only console pages accept it; no route of the JSON API does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from flask import Request
from werkzeug import Response

from api_service.web.auth import presented_key
from shared.errors import KeyForbidden, KeyRequired, KeyUnusable
from shared.keys.api_keys import ApiKeys, Role, key_id_of
from shared.keys.console_secret import console_secret

SESSION_S = 8 * 3600
FLASH_S = 60
_READERS = frozenset({Role.PREDICT, Role.ADMIN})


class Session(msgspec.Struct, frozen=True):
    """What the cookie says. issued_at : seconds since 1970. mark : tells sessions apart."""

    role: Role
    key_id: str
    issued_at: int
    mark: str


class _FlashMessage(msgspec.Struct, frozen=True):
    text: str
    issued_at: int


S = TypeVar("S", Session, _FlashMessage)


@dataclass(frozen=True, slots=True)
class Principal:
    """The user of a page. role : None when nobody signed in and no key was sent."""

    role: Role | None
    key_id: str | None = None
    token: str = ""
    """What a form must send back; empty without a session."""

    @property
    def may_act(self) -> bool:
        return self.role is Role.ADMIN and bool(self.token)


NOBODY = Principal(None)


class SessionAuth:
    """Checks and makes sessions. Any thread may call it."""

    def __init__(self, keys_dir: Path, port: int) -> None:
        self._keys_dir = keys_dir
        # Browsers send a host's cookies to all its ports; two servers must not end each
        # other's sessions.
        self._session_name = f"hotfit_session_{port}"
        self._flash_name = f"hotfit_note_{port}"

    # -- who is there ------------------------------------------------------------------------------

    def principal(self, request: Request, keys: ApiKeys, now: datetime) -> Principal:
        """By the key in a header, else by the session."""
        sent = presented_key()
        if sent is not None:
            role = keys.role_of(sent)
            if role is None:
                raise KeyRequired("the key is not one of this server's.")
            return Principal(role)
        session = self._read(request.cookies.get(self._session_name), Session, SESSION_S, now)
        if session is None or keys.role_of_id(session.key_id) is not session.role:
            return NOBODY
        return Principal(session.role, session.key_id, self._token(session))

    def check_may_read(self, principal: Principal, *, is_local: bool) -> None:
        """As for GET /models: everybody on this machine, else who may ask for predictions.

        Raises:
            KeyRequired, KeyForbidden: this principal may not.
        """
        if principal.role in _READERS or (is_local and principal.role is None):
            return
        if principal.role is None:
            raise KeyRequired("sign in with a key whose role is predict or admin.")
        raise KeyForbidden(f"the console needs the role predict; this key's is {principal.role}.")

    def check_may_act(self, request: Request, principal: Principal) -> None:
        """A form counts only from a page of ours, in the session that the page was made for.

        Raises:
            KeyRequired, KeyForbidden: nothing may be done.
        """
        check_same_site(request)
        if principal.role is None:
            raise KeyRequired("sign in with the admin key to do that.")
        if principal.role is not Role.ADMIN:
            raise KeyForbidden(f"this needs the role admin; you signed in with {principal.role}.")
        sent = request.form.get("token", "")
        if not principal.token or not hmac.compare_digest(sent.encode(), principal.token.encode()):
            raise KeyForbidden(
                "the form was not made for this session: load the page again and repeat it."
            )

    # -- coming and going --------------------------------------------------------------------------

    def sign_in(
        self, response: Response, request: Request, key: str, role: Role, at: datetime
    ) -> None:
        """Give the browser a session for a key that was found valid."""
        session = Session(role, key_id_of(key), int(at.timestamp()), secrets.token_hex(8))
        self._set(response, request, self._session_name, self._write(session), SESSION_S)

    def sign_in_unavailable_reason(self) -> str:
        """Why nobody can sign in, and what to do; empty when everybody with a key can."""
        try:
            console_secret(self._keys_dir)
        except KeyUnusable as error:
            return str(error)
        return ""

    def sign_out(self, response: Response, request: Request) -> None:
        """Take the session away from the browser."""
        self._set(response, request, self._session_name, "", 0)

    def set_flash(self, response: Response, request: Request, text: str, now: datetime) -> None:
        """A sentence for the next page that this browser sees."""
        note = self._write(_FlashMessage(text, int(now.timestamp())))
        self._set(response, request, self._flash_name, note, FLASH_S)

    def take_flash(self, request: Request, now: datetime) -> str | None:
        note = self._read(request.cookies.get(self._flash_name), _FlashMessage, FLASH_S, now)
        return note.text if note is not None else None

    def clear_flash(self, response: Response, request: Request) -> None:
        self._set(response, request, self._flash_name, "", 0)

    # -- signing -----------------------------------------------------------------------------------

    def _set(self, response: Response, request: Request, name: str, value: str, age_s: int) -> None:
        # Who lies about the scheme only loses their own cookie.
        forwarded = request.headers.get("X-Forwarded-Proto", "")
        response.set_cookie(
            name,
            value,
            max_age=age_s,
            path=request.script_root or "/",
            httponly=True,
            samesite="Strict",
            secure=request.is_secure or forwarded.lower() == "https",
        )

    def _mac(self, what: bytes, text: bytes) -> str:
        """Raises KeyUnusable when there is nothing to sign with."""
        secret = console_secret(self._keys_dir)
        return hmac.new(secret, what + b"\0" + text, hashlib.sha256).hexdigest()

    def _token(self, session: Session) -> str:
        return self._mac(b"form", session.mark.encode())

    def _write(self, value: msgspec.Struct) -> str:
        body = base64.urlsafe_b64encode(msgspec.json.encode(value))
        return f"{body.decode()}.{self._mac(type(value).__name__.encode(), body)}"

    def _read(self, text: str | None, kind: type[S], age_s: int, now: datetime) -> S | None:
        """What a cookie says; None when it is not ours, is broken, or is too old."""
        body, _, mac = (text or "").partition(".")
        if not mac or not mac.isascii():
            return None
        try:
            expected = self._mac(kind.__name__.encode(), body.encode())
        except KeyUnusable:
            return None
        if not hmac.compare_digest(mac, expected):
            return None
        value = msgspec.json.decode(base64.urlsafe_b64decode(body), type=kind)
        is_fresh = 0 <= now.timestamp() - value.issued_at + 60 <= age_s + 60
        return value if is_fresh else None


def check_same_site(request: Request) -> None:
    """Refuse a form that another site's page sends.

    Raises:
        KeyForbidden: the browser says that it comes from elsewhere.
    """
    fetched = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if fetched not in (None, "same-origin", "none"):
        raise KeyForbidden("the form came from a page of another site; nothing was done.")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise KeyForbidden(
            f"the form came from a page at {origin}, and this server is {request.host}; nothing was"
            " done. A proxy must pass on the host name: see api.trusted_proxies."
        )
