"""The Open Inference Protocol (V2): server and model metadata, health, infer.

Tensors and messages are api_service/v2; which model and version is meant is decided here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api_service.config.release import RELEASE
from api_service.context import Context, computing
from api_service.metrics.recorder import Cell, Key
from api_service.metrics.request_counter import attribute_request
from api_service.metrics.worker_file import read_sum
from api_service.serving_slot import ServingSlot
from api_service.status.health import not_ready_reason
from api_service.v2.logged import as_requests
from api_service.v2.messages import HEADER_LENGTH, read_request, write_answer
from api_service.v2.rows import answer_tensors, metadata
from api_service.v2.statistics import statistics
from api_service.web.auth import open_to_all
from api_service.web.json_body import json_response, read_body
from api_service.web.model_urls import know_entities
from shared.errors import AnswerClient, NotFound, NotReady, RequestInvalid, StateConflict
from shared.exchange.training_metrics import metrics_dir
from shared.loading.open_version import LoadedModel

EXTENSIONS = ("binary_tensor_data", "model_repository", "statistics")

View = Callable[..., ResponseReturnValue]


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("inference_v2", __name__)

    @routes.get("/v2")
    def server_metadata() -> ResponseReturnValue:
        return json_response({"name": "hotfit", "version": RELEASE, "extensions": list(EXTENSIONS)})

    @routes.get("/v2/health/live")
    @open_to_all
    def live() -> ResponseReturnValue:
        reason = not_ready_reason(list(context.table))
        return json_response({"live": True, "ready": reason is None})

    @routes.get("/v2/health/ready")
    @open_to_all
    def ready() -> ResponseReturnValue:
        reason = not_ready_reason(list(context.table))
        if reason is not None:
            return json_response({"live": True, "ready": False, "error": reason}, 503)
        return json_response({"live": True, "ready": True})

    @v2_route(routes, "GET", "")
    def model_metadata(model: str, version: str | None = None) -> ResponseReturnValue:
        found = _meant(context, model, version)[1]
        with computing():
            return json_response(metadata(found))

    @v2_route(routes, "GET", "/ready")
    def model_ready(model: str, version: str | None = None) -> ResponseReturnValue:
        try:
            found = _meant(context, model, version)[1]
        except (NotReady, StateConflict) as error:
            no = {"name": model, "version": version, "ready": False, "error": str(error)}
            return json_response(no, 503)
        return json_response({"name": model, "version": found.version, "ready": True})

    @v2_route(routes, "POST", "/infer")
    def infer(model: str, version: str | None = None) -> ResponseReturnValue:
        content = read_body(request)
        # After the body came: while a slow client sent it, another version may have come.
        with computing():
            slot, found = _meant(context, model, version)
            attribute_request(found, rows=0)  # also when it fails
            try:
                return _infer(context, slot, found, content)
            except Exception as error:
                if not isinstance(error, AnswerClient) or error.status >= 500:
                    slot.n_failed += 1
                raise

    @routes.get("/v2/models/stats")
    def all_statistics() -> ResponseReturnValue:
        return json_response({"model_stats": statistics(_counted(context))})

    @v2_route(routes, "GET", "/stats")
    def model_statistics(model: str, version: str | None = None) -> ResponseReturnValue:
        context.table.slot(model)
        return json_response({"model_stats": statistics(_counted(context), model, version)})

    return routes


def v2_route(routes: Blueprint, method: str, suffix: str) -> Callable[[View], View]:
    """Register a view of a model, with and without entity and version in the path."""

    def register(view: View) -> View:
        def of_model(
            model: str, entity: str | None = None, version: str | None = None
        ) -> ResponseReturnValue:
            return view(model if entity is None else f"{model}/{entity}", version)

        of_model.__dict__.update(view.__dict__)  # the marks of access
        of_model.__doc__ = view.__doc__
        know_entities(routes)
        for entity in ("", "/<entity>" if suffix else "/<entity:entity>"):
            for version in ("", "/versions/<version>"):
                name = view.__name__ + ("_of_entity" if entity else "")
                routes.add_url_rule(
                    f"/v2/models/<model>{entity}{version}{suffix}",
                    endpoint=name + ("_version" if version else ""),
                    view_func=of_model,
                    methods=[method],
                )
        return view

    return register


def _meant(context: Context, model: str, version: str | None) -> tuple[ServingSlot, LoadedModel]:
    """The version that answers: once a request, everything comes from this object.

    Raises:
        NotFound: no such model, or no such version of it. NotReady: none serves.
        StateConflict: the version is stored but does not serve.
    """
    slot = context.table.slot(model)
    live = slot.require()
    if version is None or version == live.version:
        return slot, live
    if version in context.store.versions(model):
        raise StateConflict(
            f"{model} {version} is stored but does not serve; {live.version} does. POST"
            f" /models/{model}/rollback goes to another version."
        )
    raise NotFound(f"{model} has no version {version!r}; {live.version} serves.")


def _infer(context: Context, slot: ServingSlot, live: LoadedModel, content: bytes) -> Response:
    message, tensors = read_request(content, request.headers.get(HEADER_LENGTH))
    question = (message.parameters or {}).get("question", "predict")
    if not isinstance(question, str):
        raise RequestInvalid("the name of a question", question, "parameters.question")
    now, started_s = context.clock(), time.perf_counter()
    outputs, n_rows = answer_tensors(live.answerer, tensors, question, now)
    attribute_request(live, n_rows)
    if context.prediction_log.is_due(slot.name):
        took_s = time.perf_counter() - started_s
        pairs = partial(as_requests, live.answerer, tensors, outputs)
        context.prediction_log.note(live, question, now, took_s, pairs, len(content))
    head = {
        "model_name": live.manifest.model,
        "model_version": live.version,
        "parameters": _facts(live),
    }
    body, n_json = write_answer(message, head, outputs)
    if n_json is None:
        return Response(body, mimetype="application/json")
    response = Response(body, mimetype="application/octet-stream")
    response.headers[HEADER_LENGTH] = str(n_json)
    return response


def _counted(context: Context) -> Mapping[Key, Cell]:
    """What all workers of this host counted; of the others up to a second ago."""
    context.flush_metrics()
    return read_sum(metrics_dir(context.config.reports_dir)).cells


def _facts(live: LoadedModel) -> dict[str, Any]:
    """What every answer names, and what this model's answers say beside their outputs."""
    manifest = live.manifest
    facts = {
        name: value
        for name, value in live.answerer.row_facts.items()
        if isinstance(value, (str, int, float))
    }
    newest = manifest.watermark.newest_record_at
    return {
        **facts,
        "generation": live.generation,
        "trained_at": manifest.trained_at,
        **({"fitted_until": manifest.fitted_until} if manifest.fitted_until else {}),
        **({"watermark": newest} if newest else {}),
    }
