"""Rows in, predictions out."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.json_io import json_response, read_object
from api_service.routes.naming import model_route


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("predict", __name__)

    @model_route(routes, "POST", "/predict")
    def predict(model: str) -> ResponseReturnValue:
        slot = context.table.slot(model)
        return json_response(ask(slot, "predict", read_object(request), context.clock()))

    @routes.post("/predict")
    def predict_default() -> ResponseReturnValue:
        slot = context.table.default(context.config.default_model)
        return json_response(ask(slot, "predict", read_object(request), context.clock()))

    return routes
