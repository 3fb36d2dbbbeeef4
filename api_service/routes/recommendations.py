"""Questions of the product workloads under the paths that shops call."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.json_io import json_response
from api_service.serving_slot import ServingSlot
from shared.errors import NotFound, RequestInvalid

# Question -> the workloads that answer it; before its first version a model has only its workload.
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
    slot = slot or _slot(context, question)
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


def _slot(context: Context, question: str) -> ServingSlot:
    """`?model=`, else the default model if it can answer, else the first that serves and can,
    else the first that will.

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
    if not able:
        workloads = " or ".join(_WORKLOADS[question])
        raise NotFound(f"no model answers {question!r}: none has the workload {workloads}.")
    default = context.config.default_model
    return min(able, key=lambda slot: (slot.name != default, slot.current() is None))


def _may_answer(context: Context, slot: ServingSlot, question: str) -> bool:
    live = slot.current()
    if live is not None:
        return question in live.answerer.questions
    return context.config.workloads.get(slot.name.partition("/")[0]) in _WORKLOADS[question]
