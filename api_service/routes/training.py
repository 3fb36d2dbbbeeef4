"""Training on demand, how it stands, and the run log."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.control.requests import submit, waiting_run
from api_service.control.training import ask_for_training, client_label, require_trained_here
from api_service.control.wait import wait_for_run
from api_service.schemas.requests import (
    Cancel,
    EventsQuery,
    Reason,
    RejectedPage,
    RunsPage,
    TrainRequest,
)
from api_service.status.rejected import list_rejected
from api_service.status.retrain_daemon import look_at_retrain_daemon
from api_service.status.runs import (
    list_events,
    list_runs,
    require_not_needed,
    show_run,
    show_run_or_refusal,
    totals,
)
from api_service.web.auth import needs
from api_service.web.json_body import body_as, json_response
from api_service.web.model_urls import model_route
from api_service.web.public_path import public_path
from api_service.web.query import query_as
from shared.errors import NotFound, StateConflict
from shared.exchange.event_burst import record_event
from shared.keys.api_keys import Role
from shared.run_log.run import UNFINISHED
from shared.versions.model_names import full_name, split_name


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("training", __name__)
    config = context.config

    @model_route(routes, "POST", "/train")
    @needs(Role.ADMIN)
    def train(model: str) -> ResponseReturnValue:
        asked = body_as(request, TrainRequest)
        answer = ask_for_training(context, model, asked.options(), asked.reason or "")
        run_id = answer["request_id"]
        url = public_path(f"/runs/{run_id}")
        ended = None
        if asked.wait_s and answer["retrain_daemon"] == "running":  # else nobody would end it
            ended = wait_for_run(config.run_log_path, run_id, asked.wait_s)
        if ended is not None:
            return json_response({"url": url, **ended}, is_for_people=True)
        response = json_response({"run_id": run_id, "status": "queued", "url": url, **answer}, 202)
        response.headers["Location"] = url
        return response

    @model_route(routes, "POST", "/events")
    @needs(Role.FEED)
    def events(model: str) -> ResponseReturnValue:
        require_trained_here(context, model, or_its_entities=True)
        body_as(request, Reason)
        burst = record_event(config.requests_dir, model, context.clock())
        sentence = f"{model} is trained when the event trigger says so."
        answer = {"model": model, "events_waiting": burst.n, "sentence": sentence}
        return json_response(answer, 202)

    @model_route(routes, "POST", "/training/cancel")
    @needs(Role.ADMIN)
    def cancel(model: str) -> ResponseReturnValue:
        require_trained_here(context, model)
        asked = body_as(request, Cancel)
        answer = submit(
            config.requests_dir,
            config.reports_dir,
            context.clock(),
            kind="cancel",
            model=model,
            requested_by=client_label(),
            effect=f"the training of {model} is stopped if it still runs; what serves stays.",
            run_id=asked.run_id,
            reason=asked.reason or "",
        )
        return json_response(answer, 202)

    @model_route(routes, "GET", "/training")
    def training(model: str) -> ResponseReturnValue:
        context.table.slot(model)
        daemon = look_at_retrain_daemon(config.reports_dir, context.clock())
        found = daemon.report.models.get(model) if daemon.report else None
        answer = {
            "model": model,
            "retrain_daemon": daemon.state,
            "sentence": daemon.sentence,
            "reported_at": daemon.report.updated_at if daemon.report else None,
            **(msgspec.to_builtins(found) if found is not None else {}),
            "totals": totals(config.run_log_path, model),
        }
        return json_response(answer, is_for_people=True)

    @model_route(routes, "GET", "/rejected")
    @needs(Role.ADMIN)
    def rejected(model: str) -> ResponseReturnValue:
        require_trained_here(context, model, or_its_entities=True)
        page = query_as(request, RejectedPage)
        name, entity = split_name(model)
        listed = list_rejected(config.reports_dir, name)
        found = listed.matching(entity, page.stream, page.reason) if listed else []
        answer = {
            "model": model,
            "written_at": listed.written_at if listed else None,
            "counts": msgspec.to_builtins(listed.counts) if listed else [],
            **page.answer("records", msgspec.to_builtins(page.of_items(found)), len(found)),
        }
        return json_response(answer, is_for_people=True)

    @routes.get("/runs")
    def runs() -> ResponseReturnValue:
        page = query_as(request, RunsPage)
        found, total = list_runs(
            config.run_log_path,
            model=page.model,
            status=page.status,
            limit=page.limit,
            offset=page.offset,
        )
        return json_response(page.answer("runs", found, total), is_for_people=True)

    @routes.get("/runs/<run_id>")
    def run(run_id: str) -> ResponseReturnValue:
        try:
            found = show_run_or_refusal(config.run_log_path, run_id)
        except NotFound:
            waiting = waiting_run(config.requests_dir, run_id)
            # Not in the box either: it may have gone from there into the log in between.
            found = dict(waiting) if waiting else show_run_or_refusal(config.run_log_path, run_id)
        return json_response(found, is_for_people=True)

    @routes.delete("/runs/<run_id>")
    @needs(Role.ADMIN)
    def forget(run_id: str) -> ResponseReturnValue:
        found = show_run(config.run_log_path, run_id)
        if found["status"] in UNFINISHED:
            raise StateConflict(f"run {run_id} is {found['status']}; cancel it first.")
        model = full_name(found["model"], found["entity"] or "")
        require_not_needed(config.run_log_path, model, run_id)
        answer = submit(
            config.requests_dir,
            config.reports_dir,
            context.clock(),
            kind="forget",
            model=model,
            requested_by=client_label(),
            effect=f"run {run_id} is taken out of the log; its version, if it has one, stays.",
            run_id=run_id,
        )
        return json_response(answer, 202)

    @routes.get("/events")
    def event_log() -> ResponseReturnValue:
        asked = query_as(request, EventsQuery)
        found = list_events(
            config.run_log_path, model=asked.model, after=asked.after, limit=asked.limit
        )
        answer: dict[str, object] = {"events": found, "total": len(found)}
        if len(found) == asked.limit:
            query = {**request.args.to_dict(), "after": found[-1]["seq"], "limit": asked.limit}
            answer["next"] = public_path(f"/events?{urlencode(query)}")
        return json_response(answer, is_for_people=True)

    return routes
