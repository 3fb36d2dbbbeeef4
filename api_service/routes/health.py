"""Health for people, curl and balancers. Never needs a key."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.status.health import HealthInputs, not_ready_reason, summarize
from api_service.status.retrain_daemon import look_at_retrain_daemon
from api_service.status.workers import live_reports
from api_service.web.auth import open_to_all
from api_service.web.json_body import json_response
from shared.errors import NotReady


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("health", __name__)
    config = context.config

    @routes.get("/health")
    @open_to_all
    def health() -> ResponseReturnValue:
        now = context.clock()
        summary = summarize(
            HealthInputs(
                now=now,
                slots=list(context.table),
                workers=live_reports(config.reports_dir),
                expected_workers=config.workers,
                retrain=look_at_retrain_daemon(config.reports_dir, now),
                problems=context.problems(),
            )
        )
        status = 503 if summary["status"] == "not_ready" else 200
        return json_response(summary, status, is_for_people=True)

    @routes.get("/livez")
    @open_to_all
    def livez() -> ResponseReturnValue:
        return json_response({"status": "alive"})

    @routes.get("/readyz")
    @open_to_all
    def readyz() -> ResponseReturnValue:
        reason = not_ready_reason(list(context.table))
        if reason is not None:
            raise NotReady(reason)
        return json_response({"status": "ready"})

    return routes
