"""create_app(): the Flask factory. Puts routes, errors and access together; does no I/O."""

from __future__ import annotations

from flask import Flask

from api_service.access import register_access
from api_service.context import Context
from api_service.fast_path import FastPath
from api_service.metrics.requests import CountRequests
from api_service.problems import register_problems
from api_service.routes import BLUEPRINTS
from api_service.trusted_proxies import TrustedProxies


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
    counted = CountRequests(app.wsgi_app, context.recorder, context.table)
    proxied = TrustedProxies(counted, context.config.trusted_proxies)
    app.wsgi_app = proxied  # type: ignore[method-assign]  # Flask's own way to wrap itself
    # Last: from here on every hook and route is somebody else's, and makes the fast path give way.
    app.wsgi_app = FastPath(app, context)  # type: ignore[method-assign]
    return app
