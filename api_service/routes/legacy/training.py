"""Asking for a training and how it stands, in the fields that existing clients send and read.

Each view asks what the routes of training.py ask; which path is whose stands in aliases.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.control.requests import submit, waiting_run
from api_service.control.training import ask_for_training, client_label, require_trained_here
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
from api_service.schemas.requests import (
    CancelJob,
    DevicePage,
    RetrainDevice,
    TrainDaysQuery,
    TrainQuery,
    TrainRequest,
    TrainServersQuery,
)
from api_service.status.retrain_daemon import look_at_retrain_daemon
from api_service.status.runs import list_records, show_run_or_refusal, totals
from api_service.web.auth import check_key, must_be_own_program_or_carry
from api_service.web.json_body import body_as, json_response
from api_service.web.public_path import public_path
from api_service.web.query import query_as, with_query
from shared.errors import NotFound
from shared.exchange.event_burst import record_event
from shared.exchange.retrain_report import TrainingReport
from shared.keys.api_keys import Role
from shared.run_log.run import SUCCESS

# -- training ------------------------------------------------------------------------------------


def train_products(context: Context) -> ResponseReturnValue:
    """A product changed: an event, so that a burst is one training; with `wait` a training."""
    must_be_own_program_or_carry(context.ring.keys, Role.FEED)
    model = resolve_model(context, SIMILARITY, RECOMMENDER)
    asked = with_query(request, body_as(request, TrainRequest), TrainQuery)
    if asked.wait_s:
        check_key(context.ring.keys, Role.ADMIN)  # it passes every brake
        return _train(context, model, asked)
    require_trained_here(context, model, or_its_entities=True)
    record_event(context.config.requests_dir, model, context.clock())
    message = f"{model} is trained when the event trigger says so; with wait, at once."
    n_products = _products_known(context, model)
    answer = answers.triggered(None, "accepted", message, products_count=n_products)
    return json_response(answer, 202)


def retrain_recommender(context: Context) -> ResponseReturnValue:
    asked = with_query(request, body_as(request, TrainRequest), TrainDaysQuery)
    return _train(context, resolve_model(context, RECOMMENDER), asked)


def retrain_device(context: Context) -> ResponseReturnValue:
    asked = body_as(request, RetrainDevice)
    model = resolve_device(context, resolve_model(context, SOLAR), asked.device_id)
    wanted = TrainRequest(
        days=asked.days, reason=asked.reason, force=asked.force, wait=not asked.background
    )
    return _train(context, model, wanted, SUCCESS, background=asked.background)


def train_servers(context: Context) -> ResponseReturnValue:
    """`epochs` is read for its sake who sends it: this model is fitted in one pass."""
    query = query_as(request, TrainServersQuery)
    asked = with_query(request, TrainRequest(), TrainServersQuery)
    if query.blocking:
        asked = msgspec.structs.replace(asked, wait=True)
    more = {"epochs": query.epochs, "incremental": query.incremental}
    return _train(context, resolve_model(context, SERVERS), asked, answers.OF_SERVERS, **more)


def _train(
    context: Context,
    model: str,
    asked: TrainRequest,
    words: Mapping[str, str] | None = None,
    **more: Any,
) -> ResponseReturnValue:
    answer = ask_for_training(context, model, asked.options(), asked.reason or "")
    run_id = answer["request_id"]
    if asked.wait_s and answer["retrain_daemon"] == "running":  # else nobody would end it
        path = context.config.run_log_path
        run = wait_for_run(path, run_id, asked.wait_s)
        if run is not None:
            message = run["verdict"] or run["error"] or f"{model} was trained."
            if context.config.workloads.get(model) in (SIMILARITY, RECOMMENDER):
                more |= {"products_count": _products_count(context, model, run)}
            return json_response(answers.triggered(run_id, run["status"], message, words, **more))
    response = json_response(answers.triggered(run_id, "queued", answer["sentence"], **more), 202)
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


def _products_known(context: Context, model: str) -> int:
    """Those of the served version, else of the newest training that counted them, else none."""
    live = context.table.slot(model).live if model in context.table else None
    if live is not None and "products" in live.answerer.n_known:
        return live.answerer.n_known["products"]
    return _products_count(context, model, {"rows": None}) or 0


def cancel_training(context: Context) -> ResponseReturnValue:
    model = resolve_model(context, SERVERS)
    require_trained_here(context, model)
    asked = with_query(request, body_as(request, CancelJob), CancelJob)
    report = _report(context, model)[0]
    answer = submit(
        context.config.requests_dir,
        context.config.reports_dir,
        context.clock(),
        kind="cancel",
        model=model,
        requested_by=client_label(),
        effect=f"the training of {model} is stopped if it still runs; what serves stays.",
        run_id=asked.job_id,
        reason=asked.reason or "",
    )
    run_id = asked.job_id or (report.running_run_id if report else None)
    return json_response(answers.triggered(run_id, "cancelling", answer["sentence"]), 202)


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
    page = query_as(request, DevicePage)
    model = resolve_model(context, SOLAR)
    of_one = None if page.device_id is None else resolve_device(context, model, page.device_id)
    records, total = list_records(
        context.config.run_log_path,
        model=of_one,
        base=None if of_one else model,
        limit=page.limit,
        offset=page.offset + page.skip,
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
