"""Handle the console's requests: check the session, read the data, render the template.

One method per path. What a page shows is computed by `views/`; what a form asks goes through
`actions`.
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlencode

from flask import Response as Page
from flask import g, redirect, request
from werkzeug import Response
from werkzeug.exceptions import NotFound as NoSuchFile

from api_service.console import workload_views
from api_service.console.actions import ask_for
from api_service.console.change_token import digest_of
from api_service.console.compare import page as comparison
from api_service.console.data import manifest_of, read_model, read_past, read_reports, read_runs
from api_service.console.login_limit import LoginLimit
from api_service.console.rendering import STATIC, finish, page, static_file
from api_service.console.session import Principal, SessionAuth, check_same_site
from api_service.console.views import home as home_page
from api_service.console.views import model as model_page
from api_service.console.views import runs as runs_page
from api_service.context import Context
from api_service.control.desired_version import signal_of
from api_service.schemas.requests import RunsPage
from api_service.web.auth import is_local
from api_service.web.json_body import decoded, json_response
from api_service.web.public_path import public_path
from api_service.web.yield_lock import yield_lock
from shared.errors import AnswerClient, KeyForbidden, KeyRequired, TryLater
from shared.keys.api_keys import Role
from shared.run_log.reader import reading

_LONGEST_KEY = 500


class Pages:
    """The console of one worker. Any thread may call it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        address = context.config.address
        self._auth = SessionAuth(context.config.keys_dir, address.port)
        self._attempts = LoginLimit(context.config.reports_dir / "console" / "sign-in.json")

    # -- sign-in -----------------------------------------------------------------------------------

    def check_may_read(self) -> None:
        """Raises KeyRequired or KeyForbidden."""
        self._auth.check_may_read(self._principal(), is_local=is_local())

    def _principal(self) -> Principal:
        if "principal" not in g:
            keys = self._context.ring.keys
            g.principal = self._auth.principal(request, keys, self._context.clock())
        principal: Principal = g.principal
        return principal

    def sign_in_form(self, problem: str = "", status: int = 200) -> Response:
        return self._page(
            "sign_in.html",
            status,
            next=_next(),
            problem=problem or self._auth.sign_in_unavailable_reason(),
            has_keys=bool(len(self._context.ring.keys)),
        )

    def sign_in(self) -> Response:
        """A session for a valid key; every other one counts as a guess of its address."""
        check_same_site(request)
        if self._auth.sign_in_unavailable_reason():
            return self.sign_in_form(status=503)
        now, address = self._context.clock(), _address_key()
        self._attempts.count(address, now, is_local=is_local())
        key = request.form.get("key", "").strip()[:_LONGEST_KEY]
        role = self._context.ring.keys.role_of(key) if key else None
        if role not in (Role.ADMIN, Role.PREDICT):
            return self.sign_in_form(_why_not(role), 403)
        self._attempts.remove_valid(address, now)
        response = redirect(public_path(_next()), 303)
        self._auth.sign_in(response, request, key, role, now)
        return self._finished(response)

    def sign_out(self) -> Response:
        check_same_site(request)
        response = redirect(public_path("/"), 303)
        self._auth.sign_out(response, request)
        return self._finished(response)

    def problem(self, error: AnswerClient | TryLater) -> Response:
        """An error as a page, or as the way to sign in."""
        if isinstance(error, KeyRequired) and request.method == "GET":
            here = request.full_path.rstrip("?")
            if "text/html" in request.headers.get("Accept", ""):
                query = urlencode({"next": here})
                return self._finished(redirect(public_path(f"/console/sign-in?{query}"), 303))
        status = error.status if isinstance(error, AnswerClient) else 503
        title = error.title if isinstance(error, AnswerClient) else "try again later"
        principal = Principal(None)
        response = page(
            request,
            "problem.html",
            status,
            principal=principal,
            note=None,
            title=title,
            detail=str(error),
        )
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            response.headers["Retry-After"] = str(retry_after_s)
        if isinstance(error, KeyRequired):
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    # -- pages -------------------------------------------------------------------------------------

    def home(self) -> Response:
        """HTML for browsers; for other clients what is where."""
        reports = read_reports(self._context, request.environ)
        slots = list(self._context.table)
        if "text/html" not in request.headers.get("Accept", ""):
            health = reports.health(slots)
            answer = {
                "status": health["status"],
                "sentence": health["sentence"],
                "routes": {
                    name: public_path(f"/{name}") for name in ("health", "models", "runs", "events")
                },
                "console": f"{public_path('/')} in a browser",
            }
            return self._finished(json_response(answer, is_for_people=True))
        with yield_lock(request.environ):
            past = read_past(self._context, None)
        view = home_page.view(
            reports, slots, past, request.args, lambda name: signal_of(self._context, name)
        )
        return self._page("home.html", **view)

    def model(self, name: str) -> Response:
        slot = self._context.table.slot(name)
        facts = read_model(self._context, request.environ, name)
        view = model_page.view(
            slot, facts, lambda version: manifest_of(self._context, name, version), request.args
        )
        work = workload_views.view(self._context, slot, request.args)
        return self._page("model.html", work=work, **view)

    def runs(self) -> Response:
        asked = request.args
        offset, model = home_page.offset_of(asked), asked.get("model") or None
        # The form sends an empty text for "any".
        named = {"status": asked["status"]} if asked.get("status") else {}
        status = decoded(named, RunsPage, is_query=True).status
        with yield_lock(request.environ):
            found, total = read_runs(self._context, model, status, runs_page.A_PAGE, offset)
        names = self._context.table.names()
        view = runs_page.list_view(found, total, names[:500], asked, offset)
        return self._page("runs.html", now=self._context.clock(), **view)

    def run(self, run_id: str) -> Response:
        with yield_lock(request.environ):
            with reading(self._context.config.run_log_path) as log:
                run = log.run(run_id)
            stored = self._context.store.versions(run.model)
        view = runs_page.run_view(run, stored)
        return self._page("run.html", now=self._context.clock(), run=view)

    def compare(self) -> Response:
        view = comparison.view(self._context, request.environ, request.args)
        return self._page("compare.html", now=self._context.clock(), **view)

    def pulse(self) -> Response:
        """What a page that is open asks every few seconds: has anything changed?"""
        state = digest_of(self._context, request.environ)
        response = json_response({"state": state})
        response.set_etag(state)
        return finish(request, response)

    def act(self) -> Response:
        """What a button does, and the sentence about it on the model's page."""
        principal = self._principal()
        self._auth.check_may_act(request, principal)
        model = request.form.get("model", "")
        self._context.table.slot(model)
        who = f"console, key {principal.key_id}, from {request.remote_addr}"
        said = ask_for(self._context, request.form, model, who)
        response = redirect(home_page.model_url(model), 303)
        self._auth.set_flash(response, request, said, self._context.clock())
        return self._finished(response)

    def static(self, name: str) -> Response:
        """A file of the console; kept for a year under the digest in its address."""
        if name not in STATIC:
            raise NoSuchFile
        content, digest = static_file(name)
        response = Page(content, mimetype=STATIC[name])
        finish(request, response)
        if request.args.get("v") == digest:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    # -- helpers -----------------------------------------------------------------------------------

    def _page(self, template: str, code: int = 200, **view: Any) -> Response:
        note = self._auth.take_flash(request, self._context.clock())
        response = page(
            request, template, code, principal=self._principal_or_nobody(), note=note, **view
        )
        if note is not None:
            self._auth.clear_flash(response, request)
        return response

    def _principal_or_nobody(self) -> Principal:
        try:
            return self._principal()
        except KeyRequired:
            return Principal(None)

    def _finished(self, response: Response) -> Response:
        return finish(request, response)


def _address_key() -> str:
    """Whose guesses are counted together: an address, or the network of one in IPv6.

    What a proxy passes on counts apart from what this machine asks itself: where the proxy is not
    trusted, both have one address.
    """
    address = request.remote_addr or ""
    if ":" in address:
        address = str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
    return address if is_local() else f"{address} from elsewhere"


def _next() -> str:
    """Where to go after signing in: a path of ours, never another site's address."""
    wanted = request.values.get("next", "/")
    is_ours = wanted == "/" or wanted.startswith(("/console/", "/?"))
    return wanted if is_ours and "\\" not in wanted and "//" not in wanted else "/"


def _why_not(role: Role | None) -> str:
    if role is None:
        return "This is not one of the server's keys."
    return str(KeyForbidden(f"A key with the role {role} does not open the console."))
