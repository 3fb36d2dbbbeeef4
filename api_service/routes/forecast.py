"""Questions of the spare-parts workload under the paths its clients call."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.json_io import json_response, read_object
from api_service.serving_slot import ServingSlot
from shared.errors import NotFound

_WORKLOAD = "spare_parts"


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("forecast", __name__)

    @routes.post("/forecast_restock_demand")
    def forecast_restock_demand() -> ResponseReturnValue:
        slot = _slot(context, "forecast")
        body = read_object(request, may_be_empty=True)
        return json_response(ask(slot, "forecast", body, context.clock()))

    @routes.get("/parts")
    def parts() -> ResponseReturnValue:
        slot = _slot(context, "parts")
        return json_response(ask(slot, "parts", {}, context.clock()))

    return routes


def _slot(context: Context, question: str) -> ServingSlot:
    """`?model=`, else the default model if it knows the question, else the first that does.

    Raises:
        NotFound: no model can answer it.
    """
    named = request.args.get("model")
    if named is not None:
        slot = context.table.slot(named)
        if not _may_answer(context, slot, question):
            raise NotFound(f"model {named} does not answer {question!r}.")
        return slot
    able = [slot for slot in context.table if _may_answer(context, slot, question)]
    for slot in able:
        if slot.name == context.config.default_model:
            return slot
    if not able:
        raise NotFound(f"no model answers {question!r}: none has the workload {_WORKLOAD}.")
    return able[0]


def _may_answer(context: Context, slot: ServingSlot, question: str) -> bool:
    live = slot.current()
    if live is not None:
        return question in live.answerer.questions
    # Before its first version only the configuration knows what a model will be.
    return context.config.workloads.get(slot.name.partition("/")[0]) == _WORKLOAD
