"""Questions of the product workloads under the paths that shops call."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.routes.workloads.model_lookup import slot_that_answers
from api_service.schemas.requests import CustomerQuery, ProductsQuery
from api_service.serving_slot import ServingSlot
from api_service.web.json_body import json_response
from api_service.web.query import query_as

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
        return answer_about_products(context, "for_user", {"user_id": user_id}, CustomerQuery)

    @routes.get("/recommendations/popular")
    def popular_products() -> ResponseReturnValue:
        return answer_about_products(context, "popular", {})

    return routes


def answer_about_products(
    context: Context,
    question: str,
    asked: Mapping[str, object],
    kind: type[ProductsQuery] = ProductsQuery,
    slot: ServingSlot | None = None,
) -> ResponseReturnValue:
    """Ask with the request's query; slot : which model is meant, where that is settled."""
    slot = slot or slot_that_answers(context, question, _WORKLOADS[question])
    query = query_as(request, kind)
    given = {name: getattr(query, name) for name in request.args if name != "model"}
    return json_response(ask(context, slot, question, {**asked, **given}))
