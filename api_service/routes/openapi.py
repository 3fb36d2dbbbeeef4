"""The OpenAPI document of everything that this application answers."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue

from api_service.config.release import RELEASE
from api_service.context import Context
from api_service.web.auth import is_local


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("openapi", __name__)
    made: dict[bool, bytes] = {}

    @routes.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        from api_service.schemas.openapi_document import (
            openapi_document,
        )  # costs memory, so only when asked for

        whose, prefix = is_local(), request.script_root
        document = None if prefix else made.get(whose)
        if document is None:
            document = openapi_document(current_app, is_local=whose, release=RELEASE, prefix=prefix)
        if not prefix:
            made[whose] = document
        return Response(document, mimetype="application/json")

    return routes
