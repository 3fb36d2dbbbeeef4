"""The OpenAPI document of everything that this application answers."""

from __future__ import annotations

from flask import Blueprint, Response, current_app
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.release import RELEASE


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("openapi", __name__)
    made: list[bytes] = []

    @routes.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        if not made:
            from api_service.openapi.document import openapi_document  # only who asks pays

            is_loopback = context.config.address.is_loopback
            made.append(openapi_document(current_app, is_loopback=is_loopback, release=RELEASE))
        return Response(made[0], mimetype="application/json")

    return routes
