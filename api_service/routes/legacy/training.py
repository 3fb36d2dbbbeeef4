"""Asking for a training and how it stands, in the fields that existing clients send and read.

Each view asks what the routes of training.py ask; which path is whose stands in aliases.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.control.requests import put_request, waiting_run
from api_service.control.training import ask_for_training, must_be_trained_here, who_asks
from api_service.control.training_options import read_options
from api_service.control.wait import wait_for_run
from api_service.routes.legacy import answers
from api_service.routes.legacy.models import (
    RECOMMENDER,
    SERVERS,
    SIMILARITY,
    SOLAR,
    resolve_device,
    resolve_model,
)
from api_service.status.retrain_daemon import look_at_retrain_daemon
from api_service.status.runs import list_records, show_run_or_refusal, totals
from api_service.web.auth import check_key
from api_service.web.json_body import json_response, only_fields, read_object, text_field
from api_service.web.public_path import public_path
from api_service.web.query import Page, as_truth, as_whole_number, only_parameters
from shared.errors import NotFound, RequestInvalid
from shared.exchange.event_burst import record_event
from shared.exchange.retrain_report import TrainingReport
from shared.keys.api_keys import Role

# -- training ------------------------------------------------------------------------------------


def train_products(context: Context) -> ResponseReturnValue:
    """A product changed: an event, so that a burst is one training; with `wait` a training."""
    model = resolve_model(context, SIMILARITY, RECOMMENDER)
    body = {**read_object(request, may_be_empty=True), **_query("wait", "force")}
    options, wait_s, reason = read_options(body)
    if wait_s:
        check_key(context.ring.keys, Role.ADMIN)  # it passes every brake
        return _train(context, model, options, wait_s, reason)
    must_be_trained_here(context, model, or_its_entities=True)
    record_event(context.config.requests_dir, model, context.clock())
    message = f"{model} is trained when the event trigger says so; with wait, at once."
    return json_response(answers.triggered(None, "accepted", message), 202)


def retrain_recommender(context: Context) -> ResponseReturnValue:
    body = {**read_object(request, may_be_empty=True), **_query("days", "wait", "force")}
    options, wait_s, reason = read_options(body)
    return _train(context, resolve_model(context, RECOMMENDER), options, wait_s, reason)


def retrain_device(context: Context) -> ResponseReturnValue:
    body = read_object(request, may_be_empty=True)
    only_fields(body, "device_id", "days", "background", "reason", "force")
    background = body.get("background", True)
    if not isinstance(background, bool):
        raise RequestInvalid("true or false", background, "background")
    device_id = text_field(body, "device_id", "the id of a device")
    model = resolve_device(context, resolve_model(context, SOLAR), device_id)
    asked = ("days", "reason", "force")
    rest: dict[str, Any] = {name: body[name] for name in asked if name in body}
    options, wait_s, reason = read_options({**rest, "wait": not background})
    return _train(context, model, options, wait_s, reason)


def train_servers(context: Context) -> ResponseReturnValue:
    """`epochs` is read for its sake who sends it: this model is fitted in one pass."""
    asked = _query("epochs", "incremental", "wait", "force")
    epochs = asked.pop("epochs", None)
    if epochs is not None and (type(epochs) is not int or epochs < 1):
        raise RequestInvalid("a whole number from 1 on", epochs, "epochs")
    options, wait_s, reason = read_options(asked)
    return _train(context, resolve_model(context, SERVERS), options, wait_s, reason)


def _train(
    context: Context, model: str, options: Mapping[str, Any], wait_s: float, reason: str
) -> ResponseReturnValue:
    asked = ask_for_training(context, model, options, reason)
    run_id = asked["request_id"]
    if wait_s and asked["retrain_daemon"] == "running":  # else nobody would end it
        path = context.config.run_log_path
        run = wait_for_run(path, run_id, wait_s)
        if run is not None:
            message = run["verdict"] or run["error"] or f"{model} was trained."
            count = {"products_count": _products_count(context, model, run)}
            more = count if context.config.workloads.get(model) in (SIMILARITY, RECOMMENDER) else {}
            return json_response(answers.triggered(run_id, run["status"], message, **more))
    response = json_response(answers.triggered(run_id, "queued", asked["sentence"]), 202)
    response.headers["Location"] = public_path(f"/runs/{run_id}")
    return response


def _products_count(context: Context, model: str, run: Mapping[str, Any]) -> int | None:
    """Approved products: the rows of a similarity run, or of the last one that was not skipped."""
    if context.config.workloads.get(model) != SIMILARITY:
        return None
    if run["rows"] is not None:
        return int(run["rows"])
    path = context.config.run_log_path
    records, _ = list_records(path, model=model, base=None, limit=50, offset=0)
    return next((int(one["rows"]) for one in records if one["rows"] is not None), None)


def cancel_training(context: Context) -> ResponseReturnValue:
    model = resolve_model(context, SERVERS)
    must_be_trained_here(context, model)
    body = {**read_object(request, may_be_empty=True), **request.args.to_dict()}
    only_fields(body, "job_id", "model", "reason")
    run_id = text_field(body, "job_id", "the id of a job")
    report = _report(context, model)[0]
    asked = put_request(
        context.config.requests_dir,
        context.config.reports_dir,
        context.clock(),
        kind="cancel",
        model=model,
        requested_by=who_asks(),
        will=f"the training of {model} is stopped if it still runs; what serves stays.",
        run_id=run_id,
        reason=text_field(body, "reason", "a text") or "",
    )
    run_id = run_id or (report.running_run_id if report else None)
    return json_response(answers.triggered(run_id, "cancelling", asked["sentence"]), 202)


# -- how training stands ---------------------------------------------------------------------------


def training_status(context: Context) -> ResponseReturnValue:
    """Of `?job_id=`, else of the newest run."""
    model = resolve_model(context, SERVERS)
    run_id = request.args.get("job_id")
    if run_id is None:
        records, _ = list_records(
            context.config.run_log_path, model=model, base=None, limit=1, offset=0
        )
        if not records:
            raise NotFound(f"{model} has not been trained yet.")
        found: Mapping[str, Any] = records[0]
    else:
        found = _run(context, run_id)
    return json_response(answers.job(found, _report(context, model)[0]), is_for_people=True)


def training_stats(context: Context) -> ResponseReturnValue:
    model = resolve_model(context, SERVERS)
    path = context.config.run_log_path
    records, _ = list_records(path, model=model, base=None, limit=1, offset=0)
    report, sentence = _report(context, model)
    fed = context.config.feed.models.get(model)
    config = {"model": model, "workload": context.config.workloads[model]}
    parameters = {"parameters": dict(fed.parameters)} if fed else {}
    answer = answers.training_stats(
        totals(path, model),
        records[0] if records else None,
        report,
        sentence,
        {**config, **parameters},
    )
    return json_response(answer, is_for_people=True)


def device_runs(context: Context) -> ResponseReturnValue:
    """Newest first; of one device, or of all."""
    page = Page.of(request, "device_id", "model")
    model = resolve_model(context, SOLAR)
    device_id = page.rest.get("device_id")
    of_one = resolve_device(context, model, device_id) if device_id is not None else None
    records, total = list_records(
        context.config.run_log_path,
        model=of_one,
        base=None if of_one else model,
        limit=page.limit,
        offset=page.offset,
    )
    answer = page.answer("runs", [answers.device_run(one) for one in records], total)
    return json_response(answer, is_for_people=True)


def device_run(context: Context, run_id: str) -> ResponseReturnValue:
    return json_response(answers.device_run(_run(context, run_id)), is_for_people=True)


def _run(context: Context, run_id: str) -> Mapping[str, Any]:
    try:
        return show_run_or_refusal(context.config.run_log_path, run_id)
    except NotFound:
        waiting = waiting_run(context.config.requests_dir, run_id)
        return waiting or show_run_or_refusal(context.config.run_log_path, run_id)


def _report(context: Context, model: str) -> tuple[TrainingReport | None, str]:
    daemon = look_at_retrain_daemon(context.config.reports_dir, context.clock())
    return (daemon.report.models.get(model) if daemon.report else None), daemon.sentence


def _query(*known: str) -> dict[str, Any]:
    """Query parameters as JSON would have them.

    Raises:
        RequestInvalid: one that the route does not take.
    """
    only_parameters(request.args, *known, "model")
    found: dict[str, Any] = {}
    for name, text in request.args.items():
        if name == "model":
            continue
        number, truth = as_whole_number(text), as_truth(text)
        is_flag = name in ("incremental", "force")
        values = (truth, number) if is_flag or number is None else (number, truth)
        found[name] = next((value for value in values if value is not None), text)
    return found
