"""WSGI middleware that counts each request that Flask answers exactly once.

It stands between the fast path, which counts its own requests, and Flask. It registers no hook on
the application, so that all hooks are the user's. Knows no file.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import has_request_context, request
from werkzeug.wrappers import Request

from api_service.metrics.recorder import NO_MODEL, NO_VERSION, Recorder
from api_service.serving_slot import ServingTable
from api_service.web.self_probe import PROBE

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from shared.loading.open_version import LoadedModel

_ATTRIBUTION = "hotfit.credit"
NO_ROUTE = "none"
"""Route of requests that no rule takes: what clients make up must not become series."""

REFUSED = "refused"
"""Route of requests that the application was not asked: too many, or without their bodies."""


def count_refused(recorder: Recorder, status: int) -> None:
    """Count one request that was answered before any route; any thread may call."""
    recorder.count(NO_MODEL, NO_VERSION, REFUSED, status, 0.0)


def attribute_request(live: LoadedModel, rows: int) -> None:
    """Say which version answers the current request, and how many predictions it gives.

    Called once or more per request by whoever asks a model; rows add up.
    """
    if has_request_context():
        environ = request.environ
        _, _, earlier_rows = environ.get(_ATTRIBUTION, (None, None, 0))
        environ[_ATTRIBUTION] = (live.manifest.model, live.version, earlier_rows + rows)


def rows_in(answer: Mapping[str, Any]) -> int:
    """How many predictions an answer holds: its rows, or one where it is about no rows."""
    predictions = answer.get("predictions")
    return len(predictions) if isinstance(predictions, list) else 1


class CountRequests:
    """`app.wsgi_app = CountRequests(app.wsgi_app, …)`, before any fast path is put in front."""

    def __init__(
        self, application: WSGIApplication, recorder: Recorder, table: ServingTable
    ) -> None:
        self._application = application
        self._recorder = recorder
        self._table = table
        self._routes: dict[str, str] = {}  # rule -> what it is counted as

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if PROBE in environ:
            return self._application(environ, start_response)
        started = time.perf_counter()
        status, target = 500, (NO_ROUTE, NO_MODEL)

        def remember(line: str, headers: Any, exc_info: Any = None) -> Any:
            nonlocal status, target
            # Here and not later: Flask forgets the request before it returns to us.
            status, target = int(line[:3]), self._target(environ)
            return start_response(line, headers, exc_info)

        recorder = self._recorder
        recorder.in_flight += 1
        try:
            return self._application(environ, remember)
        finally:
            recorder.in_flight -= 1
            route, model = target
            version, rows = NO_VERSION, 0
            if _ATTRIBUTION in environ:
                model, version, rows = environ[_ATTRIBUTION]
            taken_s = time.perf_counter() - started
            recorder.count(model, version, route, status, taken_s, rows if status < 400 else 0)

    def _target(self, environ: WSGIEnvironment) -> tuple[str, str]:
        """The rule and the model of a request, as Flask has found them."""
        # werkzeug leaves the request it made of the environment there.
        werkzeug_request = environ.get("werkzeug.request")
        if (
            not isinstance(werkzeug_request, Request)
            or (rule := getattr(werkzeug_request, "url_rule", None)) is None
        ):
            return NO_ROUTE, NO_MODEL
        arguments = getattr(werkzeug_request, "view_args", None) or {}
        model = arguments.get("model", NO_MODEL)
        if "entity" in arguments:
            model = f"{model}/{arguments['entity']}"
        route = self._routes.get(rule.rule)
        if route is None:
            route = rule.rule.replace("/<entity>", "").replace("/<entity:entity>", "")
            self._routes[rule.rule] = route
        return route, model if model in self._table else NO_MODEL
