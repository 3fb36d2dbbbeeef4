"""Detect whether anybody added hooks, routes or signal receivers to the Flask application.

The fast path skips Flask for some requests. It may do so only while Flask would do nothing else
with them than what `create_app` set up.
"""

from __future__ import annotations

from typing import Any

import flask
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect

_SIGNALS = (
    flask.request_started,
    flask.request_finished,
    flask.request_tearing_down,
    flask.appcontext_pushed,
    flask.appcontext_popped,
    flask.appcontext_tearing_down,
)
_HOOKS = (
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "url_value_preprocessors",
)
_REPLACEABLE = ("session_interface", "request_class", "response_class", "url_map")


class FlaskSetup:
    """One application as it was when this was made, and whether it still is.

    Args:
        app: complete as far as we are concerned.
        blueprint: name of the blueprint whose requests are skipped.

    Any thread may ask.
    """

    def __init__(self, app: Flask, blueprint: str) -> None:
        self._app = app
        self._blueprint = blueprint
        self._views = {
            name: view
            for name, view in app.view_functions.items()
            if name.startswith(f"{blueprint}.")
        }
        self._original = self._state()
        self._is_original: bool | None = None
        self._adapter: MapAdapter | None = None
        # Truthy while somebody listens; may change at any time.
        self._receivers = tuple(signal.receivers for signal in _SIGNALS)
        self.max_bytes: int | None = None

    def is_unmodified(self) -> bool:
        """True when nothing that somebody else added would see a request of the blueprint."""
        if self._is_original is None:
            self._compare()
        return bool(self._is_original) and not any(self._receivers)

    def model_of(self, path: str) -> str | None:
        """The model that a POST to `path` asks, "" for the default one; None when no view of the
        blueprint would get it."""
        if self._is_original is None:
            self._compare()
        # Flask takes more than one slash at the beginning for one: too many names for one thing.
        if self._adapter is None or path.startswith("//"):
            return None
        try:
            endpoint, arguments = self._adapter.match(path, "POST")
        except (HTTPException, RequestRedirect):
            return None
        if endpoint not in self._views:
            return None
        entity = arguments.get("entity")
        model = str(arguments.get("model", ""))
        return model if entity is None else f"{model}/{entity}"

    def _compare(self) -> None:
        """At the first request: Flask takes no more hooks and routes after its own first one."""
        app = self._app
        self.max_bytes = app.config["MAX_CONTENT_LENGTH"]
        self._adapter = app.url_map.bind("localhost")
        is_original = self._state() == self._original
        if is_original:
            # We answer in its place, so for it too the time of setting up is over; it refuses a
            # later hook itself, with its own words.
            app._got_first_request = True
        self._is_original = is_original

    def _state(self) -> list[Any]:
        app = self._app
        state: list[Any] = [type(app), app.config.get("SERVER_NAME"), app.url_map.host_matching]
        state.append(app.config.get("TRUSTED_HOSTS"))
        state.extend(id(getattr(app, name)) for name in _REPLACEABLE)
        state.append(tuple(app.teardown_appcontext_funcs))
        for hooks in _HOOKS:
            by_scope = getattr(app, hooks)
            state.extend(tuple(by_scope.get(scope, ())) for scope in (None, self._blueprint))
        state.extend(app.view_functions.get(name) for name in self._views)
        # Methods may be replaced on the object itself; wsgi_app is meant to be, around us.
        replaced = {name for name in vars(app) if callable(getattr(type(app), name, None))}
        state.append(replaced - {"wsgi_app"})
        return state
