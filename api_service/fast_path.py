"""WSGI middleware that answers plain predictions before Flask, and passes on every other request.

Flask's request layer costs more than the prediction, and what it would do for a plain prediction
is known in advance: route, host, key, size, answer. `app.wsgi_app = FastPath(app, context)` does
the same for answers with status 200. Every error goes through Flask, and so does every request to
an application with a hook that would see it (see web/flask_hooks.py).
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from api_service.context import Context
from api_service.predict.row_predictor import TRIED, RowPredictor
from api_service.routes.predict import BLUEPRINT
from api_service.serving_slot import ServingSlot
from api_service.web.auth import may_call
from api_service.web.flask_hooks import FlaskSetup
from api_service.web.request_origin import Origin, RequestOrigins
from shared.errors import NotFound
from shared.keys.api_keys import Role

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_ROUTE, MODEL_ROUTE = "/predict", "/models/<model>/predict"


class FastPath:
    """See the module docstring. Made last, when the application is complete.

    Any thread may call it, also several at once.
    """

    def __init__(self, app: Flask, context: Context) -> None:
        self._inner: WSGIApplication = app.wsgi_app
        self._table = context.table
        self._default_model = context.config.default_model
        self._origins = RequestOrigins(context.config)
        self._ring = context.ring
        self._recorder = context.recorder
        self._sample = context.prediction_log
        self._clock = context.clock
        self._setup = FlaskSetup(app, BLUEPRINT)
        # Path -> slot, of models that there are; a slot is never replaced by another.
        self._slots: dict[str, ServingSlot] = {}
        # Paths that name no model, where no default is configured: which one may change.
        self._default_paths: set[str] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if (
            environ["REQUEST_METHOD"] == "POST"
            and self._setup.is_unmodified()
            and (slot := self._slots.get(path) or self._slot_of(path)) is not None
            and self._may_answer(environ)
        ):
            recorder = self._recorder
            started_s = time.perf_counter()
            recorder.in_flight += 1
            try:
                body = environ["wsgi.input"].read()
                live = slot.current()  # once, when all has come: this version answers
                predictor = RowPredictor.of(live) if live is not None else None
                answer = predictor.answer_rows(body) if predictor is not None else None
            finally:
                recorder.in_flight -= 1
            if live is not None and answer is not None:
                content, n_rows = answer
                headers = [
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(content))),
                ]
                start_response("200 OK", headers)
                took_s = time.perf_counter() - started_s
                recorder.count(
                    slot.name,
                    live.manifest.version,
                    MODEL_ROUTE if path != DEFAULT_ROUTE else path,
                    200,
                    took_s,
                    n_rows,
                )
                if self._sample.is_due(slot.name):
                    n_bytes = len(body) + len(content)
                    pairs = ((body, content),)
                    self._sample.note(
                        live, "predict", self._clock(), took_s, lambda: pairs, n_bytes
                    )
                return [content]
            environ["wsgi.input"] = io.BytesIO(body)
            environ[TRIED] = True
        return self._inner(environ, start_response)

    def _slot_of(self, path: str) -> ServingSlot | None:
        """The slot of a path that is not known yet, or is of the only model that there is."""
        if path not in self._default_paths:
            if not path.endswith("/predict") or (model := self._setup.model_of(path)) is None:
                return None
            if name := model or self._default_model:
                if name in self._table:
                    self._slots[path] = self._table.slot(name)
                return self._slots.get(path)
            self._default_paths.add(path)
        try:
            return self._table.default("")
        except NotFound:
            return None

    def _may_answer(self, environ: WSGIEnvironment) -> bool:
        origin = self._origins.of(environ)
        if origin is Origin.UNKNOWN_HOST or (
            origin is Origin.REMOTE and not may_call(self._ring.keys, environ, Role.PREDICT)
        ):
            return False
        length = environ.get("CONTENT_LENGTH", "")
        max_bytes = self._setup.max_bytes
        return (
            length.isdecimal()
            and (max_bytes is None or int(length) <= max_bytes)
            and "HTTP_TRANSFER_ENCODING" not in environ
        )
