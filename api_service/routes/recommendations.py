"""Questions of the product workloads under the paths that shops call."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.json_io import json_response
from api_service.routes.answering import slot_that_answers
from api_service.serving_slot import ServingSlot
from shared.errors import RequestInvalid

# Question -> the workloads that answer it.
_WORKLOADS: Mapping[str, tuple[str, ...]] = {
    "similar": ("product_recommender", "product_similarity"),
    "for_user": ("product_recommender",),
    "popular": ("product_recommender",),
}
_TRUTH: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}


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
    known = ("n", "model", *flags)
    unexpected = [name for name in request.args if name not in known]
    if unexpected:
        raise RequestInvalid(f"only the parameters {list(known)}", unexpected, "query")
    found: dict[str, object] = {}
    n = request.args.get("n")
    if n is not None:
        found["n"] = int(n) if n.isascii() and n.isdigit() and len(n) < 10 else n
    for name in flags:
        text = request.args.get(name)
        if text is not None:
            if text.lower() not in _TRUTH:
                raise RequestInvalid("true or false", text, name)
            found[name] = _TRUTH[text.lower()]
    return found
