"""WSGI middleware in front of Flask for plain predictions; gives way whenever anything is unusual.

`app.wsgi_app = FastPath(app, context)`, Flask's own place for it. Flask's request layer costs more
than the prediction; what it would do for a plain prediction is known beforehand: route, host,
key, size, answer. This does just that, for answers with status 200 only. Every error, and every
request to an application on which somebody registered a hook that would see this request, goes
through Flask (see flask_setup.py).
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from api_service.access import host_names, is_known_host, may_call
from api_service.context import Context
from api_service.flask_setup import FlaskSetup
from api_service.plain_predict import TRIED, PlainPredict
from api_service.routes.predict import BLUEPRINT
from api_service.serving_slot import ServingSlot
from shared.errors import NotFound
from shared.keys import Role

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_ROUTE, MODEL_ROUTE = "/predict", "/models/<model>/predict"
_MOST_HOSTS = 1000


class FastPath:
    """See the module docstring. Made last, when the application is complete.

    Any thread may call it, also several at once.
    """

    def __init__(self, app: Flask, context: Context) -> None:
        self._inner: WSGIApplication = app.wsgi_app
        self._table = context.table
        self._default_model = context.config.default_model
        self._names = host_names(context.config)
        self._is_loopback = context.config.address.is_loopback
        self._ring = context.ring
        self._recorder = context.recorder
        self._setup = FlaskSetup(app, BLUEPRINT)
        self._known_hosts: set[str] = set()
        # Path -> model, "" for the default one; only of models that there are.
        self._models: dict[str, str] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if (
            environ["REQUEST_METHOD"] == "POST"
            and path.endswith("/predict")
            and (slot := self._slot_of(path)) is not None
            and self._may_answer(environ)
        ):
            recorder = self._recorder
            started_s = time.perf_counter()
            recorder.in_flight += 1
            try:
                body = environ["wsgi.input"].read()
                live = slot.current()  # once, when all has come: this version answers
                plain = PlainPredict.of(live) if live is not None else None
                answered = plain.answer_rows(body) if plain is not None else None
            finally:
                recorder.in_flight -= 1
            if live is not None and answered is not None:
                content, n_rows = answered
                headers = [
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(content))),
                ]
                start_response("200 OK", headers)
                recorder.count(
                    slot.name,
                    live.manifest.version,
                    MODEL_ROUTE if path != DEFAULT_ROUTE else path,
                    200,
                    time.perf_counter() - started_s,
                    n_rows,
                )
                return [content]
            environ["wsgi.input"] = io.BytesIO(body)
            environ[TRIED] = True
        return self._inner(environ, start_response)

    def _slot_of(self, path: str) -> ServingSlot | None:
        model = self._models.get(path)
        if model is None:
            model = self._setup.model_of(path)
            if model is None or (model and model not in self._table):
                return None
            self._models[path] = model
        try:
            if model:
                return self._table.slot(model)
            return self._table.default(self._default_model)
        except NotFound:
            return None

    def _may_answer(self, environ: WSGIEnvironment) -> bool:
        if not self._setup.is_our_own():
            return False
        if self._is_loopback:
            host = environ.get("HTTP_HOST", "")
            if host not in self._known_hosts and not self._learn(host):
                return False
        elif not may_call(self._ring.keys, environ, Role.PREDICT):
            return False
        length = environ.get("CONTENT_LENGTH", "")
        most_bytes = self._setup.most_bytes
        return (
            length.isdecimal()
            and (most_bytes is None or int(length) <= most_bytes)
            and "HTTP_TRANSFER_ENCODING" not in environ
        )

    def _learn(self, host: str) -> bool:
        if not is_known_host(host, self._names):
            return False
        if len(self._known_hosts) < _MOST_HOSTS:
            self._known_hosts.add(host)
        return True
