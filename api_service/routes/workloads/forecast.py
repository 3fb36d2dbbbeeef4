"""Questions of the spare-parts workload under the paths its clients call."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.routes.workloads.model_lookup import slot_that_answers
from api_service.web.json_body import json_response, read_object

_WORKLOADS = ("spare_parts",)


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("forecast", __name__)

    @routes.post("/forecast_restock_demand")
    def forecast_restock_demand() -> ResponseReturnValue:
        slot = slot_that_answers(context, "forecast", _WORKLOADS)
        body = read_object(request, may_be_empty=True)
        return json_response(ask(context, slot, "forecast", body))

    @routes.get("/parts")
    def parts() -> ResponseReturnValue:
        slot = slot_that_answers(context, "parts", _WORKLOADS)
        return json_response(ask(context, slot, "parts", {}))

    return routes
