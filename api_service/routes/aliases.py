"""Paths that existing clients call: the same views, or the same requests in other fields.

One table, and what each line of it translates. What an alias may do is what the route behind it
may do: the same keys, the same checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.control.desired_version import require_verified, wanted
from api_service.control.requests import submit
from api_service.control.training import client_label
from api_service.control.wait import wait_for
from api_service.routes.legacy.fleet_history import explain_server, export_history
from api_service.routes.legacy.model_info import (
    device_model,
    path_of,
    recommender_info,
    server_model_info,
    server_models,
    timestamp_of,
)
from api_service.routes.legacy.models import RECOMMENDER, SERVERS, SIMILARITY, resolve_model
from api_service.routes.legacy.training import (
    cancel_training,
    device_run,
    device_runs,
    retrain_device,
    retrain_recommender,
    train_products,
    train_servers,
    training_stats,
    training_status,
)
from api_service.routes.legacy.training_export import export_all_streams
from api_service.routes.workloads.recommendations import answer_about_products
from api_service.schemas.requests import CustomerQuery, ReloadRequest
from api_service.web.auth import needs
from api_service.web.errors import problem_of
from api_service.web.json_body import body_as, json_response
from api_service.web.query import with_query
from shared.errors import AnswerClient, RequestInvalid
from shared.keys.api_keys import Role

_LONGEST_RELOAD_S = 20

View = Callable[..., ResponseReturnValue]


class Alias(NamedTuple):
    """role : of the key that is always needed; None: a predict key, off loopback only.

    is_local_help : programs of this machine need no key, as long as api.train_without_key says so.
    """

    method: str
    path: str
    view: View
    role: Role | None = None
    on_loopback: bool = True
    is_local_help: bool = False


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("aliases", __name__)
    for alias in ALIASES:
        view = partial(alias.view, context)
        if alias.role is not None:
            is_open = alias.is_local_help and context.config.train_without_key
            view = needs(alias.role, on_loopback=alias.on_loopback and not is_open)(view)
        name = re.sub(r"\W+", "_", f"{alias.method} {alias.path}")
        routes.add_url_rule(alias.path, endpoint=name, view_func=view, methods=[alias.method])
    routes.register_error_handler(AnswerClient, _refusal)
    return routes


def _refusal(error: AnswerClient) -> ResponseReturnValue:
    """As every other route refuses, and in the two fields that these clients look at."""
    return problem_of(error, success=False, error=str(error))


def _same(endpoint: str, **named: str) -> ResponseReturnValue:
    """The answer of another route's view."""
    view = cast(View, current_app.view_functions[endpoint])
    return view(**named)


# -- models ----------------------------------------------------------------------------------------


def reload_model(context: Context) -> ResponseReturnValue:
    """Opens a version again and waits until this worker serves it."""
    model = resolve_model(context, SERVERS)
    slot = context.table.slot(model)
    body = with_query(request, body_as(request, ReloadRequest), ReloadRequest)
    stored = context.store.versions(model)
    signal = wanted(context, model)
    named = body.version or body.model_path or body.model_name or ""
    version = named.replace("\\", "/").rstrip("/").rpartition("/")[2] or signal.version
    if version not in stored:
        raise RequestInvalid(f"one of the stored versions ({', '.join(stored)})", named, "version")
    require_verified(context, model, version)
    before = slot.get_or_load()
    began = context.clock()
    asked = submit(
        context.config.requests_dir,
        context.config.reports_dir,
        began,
        kind="reload",
        model=model,
        requested_by=client_label(),
        effect=f"every worker opens {version} again under a new generation and swaps to it.",
        version=version,
    )

    def swapped() -> str | None:
        live = slot.live
        is_new = live is not None and (before is None or live.generation > before.generation)
        return live.version if live is not None and is_new else None

    found = None
    if asked["retrain_daemon"] == "running":
        found = wait_for(swapped, _LONGEST_RELOAD_S)
    serving = found or (before.version if before else None)
    answer = {
        "success": found is not None,
        "previous_model": before.version if before else None,
        "new_model": found,
        "model_timestamp": timestamp_of(found) if found is not None else None,
        "model_path": path_of(model, serving) if serving is not None else None,
        "current_model": path_of(model, serving) if serving is not None else None,
        "error": None if found is not None else asked["sentence"],
        "reload_time_seconds": round((context.clock() - began).total_seconds(), 3),
        "message": asked["sentence"],
    }
    return json_response(answer, 200 if found is not None else 202)


def forget_run(context: Context, run_id: str) -> ResponseReturnValue:
    del context
    return _same("training.forget", run_id=run_id)


# -- answers and data ------------------------------------------------------------------------------


def similar_products(context: Context, product_id: str) -> ResponseReturnValue:
    slot = context.table.slot(resolve_model(context, RECOMMENDER, SIMILARITY))
    return answer_about_products(context, "similar", {"product_id": product_id}, slot=slot)


def for_user(context: Context, user_id: str) -> ResponseReturnValue:
    slot = context.table.slot(resolve_model(context, RECOMMENDER))
    asked = {"user_id": user_id}
    return answer_about_products(context, "for_user", asked, CustomerQuery, slot)


def popular(context: Context) -> ResponseReturnValue:
    slot = context.table.slot(resolve_model(context, RECOMMENDER))
    return answer_about_products(context, "popular", {}, slot=slot)


def training_data(context: Context) -> ResponseReturnValue:
    return export_all_streams(context, resolve_model(context, RECOMMENDER, SIMILARITY))


ALIASES = (
    Alias("POST", "/train", train_products, Role.FEED, is_local_help=True),
    Alias("POST", "/api/retrain", retrain_recommender, Role.ADMIN),
    Alias("GET", "/api/model/info", recommender_info),
    Alias("GET", "/api/recommendations/product/<path:product_id>", similar_products),
    Alias("GET", "/api/recommendations/user/<path:user_id>", for_user),
    Alias("GET", "/api/recommendations/popular", popular),
    Alias("GET", "/api/products/training_data/", training_data, Role.FEED, on_loopback=False),
    Alias("POST", "/api/ml/retrain", retrain_device, Role.ADMIN),
    Alias("GET", "/api/ml/runs", device_runs),
    Alias("GET", "/api/ml/runs/<run_id>", device_run),
    Alias("DELETE", "/api/ml/runs/<run_id>", forget_run, Role.ADMIN),
    Alias("GET", "/api/ml/model/current", device_model),
    Alias("GET", "/explain/<path:server>", explain_server),
    Alias("GET", "/historical/export/<table>", export_history),
    Alias("GET", "/admin/models", server_models),
    Alias("POST", "/admin/reload-model", reload_model, Role.ADMIN),
    Alias("GET", "/admin/model-info", server_model_info),
    Alias("POST", "/admin/trigger-training", train_servers, Role.ADMIN),
    Alias("GET", "/admin/training-status", training_status),
    Alias("GET", "/admin/training-stats", training_stats),
    Alias("POST", "/admin/cancel-training", cancel_training, Role.ADMIN),
)
