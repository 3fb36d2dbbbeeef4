"""Metrics for Prometheus, of all workers of this host, whichever of them answers."""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.metrics.worker_file import read_sum
from api_service.status.retrain_daemon import look_at_retrain_daemon
from api_service.web.yield_lock import yield_lock
from shared.exchange.training_metrics import metrics_dir, read_training_metrics


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("metrics", __name__)
    reports_dir = context.config.reports_dir

    @routes.get("/metrics")
    def metrics() -> ResponseReturnValue:
        # Not at the start of a worker: the exposition library costs it 40 ms and 3 MB.
        from api_service.metrics.exposition import Families, Scrape, add_serving, exposed
        from api_service.metrics.training_families import add_training

        # First of all: what this worker says now it must not take back should it die next.
        context.flush_metrics()
        now, families = context.clock(), Families()
        with yield_lock(request.environ):
            total = read_sum(metrics_dir(reports_dir))
            add_serving(families, Scrape(now, total, context.config.workers))
            daemon = look_at_retrain_daemon(reports_dir, now)
            add_training(families, daemon, read_training_metrics(reports_dir), now)
            text, content_type = exposed(families, request.headers.get("Accept", ""))
        return Response(text, content_type=content_type)

    return routes
