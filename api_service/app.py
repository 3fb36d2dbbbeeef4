"""Build the Flask application: routes, error handlers, access checks and the fast path.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, request

from api_service.context import Context
from api_service.fast_path import FastPath
from api_service.metrics.request_counter import CountRequests
from api_service.routes import BLUEPRINTS
from api_service.web.auth import register_access
from api_service.web.errors import register_problems
from api_service.web.trusted_proxies import TrustedProxies
from api_service.web.yield_lock import yield_lock

LOCKED_VIEWS = frozenset(
    {
        *("predict.predict", "predict.predict_of_entity", "predict.predict_default"),
        *("health.livez", "health.readyz", "inference_v2.live", "inference_v2.ready"),
    }
)
"""Views that hold the worker's turn: they compute, or answer at once. All others of ours may wait
for the disk, the run log or another process, and let other requests through meanwhile."""


def run_unlocked(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view, run while other requests go through; what it asks of a model is in turn."""

    @wraps(view)
    def run(*arguments: Any, **named: Any) -> Any:
        with yield_lock(request.environ):
            return view(*arguments, **named)

    return run


def create_app(context: Context) -> Flask:
    """The WSGI application over one worker's slots.

    A user may register more routes and hooks on what this returns.
    """
    app = Flask("hotfit", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = context.config.max_request_bytes
    # A redirect would answer a POST with a page; an odd path is not found instead.
    app.url_map.merge_slashes = False
    app.extensions["hotfit"] = context
    register_problems(app, context.config.max_request_bytes)
    register_access(app, context.config, context.ring)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint(context))
    for endpoint, view in app.view_functions.items():
        if endpoint not in LOCKED_VIEWS:
            app.view_functions[endpoint] = run_unlocked(view)
    counted = CountRequests(app.wsgi_app, context.recorder, context.table)
    proxied = TrustedProxies(counted, context.config.trusted_proxies)
    app.wsgi_app = proxied  # type: ignore[method-assign]  # Flask's own way to wrap itself
    # Last: from here on every hook and route is somebody else's, and makes the fast path give way.
    app.wsgi_app = FastPath(app, context)  # type: ignore[method-assign]
    return app
