"""Rows in, predictions out. What fast_path.py answers never comes here."""

from __future__ import annotations

import time

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.metrics.request_counter import attribute_request
from api_service.predict.row_predictor import TRIED, RowPredictor
from api_service.serving_slot import ServingSlot
from api_service.web.json_body import json_response, object_of, read_body, value_of
from api_service.web.model_urls import model_route

BLUEPRINT = "predict"


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint(BLUEPRINT, __name__)

    @model_route(routes, "POST", "/predict")
    def predict(model: str) -> ResponseReturnValue:
        return answer(context.table.slot(model))

    @routes.post("/predict")
    def predict_default() -> ResponseReturnValue:
        return answer(context.table.default(context.config.default_model))

    def answer(slot: ServingSlot) -> ResponseReturnValue:
        asked = request._get_current_object()  # type: ignore[attr-defined]  # werkzeug's own way
        body = read_body(asked)
        started_s = time.perf_counter()
        live = slot.current()
        if live is not None and TRIED not in asked.environ:
            plain = RowPredictor.of(live)
            answered = plain.answer_rows(body) if plain else None
            if answered is not None:
                attribute_request(live, answered[1])
                content = answered[0]
                if context.prediction_log.is_due(slot.name):
                    context.prediction_log.note(
                        live,
                        "predict",
                        context.clock(),
                        time.perf_counter() - started_s,
                        lambda: ((body, content),),
                        len(body) + len(content),
                    )
                return Response(content, mimetype="application/json")
        return json_response(ask(context, slot, "predict", object_of(value_of(body))))

    return routes
