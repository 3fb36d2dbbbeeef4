"""Questions of the product workloads under the paths that shops call."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.routes.workloads.model_lookup import slot_that_answers
from api_service.serving_slot import ServingSlot
from api_service.web.json_body import json_response
from api_service.web.query import as_whole_number, flag, only_parameters

# Question -> the workloads that answer it.
_WORKLOADS: Mapping[str, tuple[str, ...]] = {
    "similar": ("product_recommender", "product_similarity"),
    "for_user": ("product_recommender",),
    "popular": ("product_recommender",),
}


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("recommendations", __name__)

    @routes.get("/recommendations/product/<path:product_id>")
    def similar_products(product_id: str) -> ResponseReturnValue:
        return answer_about_products(context, "similar", {"product_id": product_id})

    @routes.get("/recommendations/user/<path:user_id>")
    def recommendations_for_user(user_id: str) -> ResponseReturnValue:
        return answer_about_products(context, "for_user", {"user_id": user_id}, "include_owned")

    @routes.get("/recommendations/popular")
    def popular_products() -> ResponseReturnValue:
        return answer_about_products(context, "popular", {})

    return routes


def answer_about_products(
    context: Context,
    question: str,
    asked: Mapping[str, object],
    *flags: str,
    slot: ServingSlot | None = None,
) -> ResponseReturnValue:
    """Ask with the request's query; slot : which model is meant, where that is settled."""
    slot = slot or slot_that_answers(context, question, _WORKLOADS[question])
    return json_response(ask(slot, question, {**asked, **_query(*flags)}, context.clock()))


def _query(*flags: str) -> dict[str, object]:
    """`n` as a number and flags as booleans; what a query cannot be is left to the workload.

    Raises:
        RequestInvalid: a parameter that the route does not take, or a flag that is neither.
    """
    query = request.args
    only_parameters(query, "n", "model", *flags)
    found: dict[str, object] = {}
    if "n" in query:
        number = as_whole_number(query["n"])
        found["n"] = query["n"] if number is None else number
    values = {name: flag(query, name) for name in flags}
    return found | {name: value for name, value in values.items() if value is not None}
